# Replies in time, late and overdue. Shanghai is eight hours ahead; the cycle of 6 June ends on 6 July, 08:00 in Shanghai.

== R1: asked a second before closing, answered after it: in time
2026-07-01T22:59:59+08:00  asked    s-7 b-9
2026-07-01T23:03:00+08:00  replied  s-7 b-9 person
then
served s-7  2026-06-06  inquiries=1 timely=1 reply.person=1

== R1: asked a second after closing: doesn't count, answered or not
2026-07-01T23:00:01+08:00  asked    s-7 b-9
2026-07-01T23:01:00+08:00  replied  s-7 b-9 person
2026-07-01T23:00:01+08:00  asked    s-8 b-9
2026-07-02T10:00:00+08:00  asked    s-8 b-9
as of 2026-07-04T00:00Z
then
# nothing: what an inquiry counts for is decided when it opens

== R1: at the first millisecond of the day's hours, and at the last before them
2026-07-01T08:00:00.000+08:00  asked    s-7 b-1
2026-07-01T08:01:00.000+08:00  replied  s-7 b-1 robot
2026-07-01T07:59:59.999+08:00  asked    s-7 b-2
2026-07-01T08:01:00.000+08:00  replied  s-7 b-2 robot
then
served s-7  2026-06-06  inquiries=1 timely=1 reply.robot=1

== R1: at the very limit is in time, a millisecond later is late
2026-07-01T10:00:00.000+08:00  asked    s-7 b-1
2026-07-01T10:05:00.000+08:00  replied  s-7 b-1 person
2026-07-01T10:00:00.000+08:00  asked    s-7 b-2
2026-07-01T10:05:00.001+08:00  replied  s-7 b-2 person
then
served s-7  2026-06-06  inquiries=2 timely=1 late=1 reply.person=2
alert reply_overdue s-7 b-2
alert reply_late s-7 b-2

== R1: three inquiries of one day, one of them late: one count, late
2026-07-01T10:00:00+08:00  asked    s-7 b-9
2026-07-01T10:01:00+08:00  replied  s-7 b-9 person
2026-07-01T11:00:00+08:00  asked    s-7 b-9
2026-07-01T12:00:00+08:00  replied  s-7 b-9 person
2026-07-01T13:00:00+08:00  asked    s-7 b-9
2026-07-01T13:01:00+08:00  replied  s-7 b-9 robot
then
served s-7  2026-06-06  inquiries=1 late=1 reply.person=2 reply.robot=1
alert reply_overdue s-7 b-9
alert reply_late s-7 b-9

== R1: the same, each inquiry counted
rules per=inquiry
2026-07-01T10:00:00+08:00  asked    s-7 b-9
2026-07-01T10:01:00+08:00  replied  s-7 b-9 person
2026-07-01T11:00:00+08:00  asked    s-7 b-9
2026-07-01T12:00:00+08:00  replied  s-7 b-9 person
2026-07-01T13:00:00+08:00  asked    s-7 b-9
2026-07-01T13:01:00+08:00  replied  s-7 b-9 robot
then
served s-7  2026-06-06  inquiries=3 timely=2 late=1 reply.person=2 reply.robot=1
alert reply_overdue s-7 b-9
alert reply_late s-7 b-9

== R1: two days are two counts; a day is a day in Shanghai
2026-07-01T22:00:00+08:00  asked    s-7 b-9
2026-07-01T22:01:00+08:00  replied  s-7 b-9 person
2026-07-02T08:30:00+08:00  asked    s-7 b-9
2026-07-02T08:31:00+08:00  replied  s-7 b-9 person
then
served s-7  2026-06-06  inquiries=2 timely=2 reply.person=2

== R1: a message of the shop before the first question answers nothing
2026-07-01T10:00:00+08:00  replied  s-7 b-9 person
2026-07-01T10:01:00+08:00  asked    s-7 b-9
as of 2026-07-01T10:06:00.001+08:00
then
served s-7  2026-06-06  inquiries=1 overdue=1
overdue s-7 b-9
alert reply_overdue s-7 b-9

== R2: not yet overdue at the limit
2026-07-01T10:01:00+08:00  asked    s-7 b-9
as of 2026-07-01T10:06:00+08:00
then
# nothing counts yet

