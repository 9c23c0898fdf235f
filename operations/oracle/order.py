"""One order in the recount: the events that count, its sales and refunds, its anomalies.

`operations/oracle/recount.py` lists how the rules are read where they leave a choice.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from operations.oracle.events import Event


@dataclass(frozen=True, slots=True)
class Reversal:
    """What one part of a refund subtracted from a sale: units, and an amount in minor units."""

    refund_id: str
    at_ms: int
    units: int
    amount: int


@dataclass(slots=True)
class Sale:
    """A line that was placed and received, with its refunds.

    `line` is as it was placed. `gross` and `left` (what isn't refunded) are [units, amount].
    """

    line: dict[str, Any]
    received_ms: int
    gross: list[int]
    left: list[int]
    reversals: list[Reversal] = field(default_factory=list)

    @property
    def line_id(self) -> str:
        """The line's id."""
        return str(self.line["line_id"])

    @property
    def product_id(self) -> str:
        """The product of the line."""
        return str(self.line["product_id"])


@dataclass(slots=True)
class Counted:
    """One order: the events that count (S11), its sales, its anomalies as (name, line_id or "")."""

    placed: Event | None
    facts: list[Event]
    sales: list[Sale]
    anomalies: set[tuple[str, str]]


def count_order(events: Iterable[Event]) -> Counted:
    """Count the accepted events of one order."""
    anomalies: set[tuple[str, str]] = set()
    facts = _facts(events, anomalies)
    placed = next((fact for fact in facts if fact["type"] == "order_placed"), None)
    if placed is None:
        return Counted(None, facts, [], anomalies)

    lines = {line["line_id"]: line for line in placed["lines"]}
    undone = {fact["refund_id"] for fact in facts if fact["type"] == "refund_reversed"}
    refunds = [
        fact
        for fact in facts
        if fact["type"] == "refund_succeeded" and fact["refund_id"] not in undone
    ]
    refunds.sort(key=lambda refund: (refund["occurred_at"], refund["refund_id"]))
    receipts = [fact for fact in facts if fact["type"] == "receipt_confirmed"]
    cancelled_ms = min(
        (fact["occurred_at"] for fact in facts if fact["type"] == "order_cancelled"), default=None
    )

    named = {line_id for receipt in receipts for line_id in receipt.get("line_ids", ())}
    named |= {part["line_id"] for refund in refunds for part in refund.get("lines", ())}
    anomalies |= {("unknown_line", line_id) for line_id in named - lines.keys()}
    reviewed = {fact["product_id"] for fact in facts if fact["type"] == "review_posted"}
    if reviewed - {line["product_id"] for line in placed["lines"]}:
        anomalies.add(("unknown_product", ""))

    sales = []
    for line_id, line in lines.items():
        confirmed = [
            receipt["occurred_at"]
            for receipt in receipts
            if line_id in receipt.get("line_ids", lines)
        ]
        if not confirmed:
            continue
        received_ms = min(confirmed)
        if cancelled_ms is not None and received_ms > cancelled_ms:
            anomalies.add(("received_after_cancel", line_id))
            continue
        if cancelled_ms is not None and received_ms < cancelled_ms:
            anomalies.add(("cancelled_after_receipt", line_id))
        whole = [line["quantity"], line["quantity"] * line["unit_price"] - line.get("discount", 0)]
        sale = Sale(line, received_ms, gross=list(whole), left=list(whole))
        if _refund(sale, refunds):
            anomalies.add(("refund_exceeds_sale", line_id))
        sales.append(sale)
    return Counted(placed, facts, sales, anomalies)


def _facts(events: Iterable[Event], anomalies: set[tuple[str, str]]) -> list[Event]:
    """The events of an order that count: one of each id, one placing, one of each refund (S11)."""
    facts, conflict = one_of_each(events, ("source", "id"))
    counted = [fact for fact in facts if fact["type"] not in {"refund_succeeded", "order_placed"}]
    for name, same in (("refund_succeeded", "refund_id"), ("order_placed", "type")):
        kept, differ = one_of_each(
            [fact for fact in facts if fact["type"] == name],
            (same,),
            ("id", "source", "occurred_at"),
        )
        counted += kept
        conflict |= differ
    if conflict:
        anomalies.add(("conflicting_event", ""))
    return counted


def one_of_each(
    events: Iterable[Event], same: tuple[str, ...], apart_from: tuple[str, ...] = ()
) -> tuple[list[Event], bool]:
    """Of events with equal fields `same` the one that counts (S11).

    Also whether any of them differ in a field besides `apart_from`.
    """
    groups: dict[tuple[Any, ...], list[Event]] = defaultdict(list)
    for event in events:
        groups[tuple(event[name] for name in same)].append(event)
    kept, conflict = [], False
    for group in groups.values():
        if len(group) > 1:
            group.sort(key=lambda event: (event["occurred_at"], event["id"], canonical(event)))
            contents = [
                {name: value for name, value in event.items() if name not in apart_from}
                for event in group
            ]
            conflict |= any(content != contents[0] for content in contents)
        kept.append(group[0])
    return kept, conflict


def canonical(event: Event) -> str:
    """One text for equal content: names sorted, no spaces."""
    return json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _refund(sale: Sale, refunds: Iterable[Event]) -> bool:
    """Subtract an order's refunds, in their order, from a line's sale (S6 to S9).

    True if a refund named more than was left.
    """
    exceeded = False
    for refund in refunds:
        at_ms = refund["occurred_at"]
        if "lines" in refund:
            claims = [
                (part["quantity"], part["amount"])
                for part in refund["lines"]
                if part["line_id"] == sale.line_id
            ]
        else:
            claims = [(sale.left[0], sale.left[1])]
        for units, amount in claims:
            refunded = min(units, sale.left[0]), min(amount, sale.left[1])
            exceeded |= refunded != (units, amount)
            for what in (0, 1):
                sale.left[what] -= refunded[what]
                if at_ms < sale.received_ms:
                    sale.gross[what] -= refunded[what]
            if at_ms >= sale.received_ms:
                sale.reversals.append(Reversal(refund["refund_id"], at_ms, *refunded))
    return exceeded
