"""What is written and read: events, records, journal, answers, and the bounds on them.

Other systems rely on these forms: fields are added, never renamed. Nothing here knows a clock, a
file, a network or another room.
"""
