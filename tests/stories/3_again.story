# S10 to S12: parcels sent again, events that arrive again, and events that contradict each other.

== S10, example 5: refused as damaged, reissued, received: one sale, at the second parcel's receipt
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  shipped   o-1
2026-07-04T08:00Z  refused   o-1  damaged_in_transit
2026-07-05T08:00Z  reissued  o-1  damaged_in_transit
2026-07-08T08:00Z  received  o-1
then
p-3  2026-07-06  2 0 0  CNY 2000 0 0

== S10: something reissued for what was received short is no second sale
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  received  o-1
2026-07-03T08:00Z  reissued  o-1  short_weight
2026-07-09T08:00Z  received  o-1
then
p-3  2026-06-06  2 0 0  CNY 2000 0 0

== S10: an exchange is a return of one line and a receipt of another
2026-07-01T08:00Z  placed    o-1  1:p-3:1x1000  2:p-4:1x1000
2026-07-02T08:00Z  received  o-1  1
2026-07-04T08:00Z  refunded  o-1  r-1 wrong_goods  1:1:1000
2026-07-08T08:00Z  received  o-1  2
then
p-3  2026-06-06  1 1 1  CNY 1000 1000 1000
p-4  2026-07-06  1 0 0  CNY 1000 0 0

== S11: one refund under two event ids is one refund, at the earlier time, without an anomaly
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  received  o-1
2026-07-10T08:00Z  refunded  o-1  r-1 quality  1:1:1000
2026-07-03T08:00Z  refunded  o-1  r-1 quality  1:1:1000
then
p-3  2026-06-06  2 1 1  CNY 2000 1000 1000

== S11: one refund with two contents: the earlier holds, and the order has an anomaly
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  received  o-1
2026-07-04T08:00Z  refunded  o-1  r-1 quality  1:2:2000
2026-07-03T08:00Z  refunded  o-1  r-1 quality  1:1:1000
then
p-3  2026-06-06  2 1 1  CNY 2000 1000 1000
anomaly o-1 conflicting_event

== S11: one event id with two contents: the earlier holds
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-09T08:00Z  received  o-1  id=e-7
2026-07-02T08:00Z  received  o-1  id=e-7
then
p-3  2026-06-06  2 0 0  CNY 2000 0 0
anomaly o-1 conflicting_event

== S11: one event id for a receipt and, earlier, for a payment: there was no receipt
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  paid      o-1  2000  id=e-7
2026-07-03T08:00Z  received  o-1  id=e-7
then
anomaly o-1 conflicting_event

== S11: one event id with three contents, at one time: the smallest content holds, in whatever order they come
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  received  o-1
2026-07-03T08:00Z  refunded  o-1  r-1 quality  1:1:300  id=e-7
2026-07-03T08:00Z  refunded  o-1  r-1 quality  1:1:200  id=e-7
2026-07-03T08:00Z  refunded  o-1  r-1 quality  1:1:100  id=e-7
then
p-3  2026-06-06  2 1 1  CNY 2000 100 100
anomaly o-1 conflicting_event

== S11: one id at two sources are two events
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  received  o-1
2026-07-03T08:00Z  refunded  o-1  r-1 quality  1:0:100  id=e-7
2026-07-03T08:00Z  refunded  o-1  r-2 quality  1:0:100  id=e-7  source=/bank
then
p-3  2026-06-06  2 0 0  CNY 2000 200 200

== S11: an order placed twice in two ways: the earlier holds, with its shop, currency and lines
2026-07-02T08:00Z  received  o-1
2026-07-01T09:00Z  placed    o-1  1:p-3:2x1000
2026-07-01T08:00Z  placed    o-1  1:p-4:1x500  shop=s-8  currency=USD
then
p-4  2026-06-06  1 0 0  USD 500 0 0
s-8  2026-06-06  1 0 0  USD 500 0 0
anomaly o-1 conflicting_event

== S11: an order placed twice, in two groups, contradicts itself
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000  group_id=g-1
2026-07-01T09:00Z  placed    o-1  1:p-3:2x1000  group_id=g-2
then
anomaly o-1 conflicting_event

== S11: one refund with two reasons contradicts itself
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  received  o-1
2026-07-03T08:00Z  refunded  o-1  r-1 quality  1:1:1000
2026-07-04T08:00Z  refunded  o-1  r-1 other    1:1:1000
then
p-3  2026-06-06  2 1 1  CNY 2000 1000 1000
anomaly o-1 conflicting_event

== S11: an order placed twice in the same way, under two ids, is one order without an anomaly
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-01T09:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  received  o-1
then
p-3  2026-06-06  2 0 0  CNY 2000 0 0

== S11: an order that was never placed can contradict itself all the same
2026-07-02T08:00Z  received  o-1  id=e-7
2026-07-03T08:00Z  received  o-1  id=e-7
then
anomaly o-1 conflicting_event

== S12: everything at once, in any order of arrival
2026-07-01T08:00Z  placed           o-1  1:p-3:3x1000  2:p-4:2x500
2026-07-01T09:00Z  paid             o-1  4000
2026-07-03T08:00Z  received         o-1  1
2026-07-08T08:00Z  received         o-1  2
2026-07-07T08:00Z  refunded         o-1  r-1 late_delivery  2:0:200
2026-07-09T08:00Z  refunded         o-1  r-2 quality  1:1:1000
2026-08-09T08:00Z  refunded         o-1  r-3 quality
2026-08-10T08:00Z  refund-returned  o-1  r-2
then
p-3  2026-06-06  3 3 0  CNY 3000 3000 0
p-3  2026-08-05  0 0 3  CNY 0 0 3000
p-4  2026-07-06  2 2 0  CNY 800 800 0
p-4  2026-08-05  0 0 2  CNY 0 0 800
