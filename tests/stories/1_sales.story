# S1 to S4: what is a sale, when, how much, and whether.
# Cycles of 30 days from 1970-01-01: ... 2026-05-07 | 2026-06-06 | 2026-07-06 | 2026-08-05 ...

== S1, example 1: paid and shipped, never received: nothing is sold
2026-07-01T08:00Z  placed   o-1  1:p-3:2x1000
2026-07-01T08:05Z  paid     o-1  2000
2026-07-02T08:00Z  shipped  o-1
then

== S1: received but never paid (cash on delivery) is a sale
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  received  o-1
then
p-3  2026-06-06  2 0 0  CNY 2000 0 0
s-7  2026-06-06  2 0 0  CNY 2000 0 0
traded p-3 2
traded s-7 2

== S1: a receipt waits for its order
2026-07-02T08:00Z  received  o-1
2026-07-02T09:00Z  refunded  o-1  r-1 quality  9:1:100
then

== S1: lines that arrive in parcels of their own are sales of their own; what hasn't arrived isn't sold
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000  2:p-4:1x500  3:p-5:1x700
2026-07-02T08:00Z  received  o-1  1
2026-07-10T08:00Z  received  o-1  2
then
p-3  2026-06-06  2 0 0  CNY 2000 0 0
p-4  2026-07-06  1 0 0  CNY 500 0 0

== S2: the earliest receipt counts, whenever it arrives
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-20T08:00Z  received  o-1  by=buyer
2026-07-02T08:00Z  received  o-1
2026-08-20T08:00Z  received  o-1  by=timeout
then
p-3  2026-06-06  2 0 0  CNY 2000 0 0

== S2: received before it was placed, by their own times, is a sale at the receipt
2026-07-02T08:00Z  received  o-1
2026-07-08T08:00Z  placed    o-1  1:p-3:2x1000
then
p-3  2026-06-06  2 0 0  CNY 2000 0 0

== S2: the time says when, not the zone that it is written in
# 2026-07-06T07:59 in Shanghai is 23:59 of the day before in UTC, where the cycle ends at midnight
2026-07-01T08:00Z          placed    o-1  1:p-3:1x1000
2026-07-06T07:59:59+08:00  received  o-1
2026-07-01T08:00Z          placed    o-2  1:p-4:1x1000
2026-07-06T08:00:00+08:00  received  o-2
then
p-3  2026-06-06  1 0 0  CNY 1000 0 0
p-4  2026-07-06  1 0 0  CNY 1000 0 0

== S3: revenue is quantity times price, less the line's discount
2026-07-01T08:00Z  placed    o-1  1:p-3:3x1000-250  2:p-4:1x500-500
2026-07-02T08:00Z  received  o-1
then
p-3  2026-06-06  3 0 0  CNY 2750 0 0
p-4  2026-06-06  1 0 0

== S3: currencies are never added together
2026-07-01T08:00Z  placed    o-1  1:p-3:1x1000
2026-07-02T08:00Z  received  o-1
2026-07-01T08:00Z  placed    o-2  1:p-3:2x700  currency=USD
2026-07-02T08:00Z  received  o-2
then
p-3  2026-06-06  3 0 0  CNY 1000 0 0  USD 1400 0 0

== S3: one product on two lines of an order counts twice; two shops have rows of their own
2026-07-01T08:00Z  placed    o-1  1:p-3:1x1000  2:p-3:2x900
2026-07-02T08:00Z  received  o-1
2026-07-01T08:00Z  placed    o-2  1:p-3:4x1000  shop=s-8
2026-07-02T08:00Z  received  o-2
then
p-3  2026-06-06  7 0 0  CNY 6800 0 0
s-7  2026-06-06  3 0 0  CNY 2800 0 0
s-8  2026-06-06  4 0 0  CNY 4000 0 0

== S4: a receipt after the cancellation counts nothing
2026-07-01T08:00Z  placed     o-1  1:p-3:2x1000
2026-07-01T10:00Z  cancelled  o-1  unpaid
2026-07-02T08:00Z  received   o-1
then
anomaly o-1 received_after_cancel 1

== S4: a cancellation after the receipt changes nothing: it takes a refund
2026-07-01T08:00Z  placed     o-1  1:p-3:2x1000
2026-07-02T08:00Z  received   o-1
2026-07-03T08:00Z  cancelled  o-1  buyer
then
p-3  2026-06-06  2 0 0  CNY 2000 0 0
anomaly o-1 cancelled_after_receipt 1

== S4: cancelled in the same millisecond as it was received, it is a sale without an anomaly
2026-07-01T08:00Z         placed     o-1  1:p-3:2x1000
2026-07-02T08:00:00.500Z  received   o-1
2026-07-02T08:00:00.500Z  cancelled  o-1  buyer
then
p-3  2026-06-06  2 0 0  CNY 2000 0 0

== S4: the earliest cancellation decides, line by line
2026-07-01T08:00Z  placed     o-1  1:p-3:2x1000  2:p-4:1x500
2026-07-02T08:00Z  received   o-1  1
2026-07-03T08:00Z  cancelled  o-1  shop
2026-07-05T08:00Z  cancelled  o-1  platform
2026-07-04T08:00Z  received   o-1
then
p-3  2026-06-06  2 0 0  CNY 2000 0 0
anomaly o-1 cancelled_after_receipt 1
anomaly o-1 received_after_cancel 2

== S4, example 7: the group isn't filled, the money goes back: nothing sold, nothing reversed
2026-07-01T08:00Z  placed     o-1  1:p-3:2x1000
2026-07-01T08:05Z  paid       o-1  2000
2026-07-02T08:00Z  cancelled  o-1  group_not_filled
2026-07-02T08:01Z  refunded   o-1  r-1 other
then

== S4: refused at the door and not received afterwards is no sale
2026-07-01T08:00Z  placed   o-1  1:p-3:2x1000
2026-07-02T08:00Z  shipped  o-1
2026-07-03T08:00Z  refused  o-1  changed_mind
then
