"""Differences of terms in plain words, each with what it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from streams.rules import Rules

_CYCLES: Final = (
    "every cycle is counted anew, and sold_monthly with it; sums of all time stay as they are"
)
_INQUIRIES: Final = (
    "other inquiries count, so response rates, overdue inquiries and alerts change; sales don't"
)
CHANGES: Final = {
    "cycle_days": _CYCLES,
    "cycle_anchor": _CYCLES,
    "sold_monthly_basis": (
        "sold_monthly changes where a refund happened in another cycle than its sale; every sum "
        "stays as it is"
    ),
    "reply_within_seconds": (
        "other replies are late, so response rates, overdue inquiries and alerts change; sales "
        "don't"
    ),
    "service_hours": _INQUIRIES,
    "service_zone": _INQUIRIES,
    "count_inquiries_per": (
        "inquiries are counted otherwise, so response rates change; reply times and sales don't"
    ),
}
"""What another value of a term changes."""


class Difference(NamedTuple):
    """A term that differs: its name, both values as texts, and what that changes."""

    term: str
    first: str
    second: str
    changes: str


def differences(first: Rules, second: Rules) -> list[Difference]:
    """The terms that differ; anchors of the same cycles don't."""
    one, other = (msgspec.structs.asdict(rules.values.written()) for rules in (first, second))
    same_cycles = first.terms.calendar == second.terms.calendar
    return [
        Difference(name, str(one[name]), str(other[name]), CHANGES[name])
        for name in CHANGES
        if one[name] != other[name] and not (name == "cycle_anchor" and same_cycles)
    ]
