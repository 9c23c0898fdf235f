"""Folding one order or conversation costs work in proportion to its events.

Calls are counted; no clock is used.
"""

import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from schemas import limits, times
from tables.chat_stage import ChatStage
from tables.order_stage import OrderStage
from tables.outcome import Outcome
from tests.flow import TERMS, Record, Rows, binary, reading

EVENTS = 120
BEGIN_MS = times.parse_ms("2026-07-10T04:00:00Z")
Log = list[dict[str, Any]]
FILLED = 5_000


def happens(kind: str, number: int, at_ms: int, **own: object) -> dict[str, Any]:
    """An event of the order o-1; instants are milliseconds after noon in Shanghai."""
    common = {
        "type": kind,
        "id": f"e-{number}",
        "source": "/s",
        "occurred_at": times.format_ms(BEGIN_MS + at_ms),
        "order_id": "o-1",
    }
    return common | own


def placed(lines: int, quantity: int = 10_000) -> dict[str, Any]:
    """The event that places the order."""
    found = [
        {"line_id": str(n), "product_id": f"p-{n % 7}", "quantity": quantity, "unit_price": 100}
        for n in range(lines)
    ]
    return happens("order_placed", 0, 0, shop_id="s-1", buyer_id="b-1", currency="CNY", lines=found)


def refund(number: int, at_ms: int, line: int | None = 0) -> dict[str, Any]:
    """A refund of one line, or of the whole order."""
    lines = {} if line is None else {"lines": [{"line_id": str(line), "quantity": 1, "amount": 10}]}
    return happens(
        "refund_succeeded", number, at_ms, refund_id=f"r-{number}", reason="quality", **lines
    )


OWN: dict[str, Callable[[int], dict[str, Any]]] = {
    "order_placed": lambda _: {
        "shop_id": "s-1",
        "buyer_id": "b-1",
        "currency": "CNY",
        "lines": placed(2)["lines"],
    },
    "order_paid": lambda _: {"amount": 1},
    "order_shipped": lambda n: {"line_ids": [str(n % 2)]},
    "receipt_confirmed": lambda _: {"by": "buyer"},
    "order_cancelled": lambda _: {"reason": "buyer"},
    "delivery_refused": lambda n: {"reason": "quality", "line_ids": [str(n % 2)]},
    "refund_requested": lambda n: {"refund_id": f"q-{n}", "reason": "wrong_goods"},
    "refund_succeeded": lambda n: {
        "refund_id": f"r-{n}",
        "reason": "late_delivery",
        "lines": refund(n, 0)["lines"],
    },
    "refund_failed": lambda n: {"refund_id": f"q-{n}", "cause": "bank"},
    "refund_reversed": lambda n: {"refund_id": f"r-{n}"},
    "reissue_shipped": lambda _: {"reason": "late_delivery"},
    "review_posted": lambda n: {"product_id": "p-0", "rating": 1 + n % 5},
}
RECEIVED = happens("receipt_confirmed", 1, 1000, by="buyer")


def many(kind: str, size: int) -> Log:
    """Events of one type, a second apart."""
    return [happens(kind, n, 1000 * n, **OWN[kind](n)) for n in range(2, size)]


def mixed(size: int) -> Log:
    """Refunds, receipts, cancellations and refund requests, in turns."""
    kinds = (
        "refund_succeeded",
        "receipt_confirmed",
        "order_cancelled",
        "refund_requested",
        "refund_reversed",
    )
    return [happens(kinds[n % 5], n, 10 * n, **OWN[kinds[n % 5]](n)) for n in range(2, size)]


def by_line(size: int, kind: str) -> Log:
    """An order with as many lines as events, and an event of each line."""
    if kind == "refund_succeeded":
        return [placed(size), RECEIVED, *[refund(n, 2000 + n, n) for n in range(2, size)]]
    return [
        placed(size),
        *[happens(kind, n, 1000 + n, by="buyer", line_ids=[str(n)]) for n in range(2, size)],
    ]


def in_pairs(size: int, line: int | None) -> Log:
    """Refunds, each of which the bank returns."""
    pairs = [
        (refund(n, 10 * n, line), happens("refund_reversed", n + 1, 10 * n + 1, refund_id=f"r-{n}"))
        for n in range(2, size, 2)
    ]
    return [placed(2), RECEIVED, *[one for pair in pairs for one in pair]]


