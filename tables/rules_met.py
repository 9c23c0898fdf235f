"""The rules that an event met in its order: those by which it changed what counts, or didn't.

Nothing is decided here. `counting.derive` has decided, before the event and after it; its two
results are compared, and each difference has its rule.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from schemas.envelope import Received
from tables import counting
from tables.counting import Anomaly, Counted, Reversal, Sale
from tables.orders import Order
from tables.unsold_lines import unsold

_BY_ANOMALY: Final = {
    Anomaly.CANCELLED_AFTER_RECEIPT: "S4",
    Anomaly.CONFLICTING_EVENT: "S11",
    Anomaly.RECEIVED_AFTER_CANCEL: "S4",
    Anomaly.REFUND_EXCEEDS_SALE: "S8",
    Anomaly.UNKNOWN_LINE: "S8",
    Anomaly.UNKNOWN_PRODUCT: "R5",
}
_BY_TYPE: Final = {
    "order_paid": "S1",
    "order_shipped": "S1",
    "order_cancelled": "S4",
    "delivery_refused": "S4",
    "refund_requested": "S5",
    "refund_failed": "S5",
    "refund_reversed": "S5",
    "reissue_shipped": "S10",
    "review_posted": "R5",
}
"""The rule by which an event changes no sale."""


class Change(NamedTuple):
    """An order before and after one event, and what counted of it then."""

    event: Received
    before: Order
    after: Order
    was: Counted
    now: Counted


def rules_met(change: Change) -> tuple[str, ...]:
    """The rules, in their order; at least one."""
    if change.after is change.before:
        return ("S11",)
    new = change.now.anomalies - change.was.anomalies
    found = {_BY_ANOMALY[one.anomaly] for one in new}
    if change.after.conflicts != change.before.conflicts:
        found.add("S11")
    changed = set(_of_sales(change))
    if change.event.type == "refund_reversed" and changed:
        found.add("S5")
    return tuple(sorted(found | changed or _without_effect(change), key=_order))


def _order(rule: str) -> tuple[str, int]:
    return rule[0], int(rule[1:])


def _of_sales(change: Change) -> Iterator[str]:
    """The rules of what changed, line by line."""
    before = {sale.line_id: sale for sale in change.was.sales}
    after = {sale.line_id: sale for sale in change.now.sales}
    for line_id in before.keys() | after.keys():
        was, now = before.get(line_id), after.get(line_id)
        if was != now:
            yield from _of_line(change, line_id, was, now)


def _of_line(change: Change, line_id: str, was: Sale | None, now: Sale | None) -> Iterator[str]:
    if now is None:
        yield unsold(change.after, change.now).get(line_id, "S11")
        return
    if was is None:
        if change.event.type in {"order_placed", "receipt_confirmed"}:
            yield from ("S1", "S2", "S3")
        yield from _of_gross(now)
        yield from _of_reversals((), now.reversals)
        return
    if was.at_ms != now.at_ms:
        yield "S2"
    if was.line != now.line:  # another placing is valid now
        yield from ("S3", "S11")
    elif (was.units, was.amount) != (now.units, now.amount):
        yield "S7"
    yield from _of_reversals(was.reversals, now.reversals)


def _of_gross(sale: Sale) -> Iterator[str]:
    """S7 where refunds before the receipt have reduced a new sale."""
    if (sale.units, sale.amount) != (sale.line.quantity, counting.revenue(sale.line)):
        yield "S7"


def _of_reversals(was: Iterable[Reversal], now: Iterable[Reversal]) -> Iterator[str]:
    """S6 for each reversal that came or went, S9 for a difference made up."""
    for reversal in set(was) ^ set(now):
        yield "S6"
        if not reversal.units:
            yield "S9"


def _without_effect(change: Change) -> set[str]:
    """The rules by which an event changed nothing that counts."""
    event, after = change.event, change.after
    if event.type in _BY_TYPE:
        return {_BY_TYPE[event.type]}
    if event.type == "order_placed":
        return {"S11" if change.before.placed else "S1"}
    if event.type == "refund_succeeded" and (earlier := _of_refund(change)):
        return {earlier}
    if not after.placed:
        return {"S1"}
    named = _lines_named(event) or [line.line_id for line in after.placed[0].lines]
    reasons = unsold(after, change.now)
    # what a receipt names and is a sale has an earlier receipt; of what a refund names and is
    # a sale, nothing was left
    otherwise = "S2" if event.type == "receipt_confirmed" else "S8"
    not_received = "S1" if event.type == "receipt_confirmed" else "S7"
    found = {str(reasons.get(line_id, otherwise)) for line_id in named}
    return {not_received if rule == "S1" else rule for rule in found}


def _of_refund(change: Change) -> str | None:
    """S11 for a refund that was known before, S5 for one that the bank has returned."""
    refund_id = change.event.body.refund_id
    if any(fact.refund_id == refund_id for fact in change.before.refunds):
        return "S11"
    if any(fact.refund_id == refund_id for fact in change.after.refund_returns):
        return "S5"
    return None


def _lines_named(event: Received) -> list[str]:
    """The lines that a receipt or a refund names; none if it is of all."""
    if event.type == "receipt_confirmed":
        return list(event.body.line_ids or ())
    return [line.line_id for line in event.body.lines or ()]
