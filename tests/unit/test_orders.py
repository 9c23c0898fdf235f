"""Orders as sets of facts.

Their fields, their form, and the valid one of two contradicting facts.
"""

# ruff: noqa: ANN401 - a test hands in anything, also what is wrong

import itertools
from typing import Any

import msgspec

from schemas.envelope import Received, read
from tables import counting, orders
from tables.orders import Order, absorb
from tests.flow import Record, binary
from tests.story import event


def events_of(*lines: str) -> list[Received]:
    """The events of a story's lines."""
    return [received(event(line.split(), number)) for number, line in enumerate(lines, 1)]


def received(fields: dict[str, Any]) -> Received:
    """An event as the decoder reads it."""
    received = read(Record("orders", 0, 0, 0, *binary(fields)))
    assert isinstance(received, Received)
    return received


def order_of(events: Any) -> Order:
    """The order after these events."""
    order = orders.EMPTY
    for one in events:
        order = absorb(order, one)
    return order


EVERYTHING = events_of(
    "2026-07-01T08:00Z placed o-1 1:p-3:2x1000-5",
    "2026-07-01T08:01Z paid o-1 1995",
    "2026-07-01T09:00Z shipped o-1 1",
    "2026-07-02T08:00Z refused o-1 damaged_in_transit",
    "2026-07-02T09:00Z reissued o-1 damaged_in_transit 1",
    "2026-07-03T08:00Z received o-1",
    "2026-07-03T09:00Z cancelled o-1 buyer",
    "2026-07-04T08:00Z refund-requested o-1 r-1 quality 1:1:10",
    "2026-07-04T09:00Z refund-failed o-1 r-1 bank",
    "2026-07-05T08:00Z refunded o-1 r-2 quality 1:1:10",
    "2026-07-06T08:00Z refund-returned o-1 r-2",
)


def test_the_bytes_of_an_order() -> None:
    """They have a version, then the facts by kind with all fields of their events.

    Any Kafka tool shows this JSON.
    """
    assert msgspec.json.decode(orders.encode(order_of(EVERYTHING))) == [
        1,
        [[1782892800000, "e-1", "/story", "s-7", "b-9", "CNY", None, [["1", "p-3", 2, 1000, 5]]]],
        [[1783065600000, "e-6", "/story", None, None, "logistics"]],
        [[1783069200000, "e-7", "/story", "buyer"]],
        [[1783238400000, "e-10", "/story", "r-2", "quality", [["1", 1, 10]]]],
        [[1783324800000, "e-11", "/story", "r-2"]],
        [
            [1782892860000, "e-2", "/story", "order_paid", {"amount": 1995}],
            [1782896400000, "e-3", "/story", "order_shipped", {"line_ids": ["1"]}],
            [1782979200000, "e-4", "/story", "delivery_refused", {"reason": "damaged_in_transit"}],
            [
                1782982800000,
                "e-5",
                "/story",
                "reissue_shipped",
                {"reason": "damaged_in_transit", "line_ids": ["1"]},
            ],
            [
                1783152000000,
                "e-8",
                "/story",
                "refund_requested",
                {
                    "refund_id": "r-1",
                    "reason": "quality",
                    "lines": [{"line_id": "1", "quantity": 1, "amount": 10}],
                },
            ],
            [
                1783155600000,
                "e-9",
                "/story",
                "refund_failed",
                {"refund_id": "r-1", "cause": "bank"},
            ],
        ],
        [],
    ]


def test_a_decoded_state_knows_its_events() -> None:
    """S11: absorbing any of its events again gives the same object."""
    order = orders.decode(orders.encode(order_of(EVERYTHING)))
    assert order == order_of(EVERYTHING)
    assert all(absorb(order, one) is order for one in EVERYTHING)


