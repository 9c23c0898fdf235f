# Versions of events: the first leaves all lines of an order out, the second names them "all".

== receipt_confirmed: all lines, left out in the first version and named in the second
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000  2:p-4:1x500
2026-07-02T08:00Z  received  o-1
2026-07-01T08:00Z  placed    o-2  1:p-3:2x1000  2:p-4:1x500
2026-07-02T08:00Z  received  o-2  version=2
2026-07-01T08:00Z  placed    o-3  1:p-3:2x1000  2:p-4:1x500
2026-07-02T08:00Z  received  o-3  2  version=2
then
p-3  2026-06-06  4 0 0  CNY 4000 0 0
p-4  2026-06-06  3 0 0  CNY 1500 0 0

== receipt_confirmed: an event that is sent again in the second version is the same event (S11)
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  received  o-1  id=e-7
2026-07-02T08:00Z  received  o-1  id=e-7  version=2
then
p-3  2026-06-06  2 0 0  CNY 2000 0 0

== refund_succeeded: of the whole order, left out in the first version and named in the second
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  received  o-1
2026-07-03T08:00Z  refunded  o-1  r-1 quality
2026-07-01T08:00Z  placed    o-2  1:p-3:2x1000
2026-07-02T08:00Z  received  o-2
2026-07-03T08:00Z  refunded  o-2  r-1 quality  version=2
2026-07-01T08:00Z  placed    o-3  1:p-3:2x1000
2026-07-02T08:00Z  received  o-3
2026-07-03T08:00Z  refunded  o-3  r-1 quality  1:1:400  version=2
then
p-3  2026-06-06  6 5 5  CNY 6000 4400 4400

== refund_requested: of the whole order in both versions counts nothing until it succeeds (S5)
2026-07-01T08:00Z  placed            o-1  1:p-3:2x1000
2026-07-02T08:00Z  received          o-1
2026-07-03T08:00Z  refund-requested  o-1  r-1 quality
2026-07-01T08:00Z  placed            o-2  1:p-3:2x1000
2026-07-02T08:00Z  received          o-2
2026-07-03T08:00Z  refund-requested  o-2  r-1 quality  version=2
2026-07-04T08:00Z  refunded          o-2  r-1 quality  version=2
then
p-3  2026-06-06  4 2 2  CNY 4000 2000 2000

== delivery_refused: of all lines, in both versions
2026-07-01T08:00Z  placed   o-1  1:p-3:1x1000  2:p-4:1x500
2026-07-03T08:00Z  refused  o-1  quality
2026-07-01T08:00Z  placed   o-2  1:p-3:1x1000  2:p-4:1x500
2026-07-03T08:00Z  refused  o-2  quality  version=2
2026-07-01T08:00Z  placed   o-3  1:p-3:1x1000  2:p-4:1x500
2026-07-03T08:00Z  refused  o-3  quality  1  version=2
then
served s-7  2026-06-06  contacts=3 refusal.quality=3
served p-3  2026-06-06  refusal.quality=3
served p-4  2026-06-06  refusal.quality=2
