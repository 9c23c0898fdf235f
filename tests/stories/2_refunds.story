# S5 to S9: what refunds reverse, from when, how much, and in which cycle it is booked.

== S5: refunds that are requested, failed or never decided change nothing
2026-07-01T08:00Z  placed            o-1  1:p-3:2x1000
2026-07-02T08:00Z  received          o-1
2026-07-03T08:00Z  refund-requested  o-1  r-1 quality  1:1:1000
2026-07-04T08:00Z  refund-failed     o-1  r-1 rejected
2026-07-05T08:00Z  refund-requested  o-1  r-2 quality
then
p-3  2026-06-06  2 0 0  CNY 2000 0 0

== S5: a refund that the bank returns counts as if it had never been
2026-07-01T08:00Z  placed           o-1  1:p-3:2x1000
2026-07-02T08:00Z  received         o-1
2026-07-03T08:00Z  refunded         o-1  r-1 quality  1:1:1000  9:1:1
2026-08-20T08:00Z  refund-returned  o-1  r-1
then
p-3  2026-06-06  2 0 0  CNY 2000 0 0

== S5: what a returned refund had left for later ones is theirs
2026-07-01T08:00Z  placed           o-1  1:p-3:2x1000
2026-07-02T08:00Z  received         o-1
2026-07-03T08:00Z  refunded         o-1  r-1 quality
2026-07-04T08:00Z  refunded         o-1  r-2 quality  1:1:900
2026-07-05T08:00Z  refund-returned  o-1  r-1
then
p-3  2026-06-06  2 1 1  CNY 2000 900 900

== S6, example 3: received in one cycle, refunded in the next: off the sale's cycle, and booked in its own
2026-07-01T08:00Z  placed    o-1  1:p-3:1x1000
2026-07-02T08:00Z  received  o-1
2026-07-10T08:00Z  refunded  o-1  r-1 quality
2026-07-01T08:00Z  placed    o-2  1:p-3:2x1000
2026-07-02T08:00Z  received  o-2
then
p-3  2026-06-06  3 1 0  CNY 3000 1000 0
p-3  2026-07-06  0 0 1  CNY 0 0 1000
s-7  2026-06-06  3 1 0  CNY 3000 1000 0
s-7  2026-07-06  0 0 1  CNY 0 0 1000
traded p-3 2

== S6: refunds in three cycles are booked each in its own
2026-07-01T08:00Z  placed    o-1  1:p-3:3x1000
2026-07-02T08:00Z  received  o-1
2026-07-03T08:00Z  refunded  o-1  r-1 quality  1:1:1000
2026-07-10T08:00Z  refunded  o-1  r-2 quality  1:1:1000
2026-08-10T08:00Z  refunded  o-1  r-3 quality  1:0:500
then
p-3  2026-06-06  3 2 1  CNY 3000 2500 1000
p-3  2026-07-06  0 0 1  CNY 0 0 1000
p-3  2026-08-05  0 0 0  CNY 0 0 500

== S7, example 4: refunded before it was received: less is sold, and nothing is reversed
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  refunded  o-1  r-1 changed_mind  1:1:1000
2026-07-03T08:00Z  received  o-1
then
p-3  2026-06-06  1 0 0  CNY 1000 0 0

== S7: wholly refunded before it was received is no sale
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  refunded  o-1  r-1 changed_mind
2026-07-03T08:00Z  received  o-1
then

== S7: a line that was never received can't be reversed, nor refunded too much
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000  2:p-4:1x500
2026-07-02T08:00Z  received  o-1  2
2026-07-03T08:00Z  refunded  o-1  r-1 late_delivery  1:5:9000
then
p-4  2026-06-06  1 0 0  CNY 500 0 0

