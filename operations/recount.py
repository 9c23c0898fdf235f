"""Recount: what really sold, counted from files of events by the plainest route, straight from the text of RULES.

It shares no code with the tables, keeps all events in memory, and does everything at once at the end: an oracle to compare
with, not a pipeline. How it reads the rules, where they leave a choice:

- Facts (S11). Events are taken order by order: an id means something within its order only. Of events with one (`source`, `id`)
  the first by (`occurred_at`, `id`, canonical JSON) holds; if any differs in a known field: `conflicting_event`. Then, of
  `refund_succeeded` with one `refund_id` and of all `order_placed`, the first in the same order holds; if any differs in
  anything but `id`, `source`, `occurred_at`: `conflicting_event`. Canonical JSON is that of the known fields with sorted names
  and without spaces; null is absent, but an explicit discount of 0 is not. Times are cut to milliseconds before they are compared.
- A `refund_reversed` undoes the refund with its `refund_id`, whenever either arrives or occurred (S5).
- An order that was never placed counts nothing and has no anomaly but `conflicting_event`.
- A line's receipt is the earliest `occurred_at` of all receipts that name it, or that name no lines (S2). If it is later than
  the order's earliest cancellation it counts nothing (`received_after_cancel`); if it is earlier, `cancelled_after_receipt`;
  at the same millisecond it counts, and nothing is odd (S4).
- Refunds of a line (S7, S8): by (`occurred_at`, `refund_id`), those of one line within a refund as listed. Units and amount are
  cut independently to what is left. Cutting what a refund names gives `refund_exceeds_sale`; a refund without `lines` takes the
  rest, which is no anomaly. Of a line that isn't received, or counts nothing, refunds count nothing and exceed nothing.
- `unknown_line`: named by a receipt, or by a succeeded refund that wasn't reversed, but not in the order.
- A row is there if any of its numbers is not zero, and a currency within it likewise.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer

from operations.cli import print_json
from operations.event_files import opened
from operations.recount_events import Event, Invalid, NotJson, UnknownType, accept, parse, time_ms
from streams.settings import Settings

DAY_MS: Final = 86_400_000
_GROSS, _REVERSED, _BOOKED = range(3)


def recount(
    events: Iterable[Mapping[str, object]], cycle_ms: int, anchor_ms: int, refused: Counter[str] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Products, shops and anomalies as EVENTS prints them, from events in their bare JSON form, in any order.

    Events that can't be accepted are skipped, and counted by their fault in `refused` if that is given.
    """
    return _count(_accepted(events, Counter() if refused is None else refused), cycle_ms, anchor_ms)


def command(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="JSONL, plain or .gz, .bz2, .xz; - is standard input.")],
    cycle_days: Annotated[int | None, typer.Option(min=1, help="Length of a cycle in days; else the setting.")] = None,
    anchor: Annotated[str | None, typer.Option(help="An instant with zone at which a cycle starts; else the setting.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, as it always does.")] = True,  # noqa: ARG001
) -> None:
    """Count from files of events, by a route that shares no code with the tables. Lines that are no events are skipped."""
    settings = Settings()
    cycle_ms = settings.cycle_ms if cycle_days is None else cycle_days * DAY_MS
    anchor_ms = settings.anchor_ms if anchor is None else _anchor_ms(anchor)
    refused: Counter[str] = Counter()
    print_json(recount(_read(files, refused), cycle_ms, anchor_ms, refused))
    if refused:
        faults = "; ".join(f"{fault} ({count})" for fault, count in refused.most_common(10))
        typer.echo(f"netsold: skipped lines: {refused.total()}, because of: {faults}", err=True)


def _anchor_ms(anchor: str) -> int:
    try:
        return time_ms(anchor)
    except Invalid as fault:
        raise typer.BadParameter(f"--anchor: {fault}") from fault


def _read(files: Iterable[str], refused: Counter[str]) -> Iterator[Mapping[str, object]]:
    for path in files:
        with opened(path) as (stream, _):
            for line in stream:
                if line.isspace():
                    continue
                try:
                    yield parse(line.rstrip(b"\r\n"))  # type: ignore[misc]  # `accept` refuses what isn't an object
                except NotJson:
                    refused["not JSON"] += 1


