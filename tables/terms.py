"""The terms: all that decides what counts besides the rules themselves, as one value.

They are the cycles (C1), the basis of `sold_monthly` (S6) and the service rules (R1). Tables that
were made by other terms don't fit. The file they are written in is up to `streams/rules.py`.
"""

import re
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from typing import Final

from schemas.times import DAY_MS, format_short
from tables.cycles import Calendar
from tables.sales import Basis
from tables.service_hours import ServiceRules

_UNITS: Final = {"days": DAY_MS, "h": 3_600_000, "min": 60_000, "s": 1000, "ms": 1}
_ONE_DAY: Final = ("days", 1)  # it is written 24 h


@dataclass(frozen=True, slots=True)
class Terms:
    """What tables are made by.

    `name` is made from `text`: equal terms have equal names, on every machine. Every journal row
    has it.
    """

    calendar: Calendar = field(default_factory=lambda: Calendar(30 * DAY_MS))
    service: ServiceRules = field(default_factory=ServiceRules)
    sold_monthly_basis: Basis = "sale"
    name: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", name_of(self.text))

    @property
    def text(self) -> str:
        """All of them in one line, in clauses, as the marks of tables have them."""
        basis = f"sold_monthly by {self.sold_monthly_basis}"
        return f"{self.calendar.terms}; {basis}; {self.service.terms}"


@cache
def name_of(text: str) -> str:
    """The name of the terms with this text, such as c0f22d82.

    It has 32 bits: of 1,000 terms two share one with a chance of 1 in 8,000.
    """
    return sha256(text.encode()).hexdigest()[:8]


def differing(before: str, now: str) -> tuple[list[str], list[str]]:
    """The clauses of two texts that only the first has, and that only the second has, in words."""
    was, has = ([in_words(one) for one in text.split("; ") if one] for text in (before, now))
    return [one for one in was if one not in has], [one for one in has if one not in was]


def in_words(clause: str) -> str:
    """A clause with durations and instants as people read them, exactly.

    `cycles of 30 days from 1970-01-01T00:00:00Z` for `cycles of 2592000000 ms from 0`.
    """
    with_durations = re.sub(r"\b(\d+) ms\b", lambda found: _duration(int(found[1])), clause)
    return re.sub(r"(?<= from )\d+$", lambda found: format_short(int(found[0])), with_durations)


def _duration(ms: int) -> str:
    """A duration in the largest unit of which it is a multiple."""
    fitting = {name: ms // size for name, size in _UNITS.items() if ms % size == 0}
    return next(f"{count} {name}" for name, count in fitting.items() if (name, count) != _ONE_DAY)
