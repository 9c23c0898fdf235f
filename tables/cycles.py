"""Cycles: half-open spans `[start, end)` of equal length, in integer epoch milliseconds (C1).

A cycle is named by its start. An instant alone decides its cycle (C2): none is opened or closed. So
ended cycles stay as readable as the current one (C3). Totals of all time are other tables (C4).
"""

from dataclasses import dataclass, field

from schemas import limits, times


@dataclass(frozen=True, slots=True)
class Calendar:
    """The cycles of one length and anchor, both in milliseconds."""

    length_ms: int
    anchor_ms: int = 0
    _texts: dict[int, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    _starts: dict[str, int] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.length_ms < 1:
            raise ValueError(f"a cycle lasts at least a millisecond, not {self.length_ms}")

    @property
    def terms(self) -> str:
        """All of it in one line: tables made under other terms don't fit."""
        return f"cycles of {self.length_ms} ms from {self.anchor_ms}"

    def start_of(self, at_ms: int) -> int:
        """The start of the one cycle that holds an instant.

        Floor division is right before anchor and epoch too (C1).
        """
        return at_ms - (at_ms - self.anchor_ms) % self.length_ms

    def end_of(self, start_ms: int) -> int:
        """The first instant after the cycle that starts at `start_ms`."""
        return start_ms + self.length_ms

    def around(self, at_ms: int) -> tuple[int, int]:
        """Start and end of the one cycle that holds an instant."""
        start_ms = self.start_of(at_ms)
        return start_ms, self.end_of(start_ms)

    def holds_events(self, start_ms: int) -> bool:
        """Whether a cycle starts there that can hold an event.

        It has an instant that `occurred_at` may name.
        """
        if self.start_of(start_ms) != start_ms:
            return False
        return (
            start_ms < limits.OCCURRED_END_MS and self.end_of(start_ms) > limits.OCCURRED_FIRST_MS
        )

    def iso(self, start_ms: int) -> str:
        """A cycle's start as text, such as 2026-06-06T00:00:00Z."""
        text = self._texts.get(start_ms)
        if text is None:
            text = self._texts[start_ms] = times.format_short(start_ms)
        return text

    def start_of_iso(self, text: str) -> int:
        """The start that `iso` wrote as `text`.

        ValueError if it is no cycle's start in this calendar.
        """
        start_ms = self._starts.get(text)
        if start_ms is None:
            start_ms = times.parse_any_ms(text)
            if self.start_of(start_ms) != start_ms:
                raise ValueError(
                    f"{text} isn't the start of a cycle: the cycles' length or anchor has changed"
                )
            self._starts[text] = start_ms
        return start_ms