def _accepted(events: Iterable[Mapping[str, object]], refused: Counter[str]) -> Iterator[Event]:
    for raw in events:
        try:
            yield accept(raw)
        except UnknownType:
            refused["unknown type"] += 1
        except Invalid as fault:
            refused[str(fault)] += 1


# --- one order -----------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Sale:
    """A line that was placed and received, and what was refunded of it: [units, amount], reversals each with their instant."""

    product_id: str
    received_ms: int
    gross: list[int]
    left: list[int]
    reversals: list[tuple[int, int, int]] = field(default_factory=list)


@dataclass(slots=True)
class Counted:
    """What one order comes to; anomalies as (name, line_id or empty)."""

    placed: Event | None
    sales: list[Sale]
    anomalies: set[tuple[str, str]]


def count_order(events: Iterable[Event]) -> Counted:
    """What counts of the accepted events of one order."""
    anomalies: set[tuple[str, str]] = set()
    facts = _one_of_each(events, ("source", "id"), (), anomalies)
    refunds = [fact for fact in facts if fact["type"] == "refund_succeeded"]
    refunds = _one_of_each(refunds, ("refund_id",), ("id", "source", "occurred_at"), anomalies)
    placements = [fact for fact in facts if fact["type"] == "order_placed"]
    placements = _one_of_each(placements, ("type",), ("id", "source", "occurred_at"), anomalies)
    if not placements:
        return Counted(None, [], anomalies)

    (placed,) = placements
    lines = {line["line_id"]: line for line in placed["lines"]}
    undone = {fact["refund_id"] for fact in facts if fact["type"] == "refund_reversed"}
    refunds = [refund for refund in refunds if refund["refund_id"] not in undone]
    refunds.sort(key=lambda refund: (refund["occurred_at"], refund["refund_id"]))
    receipts = [fact for fact in facts if fact["type"] == "receipt_confirmed"]
    cancelled_ms = min((fact["occurred_at"] for fact in facts if fact["type"] == "order_cancelled"), default=None)

    named = {line_id for receipt in receipts for line_id in receipt.get("line_ids", ())}
    named |= {part["line_id"] for refund in refunds for part in refund.get("lines", ())}
    anomalies |= {("unknown_line", line_id) for line_id in named - lines.keys()}

    sales = []
    for line_id, line in lines.items():
        confirmed = [receipt["occurred_at"] for receipt in receipts if line_id in receipt.get("line_ids", lines)]
        if not confirmed:
            continue
        received_ms = min(confirmed)
        if cancelled_ms is not None and received_ms > cancelled_ms:
            anomalies.add(("received_after_cancel", line_id))
            continue
        if cancelled_ms is not None and received_ms < cancelled_ms:
            anomalies.add(("cancelled_after_receipt", line_id))
        whole = [line["quantity"], line["quantity"] * line["unit_price"] - line.get("discount", 0)]
        sale = Sale(line["product_id"], received_ms, gross=list(whole), left=list(whole))
        if _refund(sale, line_id, refunds):
            anomalies.add(("refund_exceeds_sale", line_id))
        sales.append(sale)
    return Counted(placed, sales, anomalies)


def _one_of_each(
    events: Iterable[Event], same: tuple[str, ...], apart_from: tuple[str, ...], anomalies: set[tuple[str, str]]
) -> list[Event]:
    """Of events that agree in the fields `same` the one that holds; an anomaly if they differ in more than `apart_from` (S11)."""
    groups: dict[tuple[Any, ...], list[Event]] = defaultdict(list)
    for event in events:
        groups[tuple(event[name] for name in same)].append(event)
    kept = []
    for group in groups.values():
        if len(group) > 1:
            group.sort(key=lambda event: (event["occurred_at"], event["id"], canonical(event)))
            contents = [{name: value for name, value in event.items() if name not in apart_from} for event in group]
            if any(content != contents[0] for content in contents):
                anomalies.add(("conflicting_event", ""))
        kept.append(group[0])
    return kept


