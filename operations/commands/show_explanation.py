"""Shows the explanation of an order to people: one line an event, then why it counts what it does.

What was not applied stands out without colours, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from operations.aligned import aligned
from operations.commands.get import in_one_line
from operations.in_words import freshness_line, moment_line, signed
from schemas.money import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD: Final = (
    *("position", "happened", "written", "event", "verdict", "rules"),
    *("units", "money", "so far", ""),
)
_RIGHT: Final = (6, 7, 8)
_STYLES: Final = {"parked": "red", "conflicting": "yellow", "duplicate": "yellow"}


def of_order(order_id: str, answer: dict[str, Any]) -> None:
    """Show an order's explanation."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    placed = answer["shop_id"] is not None
    about = f"{answer['buyer_id']} from {answer['shop_id']}, {answer['currency']}"
    console.print(f"{order_id}, {about if placed else 'not placed'}")
    if answer["earlier"]:
        console.print(_earlier(answer["earlier"]), style="yellow")
    events = answer["events"]
    if events:
        head, *lines = aligned([_HEAD, *(_row(one, answer["currency"]) for one in events)], _RIGHT)
        console.print(head, style="dim")
        for line, event in zip(lines, events, strict=True):
            console.print(line, style=_STYLES.get(event["verdict"]))
    for one in answer["anomalies"]:
        line = f", line {one['line_id']}" if one["line_id"] else ""
        console.print(f"anomaly: {one['anomaly']}{line}", style="yellow")
    if answer["moment"]:
        console.print(moment_line(answer["moment"]))
    console.print(freshness_line(answer["freshness"]), style="dim")
    console.print(f"{order_id}: {answer['sentence']}", style="bold")


def _row(event: dict[str, Any], currency: str | None) -> tuple[str, ...]:
    parked = event["parked"]
    verdict = "put back" if parked and parked["put_back_to"] else event["verdict"]
    return (
        event["position"],
        event["occurred_at"] or "unknown",
        event["written_at"] or "unknown",
        event["type"] or "not readable",
        verdict if verdict == "applied" else verdict.upper(),
        " ".join(event["rules"]),
        f"{event['units']:+,}" if event["units"] else "",
        ", ".join(signed(code, amount) for code, amount in event["amounts"].items()),
        _result(event["result"]),
        "  ".join(_more(event, currency)),
    )


def _more(event: dict[str, Any], currency: str | None) -> Iterator[str]:
    """Why a record is parked, where it was put back from, and the fields of its event."""
    parked = event["parked"]
    if parked:
        letter = f" at {parked['dead_letter']}" if parked["dead_letter"] else ""
        detail = f": {parked['detail']}" if parked["detail"] else ""
        yield f"{parked['reason'] or 'its dead letter is no longer known'}{letter}{detail}"
        if parked["put_back_to"]:
            yield f"put back as {parked['put_back_to']}"
    if event["put_back_from"]:
        yield f"put back from {event['put_back_from']}"
    fields = {
        name: value
        for name, value in event["fields"].items()
        if name not in {"shop_id", "buyer_id", "currency"}
    }
    if fields:
        yield in_one_line(fields, event["fields"].get("currency", currency))


def _earlier(earlier: dict[str, Any]) -> str:
    counts = {
        "left out": earlier["left_out"],
        "no longer in the log": earlier["deleted"],
    }
    more = " or more" if earlier["left_out_at_least"] else ""
    listed = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    records = f"earlier records: {listed}{more}" if listed else "earlier records are deleted"
    count = earlier["facts"]
    facts = f"{count:,} fact{' comes' if count == 1 else 's come'} from them"
    return f"{records}; {facts}, so far {_result(earlier['result'])}"


def _result(result: dict[str, Any]) -> str:
    """What counts: net units and money, such as `6 units, CNY 15.00`."""
    units = result["units"]["net"]
    money = [f"{code} {shown(code, sums['net'])}" for code, sums in result["amounts"].items()]
    return ", ".join([f"{units:,} unit{'' if units == 1 else 's'}", *money]) if money else "nothing"
