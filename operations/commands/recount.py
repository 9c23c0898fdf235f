"""Recount: what really sold and how shops served, counted from files of events by the plainest route, from the text of `docs/rules.md`.

It shares no code with the tables, keeps all events in memory, and does everything at once at the end: an oracle to compare
with, not a pipeline. How it reads the rules, where they leave a choice:

- Facts (S11). Events are taken order by order: an id means something within its order only. Of events with one (`source`, `id`)
  the first by (`occurred_at`, `id`, canonical JSON) holds; if any differs in a known field: `conflicting_event`. Then, of
  `refund_succeeded` with one `refund_id` and of all `order_placed`, the first in the same order holds; if any differs in
  anything but `id`, `source`, `occurred_at`: `conflicting_event`. Canonical JSON is that of the known fields with sorted names
  and without spaces; null is absent, but an explicit discount of 0 is not. Times are cut to milliseconds before they are compared.
  Messages are taken conversation by conversation, likewise; a conversation has no anomalies.
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
- Replies (R1, R2). An inquiry that opened out of hours is open all the same: later messages belong to it, and a reply ends it.
  A reply is known whatever its time: the event time as of which is counted decides only about inquiries without one.
- A day's inquiries that aren't decided yet neither hold its unit back nor move it to another cycle (R2).
- A refusal of no line that the order has is one of the shop's, and of no product's (R3).
- An occasion to write (R4) may be any refund asked for, also of one `refund_id` several times; of succeeded ones only those that
  hold (S11). A robot's message is the shop's.
- `unknown_product`: named by a review that holds, but not in the order; told once an order (R5).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Final

import typer

from operations.files.opening import opened
from operations.files.text import pieces
from operations.oracle.cycles import Cycles
from operations.oracle.events import (
    MAX_BYTES,
    MESSAGES,
    Event,
    Invalid,
    NotJson,
    UnknownType,
    accept,
    parse,
    time_ms,
)
from operations.oracle.order import count_order
from operations.oracle.replies import DEFAULT, Terms, messages_in_order
from operations.oracle.sales import sales_lists
from operations.oracle.service import service_lists
from operations.output import print_json
from streams.settings import Settings

DAY_MS: Final = 86_400_000


def recount(
    events: Iterable[Mapping[str, object]],
    cycle_ms: int,
    anchor_ms: int,
    refused: Counter[str] | None = None,
    *,
    terms: Terms = DEFAULT,
    as_of_ms: int | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """All lists as `netsold recount` prints them, from events in their bare JSON form, in any order.

    Events that can't be accepted are skipped, and counted by their fault in `refused` if that is given. `as_of_ms` is the event
    time that decides whether an inquiry without reply is overdue (R2); without it, the latest `occurred_at` of all accepted events.
    """
    orders: dict[str, list[Event]] = defaultdict(list)
    conversations: dict[tuple[str, str], list[Event]] = defaultdict(list)
    latest_ms = None
    for event in _accepted(events, Counter() if refused is None else refused):
        if event["type"] in MESSAGES:
            conversations[event["shop_id"], event["buyer_id"]].append(event)
        else:
            orders[event["order_id"]].append(event)
        latest_ms = (
            event["occurred_at"] if latest_ms is None else max(latest_ms, event["occurred_at"])
        )
    if as_of_ms is None:
        as_of_ms = latest_ms or 0  # no event, no inquiry
    cycles = Cycles(cycle_ms, anchor_ms)
    counted = {order_id: count_order(facts) for order_id, facts in orders.items()}
    anomalies = sorted(
        (order_id, name, line_id)
        for order_id, order in counted.items()
        for name, line_id in order.anomalies
    )
    return {
        **sales_lists(counted.values(), cycles),
        "anomalies": [
            {"order_id": order_id, "anomaly": name} | ({"line_id": line_id} if line_id else {})
            for order_id, name, line_id in anomalies
        ],
        **service_lists(
            counted.values(),
            {who: messages_in_order(said) for who, said in conversations.items()},
            cycles,
            terms,
            as_of_ms,
        ),
    }


def command(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE…",
            help="JSONL or a JSON array, plain, gzip, bzip2 or xz; - is standard input.",
        ),
    ],
    cycle_days: Annotated[
        int | None, typer.Option(min=1, help="Length of a cycle in days; else the setting.")
    ] = None,
    anchor: Annotated[
        str | None,
        typer.Option(help="An instant with zone at which a cycle starts; else the setting."),
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(help="An instant with zone: what is overdue then; else the latest event's."),
    ] = None,
    as_json: Annotated[  # noqa: ARG001
        bool, typer.Option("--json", help="Print one JSON object, as it always does.")
    ] = True,
) -> None:
    """Count from files of events, by a route that shares no code with the tables.

    What is no event is skipped; then exit code 1.
    """
    settings = Settings()
    cycle_ms = settings.cycle_ms if cycle_days is None else cycle_days * DAY_MS
    anchor_ms = settings.anchor_ms if anchor is None else _instant_ms("--anchor", anchor)
    as_of_ms = None if as_of is None else _instant_ms("--as-of", as_of)
    terms = Terms.of(
        settings.reply_within_seconds,
        settings.service_hours,
        settings.service_zone,
        settings.count_inquiries_per,
    )
    refused: Counter[str] = Counter()
    print_json(
        recount(_read(files, refused), cycle_ms, anchor_ms, refused, terms=terms, as_of_ms=as_of_ms)
    )
    if refused:
        faults = "; ".join(f"{fault} ({count})" for fault, count in refused.most_common(10))
        typer.echo(f"netsold: skipped lines: {refused.total()}, because of: {faults}", err=True)
        raise typer.Exit(1)


def _instant_ms(option: str, text: str) -> int:
    try:
        return time_ms(text)
    except Invalid as fault:
        raise typer.BadParameter(f"{option}: {fault}") from fault


def _read(files: Iterable[str], refused: Counter[str]) -> Iterator[Mapping[str, object]]:
    for path in files:
        with opened(path) as (stream, _):
            for piece in pieces(path, stream, MAX_BYTES):
                if not piece.value:
                    refused["empty" if piece.value == b"" else f"more than {MAX_BYTES} bytes"] += 1
                    continue
                try:
                    yield parse(piece.value)  # type: ignore[misc]  # `accept` refuses what isn't an object
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
