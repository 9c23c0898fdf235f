"""What is told about an order beside what happens to it: questions and answers, complaints, and reviews.

Pure and repeatable like the orders themselves. How well a shop serves is drawn from its id, so that shops differ and stay as they are.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final

from schemas.times import format_ms, parse_ms

Event = dict[str, Any]
Timed = list[tuple[int, Event]]

HOUR_MS: Final = 3_600_000
MINUTE_MS: Final = 60_000
SHANGHAI_AHEAD_MS: Final = 8 * HOUR_MS

ASKS_ABOUT_GOODS: Final = 0.18
ASKS_ABOUT_ORDER: Final = 0.06
COMPLAINS: Final = 0.6
"""Of the buyers whose order went wrong."""

REVIEWS: Final = 0.25
"""Of the products received."""

_TROUBLE: Final = frozenset({"delivery_refused", "refund_requested", "reissue_shipped", "refund_succeeded"})


def after_order(order: list[Event], day_ms: float, rng: Random) -> Timed:
    """(when, event) of the messages and reviews around an order, given its events; `day_ms` is a day in its life."""
    placed = order[0]
    told = _Told(placed, rng)
    placed_ms = parse_ms(placed["occurred_at"])
    for share, about in ((ASKS_ABOUT_GOODS, False), (ASKS_ABOUT_ORDER, True)):
        if rng.random() < share:
            told.ask(_awake(int(placed_ms + rng.random() * 2 * day_ms), rng), about=about)
    trouble = next((event for event in order if event["type"] in _TROUBLE), None)
    if trouble is not None:
        told.go_wrong(parse_ms(trouble["occurred_at"]))
    received = next((event for event in order if event["type"] == "receipt_confirmed"), None)
    if received is not None:
        for product_id in sorted({line["product_id"] for line in placed["lines"]}):
            told.review(product_id, parse_ms(received["occurred_at"]), day_ms, unhappy=trouble is not None)
    return told.events


def _awake(at_ms: int, rng: Random) -> int:
    """Nine of ten messages that would come at night in Shanghai come in the day instead: ten hours later."""
    hour = (at_ms + SHANGHAI_AHEAD_MS) // HOUR_MS % 24
    asleep = hour < 8 or hour == 23  # noqa: PLR2004 - hours of the day
    return at_ms + 10 * HOUR_MS if asleep and rng.random() < 0.9 else at_ms  # noqa: PLR2004 - as said


class _Told:
    """What is told around one order; `events` are (when, event)."""

    def __init__(self, placed: Event, rng: Random) -> None:
        self.order_id = placed["order_id"]
        self.who = {"shop_id": placed["shop_id"], "buyer_id": placed["buyer_id"]}
        self.rng = rng
        self.events: Timed = []
        quality = Random(f"quality {placed['shop_id']}")
        self.timely, self.never, self.robots = 0.6 + 0.39 * quality.random(), 0.08 * quality.random(), quality.random() ** 2
        self.writes_first, self.liked = quality.random(), 0.55 + 0.4 * quality.random()

    def ask(self, at_ms: int, *, about: bool) -> None:
        """The buyer asks, now and then in several messages; the shop replies, or doesn't."""
        self._say("buyer_messaged", at_ms, about=about)
        while self.rng.random() < 0.25:  # noqa: PLR2004 - one more message
            at_ms += int(self.rng.random() * MINUTE_MS)
            self._say("buyer_messaged", at_ms, about=about)
        if self.rng.random() >= self.never:
            self.reply(at_ms, about=about)

    def reply(self, after_ms: int, *, about: bool) -> None:
        """The shop replies: a robot at once, people within minutes or, too late, within hours."""
        if self.rng.random() < self.robots:
            self._say("seller_replied", after_ms + self.rng.randint(200, 3000), about=about, by="robot")
        elif self.rng.random() < self.timely:
            self._say("seller_replied", after_ms + int(self.rng.expovariate(1 / (60 * 1000))) + 2000, about=about, by="person")
        else:
            self._say("seller_replied", after_ms + self.rng.randint(5 * MINUTE_MS, 3 * HOUR_MS), about=about, by="person")

    def go_wrong(self, at_ms: int) -> None:
        """Something went wrong with the order: the shop writes first (R4), or the buyer does."""
        if self.rng.random() < self.writes_first:
            self._say("seller_replied", at_ms + int(self.rng.random() * HOUR_MS), about=True, by="person")
        if self.rng.random() < COMPLAINS:
            self.ask(_awake(at_ms + int(self.rng.random() * 6 * HOUR_MS), self.rng), about=True)

    def review(self, product_id: str, received_ms: int, day_ms: float, *, unhappy: bool) -> None:
        """The buyer may judge a product, and think better of it later."""
        at_ms = received_ms
        chance = REVIEWS
        while self.rng.random() < chance:
            at_ms += int((0.1 + self.rng.random() * 9) * day_ms)
            good = self.rng.random() < self.liked * (0.5 if unhappy else 1.0)
            event: Event = {"type": "review_posted", "id": self._id(), "source": "/reviews", "occurred_at": format_ms(at_ms)}
            rating = self.rng.choice((4, 5, 5)) if good else self.rng.randint(1, 3)
            self.events.append((at_ms, event | {"order_id": self.order_id, "product_id": product_id, "rating": rating}))
            chance = 0.05

    def _say(self, name: str, at_ms: int, *, about: bool, **more: str) -> None:
        event: Event = {"type": name, "id": self._id(), "source": "/chat", "occurred_at": format_ms(at_ms)}
        event |= self.who | {"message_id": f"m-{event['id'][2:]}"} | ({"order_id": self.order_id} if about else {}) | more
        self.events.append((at_ms, event))

    def _id(self) -> str:
        return f"e-{self.order_id[2:]}-s{len(self.events) + 1}"