ORDERS: dict[str, Callable[[int], Log]] = {
    **{kind: lambda size, kind=kind: [placed(2), RECEIVED, *many(kind, size)] for kind in OWN},  # type: ignore[misc]
    "a mixture": lambda size: [placed(3), *mixed(size)],
    "refunds above the sale": lambda size: [
        placed(1, 3),
        RECEIVED,
        *[refund(n, 2000 + n) for n in range(2, size)],
    ],
    "refunds at one instant": lambda size: [
        placed(1),
        RECEIVED,
        *[refund(n, 2000) for n in range(2, size)],
    ],
    "refunds before the receipt": lambda size: [
        placed(1),
        happens("receipt_confirmed", 1, 10**8, by="buyer"),
        *[refund(n, n) for n in range(2, size)],
    ],
    "refunds of the whole": lambda size: [
        placed(2),
        RECEIVED,
        *[refund(n, 2000 + n, None) for n in range(2, size)],
    ],
    "returned refunds": lambda size: in_pairs(size, 0),
    "returned refunds of the whole": lambda size: in_pairs(size, None),
    "one id, ever earlier": lambda size: [
        placed(1),
        RECEIVED,
        *[refund(2, 10_000 - n) for n in range(2, size)],
    ],
    "each id twice, with two contents": lambda size: [
        placed(1),
        RECEIVED,
        *[refund(n, at + n) for at in (9000, 2000) for n in range(2, size // 2)],
    ],
    "many lines received": lambda size: by_line(size, "receipt_confirmed"),
    "many lines refunded": lambda size: by_line(size, "refund_succeeded"),
    "many lines, refunds of the whole": lambda size: [
        placed(size),
        RECEIVED,
        *[refund(n, 2000 + n, None) for n in range(2, size)],
    ],
    "many lines, receipts of all": lambda size: [placed(size), *many("receipt_confirmed", size)],
    "many lines, not received": lambda size: [placed(size), *in_pairs(size, None)[2:]],
}
ARRIVALS: dict[str, Callable[[Log], Log]] = {
    "in order": lambda log: log,
    "backwards": lambda log: log[::-1],
    "placed first, then backwards": lambda log: [log[0], *log[:0:-1]],
    "shuffled, half of it twice": lambda log: random.Random(1).sample(
        log + log[::2], len(log + log[::2])
    ),
}


def message(number: int, at_ms: int, by: str | None = None) -> dict[str, Any]:
    """A message; instants are milliseconds after noon in Shanghai."""
    event = {
        "type": "seller_replied" if by else "buyer_messaged",
        "id": f"e-{number}",
        "source": "/s",
        "message_id": f"m-{number}",
    }
    return (
        event
        | {"shop_id": "s-1", "buyer_id": "b-1", "occurred_at": times.format_ms(BEGIN_MS + at_ms)}
        | ({"by": by} if by else {})
    )


def in_turns(size: int, every_ms: int) -> Log:
    """Questions and answers."""
    return [message(n, n * every_ms, "person" if n % 2 else None) for n in range(size)]


CHATS: dict[str, Callable[[int], Log]] = {
    "answered": lambda size: in_turns(size, 60_000),
    "late": lambda size: in_turns(size, 400_000),
    "on one day": lambda size: in_turns(size, 10),
    "at one instant": lambda size: in_turns(size, 0),
    "questions alone": lambda size: [message(n, n * 1000) for n in range(size)],
    "questions, then answers among them": lambda size: [
        *[message(n, n * 1000) for n in range(size // 2)],
        *[message(n, (size - n) * 1000 + 500, "robot") for n in range(size // 2, size)],
    ],
    "each id twice, with two contents": lambda size: [
        *in_turns(size // 2, 60_000),
        *[message(n, n * 60_000 - 90_000, "person" if n % 2 else None) for n in range(size // 2)],
    ],
}


def fold(stage: OrderStage | ChatStage, log: Log) -> tuple[int, Outcome]:
    """The number of calls that fold a log as one chunk, and its outcome."""
    readings = reading(
        stage, [Record("", 0, offset, 0, *binary(event)) for offset, event in enumerate(log)]
    )
    states = {table.name: Rows() for table in stage.spec.tables}
    calls = 0

    def count(_frame: FrameType, what: str, _arg: object) -> None:
        nonlocal calls
        calls += what in {"call", "c_call"}

    sys.setprofile(count)
    try:
        outcome = stage.fold("log-0", readings, states, None)
    finally:
        sys.setprofile(None)
    return calls, outcome


def growth(
    stage: OrderStage | ChatStage, make: Callable[[int], Log], arrive: Callable[[Log], Log]
) -> float:
    """The work per event for twice the events, times two; rows of the outcome count as events."""
    works = []
    for size in (EVENTS, 2 * EVENTS):
        calls, outcome = fold(stage, arrive(make(size)))
        works.append((calls, size + sum(map(len, outcome.sends.values()))))
    (once, before), (twice, after) = works
    return 2 * (twice / after) / (once / before)


@pytest.mark.parametrize("arrival", ARRIVALS)
@pytest.mark.parametrize("case", ORDERS)
def test_twice_the_events_of_an_order_are_twice_the_work(case: str, arrival: str) -> None:
    """S12: this holds for any kinds of events, in any order of arrival."""
    assert growth(OrderStage(TERMS, 1000), ORDERS[case], ARRIVALS[arrival]) < 2.5


@pytest.mark.parametrize("arrival", ARRIVALS)
@pytest.mark.parametrize("case", CHATS)
def test_twice_the_messages_of_a_conversation_are_twice_the_work(case: str, arrival: str) -> None:
    """R1, R2: this holds for any messages, in any order of arrival."""
    assert growth(ChatStage(TERMS, 1000), CHATS[case], ARRIVALS[arrival]) < 2.5


@pytest.mark.parametrize(
    ("stage", "case"),
    [
        (OrderStage(TERMS, 1000), ORDERS["order_paid"]),
        (ChatStage(TERMS, 1000), CHATS["late"]),
    ],
)
def test_what_is_full_costs_no_more(
    stage: OrderStage | ChatStage, case: Callable[[int], Log], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decision 12: most events are refused, and twice as many are twice the work."""
    monkeypatch.setattr(limits, "ORDER_BYTES", FILLED)
    assert growth(stage, case, ARRIVALS["in order"]) < 2.5
    outcome = fold(stage, case(2 * EVENTS))[1]
    assert EVENTS < len(outcome.parked) < 2 * EVENTS
