"""Simulated messages and reviews are lifelike enough that every service figure has values."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from operator import itemgetter
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from operations.commands.simulate import LIVE_DAY_MS
from operations.oracle.recount import recount
from operations.simulation.market import Event
from operations.simulation.service_traffic import service_events
from operations.simulation.traffic import ALL_EVENTS_PER_ORDER, Plan, traffic
from schemas import envelope
from schemas.events import CHAT_TYPES, ORDER_TYPES, topic_of
from schemas.times import DAY_MS, format_ms, parse_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

START_MS = 1_767_225_600_000
EVENTS = 20_000
PLAN = Plan(
    3,
    "t",
    START_MS,
    180 * DAY_MS * ALL_EVENTS_PER_ORDER / EVENTS,
    shops=25,
    products=40,
    buyers=100,
)


@dataclass(frozen=True)
class Record:
    """A record in the form that the decoder reads."""

    value: bytes | None
    key: bytes | None
    headers: Sequence[tuple[str, bytes]]
    topic: str = ""
    partition: int = 0
    offset: int = 0
    timestamp: int = 0


def _events_of(count: int, plan: Plan = PLAN) -> list[tuple[int, Event]]:
    return list(islice(traffic(plan), count))


def _count(events: Iterable[Event]) -> dict[str, list[dict[str, Any]]]:
    return recount(events, 30 * DAY_MS, 0)


@pytest.fixture(scope="module")
def half_a_year() -> list[Event]:
    """Twenty thousand events over many cycles."""
    return [event for _, event in _events_of(EVENTS)]


def _conversations(events: Iterable[Event]) -> dict[tuple[str, str], list[Event]]:
    found = defaultdict(list)
    for event in events:
        if event["type"] in CHAT_TYPES:
            found[event["shop_id"], event["buyer_id"]].append(event)
    return found


def _hour_in_shanghai(event: Event) -> int:
    return (parse_ms(event["occurred_at"]) // 3_600_000 + 8) % 24


def test_orders_are_the_same_without_messages_and_reviews() -> None:
    """Only the buyer may differ, as a regular customer of the shop.

    So benchmarks of orders alone are comparable.
    """
    orders = (
        event for _, event in traffic(PLAN) if event["type"] in ORDER_TYPES - {"review_posted"}
    )
    alone = [event for _, event in _events_of(5000, replace(PLAN, only_orders=True))]
    for event, without in zip(orders, alone, strict=False):
        assert event | {"buyer_id": ""} == without | {"buyer_id": ""}


def test_every_event_goes_to_its_topic_with_its_key(half_a_year: list[Event]) -> None:
    """The key is the order for orders and reviews, shop and buyer for messages.

    Each record is decoded as its event.
    """
    orders = {event["order_id"]: event for event in half_a_year if event["type"] == "order_placed"}
    for event in half_a_year:
        key, value, headers = envelope.encode(event)
        record = Record(value, key, headers)
        if event["type"] in CHAT_TYPES:
            assert (topic_of(event["type"]), key.decode()) == (
                "chats",
                f"{event['shop_id']}/{event['buyer_id']}",
            )
            assert isinstance(envelope.read_chat(record), envelope.ChatMessage)
        else:
            assert (topic_of(event["type"]), key.decode()) == ("orders", event["order_id"])
            assert isinstance(envelope.read(record), envelope.Received)
        if event["type"] == "review_posted":
            assert event["product_id"] in {
                line["product_id"] for line in orders[event["order_id"]]["lines"]
            }
        if (
            event["type"] in CHAT_TYPES
            and (order := orders.get(event.get("order_id", ""))) is not None
        ):
            assert (event["shop_id"], event["buyer_id"]) == (order["shop_id"], order["buyer_id"])


def test_orders_are_the_larger_part(half_a_year: list[Event]) -> None:
    """There are fewer messages and reviews than events of orders."""
    assert (
        sum(event["type"] in ORDER_TYPES - {"review_posted"} for event in half_a_year)
        > len(half_a_year) / 2
    )


def test_buyers_write_before_and_after_ordering_and_rarely_at_night(
    half_a_year: list[Event],
) -> None:
    """Messages before an order name no order.

    Few are outside service hours (R1).
    """
    questions = [event for event in half_a_year if event["type"] == "buyer_messaged"]
    placed = {event["order_id"]: event for event in half_a_year if event["type"] == "order_placed"}
    about = {
        f"o-{event['id'].removeprefix('e-').rpartition('-')[0]}": event
        for event in questions
        if "order_id" not in event
    }
    before = [
        event["occurred_at"] < placed[order_id]["occurred_at"]
        for order_id, event in about.items()
        if order_id in placed
    ]
    assert sum(before) / len(before) > 0.9, "several messages in a row may be later than the order"
    assert sum("order_id" in event for event in questions) > 200
    at_night = sum(not 8 <= _hour_in_shanghai(event) < 23 for event in questions)
    assert 0 < at_night < len(questions) * 0.1


def test_each_side_sometimes_writes_several_messages(half_a_year: list[Event]) -> None:
    """Persons and robots reply, some after each other."""
    rows: Counter[tuple[str, ...]] = Counter()
    for messages in _conversations(half_a_year).values():
        for first, second in pairwise(messages):
            rows[first.get("by", "buyer"), second.get("by", "buyer")] += 1
    for row in (("buyer", "buyer"), ("person", "person"), ("robot", "robot"), ("robot", "person")):
        assert rows[row] > 50, row


def test_most_replies_are_in_time(half_a_year: list[Event]) -> None:
    """Some are late, and some inquiries get none (R1, R2)."""
    tables = _count(half_a_year)
    inquiries = [row["inquiries"] for row in tables["shop_service_totals"]]
    counted = sum(row["counted"] for row in inquiries)
    assert sum(row["timely"] for row in inquiries) / counted > 0.7
    assert sum(row["late"] for row in inquiries) > 20
    assert sum(row["overdue"] for row in inquiries) > 5
    assert tables["overdue"]


def _order(number: int, shop_id: str, product_id: str, *after: Event) -> list[Event]:
    placed = {
        "type": "order_placed",
        "order_id": f"o-{number}",
        "shop_id": shop_id,
        "buyer_id": f"b-{number}",
    }
    return [
        event | {"occurred_at": format_ms(START_MS)}
        for event in (placed | {"lines": [{"product_id": product_id}]}, *after)
    ]


def test_shops_differ_in_how_they_reply() -> None:
    """The best shop is far better than the worst, and shares of robots differ (R1)."""
    rng = Random(1)
    events = [
        event
        for shop in range(8)
        for number in range(3000)
        for _, event in service_events(_order(number, f"s-{shop}", "p-1"), DAY_MS, rng)
    ]
    inquiries = [row["inquiries"] for row in _count(events)["shop_service_totals"]]
    assert all(row["counted"] > 300 for row in inquiries)
    rates = [row["response_rate"] for row in inquiries]
    assert max(rates) - min(rates) > 0.15
    robots = [row["answered_by"]["robot"] / sum(row["answered_by"].values()) for row in inquiries]
    assert max(robots) - min(robots) > 0.4


def test_some_shops_write_first_after_a_refusal() -> None:
    """The share of orders in which the shop writes first differs by shop (R4)."""
    rng, refused = Random(1), {"type": "delivery_refused", "reason": "wrong_goods"}
    shares = []
    for shop in range(10):
        orders = [
            service_events(_order(number, f"s-{shop}", "p-1", refused), DAY_MS, rng)
            for number in range(1000)
        ]
        firsts = [
            min((what for what in timed if "order_id" in what[1]), key=itemgetter(0), default=None)
            for timed in orders
        ]
        shares.append(
            sum(first is not None and first[1]["type"] == "seller_replied" for first in firsts)
            / 1000
        )
    assert max(shares) - min(shares) > 0.4
    assert 0.2 < sum(shares) / 10 < 0.8


def test_reviews_differ_by_shop_and_by_product() -> None:
    """The share of good reviews differs by shop and by product (R5)."""
    rng, received = Random(1), {"type": "receipt_confirmed"}

    def good(shop: int, product: int) -> float:
        orders = [
            service_events(_order(number, f"s-{shop}", f"p-{product}", received), DAY_MS, rng)
            for number in range(2000)
        ]
        ratings = [
            event["rating"]
            for timed in orders
            for _, event in timed
            if event["type"] == "review_posted"
        ]
        return len([rating for rating in ratings if rating >= 4]) / len(ratings)

    by_shop, by_product = (
        [good(shop, 1) for shop in range(6)],
        [good(1, product) for product in range(6)],
    )
    assert max(by_shop) - min(by_shop) > 0.15
    assert max(by_product) - min(by_product) > 0.15


def test_reviews_follow_receipts(half_a_year: list[Event]) -> None:
    """Ratings are 1 to 5, after the receipt; some products are reviewed twice (R5)."""
    reviews = [event for event in half_a_year if event["type"] == "review_posted"]
    received: dict[str, str] = {}
    for event in half_a_year:
        if event["type"] == "receipt_confirmed":
            received.setdefault(event["order_id"], event["occurred_at"])
    assert all(received[event["order_id"]] < event["occurred_at"] for event in reviews)
    assert {event["rating"] for event in reviews} == {1, 2, 3, 4, 5}
    assert (
        0
        < len(reviews) - len({(event["order_id"], event["product_id"]) for event in reviews})
        < len(reviews) * 0.1
    )


def test_shops_have_repeat_buyers() -> None:
    """With the command's default sizes hardly any buyer would return by chance (R6)."""
    plan = Plan(1, "t", START_MS, 75 * DAY_MS * ALL_EVENTS_PER_ORDER / 10_000)
    buyers = [
        row["buyers"]
        for row in _count(event for _, event in _events_of(10_000, plan))["shop_service_totals"]
    ]
    assert 0.02 < sum(row["repeat"] for row in buyers) / sum(row["count"] for row in buyers) < 0.5