def canonical(event: Event) -> str:
    """One text for equal content: names sorted, no spaces."""
    return json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _refund(sale: Sale, line_id: str, refunds: Iterable[Event]) -> bool:
    """Take an order's refunds, in their order, off a line's sale (S6 to S9); True if anything that one names was cut away."""
    exceeded = False
    for refund in refunds:
        at_ms = refund["occurred_at"]
        if "lines" in refund:
            asked = [(part["quantity"], part["amount"]) for part in refund["lines"] if part["line_id"] == line_id]
        else:
            asked = [(sale.left[0], sale.left[1])]
        for units, amount in asked:
            taken = min(units, sale.left[0]), min(amount, sale.left[1])
            exceeded |= taken != (units, amount)
            for what in (0, 1):
                sale.left[what] -= taken[what]
                if at_ms < sale.received_ms:
                    sale.gross[what] -= taken[what]
            if at_ms >= sale.received_ms:
                sale.reversals.append((at_ms, *taken))
    return exceeded


# --- all orders ----------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Row:
    """Of one product or shop in one cycle: [gross, reversed, booked] of units, and of the amount by currency."""

    units: list[int] = field(default_factory=lambda: [0, 0, 0])
    revenue: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0, 0]))

    def add(self, column: int, units: int, currency: str, amount: int) -> None:
        """Add to one column."""
        self.units[column] += units
        self.revenue[currency][column] += amount

    def is_empty(self) -> bool:
        """Whether every number is zero."""
        return not any(self.units) and not any(map(any, self.revenue.values()))


Rows = dict[tuple[str, int], Row]
"""By (product or shop id, number of the cycle since the anchor)."""


def _count(events: Iterable[Event], cycle_ms: int, anchor_ms: int) -> dict[str, list[dict[str, Any]]]:
    orders: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        orders[event["order_id"]].append(event)
    products: Rows = defaultdict(Row)
    shops: Rows = defaultdict(Row)
    anomalies = []
    for order_id, facts in orders.items():
        counted = count_order(facts)
        anomalies += [(order_id, name, line_id) for name, line_id in counted.anomalies]
        if counted.placed is None:
            continue
        for sale in counted.sales:
            for rows, key in ((products, sale.product_id), (shops, counted.placed["shop_id"])):
                _book(rows, key, sale, counted.placed["currency"], cycle_ms, anchor_ms)
    return {
        "products": _printed("product_id", products, cycle_ms, anchor_ms),
        "shops": _printed("shop_id", shops, cycle_ms, anchor_ms),
        "anomalies": [
            {"order_id": order_id, "anomaly": name} | ({"line_id": line_id} if line_id else {})
            for order_id, name, line_id in sorted(anomalies)
        ],
    }


def _book(rows: Rows, key: str, sale: Sale, currency: str, cycle_ms: int, anchor_ms: int) -> None:  # noqa: PLR0917 - of one caller
    """A sale in the cycle of its receipt; each reversal there (basis sale) and in the cycle where it happened (basis refund)."""
    cycle = (sale.received_ms - anchor_ms) // cycle_ms
    rows[key, cycle].add(_GROSS, sale.gross[0], currency, sale.gross[1])
    for at_ms, units, amount in sale.reversals:
        rows[key, cycle].add(_REVERSED, units, currency, amount)
        rows[key, (at_ms - anchor_ms) // cycle_ms].add(_BOOKED, units, currency, amount)


def _printed(id_name: str, rows: Rows, cycle_ms: int, anchor_ms: int) -> list[dict[str, Any]]:
    traded: Counter[str] = Counter()
    for (key, _), row in rows.items():
        traded[key] += row.units[_GROSS] - row.units[_REVERSED]
    printed = []
    for (key, cycle), row in sorted(rows.items(), key=lambda item: item[0]):
        if row.is_empty():
            continue
        start_ms = anchor_ms + cycle * cycle_ms
        printed.append({
            id_name: key,
            "cycle": {"start": _iso(start_ms), "end": _iso(start_ms + cycle_ms)},
            "units": _columns(row.units),
            "revenue": {currency: _columns(amounts) for currency, amounts in sorted(row.revenue.items()) if any(amounts)},
            "sold_monthly": row.units[_GROSS] - row.units[_REVERSED],
            "successfully_traded": traded[key],
        })  # fmt: skip
    return printed


def _columns(numbers: list[int]) -> dict[str, int]:
    gross, reversed_, booked = numbers
    return {"gross": gross, "reversed": reversed_, "net": gross - reversed_, "reversals_booked": booked}


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _iso(at_ms: int) -> str:
    at = _EPOCH + timedelta(milliseconds=at_ms)
    return at.isoformat(timespec="milliseconds" if at_ms % 1000 else "seconds").replace("+00:00", "Z")
