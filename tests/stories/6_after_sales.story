# After-sales, proactive contacts, reviews and repeat buyers.

== Example 5, R3: refused as damaged, sent once more, received
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  refused   o-1  damaged_in_transit
2026-07-03T08:00Z  reissued  o-1  damaged_in_transit
2026-07-04T08:00Z  received  o-1
then
p-3  2026-06-06  2 0 0  CNY 2000 0 0
served s-7  2026-06-06  refusal.damaged_in_transit=1 reissue.damaged_in_transit=1 contacts=1 buyers=1
served p-3  2026-06-06  refusal.damaged_in_transit=1

== R3: a difference made up, and a return, each in the cycle in which it happened
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000 2:p-4:1x500
2026-07-02T08:00Z  received  o-1
2026-07-05T08:00Z  refunded  o-1  r-1 short_weight  1:0:300
2026-07-07T08:00Z  refunded  o-1  r-2 quality  1:1:700 2:0:100
then
p-3  2026-06-06  2 1 0  CNY 2000 1000 300
p-3  2026-07-06  0 0 1  CNY 0 0 700
p-4  2026-06-06  1 0 0  CNY 500 100 0
p-4  2026-07-06  0 0 0  CNY 0 0 100
served s-7  2026-06-06  difference.short_weight=1 difference.short_weight.CNY=300 buyers=1
served s-7  2026-07-06  return.quality=1 return.quality.CNY=800
served p-3  2026-06-06  difference.short_weight=1 difference.short_weight.CNY=300
served p-4  2026-07-06  difference.quality=1 difference.quality.CNY=100

== R3: a refund before the receipt, or one that came back, is no after-sales; nor is what was cut away
2026-07-01T08:00Z  placed           o-1  1:p-3:2x1000
2026-07-01T09:00Z  refunded         o-1  r-1 changed_mind  1:1:1000
2026-07-02T08:00Z  received         o-1
2026-07-03T08:00Z  refunded         o-1  r-2 quality
2026-07-04T08:00Z  refund-returned  o-1  r-2
then
p-3  2026-06-06  1 0 0  CNY 1000 0 0
served s-7  2026-06-06  buyers=1

== R4: the shop wrote first after a refusal
2026-07-01T08:00Z  placed   o-1  1:p-3:1x1000
2026-07-02T08:00Z  refused  o-1  quality
2026-07-02T09:00Z  replied  s-7 b-9 person
2026-07-02T10:00Z  asked    s-7 b-9
2026-07-02T10:01Z  replied  s-7 b-9 person
then
served s-7  2026-06-06  refusal.quality=1 contacts=1 contacts.proactive=1 inquiries=1 timely=1 reply.person=1
served p-3  2026-06-06  refusal.quality=1

== R4: the buyer wrote first, or both at once; what they wrote before, or about another order, doesn't matter
2026-07-01T08:00Z  placed            o-1  1:p-3:1x1000
2026-07-01T09:00Z  replied           s-7 b-9 person
2026-07-02T08:00Z  refund-requested  o-1  r-1 wrong_goods
2026-07-02T08:30Z  replied           s-7 b-9 person  order=o-2
2026-07-02T09:00Z  asked             s-7 b-9
2026-07-02T09:00Z  replied           s-7 b-9 person
then
served s-7  2026-06-06  contacts=1 inquiries=1 timely=1 reply.person=1

== R4: late goods are a reason, short weight is none; nobody wrote
2026-07-01T08:00Z  placed    o-1  1:p-3:1x1000
2026-07-02T08:00Z  received  o-1
2026-07-03T08:00Z  refunded  o-1  r-1 late_delivery  1:0:10
2026-07-03T08:00Z  placed    o-2  1:p-3:1x1000 buyer=b-8
2026-07-04T08:00Z  received  o-2
2026-07-05T08:00Z  refunded  o-2  r-2 short_weight  1:0:10
then
p-3  2026-06-06  2 0 0  CNY 2000 20 20
served s-7  2026-06-06  difference.late_delivery=1 difference.late_delivery.CNY=10 difference.short_weight=1 difference.short_weight.CNY=10 contacts=1 buyers=2
served p-3  2026-06-06  difference.late_delivery=1 difference.late_delivery.CNY=10 difference.short_weight=1 difference.short_weight.CNY=10

== R5: the latest review of a product of an order holds, in its own cycle
2026-07-01T08:00Z  placed    o-1  1:p-3:1x1000 2:p-4:1x1000
2026-07-02T08:00Z  reviewed  o-1  p-3 1
2026-07-03T08:00Z  reviewed  o-1  p-4 3
2026-07-07T08:00Z  reviewed  o-1  p-3 4
2026-07-07T08:00Z  reviewed  o-1  p-9 5
then
anomaly o-1 unknown_product
served s-7  2026-06-06  reviews=1
served s-7  2026-07-06  reviews=1 reviews.good=1
served p-4  2026-06-06  reviews=1
served p-3  2026-07-06  reviews=1 reviews.good=1

== R6: two lines of one order are one purchase, two orders make a buyer who came again
2026-07-01T08:00Z  placed    o-1  1:p-3:1x1000 2:p-4:1x1000
2026-07-02T08:00Z  received  o-1
2026-07-01T08:00Z  placed    o-2  1:p-3:1x1000 buyer=b-8
2026-07-02T08:00Z  received  o-2
2026-07-03T08:00Z  placed    o-3  1:p-3:1x1000 buyer=b-8
2026-07-04T08:00Z  received  o-3
then
p-3  2026-06-06  3 0 0  CNY 3000 0 0
p-4  2026-06-06  1 0 0  CNY 1000 0 0
served s-7  2026-06-06  buyers=2 buyers.repeat=1

== R6: what is wholly given back is no purchase; parcels of two cycles are one purchase, in the first
2026-07-01T08:00Z  placed    o-1  1:p-3:1x1000 2:p-4:1x1000
2026-07-05T08:00Z  received  o-1  1
2026-07-06T08:00Z  received  o-1  2
2026-07-01T08:00Z  placed    o-2  1:p-4:1x1000 buyer=b-8
2026-07-05T08:00Z  received  o-2
2026-07-05T09:00Z  refunded  o-2  r-1 quality
then
p-3  2026-06-06  1 0 0  CNY 1000 0 0
p-4  2026-06-06  1 1 1  CNY 1000 1000 1000
p-4  2026-07-06  1 0 0  CNY 1000 0 0
served s-7  2026-06-06  buyers=1 return.quality=1 return.quality.CNY=1000

== R6: the first parcel given back, the purchase is the second one's
2026-07-01T08:00Z  placed    o-1  1:p-3:1x1000 2:p-4:1x1000
2026-07-05T08:00Z  received  o-1  1
2026-07-06T08:00Z  received  o-1  2
2026-07-05T09:00Z  refunded  o-1  r-1 quality  1:1:1000
then
p-3  2026-06-06  1 1 1  CNY 1000 1000 1000
p-4  2026-07-06  1 0 0  CNY 1000 0 0
served s-7  2026-06-06  return.quality=1 return.quality.CNY=1000
served s-7  2026-07-06  buyers=1
