"""Events whose time lies ahead of when they were written down.

A wrong clock or a slip, as nothing is known before it happens.
"""

from schemas import times
from schemas.refusals import Reason, Refusal


def in_the_future(
    occurred_at_ms: int, written_ms: int | None, most_ahead_ms: int
) -> Refusal | None:
    """The refusal of an event that happened more than `most_ahead_ms` after it was written, all in epoch milliseconds; else None.

    `written_ms` is the time of its record in the log, so a replay decides the same. Where it isn't known (None, or -1 as Kafka
    has it), or `most_ahead_ms` is 0, nothing is refused.
    """
    if (
        not most_ahead_ms
        or written_ms is None
        or written_ms < 0
        or occurred_at_ms - written_ms <= most_ahead_ms
    ):
        return None
    happened, written = times.format_ms(occurred_at_ms), times.format_ms(written_ms)
    return Refusal(
        Reason.IN_THE_FUTURE,
        f"occurred_at: {happened} is more than {most_ahead_ms // 1000} s after {written}",
    )