def test_live_buyers_write_at_once_by_day_and_night() -> None:
    """Only replies take their usual time."""
    night_ms = START_MS + 17 * 3_600_000  # 01:00 in Shanghai
    plan = replace(PLAN, start_ms=night_ms, every_ms=100, day_ms=LIVE_DAY_MS)
    events = [event for _, event in _events_of(10_000, plan)]
    placed = {
        event["order_id"]: parse_ms(event["occurred_at"])
        for event in events
        if event["type"] == "order_placed"
    }
    waited = [
        parse_ms(event["occurred_at"]) - placed[event["order_id"]]
        for event in events
        if event["type"] == "buyer_messaged" and "order_id" in event
    ]
    assert len(waited) > 200
    assert max(waited) < 10 * 60_000
    assert sum(event["type"] == "buyer_messaged" for event in events) > len(placed) * 0.3


def test_events_are_made_fast_enough(capsys: pytest.CaptureFixture[str]) -> None:
    """The test prints the rate, and fails only if it limits every use."""
    began = time.perf_counter()
    made = len(_events_of(20_000, replace(PLAN, shops=200, products=5000, buyers=50_000))) / (
        time.perf_counter() - began
    )
    with capsys.disabled():
        print(f" {made:,.0f} events/s made ", end="")  # noqa: T201 - that is what it is for
    assert made > 2000
