"""The messages and reviews of a simulated order, and a shop's regular customers.

It is pure and repeatable. The quality of a shop's service and of a product is drawn from its id, so
that it differs between ids and never changes.
"""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Final

from operations.simulation.market import Event
from schemas.times import HOUR_MS, format_ms, parse_ms

Timed = list[tuple[int, Event]]

MINUTE_MS: Final = 60_000
SHANGHAI_AHEAD_MS: Final = 8 * HOUR_MS

REGULAR_ORDERS: Final = 0.25
"""The share of orders that a regular customer of the shop places."""

REGULARS: Final = 12
"""The number of regular customers of a shop without orders."""

ORDERS_PER_REGULAR: Final = 40
"""After this many orders a shop has one more regular customer.

Otherwise the few of a popular shop would order and write all day."""

INQUIRES_BEFORE: Final = 0.13
"""The share of buyers who write to the shop up to half a day before they order."""

INQUIRES_AFTER: Final = 0.09
"""The share of buyers who write to the shop up to two days after they order."""

COMPLAINS: Final = 0.7
"""The share of buyers who complain about an order with a problem."""

REVIEWS: Final = 0.25
"""The share of received products that are reviewed."""

NEXT_MESSAGE: Final = 0.2
"""The probability that a message is followed by another of the same side."""

SLEEPS: Final = 0.9
"""The share of messages at night in Shanghai that are written ten hours earlier or later."""

_PROBLEMS: Final = frozenset(
    {"delivery_refused", "refund_requested", "reissue_shipped", "refund_succeeded"}
)


