"""The events of a simulated marketplace by time: orders, after-sales, reviews and messages.

It is pure and repeatable: the same plan gives the same events. `faults` makes some late, duplicated
or unreadable; `operations/commands/simulate.py` writes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random
from typing import Final
from zlib import crc32

from operations.simulation.market import Event, Market
from operations.simulation.order_life import Life
from operations.simulation.service_traffic import regular, service_events
from schemas.event_versions import as_newest
from schemas.times import DAY_MS

EVENTS_PER_ORDER: Final = 4.3
"""The mean number of events of an order, by the weights in `order_life`."""

ALL_EVENTS_PER_ORDER: Final = 5.6
"""The mean number of events of an order with its reviews and messages."""

CHATS_PER_ORDER: Final = 1.0
"""The mean number of messages of an order."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The parameters of a stream of events.

    `run` is part of all ids. From `start_ms` on an order is placed every `every_ms` on average.
    `day_ms` is the length of a day in the life of an order: parcels take days in history, and
    seconds in a live demonstration.
    """

    seed: int
    run: str
    start_ms: int
    every_ms: float
    day_ms: float = DAY_MS
    shops: int = 200
    products: int = 5000
    buyers: int = 50_000
    only_orders: bool = False
    """Orders without messages, reviews and regular customers."""


def traffic(plan: Plan) -> Iterator[tuple[int, Event]]:
    """(time in epoch milliseconds, event), by time, without end."""
    rng = Random(f"traffic {plan.seed}")
    service_rng = Random(f"service {plan.seed}")  # its own, so that orders are the same without it
    market = Market(plan.shops, plan.products, plan.buyers)
    ahead_ms = 0 if plan.only_orders else plan.day_ms  # buyers write this long before an order
    waiting: list[tuple[int, int, Event]] = []
    count, at_ms = 0, float(plan.start_ms)
    orders: Counter[str] = Counter()
    for number in range(1, 2**62):
        at_ms += rng.expovariate(1 / plan.every_ms)
        while waiting and waiting[0][0] <= at_ms - ahead_ms:
            happened_ms, _, event = heappop(waiting)
            yield happened_ms, event
        events = Life(market, rng, f"{plan.run}-{number}", at_ms, plan.day_ms).events()
        if not plan.only_orders:
            events += _service(plan, service_rng, [event for _, event in events], orders)
        for happened_ms, event in events:
            count += 1
            heappush(waiting, (happened_ms, count, event))


def in_versions(
    made: Iterator[tuple[int, Event]], newest_share: float
) -> Iterator[tuple[int, Event]]:
    """The same events, a share of the orders (0 to 1) in the newest versions of their events.

    It is as while producers are upgraded one after the other.
    """
    for at_ms, event in made:
        order_id = event.get("order_id", "")
        is_newest = crc32(order_id.encode()) % _SHARES < newest_share * _SHARES
        yield at_ms, as_newest(event) if is_newest else event


_SHARES: Final = 1000


def _service(
    plan: Plan, rng: Random, order: list[Event], orders: Counter[str]
) -> list[tuple[int, Event]]:
    """The messages and reviews of an order, which a regular customer of the shop may place.

    Adds to `orders`, the number of orders by shop.
    """
    placed = order[0]
    shop_id = placed["shop_id"]
    placed["buyer_id"] = regular(rng, shop_id, orders[shop_id], plan.buyers) or placed["buyer_id"]
    orders[shop_id] += 1
    return [
        (at_ms, event)
        for at_ms, event in service_events(order, plan.day_ms, rng)
        if at_ms >= plan.start_ms
    ]
