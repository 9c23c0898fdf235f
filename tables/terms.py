"""The terms: all that decides what counts besides the rules themselves, as one value.

They are the cycles (C1), the basis of `sold_monthly` (S6) and the service rules (R1). Tables that
were made by other terms don't fit. The file they are written in is up to `streams/rules.py`.
"""

from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256

from schemas.times import DAY_MS
from tables.cycles import Calendar
from tables.sales import Basis
from tables.service_hours import ServiceRules


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
    """The clauses of two texts that only the first has, and that only the second has."""
    was, has = before.split("; "), now.split("; ")
    return [one for one in was if one not in has], [one for one in has if one not in was]
