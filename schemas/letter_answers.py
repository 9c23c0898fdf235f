"""What a reader answers about dead letters: their counts, and single ones, masked."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from schemas.status import DeadLetterStatus


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LetterGroups(_Answer):
    """The dead letters by topic and reason.

    `uncounted` says why they aren't all counted, such as a log that can't be read; else null.
    """

    items: list[DeadLetterStatus]
    uncounted: str | None


class LetterSample(_Answer):
    """A dead letter, as `netsold dead-letters show` has it without `--reveal`.

    `id` is its position, `of` that of the refused record, `source` the producer. Of the record,
    names and what identifies an event are readable; other contents are masked.
    """

    id: str
    of: str | None
    source: str
    detail: str
    parked_at: str
    attempt: int
    value_bytes: int | None
    key: str | None
    headers: list[tuple[str, str | None]]
    value: Any


class LetterSamples(_Answer):
    """The newest open dead letters of a topic and reason, the newest first."""

    items: list[LetterSample]
