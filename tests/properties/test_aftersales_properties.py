"""A shop's service by orders' facts equals a plain reading of R3 to R5.

For any events of the orders; S5, S11 and S12 are included.
"""

import json
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import envelope, journal, times
from schemas.envelope import Received
from tables import aftersales, counting, orders
from tables.aftersales import ContactReason
from tables.catalogue import SALES_TOPIC, SHOP_ACTIVITY_TOPIC
from tables.counting import Anomaly
from tables.order_stage import OrderStage
from tables.orders import Order
from tables.service import Rows as Served
from tests.flow import CYCLES, TERMS, Record, Rows, binary, reading
from tests.properties.strategies import events, lines

Event = dict[str, Any]
Sums = Counter[tuple[str | None, int, str]]
"""Counts by product (None for the shop), cycle's start and column."""

Result = tuple[Served, ContactReason | None, bool]
"""The rows of an order, its contact, and whether it has a review of another product."""

_TAKING = (
    "refund_succeeded",
    "refund_succeeded",
    "refund_reversed",
    "receipt_confirmed",
    "order_cancelled",
    "review_posted",
)


@st.composite
def one_order(draw: st.DrawFn, *, contradicting: bool = True) -> list[Event]:
    """Events of one order, mostly placed and received.

    Their ids may contradict each other, or each event has its own id.
    """
    found = draw(st.lists(events(ids=draw(st.sampled_from([2, 6, 30]))), max_size=10))
    kind = draw(st.sampled_from(_TAKING))
    found += draw(st.lists(events().filter(lambda event: event["type"] == kind), max_size=3))
    if draw(st.integers(0, 3)):
        at = {"source": "/c", "occurred_at": "2026-07-01T08:00:00Z"}
        ordered = draw(lines())
        found.append(
            {
                "type": "order_placed",
                "id": "c-1",
                **at,
                "shop_id": "s-1",
                "buyer_id": "b-1",
                "currency": "CNY",
                "lines": ordered,
            }
        )
        found.append({"type": "receipt_confirmed", "id": "c-2", **at, "by": "buyer"})
    found = [event | {"order_id": "o-1"} for event in draw(st.permutations(found))]
    return (
        found
        if contradicting
        else [event | {"id": f"e-{number}"} for number, event in enumerate(found)]
    )


def absorbed(happened: Iterable[Event]) -> Order:
    """The order after these events."""
    order = orders.EMPTY
    for event in happened:
        order = orders.absorb(order, _read(event))
    return order


def _read(event: Event) -> Received:
    received = envelope.read(Record("orders", 0, 0, 0, *binary(event)))
    assert isinstance(received, Received)
    return received


def result_of(order: Order) -> Result:
    """The result of the core for an order."""
    has_anomaly = aftersales.review_anomalies(order)
    assert all(one == (Anomaly.UNKNOWN_PRODUCT, "") for one in has_anomaly)
    return (
        aftersales.rows(order, counting.derive(order), CYCLES),
        aftersales.contact(order),
        bool(has_anomaly),
    )


# --- the rules once more, as plainly as they are written


def naive(happened: list[Event]) -> Result:
    """The same result from bare events: the valid ones (S11), then each rule by itself."""
    by_identity: dict[tuple[str, str], Event] = {}
    for event in sorted(happened, key=_precedence):
        by_identity.setdefault((event["source"], event["id"]), event)
    valid = list(by_identity.values())
    if not _of(valid, "order_placed"):
        return {}, None, False
    placed = _of(valid, "order_placed")[0]
    products = {line["product_id"] for line in placed["lines"]}
    rows: Served = {}
    for (product_id, start_ms, column), number in (
        _complained(valid, placed) + _judged(valid, products) + _paid_back(valid, placed)
    ).items():
        rows.setdefault((product_id, start_ms), {})[column] = number
    return (
        rows,
        _reason_to_write(valid, placed),
        any(fact["product_id"] not in products for fact in _of(valid, "review_posted")),
    )


def _complained(valid: list[Event], placed: Event) -> Sums:
    """R3: refusals and reissues."""
    sums = Sums()
    for fact in _of(valid, "delivery_refused"):
        refused = {
            line["product_id"]
            for line in placed["lines"]
            if line["line_id"] in fact.get("line_ids", [line["line_id"]])
        }
        sums.update(
            (subject, _cycle(fact), f"refusal.{fact['reason']}") for subject in [None, *refused]
        )
    sums.update(
        (None, _cycle(fact), f"reissue.{fact['reason']}") for fact in _of(valid, "reissue_shipped")
    )
    return sums