== S7: a refund in the same millisecond as the receipt is a reversal, one millisecond before it isn't
2026-07-01T08:00Z         placed    o-1  1:p-3:2x1000  2:p-4:2x1000
2026-07-02T08:00:00.500Z  received  o-1
2026-07-02T08:00:00.500Z  refunded  o-1  r-1 quality  1:1:1000
2026-07-02T08:00:00.499Z  refunded  o-1  r-2 quality  2:1:1000
then
p-3  2026-06-06  2 1 1  CNY 2000 1000 1000
p-4  2026-06-06  1 0 0  CNY 1000 0 0

== S7: money given back before the receipt, units kept: sold for less
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  refunded  o-1  r-1 late_delivery  1:0:2000
2026-07-03T08:00Z  received  o-1
then
p-3  2026-06-06  2 0 0

== S8: refunds take by age, each at most what is left
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  received  o-1
2026-07-04T08:00Z  refunded  o-1  r-2 quality  1:2:2000
2026-07-03T08:00Z  refunded  o-1  r-1 quality  1:1:1500
then
p-3  2026-06-06  2 2 2  CNY 2000 2000 2000
anomaly o-1 refund_exceeds_sale 1

== S8: of two refunds in one millisecond the one with the smaller refund_id goes first
# r-1 takes 1 unit of the sale, r-2 what is left; their instants are in one cycle, so only the anomaly would show another order
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  received  o-1
2026-07-03T08:00Z  refunded  o-1  r-2 quality
2026-07-03T08:00Z  refunded  o-1  r-1 quality  1:2:2000
then
p-3  2026-06-06  2 2 2  CNY 2000 2000 2000

== S8: units and money are cut each for itself
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  received  o-1
2026-07-03T08:00Z  refunded  o-1  r-1 quality  1:5:300
then
p-3  2026-06-06  2 2 2  CNY 2000 300 300
anomaly o-1 refund_exceeds_sale 1

== S8: too much money alone is too much
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  received  o-1
2026-07-03T08:00Z  refunded  o-1  r-1 quality  1:1:2001
then
p-3  2026-06-06  2 1 1  CNY 2000 2000 2000
anomaly o-1 refund_exceeds_sale 1

== S8: the older refund goes first, whatever their refund_ids
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  received  o-1
2026-07-10T08:00Z  refunded  o-1  r-1 quality
2026-07-03T08:00Z  refunded  o-1  r-2 quality
then
p-3  2026-06-06  2 2 2  CNY 2000 2000 2000

== S8: a refund without lines takes the whole order, or what is left of it, and is never too much
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000  2:p-4:1x500-100
2026-07-02T08:00Z  received  o-1
2026-07-03T08:00Z  refunded  o-1  r-1 quality  1:1:200
2026-07-10T08:00Z  refunded  o-1  r-2 quality
then
p-3  2026-06-06  2 2 1  CNY 2000 2000 200
p-3  2026-07-06  0 0 1  CNY 0 0 1800
p-4  2026-06-06  1 1 0  CNY 400 400 0
p-4  2026-07-06  0 0 1  CNY 0 0 400

== S8: one line twice in a refund takes twice
2026-07-01T08:00Z  placed    o-1  1:p-3:3x1000
2026-07-02T08:00Z  received  o-1
2026-07-03T08:00Z  refunded  o-1  r-1 quality  1:1:1000  1:1:500
then
p-3  2026-06-06  3 2 2  CNY 3000 1500 1500

== S8: unknown lines in receipts and in refunds are anomalies
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  received  o-1  1 8
2026-07-03T08:00Z  refunded  o-1  r-1 quality  9:1:1000
then
p-3  2026-06-06  2 0 0  CNY 2000 0 0
anomaly o-1 unknown_line 8
anomaly o-1 unknown_line 9

== S9, example 2: ¥3 made up for short weight: units stay, revenue falls
2026-07-02T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T10:00Z  received  o-1
2026-07-05T08:00Z  refunded  o-1  r-1 short_weight  1:0:300
then
p-3  2026-06-06  2 0 0  CNY 2000 300 300
