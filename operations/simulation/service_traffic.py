"""What is told about an order beside what happens to it.

Questions and answers, complaints, and reviews; and who comes back to a shop.

Pure and repeatable like the orders themselves. How well a shop serves and how good a product is are
drawn from their ids, so that they differ and stay as they are.
"""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any, Final

from schemas.times import format_ms, parse_ms

Event = dict[str, Any]
Timed = list[tuple[int, Event]]

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
SHANGHAI_AHEAD_MS: Final = 8 * HOUR_MS

COMES_BACK: Final = 0.25
"""Of the orders: a regular of the shop places them."""

REGULARS: Final = 12
"""Of a shop, at first."""

WINS_EVERY: Final = 40
"""So many orders win a shop one more regular: else a popular shop's few would buy and write all
day long."""

ASKS_BEFORE: Final = 0.13
"""Of the buyers, up to half a day before they order."""

ASKS_AFTER: Final = 0.09
COMPLAINS: Final = 0.7
"""Of the buyers whose order went wrong."""

REVIEWS: Final = 0.25
"""Of the products received."""

GOES_ON: Final = 0.2
"""Of the messages: another one of the same side follows."""

SLEEPS: Final = 0.9
"""Of the buyers who would write at night in Shanghai: they write ten hours off instead."""

_TROUBLE: Final = frozenset(
    {"delivery_refused", "refund_requested", "reissue_shipped", "refund_succeeded"}
)


def regular(rng: Random, shop_id: str, orders: int, buyers: int) -> str | None:
    """Who, of so many buyers, places a shop's next order instead, after so many.

    A regular of it, or None for whoever comes along.
    """
    if rng.random() >= COMES_BACK:
        return None
    return f"b-{int(_drawn(f'{shop_id} {rng.randrange(REGULARS + orders // WINS_EVERY)}')[0] * buyers) + 1}"


@cache
def _drawn(id_: str) -> tuple[float, ...]:
    """What is peculiar to a shop, a product or a regular: five numbers below 1."""
    rng = Random(f"quality {id_}")
    return tuple(rng.random() for _ in range(5))


def around(order: list[Event], day_ms: float, rng: Random) -> Timed:
    """(when, event) of the messages and reviews around an order, given its events, in no order.

    `day_ms` is a day in its life.

    Nothing comes earlier than a day in its life before the order is placed. Replies take as long as
    they take in any life.
    """
    placed = order[0]
    told = _Told(placed, day_ms, rng)
    placed_ms = parse_ms(placed["occurred_at"])
    if rng.random() < ASKS_BEFORE:
        told.ask(told.awake(placed_ms - rng.random() * day_ms / 2, -1), about=False)
    if rng.random() < ASKS_AFTER:
        told.ask(told.awake(placed_ms + rng.random() * 2 * day_ms, 1), about=True)
    trouble = next(
        (
            event
            for event in order
            if event["type"] in _TROUBLE and event["reason"] != "changed_mind"
        ),
        None,
    )
    if trouble is not None:
        told.go_wrong(parse_ms(trouble["occurred_at"]))
    received = next((event for event in order if event["type"] == "receipt_confirmed"), None)
    if received is not None:
        for product_id in sorted({line["product_id"] for line in placed["lines"]}):
            told.review(product_id, parse_ms(received["occurred_at"]), unhappy=trouble is not None)
    return told.events


class _Told:
    """What is told around one order; `events` are (when, event)."""

    def __init__(self, placed: Event, day_ms: float, rng: Random) -> None:
        self.order_id = placed["order_id"]
        self.who = {"shop_id": placed["shop_id"], "buyer_id": placed["buyer_id"]}
        self.day_ms, self.rng = day_ms, rng
        self.events: Timed = []
        timely, never, robots, self.writes_first, liked = _drawn(placed["shop_id"])
        self.timely, self.never, self.robots, self.liked = (
            0.6 + 0.39 * timely,
            0.08 * never,
            robots**2,
            0.65 + 0.35 * liked,
        )

    def awake(self, at_ms: float, direction: int) -> int:
        """The same instant, or, of most that are at night in Shanghai, ten hours in the life of an order later (1) or earlier (-1)."""
        hour = (at_ms + SHANGHAI_AHEAD_MS) // HOUR_MS % 24
        asleep = hour < 8 or hour == 23  # noqa: PLR2004 - hours of the day
        return int(
            at_ms + direction * self.day_ms * 10 / 24
            if asleep and self.rng.random() < SLEEPS
            else at_ms
        )

    def ask(self, at_ms: int, *, about: bool) -> None:
        """The buyer asks, now and then in several messages; the shop replies, or doesn't."""
        last_ms = self._say("buyer_messaged", at_ms, about=about)
        if self.rng.random() >= self.never:
            self._reply(last_ms, about=about)

    def _reply(self, after_ms: int, *, about: bool) -> None:
        """The shop replies: a robot at once, and a person after it or not.

        People within minutes or, too late, within hours.
        """
        if self.rng.random() < self.robots:
            after_ms = self._say(
                "seller_replied", after_ms + self.rng.randint(200, 3000), about=about, by="robot"
            )
            if self.rng.random() < 0.5:  # noqa: PLR2004 - it had the answer
                return
        if self.rng.random() < self.timely:
            after_ms += int(self.rng.expovariate(1 / MINUTE_MS)) + 2000
        else:
            after_ms += self.rng.randint(5 * MINUTE_MS, 3 * HOUR_MS)
        self._say("seller_replied", after_ms, about=about, by="person")

    def go_wrong(self, at_ms: int) -> None:
        """Something went wrong with the order: the shop writes first (R4), or the buyer does."""
        if self.rng.random() < self.writes_first:
            self._say(
                "seller_replied",
                at_ms + int(self.rng.random() * self.day_ms / 24),
                about=True,
                by="person",
            )
        if self.rng.random() < COMPLAINS:
            self.ask(self.awake(at_ms + self.rng.random() * self.day_ms / 4, 1), about=True)

    def review(self, product_id: str, received_ms: int, *, unhappy: bool) -> None:
        """The buyer may judge a product, and think better of it later."""
        liked = self.liked * (0.65 + 0.35 * _drawn(product_id)[0]) * (0.5 if unhappy else 1.0)
        at_ms, chance = received_ms, REVIEWS
        while self.rng.random() < chance:
            at_ms += int((0.1 + self.rng.random() * 9) * self.day_ms)
            rating = (
                self.rng.choice((4, 5, 5)) if self.rng.random() < liked else self.rng.randint(1, 3)
            )
            self._tell(
                "review_posted",
                "/reviews",
                at_ms,
                {"order_id": self.order_id, "product_id": product_id, "rating": rating},
            )
            chance = 0.05

    def _say(self, name: str, at_ms: int, *, about: bool, **more: str) -> int:
        """One side writes, now and then in several messages; when the last of them came."""
        order = {"order_id": self.order_id} if about else {}
        while True:
            message = {"message_id": f"m-{self.order_id[2:]}-{len(self.events) + 1}"}
            self._tell(name, "/chat", at_ms, self.who | message | order | more)
            if self.rng.random() >= GOES_ON:
                return at_ms
            at_ms += int(self.rng.random() * MINUTE_MS)

    def _tell(self, name: str, source: str, at_ms: int, content: Event) -> None:
        event = {
            "type": name,
            "id": f"e-{self.order_id[2:]}-s{len(self.events) + 1}",
            "source": source,
            "occurred_at": format_ms(at_ms),
        }
        self.events.append((at_ms, event | content))
