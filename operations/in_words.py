"""Times, cycles, units sold and freshness in a few words, for people."""

from __future__ import annotations

from typing import Any, Final

from schemas.answers import CycleAnswer, UnitsAnswer
from schemas.money import shown

_UNITS: Final = {
    name: kind
    for kind in (int, UnitsAnswer)
    for name, field in CycleAnswer.model_fields.items()
    if field.annotation is kind and name != "units"
}
"""The fields of units in an answer about a product or a shop, and what each is."""


def duration(seconds: float) -> str:
    """A duration in the unit that fits it: 0.4 s, 3 min, 2.5 h, 81 days."""
    if seconds < 90:  # noqa: PLR2004 - one and a half of the next unit, here and below
        return f"{seconds:.1f} s"
    if seconds < 5_400:  # noqa: PLR2004
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 129_600 else f"{seconds / 86_400:,.0f} days"  # noqa: PLR2004


def span(cycle: dict[str, str]) -> str:
    """A cycle: its start and its end."""
    return f"{cycle['start']} until {cycle['end']}"


def name_in_words(field: str) -> str:
    """The name of an answer's field, such as `sold monthly` for `sold_monthly`."""
    return field.replace("_", " ")


def sold_units(answer: dict[str, Any]) -> dict[str, str]:
    """The units sold in an answer about a product or a shop, by name in words.

    They are the fields that `CycleAnswer` has as whole numbers, and the net units of those that are
    sums of units; `units` themselves are in `sold monthly`.
    """
    return {
        name_in_words(field): f"{answer[field] if kind is int else answer[field]['net']:,}"
        for field, kind in _UNITS.items()
    }


def units_of_cycle(answer: dict[str, Any]) -> dict[str, str]:
    """The same without those of all time."""
    all_time = name_in_words("successfully_traded")
    return {name: units for name, units in sold_units(answer).items() if name != all_time}


def sold_line(answer: dict[str, Any]) -> str:
    """The same in a line: `2 sold monthly · 5 successfully traded`."""
    return " · ".join(f"{units} {name}" for name, units in sold_units(answer).items())


def signed(currency: str, minor: int) -> str:
    """A change of money, such as `CNY +90.00`."""
    return f"{currency} {'+' if minor > 0 else ''}{shown(currency, minor)}"


def freshness_line(freshness: dict[str, Any]) -> str:
    """The state of an answer, and how far behind it is."""
    if freshness["as_of"] is None:
        return (
            f"{freshness['state']}; complete through no instant yet: a source partition has no"
            " event that is applied"
        )
    behind = duration(freshness["lag_seconds"])
    return f"{freshness['state']}; complete through {freshness['as_of']}, {behind} behind"


def size(count: float) -> str:
    """Bytes in the unit that fits them: 512 B, 3.4 MiB, 1.2 TiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:  # noqa: PLR2004 - one of the next unit
            return f"{count:,.0f} B" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} TiB"


def moment_line(moment: dict[str, Any]) -> str:
    """The moment that an answer is about."""
    axes = {"known_at": "as the log stood at", "as_of": "what had happened by"}
    given = [f"{words} {moment[name]}" for name, words in axes.items() if moment[name]]
    return "; ".join(given) or "as known now"
