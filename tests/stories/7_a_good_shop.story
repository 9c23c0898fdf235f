# What makes a shop good besides its sales, case by case, as a buyer sees it.

== A late reply: the buyer asked at ten in the morning, and the shop answered at seven minutes past
2026-07-01T10:00:00+08:00  asked    s-7 b-9
2026-07-01T10:07:00+08:00  replied  s-7 b-9 person
then
served s-7  2026-06-06  inquiries=1 late=1 reply.person=1
alert reply_overdue s-7 b-9
alert reply_late s-7 b-9

== Short weight, made up: three yuan back for what was missing, and the goods stay sold
2026-07-01T08:00Z  placed            o-1  1:p-3:1x3000
2026-07-03T08:00Z  received          o-1
2026-07-03T09:00Z  refund-requested  o-1  r-1 short_weight  1:0:300
2026-07-03T10:00Z  refunded          o-1  r-1 short_weight  1:0:300
then
p-3  2026-06-06  1 0 0  CNY 3000 300 300
served s-7  2026-06-06  difference.short_weight=1 difference.short_weight.CNY=300 buyers=1
served p-3  2026-06-06  difference.short_weight=1 difference.short_weight.CNY=300

== A parcel came broken and was refused; the shop wrote first and sent it once more: one sale, not two
2026-07-01T08:00Z  placed    o-1  1:p-3:1x3000
2026-07-02T08:00Z  shipped   o-1
2026-07-03T08:00Z  refused   o-1  damaged_in_transit
2026-07-03T08:30Z  replied   s-7 b-9 person  order=o-1
2026-07-03T09:00Z  reissued  o-1  damaged_in_transit
2026-07-04T08:00Z  received  o-1
then
p-3  2026-06-06  1 0 0  CNY 3000 0 0
served s-7  2026-06-06  refusal.damaged_in_transit=1 reissue.damaged_in_transit=1 contacts=1 contacts.proactive=1 buyers=1
served p-3  2026-06-06  refusal.damaged_in_transit=1

== Wrong goods: the buyer had to write first, the goods went back, and nothing was bought after all
2026-07-01T08:00Z  placed            o-1  1:p-3:1x3000
2026-07-02T08:00Z  received          o-1
2026-07-02T09:00Z  refund-requested  o-1  r-1 wrong_goods  1:1:3000
2026-07-02T09:10Z  asked             s-7 b-9  order=o-1
2026-07-02T09:12Z  replied           s-7 b-9 person  order=o-1
2026-07-04T08:00Z  refunded          o-1  r-1 wrong_goods  1:1:3000
then
p-3  2026-06-06  1 1 1  CNY 3000 3000 3000
served s-7  2026-06-06  return.wrong_goods=1 return.wrong_goods.CNY=3000 contacts=1 inquiries=1 timely=1 reply.person=1

== Slow delivery: the shop wrote first and refunded a little; then a good review
2026-07-01T08:00Z  placed    o-1  1:p-3:1x3000
2026-07-04T08:00Z  received  o-1
2026-07-04T09:00Z  refunded  o-1  r-1 late_delivery  1:0:200
2026-07-04T09:05Z  replied   s-7 b-9 person  order=o-1
2026-07-05T08:00Z  reviewed  o-1  p-3 5
then
p-3  2026-06-06  1 0 0  CNY 3000 200 200
served s-7  2026-06-06  difference.late_delivery=1 difference.late_delivery.CNY=200 contacts=1 contacts.proactive=1 reviews=1 reviews.good=1 buyers=1
served p-3  2026-06-06  difference.late_delivery=1 difference.late_delivery.CNY=200 reviews=1 reviews.good=1

== A buyer who comes back: in a cycle twice, and in the next one once more
2026-07-01T08:00Z  placed    o-1  1:p-3:1x3000
2026-07-02T08:00Z  received  o-1
2026-07-03T08:00Z  placed    o-2  1:p-3:1x3000
2026-07-04T08:00Z  received  o-2
2026-07-07T08:00Z  placed    o-3  1:p-3:1x3000
2026-07-08T08:00Z  received  o-3
then
p-3  2026-06-06  2 0 0  CNY 6000 0 0
p-3  2026-07-06  1 0 0  CNY 3000 0 0
served s-7  2026-06-06  buyers=1 buyers.repeat=1
served s-7  2026-07-06  buyers=1
