"""Service at a terminal: a shop's cycle and all time in two columns, a product's in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from operations.in_words import duration
from schemas.money import shown

if TYPE_CHECKING:
    from rich.console import Console


def of_shop(console: Console, answer: dict[str, Any]) -> None:
    """A shop's service in its cycle and of all time, and the rules by which replies count."""
    from rich.table import Table

    table = Table("service", "this cycle", "all time", box=None, pad_edge=False, header_style="dim")
    cycle, ever = answer["service"], answer["service_all_time"]
    for name, words in _LINES.items():
        table.add_row(name, words(cycle), words(ever))
    console.print(table)
    console.print(rules_line(answer["service_rules"]), style="dim", soft_wrap=True)


def of_product(console: Console, service: dict[str, Any]) -> None:
    """A product's reviews, and what was refused or made up for."""
    console.print(
        f"reviews {_good(service['reviews'])};"
        f" differences made up {_cases(service['differences'])};"
        f" refused {_cases(service['refusals'])}",
        soft_wrap=True,
    )


def rules_line(rules: dict[str, Any]) -> str:
    """The rules by which replies count, in a sentence."""
    per = "buyer and day" if rules["count_per"] == "buyer_day" else "inquiry"
    hours = f"{rules['service_hours']} {rules['zone']}"
    return (
        f"in time is within {duration(rules['reply_within_seconds'])}; {hours}; one count per {per}"
    )


def percent(share: float | None) -> str:
    """A share as people read it."""
    return "none" if share is None else f"{share:.1%}"


def _replies(service: dict[str, Any]) -> str:
    of = service["inquiries"]
    return f"{percent(of['response_rate'])} of {of['counted']:,}"


def _not_in_time(service: dict[str, Any]) -> str:
    return f"{service['inquiries']['late']:,} late, {service['inquiries']['overdue']:,} overdue"


def _times(service: dict[str, Any]) -> str:
    reply_ms = service["inquiries"]["reply_ms"]
    return (
        "none"
        if reply_ms is None
        else f"{duration(reply_ms['p50'] / 1000)}, nine of ten {duration(reply_ms['p90'] / 1000)}"
    )


def _answered_by(service: dict[str, Any]) -> str:
    by = service["inquiries"]["answered_by"]
    return f"{by['person']:,} by people, {by['robot']:,} by robots"


def _cases(cases: dict[str, Any]) -> str:
    """The number of cases, the money, and the reasons."""
    money = "".join(
        f", {currency} {shown(currency, amount)}"
        for currency, amount in cases.get("amounts", {}).items()
    )
    reasons = ", ".join(
        f"{reason} {case['count']:,}" for reason, case in cases["by_reason"].items()
    )
    return f"{cases['count']:,}{money}" + (f" ({reasons})" if reasons else "")


def _first_to_write(service: dict[str, Any]) -> str:
    of = service["proactive_contact"]
    return f"{percent(of['share'])} of {of['occasions']:,}"


def _good(reviews: dict[str, Any]) -> str:
    return f"{percent(reviews['good_share'])} good of {reviews['count']:,}"


def _buyers(service: dict[str, Any]) -> str:
    of = service["buyers"]
    return f"{of['count']:,}, {percent(of['repeat_share'])} came again"


_LINES = {
    "replied in time": _replies,
    "not in time": _not_in_time,
    "reply after": _times,
    "answered": _answered_by,
    "refused at the door": lambda service: _cases(service["after_sales"]["refusals"]),
    "sent once more": lambda service: _cases(service["after_sales"]["reissues"]),
    "differences made up": lambda service: _cases(service["after_sales"]["differences"]),
    "returns": lambda service: _cases(service["after_sales"]["returns"]),
    "wrote first": _first_to_write,
    "reviews": lambda service: _good(service["reviews"]),
    "buyers": _buyers,
}