== R2: overdue, then answered late; one alert for each
2026-07-01T10:00:00+08:00  asked    s-7 b-9
2026-07-01T10:02:00+08:00  asked    s-7 b-9
2026-07-01T11:00:00+08:00  asked    s-7 b-8
2026-07-01T12:00:00+08:00  replied  s-7 b-9 person
2026-07-01T12:01:00+08:00  replied  s-7 b-9 person
as of 2026-07-02T00:00Z
then
served s-7  2026-06-06  inquiries=2 late=1 overdue=1 reply.person=1
overdue s-7 b-8
alert reply_overdue s-7 b-9
alert reply_overdue s-7 b-8
alert reply_late s-7 b-9

== R2: several messages are one inquiry, from the first of them on
2026-07-01T10:00:00+08:00  asked    s-7 b-9
2026-07-01T10:04:00+08:00  asked    s-7 b-9
2026-07-01T10:06:00+08:00  replied  s-7 b-9 person
then
served s-7  2026-06-06  inquiries=1 late=1 reply.person=1
alert reply_overdue s-7 b-9
alert reply_late s-7 b-9

== R1: asked in one cycle, answered in the next: it counts where it was asked
2026-07-06T07:58:00+08:00  asked    s-7 b-9
2026-07-06T08:01:00+08:00  replied  s-7 b-9 person
2026-07-05T22:59:00+08:00  asked    s-7 b-8
2026-07-06T09:00:00+08:00  replied  s-7 b-8 person
then
served s-7  2026-06-06  inquiries=1 late=1 reply.person=1
alert reply_overdue s-7 b-8
alert reply_late s-7 b-8

== R1: a day over the edge of two cycles counts in that of its first inquiry
rules hours=00:00-24:00
2026-07-06T07:59:00+08:00  asked    s-7 b-9
2026-07-06T08:01:00+08:00  replied  s-7 b-9 person
2026-07-06T09:00:00+08:00  asked    s-7 b-9
2026-07-06T09:01:00+08:00  replied  s-7 b-9 person
then
served s-7  2026-06-06  inquiries=1 timely=1 reply.person=1
served s-7  2026-07-06  reply.person=1

== R1: clocks go forward: 02:30 doesn't exist, and the day has 23 hours
rules hours=03:00-23:00 zone=Europe/Berlin
2026-03-29T01:59:59+01:00  asked    s-7 b-1
2026-03-29T03:00:00+02:00  asked    s-7 b-2
2026-03-29T03:04:00+02:00  replied  s-7 b-2 person
2026-03-29T02:01:00Z       replied  s-7 b-1 person
then
served s-7  2026-03-08  inquiries=1 timely=1 reply.person=1

== R1: clocks go back: both times at 02:30 are in hours, on one day
rules hours=02:00-03:00 zone=Europe/Berlin
2026-10-25T02:30:00+02:00  asked    s-7 b-1
2026-10-25T02:31:00+02:00  replied  s-7 b-1 person
2026-10-25T02:30:00+01:00  asked    s-7 b-1
2026-10-25T02:31:00+01:00  replied  s-7 b-1 person
then
served s-7  2026-10-04  inquiries=1 timely=1 reply.person=2

== R1: hours over midnight
rules hours=22:00-02:00
2026-07-01T23:59:00+08:00  asked    s-7 b-1
2026-07-02T00:01:00+08:00  replied  s-7 b-1 person
2026-07-02T02:00:00+08:00  asked    s-7 b-2
2026-07-02T02:01:00+08:00  replied  s-7 b-2 person
then
served s-7  2026-06-06  inquiries=1 timely=1 reply.person=1

== S11: the same message again changes nothing, with other content the earlier one holds
2026-07-01T10:00:00+08:00  asked    s-7 b-9  id=e-x
2026-07-01T10:04:00+08:00  replied  s-7 b-9 person  id=e-y
2026-07-01T10:04:00+08:00  replied  s-7 b-9 person  id=e-y
2026-07-01T10:09:00+08:00  asked    s-7 b-9  id=e-x
as of 2026-07-02T00:00Z
then
served s-7  2026-06-06  inquiries=1 timely=1 reply.person=1
