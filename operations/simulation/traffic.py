"""A made-up marketplace.

Orders from placing to after-sales, reviews, and what buyers and shops write, in the order in which
it happens.

Pure and repeatable: the same plan gives the same events. What goes wrong on the way (late, twice,
unreadable) is `operations/simulation/faults.py`, where they go is `operations/commands/simulate.py`.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import accumulate
from random import Random
from typing import Any, Final

from operations.simulation.service_traffic import around, regular
from schemas.times import format_ms

Event = dict[str, Any]
"""An event in its bare JSON form."""

EVENTS_PER_ORDER: Final = 4.3
"""Of the order itself, on average, measured over the weights below."""

ALL_EVENTS_PER_ORDER: Final = 5.6
"""With reviews and messages around it."""

CHATS_PER_ORDER: Final = 1.0
"""Messages alone."""

DAY_MS: Final = 86_400_000
FULL_BASKET: Final = 8
"""Most lines of an order."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What makes a stream.

    `run` is part of all ids, an order comes every `every_ms` on average from `start_ms` on.

    `day_ms` is how long a day in the life of an order takes: parcels take days in history, and
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
    """Nothing is told around them, and nobody comes back to a shop but by chance."""


def traffic(plan: Plan) -> Iterator[tuple[int, Event]]:
    """(when it happens in epoch milliseconds, the event), in that order, without end."""
    rng, beside = (
        Random(f"traffic {plan.seed}"),
        Random(f"service {plan.seed}"),
    )  # so the orders are the same without it
    market = _Market(plan)
    ahead_ms = 0 if plan.only_orders else plan.day_ms  # of an order may buyers ask
    waiting: list[tuple[int, int, Event]] = []
    count, at_ms = 0, float(plan.start_ms)
    orders: Counter[str] = Counter()
    for number in range(1, 2**62):
        at_ms += rng.expovariate(1 / plan.every_ms)
        while waiting and waiting[0][0] <= at_ms - ahead_ms:
            happened_ms, _, event = heappop(waiting)
            yield happened_ms, event
        events = _Life(plan, market, rng, number, at_ms).live()
        if not plan.only_orders:
            events += _service(plan, beside, [event for _, event in events], orders)
        for happened_ms, event in events:
            count += 1
            heappush(waiting, (happened_ms, count, event))


def _service(
    plan: Plan, rng: Random, order: list[Event], orders: Counter[str]
) -> list[tuple[int, Event]]:
    """What is told around an order; a regular of the shop may be the one who places it.

    Adds to the shops' `orders`.
    """
    placed = order[0]
    shop_id = placed["shop_id"]
    placed["buyer_id"] = regular(rng, shop_id, orders[shop_id], plan.buyers) or placed["buyer_id"]
    orders[shop_id] += 1
    return [
        (at_ms, event) for at_ms, event in around(order, plan.day_ms, rng) if at_ms >= plan.start_ms
    ]


class _Market:
    """Which shop sells what at which price; a few products sell most (Zipf)."""

    def __init__(self, plan: Plan) -> None:
        rng = Random(f"market {plan.shops} {plan.products}")
        self.weights = list(accumulate(1 / rank**1.1 for rank in range(1, plan.products + 1)))
        self.prices = [round(math.exp(rng.gauss(7.5, 1.0))) + 1 for _ in range(plan.products)]
        self.shop_of = [rng.randrange(plan.shops) for _ in range(plan.products)]
        self.sold_by: dict[int, list[int]] = {}
        for product, shop in enumerate(self.shop_of):
            self.sold_by.setdefault(shop, []).append(product)
        self.currency = rng.choices(("CNY", "USD", "EUR", "JPY"), (85, 7, 5, 3), k=plan.shops)

    def draw(self, rng: Random) -> int:
        """A product, the popular ones more often."""
        return bisect(self.weights, rng.random() * self.weights[-1])