def test_equal_facts_are_equal_bytes() -> None:
    """S12: events are applied forwards, backwards, and rotated at every place."""
    states = {
        orders.encode(order_of(EVERYTHING[at:] + EVERYTHING[:at])) for at in range(len(EVERYTHING))
    }
    assert states == {orders.encode(order_of(EVERYTHING[::-1]))}


def test_the_smallest_of_many_contents_is_valid_in_any_order() -> None:
    """S11: a payment, receipts and an order share one id.

    All 24 orders of arrival end in one state with one conflict.
    """
    contents = events_of(
        "2026-07-02T08:00Z received o-1 id=e-7",
        "2026-07-02T08:00Z received o-1 1 id=e-7",
        "2026-07-02T08:00Z paid o-1 5 id=e-7",
        "2026-07-03T08:00Z placed o-1 1:p-3:2x1000 id=e-7",
    )
    states = {orders.encode(order_of(arrival)) for arrival in itertools.permutations(contents)}
    assert states == {
        b'[1,[],[],[],[],[],[[1782979200000,"e-7","/story","order_paid",{"amount":5}]],[["/story","e-7"]]]'
    }


def test_contents_are_compared_as_they_were_sent() -> None:
    """S11: null is absent, but a discount of 0 isn't.

    With one id such orders contradict each other, and the one with a discount is valid.
    """
    placed = events_of("2026-07-01T08:00Z placed o-1 1:p-3:2x1000")[0]
    line = {"line_id": "1", "product_id": "p-3", "quantity": 2, "unit_price": 1000}
    with_null, with_zero = (
        {**event(["2026-07-01T08:00Z", "placed", "o-1"]), "lines": [{**line, "discount": discount}]}
        for discount in (None, 0)
    )
    order = order_of([placed])
    assert absorb(order, received(with_null)) is order
    assert absorb(order, received(with_zero)).placed[0].lines[0].discount == 0
    assert absorb(order, received(with_zero)).conflicts == (("/story", "e-1"),)


def test_facts_of_one_instant_are_sorted_by_id() -> None:
    """They are sorted by source if the ids are equal."""
    at = "2026-07-02T08:00Z received o-1"
    facts = events_of(
        f"{at} id=e-2 source=/b", f"{at} id=e-2 source=/a", f"{at} id=e-1 source=/z by=buyer"
    )
    for arrival in itertools.permutations(facts):
        assert [(fact.id, fact.source) for fact in order_of(arrival).receipts] == [
            ("e-1", "/z"),
            ("e-2", "/a"),
            ("e-2", "/b"),
        ]


def test_every_fact_is_in_the_derived_result_or_in_none() -> None:
    """The result is derived from the order alone.

    Deriving twice gives the same result, and an empty order counts nothing.
    """
    order = order_of(EVERYTHING)
    assert counting.derive(order) == counting.derive(orders.decode(orders.encode(order)))
    assert counting.derive(orders.EMPTY) == counting.NOTHING


def test_a_huge_order_is_counted_in_linear_time() -> None:
    """A thousand lines are received in a thousand receipts that name all of them.

    Each line is refunded by itself.
    """
    ids = [str(n) for n in range(1000)]
    placed = orders.Placed(
        0,
        "e",
        "/s",
        "s-7",
        "b-9",
        "CNY",
        None,
        tuple(orders.Line(one, "p-3", 1, 1, None) for one in ids),
    )
    receipts = tuple(
        orders.Receipt(at, f"r{at:04}", "/s", tuple(ids), None, "buyer") for at in range(300)
    )
    lines = tuple(orders.RefundLine(one, 1, 1) for one in ids)
    refunds = tuple(
        orders.Refund(at, f"f{at:04}", "/s", f"r-{at}", "quality", lines) for at in range(300)
    )
    counted = counting.derive(Order(placed=(placed,), receipts=receipts, refunds=refunds))
    assert len(counted.sales) == 1000
    assert {anomaly.anomaly for anomaly in counted.anomalies} == {
        counting.Anomaly.REFUND_EXCEEDS_SALE
    }