def regular(rng: Random, shop_id: str, orders: int, buyers: int) -> str | None:
    """The regular customer, of `buyers`, who places a shop's next order after `orders` orders.

    None if the order is not a regular customer's.
    """
    if rng.random() >= REGULAR_ORDERS:
        return None
    number = rng.randrange(REGULARS + orders // ORDERS_PER_REGULAR)
    return f"b-{int(_drawn(f'{shop_id} {number}')[0] * buyers) + 1}"


@cache
def _drawn(id_: str) -> tuple[float, ...]:
    """Five numbers below 1, drawn from the id of a shop, product or regular customer."""
    rng = Random(f"quality {id_}")
    return tuple(rng.random() for _ in range(5))


def service_events(order: list[Event], day_ms: float, rng: Random) -> Timed:
    """(time, event) of an order's messages and reviews, given its events; in no order.

    A day in the order's life takes `day_ms`; no event is earlier than such a day before the order
    is placed. The time of a reply doesn't depend on `day_ms`.
    """
    placed = order[0]
    service = _OrderService(placed, day_ms, rng)
    placed_ms = parse_ms(placed["occurred_at"])
    if rng.random() < INQUIRES_BEFORE:
        at_ms = service.awake(placed_ms - rng.random() * day_ms / 2, -1)
        service.inquire(at_ms, names_order=False)
    if rng.random() < INQUIRES_AFTER:
        at_ms = service.awake(placed_ms + rng.random() * 2 * day_ms, 1)
        service.inquire(at_ms, names_order=True)
    problem = next(
        (
            event
            for event in order
            if event["type"] in _PROBLEMS and event["reason"] != "changed_mind"
        ),
        None,
    )
    if problem is not None:
        service.complain(parse_ms(problem["occurred_at"]))
    received = next((event for event in order if event["type"] == "receipt_confirmed"), None)
    if received is not None:
        for product_id in sorted({line["product_id"] for line in placed["lines"]}):
            received_ms = parse_ms(received["occurred_at"])
            service.review(product_id, received_ms, unhappy=problem is not None)
    return service.events


class _OrderService:
    """The messages and reviews of one order; `events` are (time, event)."""

    def __init__(self, placed: Event, day_ms: float, rng: Random) -> None:
        self.order_id = placed["order_id"]
        self.who = {"shop_id": placed["shop_id"], "buyer_id": placed["buyer_id"]}
        self.day_ms, self.rng = day_ms, rng
        self.events: Timed = []
        timely, never, robots, self.writes_first, liked = _drawn(placed["shop_id"])
        self.timely, self.never = 0.6 + 0.39 * timely, 0.08 * never
        self.robots, self.liked = robots**2, 0.65 + 0.35 * liked

    def awake(self, at_ms: float, direction: int) -> int:
        """The instant; for most at night in Shanghai, ten hours later (1) or earlier (-1).

        The hours are hours in the order's life.
        """
        hour = (at_ms + SHANGHAI_AHEAD_MS) // HOUR_MS % 24
        asleep = hour < 8 or hour == 23  # noqa: PLR2004 - hours of the day
        return int(
            at_ms + direction * self.day_ms * 10 / 24
            if asleep and self.rng.random() < SLEEPS
            else at_ms
        )

    def inquire(self, at_ms: int, *, names_order: bool) -> None:
        """The buyer writes, sometimes in several messages; the shop replies or doesn't."""
        last_ms = self._write("buyer_messaged", at_ms, names_order=names_order)
        if self.rng.random() >= self.never:
            self._reply(last_ms, names_order=names_order)

    def _reply(self, after_ms: int, *, names_order: bool) -> None:
        """The shop replies: a robot at once, or a person, or both.

        A person replies within minutes or, too late, within hours.
        """
        if self.rng.random() < self.robots:
            after_ms = self._write(
                "seller_replied",
                after_ms + self.rng.randint(200, 3000),
                names_order=names_order,
                by="robot",
            )
            if self.rng.random() < 0.5:  # noqa: PLR2004 - the robot's answer is enough
                return
        if self.rng.random() < self.timely:
            after_ms += int(self.rng.expovariate(1 / MINUTE_MS)) + 2000
        else:
            after_ms += self.rng.randint(5 * MINUTE_MS, 3 * HOUR_MS)
        self._write("seller_replied", after_ms, names_order=names_order, by="person")

    def complain(self, at_ms: int) -> None:
        """The order has a problem: the shop writes first (R4), or the buyer does."""
        if self.rng.random() < self.writes_first:
            self._write(
                "seller_replied",
                at_ms + int(self.rng.random() * self.day_ms / 24),
                names_order=True,
                by="person",
            )
        if self.rng.random() < COMPLAINS:
            at_ms = self.awake(at_ms + self.rng.random() * self.day_ms / 4, 1)
            self.inquire(at_ms, names_order=True)

    def review(self, product_id: str, received_ms: int, *, unhappy: bool) -> None:
        """The buyer may review a product, and review it again later."""
        liked = self.liked * (0.65 + 0.35 * _drawn(product_id)[0]) * (0.5 if unhappy else 1.0)
        at_ms, chance = received_ms, REVIEWS
        while self.rng.random() < chance:
            at_ms += int((0.1 + self.rng.random() * 9) * self.day_ms)
            rating = (
                self.rng.choice((4, 5, 5)) if self.rng.random() < liked else self.rng.randint(1, 3)
            )
            self._add(
                "review_posted",
                "/reviews",
                at_ms,
                {"order_id": self.order_id, "product_id": product_id, "rating": rating},
            )
            chance = 0.05

    def _write(self, name: str, at_ms: int, *, names_order: bool, **more: str) -> int:
        """One side writes one or more messages; the time of the last."""
        order = {"order_id": self.order_id} if names_order else {}
        while True:
            message = {"message_id": f"m-{self.order_id[2:]}-{len(self.events) + 1}"}
            self._add(name, "/chat", at_ms, self.who | message | order | more)
            if self.rng.random() >= NEXT_MESSAGE:
                return at_ms
            at_ms += int(self.rng.random() * MINUTE_MS)

    def _add(self, name: str, source: str, at_ms: int, content: Event) -> None:
        event = {
            "type": name,
            "id": f"e-{self.order_id[2:]}-s{len(self.events) + 1}",
            "source": source,
            "occurred_at": format_ms(at_ms),
        }
        self.events.append((at_ms, event | content))
