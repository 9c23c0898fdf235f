"""Cycles and instants in the form that recount prints."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Cycles:
    """Half-open intervals of one length, one of which starts at the anchor; in milliseconds."""

    length_ms: int
    anchor_ms: int

    def number(self, at_ms: int) -> int:
        """The number, counted from the anchor, of the cycle that contains an instant."""
        return (at_ms - self.anchor_ms) // self.length_ms

    def span(self, number: int) -> dict[str, str]:
        """A cycle's start and end as printed."""
        start_ms = self.anchor_ms + number * self.length_ms
        return {"start": iso(start_ms), "end": iso(start_ms + self.length_ms)}


def iso(at_ms: int) -> str:
    """An instant in UTC, with milliseconds only where there are any."""
    return _text(at_ms, "milliseconds" if at_ms % 1000 else "seconds")


def iso_ms(at_ms: int) -> str:
    """An instant in UTC, always with milliseconds."""
    return _text(at_ms, "milliseconds")


def _text(at_ms: int, timespec: str) -> str:
    return (
        (_EPOCH + timedelta(milliseconds=at_ms)).isoformat(timespec=timespec).replace("+00:00", "Z")
    )
