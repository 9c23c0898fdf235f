"""The recount: what really sold and how shops served, counted from events by the plainest route.

It is written from the text of `docs/rules.md` and shares no code with the tables. It keeps all
events in memory and counts once, at the end: an oracle to compare with, not a pipeline. Where the
rules leave a choice, it reads them so:

- Facts (S11). Events are grouped by order, because an id identifies an event within its order
  only. Of events with one (`source`, `id`) the first by (`occurred_at`, `id`, canonical JSON)
  counts; if any differs in a known field: `conflicting_event`. Then, of `refund_succeeded` with
  one `refund_id` and of all `order_placed`, the first in the same order counts; if any differs in
  anything but `id`, `source`, `occurred_at`: `conflicting_event`. Canonical JSON is that of the
  known fields with sorted names and without spaces; null is absent, but an explicit discount of 0
  is not. Times are cut to milliseconds before they are compared. Messages are grouped by
  conversation and deduplicated likewise; a conversation has no anomalies.
- A `refund_reversed` cancels the refund with its `refund_id`, whenever either arrives or occurred
  (S5).
- An order that was never placed counts nothing and has no anomaly but `conflicting_event`.
- A line's receipt is the earliest `occurred_at` of all receipts that name it, or that name no lines
  (S2). If it is later than the order's earliest cancellation, the line counts nothing
  (`received_after_cancel`); if it is earlier, `cancelled_after_receipt`; at the same millisecond
  it counts, without an anomaly (S4).
- Refunds of a line (S7, S8) apply by (`occurred_at`, `refund_id`), those of one line within a
  refund as listed. Units and amount are cut independently to the rest. Cutting what a refund names
  gives `refund_exceeds_sale`; a refund without `lines` covers the rest, which is no anomaly. For a
  line that isn't received, or counts nothing, refunds count nothing and exceed nothing.
- `unknown_line`: a receipt, or a succeeded refund that wasn't reversed, names a line that the order
  doesn't have.
- A row exists if any of its numbers is not zero; a currency of units or of revenue likewise.
- Replies (R1, R2). An inquiry that opened outside service hours is open all the same: later
  messages belong to it, and a reply ends it. A reply counts at any time: the event time of the
  count decides only about inquiries without one.
- Undecided inquiries of a day neither delay its unit nor move it to another cycle (R2).
- A refusal of no line of the order is counted for the shop, and for no product (R3).
- An occasion to write (R4) may be any refund request, also several of one `refund_id`; of succeeded
  refunds only those that count (S11). A robot's message is the shop's.
- `unknown_product`: a review that counts names a product that the order doesn't have; once an order
  (R5).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from operations.files.opening import opened
from operations.files.pieces import pieces
from operations.oracle.cycles import Cycles
from operations.oracle.events import (
    MAX_BYTES,
    MESSAGES,
    Event,
    Invalid,
    NotJson,
    UnknownType,
    UnknownVersion,
    accept,
    parse,
)
from operations.oracle.order import count_order
from operations.oracle.replies import DEFAULT, Terms, messages_in_order
from operations.oracle.sales import sales_lists
from operations.oracle.service import service_lists


def recount(
    events: Iterable[Mapping[str, object]],
    cycle_ms: int,
    anchor_ms: int,
    refused: Counter[str] | None = None,
    *,
    terms: Terms = DEFAULT,
    sold_monthly_basis: str = "sale",
    as_of_ms: int | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """All lists as `netsold recount` prints them, from events in bare JSON form, in any order.

    Events that can't be accepted are skipped, and counted by their fault in `refused` if that is
    given. `as_of_ms` is the event time that decides whether an inquiry without reply is overdue
    (R2); without it, the latest `occurred_at` of all accepted events.
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
        as_of_ms = latest_ms or 0  # without events there are no inquiries
    cycles = Cycles(cycle_ms, anchor_ms)
    counted = {order_id: count_order(facts) for order_id, facts in orders.items()}
    anomalies = sorted(
        (order_id, name, line_id)
        for order_id, order in counted.items()
        for name, line_id in order.anomalies
    )
    return {
        **sales_lists(counted.values(), cycles, sold_monthly_basis),
        "anomalies": [
            {"order_id": order_id, "anomaly": name} | ({"line_id": line_id} if line_id else {})
            for order_id, name, line_id in anomalies
        ],
        **service_lists(
            counted.values(),
            {who: messages_in_order(messages) for who, messages in conversations.items()},
            cycles,
            terms,
            as_of_ms,
        ),
    }


_NAME_TYPES = ("product_named", "shop_named")
"""Types of lines that `netsold import` accepts beside events: they change no sum."""


def read_files(files: Iterable[str], refused: Counter[str]) -> Iterator[Mapping[str, object]]:
    """The JSON values of files, for `recount`; what is no JSON is counted in `refused`.

    Names of products and shops are left out. Raises EventFileUnreadable.
    """
    for path in files:
        with opened(path) as (stream, _):
            for piece in pieces(path, stream, MAX_BYTES):
                if not piece.value:
                    refused["empty" if piece.value == b"" else f"more than {MAX_BYTES} bytes"] += 1
                    continue
                try:
                    value = parse(piece.value)
                    if not (isinstance(value, dict) and value.get("type") in _NAME_TYPES):
                        yield value  # type: ignore[misc]  # `accept` refuses what isn't an object
                except NotJson:
                    refused["not JSON"] += 1


def _accepted(events: Iterable[Mapping[str, object]], refused: Counter[str]) -> Iterator[Event]:
    for raw in events:
        try:
            yield accept(raw)
        except UnknownType:
            refused["unknown type"] += 1
        except UnknownVersion:
            refused["unknown version"] += 1
        except Invalid as fault:
            refused[str(fault)] += 1