def _judged(valid: list[Event], products: set[str]) -> Sums:
    """R5."""
    sums = Sums()
    for product_id in products:
        reviews = [fact for fact in _of(valid, "review_posted") if fact["product_id"] == product_id]
        if reviews:
            last = max(reviews, key=lambda fact: (_ms(fact), fact["id"], fact["source"]))
            for subject in (None, product_id):
                sums[subject, _cycle(last), "reviews"] += 1
                sums[subject, _cycle(last), "reviews.good"] += last["rating"] in {4, 5}
    return sums


def _paid_back(valid: list[Event], placed: Event) -> Sums:
    """R3: differences and returns."""
    sums = Sums()
    for refund in _refunds(valid):
        for subject in {None, *(line["product_id"] for line in placed["lines"])}:
            units, amount = _refunded(valid, placed, refund, subject)
            column = f"{'return' if units else 'difference'}.{refund['reason']}"
            if (units or amount) and (subject is None or not units):
                sums[subject, _cycle(refund), column] += 1
                sums[subject, _cycle(refund), f"{column}.{placed['currency']}"] += amount
    return sums


def _reason_to_write(valid: list[Event], placed: Event) -> ContactReason | None:
    """R4."""
    requests = [*_of(valid, "refund_requested"), *_of(valid, "reissue_shipped"), *_refunds(valid)]
    worth = _of(valid, "delivery_refused") + [
        fact for fact in requests if fact["reason"] in {"wrong_goods", "late_delivery"}
    ]
    return (
        ContactReason(placed["shop_id"], placed["buyer_id"], min(map(_ms, worth)))
        if worth
        else None
    )


def _precedence(event: Event) -> tuple[int, str, str]:
    own = {name: value for name, value in event.items() if name not in {"occurred_at", "order_id"}}
    return (
        _ms(event),
        event["id"],
        json.dumps(own, sort_keys=True, ensure_ascii=False, separators=(",", ":")),
    )


def _ms(event: Event) -> int:
    return times.parse_ms(event["occurred_at"])


def _cycle(event: Event) -> int:
    return _ms(event) // CYCLES.length_ms * CYCLES.length_ms


def _of(valid: list[Event], kind: str) -> list[Event]:
    return [event for event in valid if event["type"] == kind]


def _refunds(valid: list[Event]) -> list[Event]:
    """S11: the first event of each refund_id; S8: by age."""
    first: dict[str, Event] = {}
    for fact in _of(valid, "refund_succeeded"):
        first.setdefault(fact["refund_id"], fact)
    return sorted(first.values(), key=lambda fact: (_ms(fact), fact["refund_id"]))


def _refunded(
    valid: list[Event], placed: Event, refund: Event, product_id: str | None
) -> tuple[int, int]:
    """S4 to S8: units and amount that a refund reverses of a product's sales, or of all sales."""
    units = amount = 0
    returned = {fact["refund_id"] for fact in _of(valid, "refund_reversed")}
    cancelled = [_ms(fact) for fact in _of(valid, "order_cancelled")]
    for line in placed["lines"]:
        line_id, revenue = (
            line["line_id"],
            line["quantity"] * line["unit_price"] - line.get("discount", 0),
        )
        received = [
            _ms(fact)
            for fact in _of(valid, "receipt_confirmed")
            if line_id in fact.get("line_ids", [line_id])
        ]
        if (
            product_id not in {None, line["product_id"]}
            or not received
            or min(cancelled, default=min(received)) < min(received)
        ):
            continue
        left_units, left_amount = line["quantity"], revenue
        for one in _refunds(valid):
            if one["refund_id"] in returned:
                continue
            whole = [{"line_id": line_id, "quantity": line["quantity"], "amount": revenue}]
            for part in one.get("lines", whole):
                if part["line_id"] == line_id:
                    cut_units, cut_amount = (
                        min(part["quantity"], left_units),
                        min(part["amount"], left_amount),
                    )
                    left_units, left_amount = left_units - cut_units, left_amount - cut_amount
                    if one is refund and _ms(one) >= min(received):
                        units, amount = units + cut_units, amount + cut_amount
    return units, amount


# --- properties


@settings(max_examples=600)
@given(one_order())
def test_the_core_reads_the_rules_as_they_are_written(happened: list[Event]) -> None:
    """R3 to R5: rows, reason to write and anomaly equal an independent count.

    No column is zero or less.
    """
    found = result_of(absorbed(happened))
    assert found == naive(happened)
    assert all(columns and min(columns.values()) > 0 for columns in found[0].values())