class _Life:
    """One order: says what happens to it, moving its own time on; `live` returns all of it."""

    def __init__(self, plan: Plan, market: _Market, rng: Random, number: int, at_ms: float) -> None:
        self.plan, self.market, self.rng = plan, market, rng
        self.name = f"{plan.run}-{number}"
        self.at_ms = at_ms
        self.events: list[tuple[int, Event]] = []
        self.refunds = 0
        product = market.draw(rng)
        self.shop = market.shop_of[product]
        self.lines = [self._line(1, product)]
        while len(self.lines) < FULL_BASKET and self.chance(0.3):
            self.add_line()

    def live(self) -> list[tuple[int, Event]]:
        """Everything that happens to the order."""
        self.rng.choices(_LIVES, cum_weights=_LIFE_WEIGHTS)[0](self)
        return self.events

    def chance(self, share: float) -> bool:
        """True for this share of all cases."""
        return self.rng.random() < share

    def add_line(self) -> None:
        """One more line, of the same shop."""
        self.lines.append(
            self._line(len(self.lines) + 1, self.rng.choice(self.market.sold_by[self.shop]))
        )

    def _line(self, number: int, product: int) -> Event:
        rng = self.rng
        quantity = 1 if self.chance(0.7) else rng.randint(2, 6)
        price = self.market.prices[product]
        line: Event = {
            "line_id": str(number),
            "product_id": f"p-{product + 1}",
            "quantity": quantity,
            "unit_price": price,
        }
        if self.chance(0.15):
            line["discount"] = rng.randint(0, quantity * price // 2)
        return line

    def later(self, least: float, most: float) -> None:
        """So many days of its life pass."""
        self.at_ms += (least + (most - least) * self.rng.random()) * self.plan.day_ms

    def say(self, name: str, source: str, **fields: object) -> None:
        """An event happens now."""
        event: Event = {
            "type": name,
            "id": f"e-{self.name}-{len(self.events) + 1}",
            "source": source,
            "occurred_at": format_ms(int(self.at_ms)),
            "order_id": f"o-{self.name}",
        }
        event.update(fields)
        self.events.append((int(self.at_ms), event))

    def place(self, **more: object) -> None:
        """The buyer places the order."""
        buyer = f"b-{self.rng.randrange(self.plan.buyers) + 1}"
        currency = self.market.currency[self.shop]
        shop = self.shop + 1
        self.say(
            "order_placed",
            f"/shops/{shop}/till",
            shop_id=f"s-{shop}",
            buyer_id=buyer,
            currency=currency,
            lines=self.lines,
            **more,
        )

    def pay(self) -> None:
        """The whole order is paid."""
        amount = sum(
            line["quantity"] * line["unit_price"] - line.get("discount", 0) for line in self.lines
        )
        self.say("order_paid", "/payments", amount=amount)

    def ship(self, name: str = "order_shipped", **more: object) -> None:
        """A parcel leaves, or leaves again."""
        self.later(0.1, 1.0)
        self.say(
            name,
            f"/shops/{self.shop + 1}/till",
            parcel_id=f"x-{self.name}-{len(self.events)}",
            **more,
        )

    def receive(self, **more: object) -> None:
        """A parcel arrives."""
        self.later(0.5, 4.0)
        self.say(
            "receipt_confirmed",
            "/logistics/sf",
            by="logistics" if self.chance(0.8) else "buyer",
            **more,
        )

    def cancel(self, reason: str) -> None:
        """The order is called off."""
        self.say("order_cancelled", f"/shops/{self.shop + 1}/till", reason=reason)

    def refund(
        self, name: str = "refund_succeeded", *, again: bool = False, **more: object
    ) -> None:
        """Something about a refund: a new one, or again the last one."""
        self.refunds += not again
        self.say(name, "/payments", refund_id=f"r-{self.name}-{self.refunds}", **more)

    def part(self, line: Event, units: int, amount: int) -> list[Event]:
        """The lines of a refund of one line."""
        return [{"line_id": line["line_id"], "quantity": units, "amount": amount}]


# --- lives
# ---------------------------------------------------------------------------------------------------------------------


def _usual(life: _Life) -> None:
    life.place()
    life.later(0.0, 0.01)
    life.pay()
    life.ship()
    life.receive()
    _after_sales(life)


def _cash_on_delivery(life: _Life) -> None:
    life.place()
    life.ship()
    life.receive()
    life.later(0.0, 0.01)
    life.pay()
    _after_sales(life)


def _split_parcels(life: _Life) -> None:
    if len(life.lines) == 1:
        life.add_line()
    life.place()
    life.pay()
    ids = [line["line_id"] for line in life.lines]
    cut = life.rng.randint(1, len(ids) - 1)
    life.ship(line_ids=ids[:cut])
    life.ship(line_ids=ids[cut:])
    life.receive(line_ids=ids[:cut])
    if life.chance(0.9):  # the rest is lost
        life.receive(line_ids=ids[cut:])
        if life.chance(0.2):  # the buyer confirms all of it once more
            life.later(0.0, 2.0)
            life.say("receipt_confirmed", "/shops/app", by="buyer")
    _after_sales(life)


def _group_buy(life: _Life) -> None:
    life.place(group_id=f"g-{life.name}")
    life.pay()
    life.later(0.2, 1.0)
    if life.chance(0.3):  # not filled
        life.cancel("group_not_filled")
        life.refund(reason="other")
    else:
        life.ship()
        life.receive()
        _after_sales(life)


def _unpaid(life: _Life) -> None:
    life.place()
    life.later(0.5, 1.0)
    life.cancel("unpaid")


def _called_off(life: _Life) -> None:
    life.place()
    life.pay()
    life.later(0.0, 1.0)
    life.cancel(life.rng.choice(("buyer", "shop", "platform")))
    life.refund(reason="changed_mind")
    if life.chance(0.1):  # the parcel was on its way already, and is taken
        life.receive()


def _refused(life: _Life) -> None:
    reason = life.rng.choice(("damaged_in_transit", "wrong_goods", "late_delivery"))
    life.place()
    life.pay()
    life.ship()
    life.later(1.0, 4.0)
    life.say("delivery_refused", "/logistics/sf", reason=reason)
    if life.chance(0.7):  # the shop sends it once more
        life.ship("reissue_shipped", reason=reason)
        life.receive()
    else:
        life.later(0.5, 2.0)
        life.refund(reason=reason)


def _lost(life: _Life) -> None:
    life.place()
    life.pay()
    life.ship()


def _less_before_receipt(life: _Life) -> None:
    life.place()
    life.pay()
    line = life.rng.choice(life.lines)
    life.later(0.0, 0.5)
    units = life.rng.randint(0, line["quantity"])
    life.refund(
        reason="changed_mind",
        lines=life.part(
            line, units, units * line["unit_price"] if units else line["unit_price"] // 10
        ),
    )
    life.ship()
    life.receive()


def _cancelled_too_late(life: _Life) -> None:
    _usual(life)
    life.later(0.1, 3.0)
    life.cancel("buyer")


# --- what comes after the receipt
# ------------------------------------------------------------------------------------------------


def _after_sales(life: _Life) -> None:
    life.rng.choices(_AFTERS, cum_weights=_AFTER_WEIGHTS)[0](life)


def _nothing(life: _Life) -> None:
    pass


def _difference(life: _Life) -> None:
    line = life.rng.choice(life.lines)
    life.later(0.2, 5.0)
    life.refund(
        reason="short_weight",
        lines=life.part(line, 0, line["unit_price"] * life.rng.randint(1, 5) // 20),
    )


def _some_units(life: _Life) -> None:
    line = life.rng.choice(life.lines)
    units = life.rng.randint(1, line["quantity"])
    paid = line["quantity"] * line["unit_price"] - line.get("discount", 0)
    life.later(0.2, 5.0)
    life.refund(
        "refund_requested",
        reason="quality",
        lines=life.part(line, units, paid * units // line["quantity"]),
    )
    life.later(0.5, 3.0)
    life.refund(
        again=True, reason="quality", lines=life.part(line, units, paid * units // line["quantity"])
    )


def _all_of_it(life: _Life) -> None:
    life.later(0.2, 7.0)
    life.refund(reason="changed_mind")


def _in_a_later_cycle(life: _Life) -> None:
    life.later(30.0, 45.0)
    life.refund(reason="quality")


def _came_to_nothing(life: _Life) -> None:
    life.later(0.2, 5.0)
    life.refund("refund_requested", reason="late_delivery")
    life.later(0.2, 5.0)
    life.refund(
        "refund_failed",
        again=True,
        cause=life.rng.choice(("rejected", "withdrawn", "lapsed", "bank")),
    )


def _came_back(life: _Life) -> None:
    life.later(0.2, 5.0)
    life.refund(reason="wrong_goods")
    life.later(1.0, 5.0)
    life.refund("refund_reversed", again=True)


def _too_much(life: _Life) -> None:
    line = life.rng.choice(life.lines)
    life.later(0.2, 5.0)
    life.refund(
        reason="damaged_in_transit",
        lines=life.part(line, line["quantity"], line["quantity"] * line["unit_price"] + 500),
    )


def _no_such_line(life: _Life) -> None:
    life.later(0.2, 5.0)
    life.refund(reason="other", lines=[{"line_id": "99", "quantity": 1, "amount": 100}])


def _twice(life: _Life) -> None:
    _difference(life)
    _some_units(life)


_Step = Callable[[_Life], None]

_LIVES: Final[tuple[_Step, ...]] = (
    _usual,
    _cash_on_delivery,
    _split_parcels,
    _group_buy,
    _unpaid,
    _called_off,
    _refused,
    _lost,
    _less_before_receipt,
    _cancelled_too_late,
)
_LIFE_WEIGHTS: Final = tuple(accumulate((63, 7, 8, 7, 4, 3, 3, 2, 2, 1)))

_AFTERS: Final[tuple[_Step, ...]] = (
    _nothing,
    _difference,
    _some_units,
    _all_of_it,
    _in_a_later_cycle,
    _came_to_nothing,
    _came_back,
    _too_much,
    _no_such_line,
    _twice,
)
_AFTER_WEIGHTS: Final = tuple(accumulate((84, 4, 4, 2, 1, 2, 1, 0.7, 0.3, 1)))
