# S13, C1 to C4: which cycle, to the millisecond; late events; and before the epoch.

== C1, example 6: received at the last millisecond of one cycle and the first of the next
#        2026-06-06                     2026-07-06                     2026-08-05
#  ------[--------------------------- o-1)[o-2 ------------------------)[------
2026-07-01T08:00Z         placed    o-1  1:p-3:1x1000
2026-07-01T08:00Z         placed    o-2  1:p-3:1x1000
2026-07-05T23:59:59.999Z  received  o-1
2026-07-06T00:00:00.000Z  received  o-2
then
p-3  2026-06-06  1 0 0  CNY 1000 0 0
p-3  2026-07-06  1 0 0  CNY 1000 0 0
traded p-3 2

== C1: times finer than milliseconds are cut off, never rounded up into the next cycle
2026-07-01T08:00Z               placed    o-1  1:p-3:1x1000
2026-07-05T23:59:59.9999999999Z  received  o-1
then
p-3  2026-06-06  1 0 0  CNY 1000 0 0

== C1: cycles before the anchor and before the epoch are cycles like any other
#      1969-12-02                 1970-01-01
#  ----[---------------------- o-1)[o-2 ----
1969-12-31T08:00Z         placed    o-1  1:p-3:1x1000
1969-12-31T08:00Z         placed    o-2  1:p-3:1x1000
1969-12-31T23:59:59.999Z  received  o-1
1970-01-01T00:00:00.000Z  received  o-2
then
p-3  1969-12-02  1 0 0  CNY 1000 0 0
p-3  1970-01-01  1 0 0  CNY 1000 0 0

== C1: refunded at the last millisecond of the sale's cycle and at the first of the next
2026-07-01T08:00Z         placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z         received  o-1
2026-07-05T23:59:59.999Z  refunded  o-1  r-1 quality  1:1:1000
2026-07-06T00:00:00.000Z  refunded  o-1  r-2 quality  1:1:1000
then
p-3  2026-06-06  2 2 1  CNY 2000 2000 1000
p-3  2026-07-06  0 0 1  CNY 0 0 1000

== S13, C3: an event of years ago still goes into its own cycle
2026-07-01T08:00Z  placed    o-1  1:p-3:1x1000
2026-07-02T08:00Z  received  o-1
2020-01-05T08:00Z  placed    o-2  1:p-3:1x1000
2020-01-06T08:00Z  received  o-2
then
p-3  2019-12-10  1 0 0  CNY 1000 0 0
p-3  2026-06-06  1 0 0  CNY 1000 0 0
traded p-3 2

== C4: a sale wholly refunded keeps its place in its cycle, and nothing is left of it in the total
2026-07-01T08:00Z  placed    o-1  1:p-3:1x1000
2026-07-02T08:00Z  received  o-1
2026-07-03T08:00Z  refunded  o-1  r-1 quality
then
p-3  2026-06-06  1 1 1  CNY 1000 1000 1000
traded p-3 0