@settings(max_examples=200)
@given(one_order(), st.randoms(use_true_random=False))
def test_order_of_arrival_never_matters_to_service(
    happened: list[Event], chance: random.Random
) -> None:
    """S12: any permutation with any duplicates gives the same result."""
    arrival = happened + chance.choices(happened, k=5) if happened else []
    chance.shuffle(arrival)
    assert result_of(absorbed(arrival)) == result_of(absorbed(happened))


@given(one_order())
def test_only_a_placed_order_has_an_owner(happened: list[Event]) -> None:
    """R3 to R5: other orders have no rows and no owner.

    Rows are of products that were ordered.
    """
    order = absorbed(happened)
    rows, contact, has_anomaly = result_of(order)
    if aftersales.owner(order) is None:
        assert (order.placed, rows, contact, has_anomaly) == ((), {}, None, False)
    else:
        placed = order.placed[0]
        assert aftersales.owner(order) == (placed.shop_id, placed.buyer_id)
        assert contact is None or contact[:2] == aftersales.owner(order)
        assert {product_id for product_id, _ in rows} <= {
            None,
            *[line.product_id for line in placed.lines],
        }


@settings(max_examples=200)
@given(one_order(contradicting=False), st.sampled_from(["r-1", "r-2", "r-3"]))
def test_a_returned_refund_counts_nothing(happened: list[Event], refund_id: str) -> None:
    """S5: rows are those of an order without it; the reason to write remains (R4)."""
    back = {
        "type": "refund_reversed",
        "id": "back",
        "source": "/d",
        "occurred_at": "2026-07-09T08:00:00Z",
        "order_id": "o-1",
    }
    rows, contact, _ = result_of(absorbed([*happened, back | {"refund_id": refund_id}]))
    never = [
        event
        for event in happened
        if not (event["type"] == "refund_succeeded" and event["refund_id"] == refund_id)
    ]
    assert rows == result_of(absorbed(never))[0]
    assert contact == result_of(absorbed(happened))[1]


@settings(max_examples=400)
@given(one_order())
def test_the_short_cut_past_service_is_sound(happened: list[Event]) -> None:
    """Where `service_may_differ` is False, rows, contact and owner are the same."""
    order = orders.EMPTY
    for event in map(_read, happened):
        before, order = order, orders.absorb(order, event)
        if order is not before and not aftersales.service_may_differ(order, event):
            was, now = result_of(before)[:2], result_of(order)[:2]
            assert was == now
            assert was == ({}, None) or aftersales.owner(before) == aftersales.owner(order)


@settings(max_examples=300)
@given(one_order(), st.integers(1, 7))
def test_what_the_order_stage_sends_adds_up(happened: list[Event], size: int) -> None:
    """S12: its rows add up to the last state, never below zero.

    The last contact counts.
    """
    stage, states, progress = OrderStage(TERMS, 1000), Rows(), None
    sums, contacts = (
        Counter[tuple[str, str | None, int, str]](),
        dict[tuple[str, str], int | None](),
    )
    records = [
        Record("orders", 0, number, 0, *binary(event)) for number, event in enumerate(happened)
    ]
    for begin in range(0, len(records), size):
        outcome = stage.fold(
            "orders-0", reading(stage, records[begin : begin + size]), {"orders": states}, progress
        )
        progress = outcome.progress
        states.update(outcome.writes["orders"])
        for topic in (SALES_TOPIC, SHOP_ACTIVITY_TOPIC):
            for key, value in outcome.sends[topic]:
                sent = journal.decode(value)
                if isinstance(sent, journal.Entry):
                    continue
                assert isinstance(sent, journal.Service | journal.ShopActivity)
                assert isinstance(sent, journal.Service) == (topic == SALES_TOPIC)
                rows, product_id = (
                    ([sent], sent.product_id)
                    if isinstance(sent, journal.Service)
                    else (sent.served, None)
                )
                assert key.decode() == (product_id or sent.shop_id)
                for row in rows:
                    for column, change in row.columns.items():
                        sums[sent.shop_id, product_id, CYCLES.start_of_iso(row.cycle), column] += (
                            change
                        )
                    assert min(sums.values()) >= 0
                for contact in sent.contacts if isinstance(sent, journal.ShopActivity) else ():
                    contacts[sent.shop_id, contact.buyer_id] = contact.at_ms
    order = absorbed(happened)
    after, reason, _ = result_of(order)
    shop_id = order.placed[0].shop_id if order.placed else ""
    assert dict(+sums) == {
        (shop_id, product_id, start_ms, column): number
        for (product_id, start_ms), columns in after.items()
        for column, number in columns.items()
    }
    assert {whose: at_ms for whose, at_ms in contacts.items() if at_ms is not None} == (
        {reason[:2]: reason[2]} if reason else {}
    )
