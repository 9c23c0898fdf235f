"""The life of one simulated order: its events from placing to after-sales."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from random import Random
from typing import Final

from operations.simulation.market import Event, Market
from schemas.times import format_ms

FULL_BASKET: Final = 8
"""The most lines of an order."""


class Life:
    """One order from its placing at `at_ms` to its after-sales.

    Its steps add events at the order's current time and move that time. `name` is part of its ids;
    a day in its life takes `day_ms`.
    """

    def __init__(self, market: Market, rng: Random, name: str, at_ms: float, day_ms: float) -> None:
        self.market, self.rng = market, rng
        self.name, self.day_ms = name, day_ms
        self.at_ms = at_ms
        self.added: list[tuple[int, Event]] = []
        self.refunds = 0
        product = market.draw(rng)
        self.shop = market.shop_of[product]
        self.lines = [self._line(1, product)]
        while len(self.lines) < FULL_BASKET and self.chance(0.3):
            self.add_line()

    def events(self) -> list[tuple[int, Event]]:
        """All events of the order, each with its time in epoch milliseconds; to be called once."""
        self.rng.choices(_LIVES, cum_weights=_LIFE_WEIGHTS)[0](self)
        return self.added

    def chance(self, share: float) -> bool:
        """True with this probability."""
        return self.rng.random() < share

    def add_line(self) -> None:
        """Add a line, of the same shop."""
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

    def wait(self, least: float, most: float) -> None:
        """Move its time by a random number of days in its life."""
        self.at_ms += (least + (most - least) * self.rng.random()) * self.day_ms

    def add(self, name: str, source: str, **fields: object) -> None:
        """Add an event at its current time."""
        event: Event = {
            "type": name,
            "id": f"e-{self.name}-{len(self.added) + 1}",
            "source": source,
            "occurred_at": format_ms(int(self.at_ms)),
            "order_id": f"o-{self.name}",
        }
        event.update(fields)
        self.added.append((int(self.at_ms), event))

    def place(self, **more: object) -> None:
        """The buyer places the order."""
        buyer = f"b-{self.rng.randrange(self.market.buyers) + 1}"
        currency = self.market.currency[self.shop]
        shop = self.shop + 1
        self.add(
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
        self.add("order_paid", "/payments", amount=amount)

    def ship(self, name: str = "order_shipped", **more: object) -> None:
        """A parcel leaves, or leaves again."""
        self.wait(0.1, 1.0)
        self.add(
            name,
            f"/shops/{self.shop + 1}/till",
            parcel_id=f"x-{self.name}-{len(self.added)}",
            **more,
        )

    def receive(self, **more: object) -> None:
        """A parcel arrives."""
        self.wait(0.5, 4.0)
        self.add(
            "receipt_confirmed",
            "/logistics/sf",
            by="logistics" if self.chance(0.8) else "buyer",
            **more,
        )

    def cancel(self, reason: str) -> None:
        """The order is cancelled."""
        self.add("order_cancelled", f"/shops/{self.shop + 1}/till", reason=reason)

    def refund(
        self, name: str = "refund_succeeded", *, again: bool = False, **more: object
    ) -> None:
        """An event of a new refund, or `again` of the last one."""
        self.refunds += not again
        self.add(name, "/payments", refund_id=f"r-{self.name}-{self.refunds}", **more)

    def part(self, line: Event, units: int, amount: int) -> list[Event]:
        """The lines of a refund of one line."""
        return [{"line_id": line["line_id"], "quantity": units, "amount": amount}]


# --- lives


def _usual(life: Life) -> None:
    life.place()
    life.wait(0.0, 0.01)
    life.pay()
    life.ship()
    life.receive()
    _after_sales(life)


def _cash_on_delivery(life: Life) -> None:
    life.place()
    life.ship()
    life.receive()
    life.wait(0.0, 0.01)
    life.pay()
    _after_sales(life)


def _split_parcels(life: Life) -> None:
    if len(life.lines) == 1:
        life.add_line()
    life.place()
    life.pay()
    ids = [line["line_id"] for line in life.lines]
    cut = life.rng.randint(1, len(ids) - 1)
    life.ship(line_ids=ids[:cut])
    life.ship(line_ids=ids[cut:])
    life.receive(line_ids=ids[:cut])
    if life.chance(0.9):  # otherwise that parcel is lost
        life.receive(line_ids=ids[cut:])
        if life.chance(0.2):  # the buyer confirms all of it again
            life.wait(0.0, 2.0)
            life.add("receipt_confirmed", "/shops/app", by="buyer")
    _after_sales(life)


def _group_buy(life: Life) -> None:
    life.place(group_id=f"g-{life.name}")
    life.pay()
    life.wait(0.2, 1.0)
    if life.chance(0.3):  # not filled
        life.cancel("group_not_filled")
        life.refund(reason="other")
    else:
        life.ship()
        life.receive()
        _after_sales(life)


def _unpaid(life: Life) -> None:
    life.place()
    life.wait(0.5, 1.0)
    life.cancel("unpaid")


def _cancelled(life: Life) -> None:
    life.place()
    life.pay()
    life.wait(0.0, 1.0)
    life.cancel(life.rng.choice(("buyer", "shop", "platform")))
    life.refund(reason="changed_mind")
    if life.chance(0.1):  # the parcel was shipped already and is accepted
        life.receive()


def _refused(life: Life) -> None:
    reason = life.rng.choice(("damaged_in_transit", "wrong_goods", "late_delivery"))
    life.place()
    life.pay()
    life.ship()
    life.wait(1.0, 4.0)
    life.add("delivery_refused", "/logistics/sf", reason=reason)
    if life.chance(0.7):  # the shop sends it once more
        life.ship("reissue_shipped", reason=reason)
        life.receive()
    else:
        life.wait(0.5, 2.0)
        life.refund(reason=reason)


def _lost(life: Life) -> None:
    life.place()
    life.pay()
    life.ship()


def _refunded_before_receipt(life: Life) -> None:
    life.place()
    life.pay()
    line = life.rng.choice(life.lines)
    life.wait(0.0, 0.5)
    units = life.rng.randint(0, line["quantity"])
    life.refund(
        reason="changed_mind",
        lines=life.part(
            line, units, units * line["unit_price"] if units else line["unit_price"] // 10
        ),
    )
    life.ship()
    life.receive()


def _cancelled_after_receipt(life: Life) -> None:
    _usual(life)
    life.wait(0.1, 3.0)
    life.cancel("buyer")


# --- after-sales


def _after_sales(life: Life) -> None:
    life.rng.choices(_AFTER_SALES, cum_weights=_AFTER_SALES_WEIGHTS)[0](life)


def _no_after_sales(life: Life) -> None:
    pass


def _difference(life: Life) -> None:
    line = life.rng.choice(life.lines)
    life.wait(0.2, 5.0)
    life.refund(
        reason="short_weight",
        lines=life.part(line, 0, line["unit_price"] * life.rng.randint(1, 5) // 20),
    )


def _some_units(life: Life) -> None:
    line = life.rng.choice(life.lines)
    units = life.rng.randint(1, line["quantity"])
    paid = line["quantity"] * line["unit_price"] - line.get("discount", 0)
    life.wait(0.2, 5.0)
    life.refund(
        "refund_requested",
        reason="quality",
        lines=life.part(line, units, paid * units // line["quantity"]),
    )
    life.wait(0.5, 3.0)
    life.refund(
        again=True, reason="quality", lines=life.part(line, units, paid * units // line["quantity"])
    )


def _all_units(life: Life) -> None:
    life.wait(0.2, 7.0)
    life.refund(reason="changed_mind")


def _in_a_later_cycle(life: Life) -> None:
    life.wait(30.0, 45.0)
    life.refund(reason="quality")


def _refund_failed(life: Life) -> None:
    life.wait(0.2, 5.0)
    life.refund("refund_requested", reason="late_delivery")
    life.wait(0.2, 5.0)
    life.refund(
        "refund_failed",
        again=True,
        cause=life.rng.choice(("rejected", "withdrawn", "lapsed", "bank")),
    )


def _refund_reversed(life: Life) -> None:
    life.wait(0.2, 5.0)
    life.refund(reason="wrong_goods")
    life.wait(1.0, 5.0)
    life.refund("refund_reversed", again=True)


def _refund_exceeds_sale(life: Life) -> None:
    line = life.rng.choice(life.lines)
    life.wait(0.2, 5.0)
    life.refund(
        reason="damaged_in_transit",
        lines=life.part(line, line["quantity"], line["quantity"] * line["unit_price"] + 500),
    )


def _unknown_line(life: Life) -> None:
    life.wait(0.2, 5.0)
    life.refund(reason="other", lines=[{"line_id": "99", "quantity": 1, "amount": 100}])


def _two_refunds(life: Life) -> None:
    _difference(life)
    _some_units(life)


_Step = Callable[[Life], None]

_LIVES: Final[tuple[_Step, ...]] = (
    _usual,
    _cash_on_delivery,
    _split_parcels,
    _group_buy,
    _unpaid,
    _cancelled,
    _refused,
    _lost,
    _refunded_before_receipt,
    _cancelled_after_receipt,
)
_LIFE_WEIGHTS: Final = tuple(accumulate((63, 7, 8, 7, 4, 3, 3, 2, 2, 1)))

_AFTER_SALES: Final[tuple[_Step, ...]] = (
    _no_after_sales,
    _difference,
    _some_units,
    _all_units,
    _in_a_later_cycle,
    _refund_failed,
    _refund_reversed,
    _refund_exceeds_sale,
    _unknown_line,
    _two_refunds,
)
_AFTER_SALES_WEIGHTS: Final = tuple(accumulate((84, 4, 4, 2, 1, 2, 1, 0.7, 0.3, 1)))
