"""What is written down: events, envelope, journal, answers.

Pipelines may rely on these forms: fields are added, never renamed.

Nothing here knows a clock, a file, a network or another room.
"""
