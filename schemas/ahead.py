"""Events that claim to have happened after their record was written: a wrong clock or date."""

from schemas import times
from schemas.refusals import Reason, Refusal


def in_the_future(
    occurred_at_ms: int, written_ms: int | None, most_ahead_ms: int
) -> Refusal | None:
    """The refusal of an event that occurred over `most_ahead_ms` after it was written, or None.

    `written_ms` is the record's timestamp in epoch milliseconds, so a replay decides the same. With
    an unknown timestamp (None, or Kafka's -1), or `most_ahead_ms` of 0, no event is refused.
    """
    if (
        not most_ahead_ms
        or written_ms is None
        or written_ms < 0
        or occurred_at_ms - written_ms <= most_ahead_ms
    ):
        return None
    occurred, written = times.format_ms(occurred_at_ms), times.format_ms(written_ms)
    return Refusal(
        Reason.IN_THE_FUTURE,
        f"occurred_at: {occurred} is more than {most_ahead_ms // 1000} s after {written}",
    )
