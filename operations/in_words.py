"""Times, cycles, units sold and freshness in a few words, for people."""

from __future__ import annotations

from typing import Any


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


def sold_units(answer: dict[str, Any]) -> tuple[str, str]:
    """The net units sold in the cycle of an answer, and those of all time."""
    return f"{answer['sold_monthly']:,}", f"{answer['successfully_traded']:,}"


def sold_line(answer: dict[str, Any]) -> str:
    """The net units of the cycle of an answer and of all time, in a sentence."""
    monthly, traded = sold_units(answer)
    return f"{monthly} sold monthly · {traded} successfully traded"


def freshness_line(freshness: dict[str, Any]) -> str:
    """The state of an answer, and how far behind it is."""
    if freshness["as_of"] is None:
        return f"{freshness['state']}; the progress of a source partition is unknown"
    behind = duration(freshness["lag_seconds"])
    return f"{freshness['state']}; complete through {freshness['as_of']}, {behind} behind"
