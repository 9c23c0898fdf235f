"""The sums of the marketplace in one cycle: those of the rows of all products."""

from collections.abc import Callable
from typing import Final

import msgspec

from tables.sales import CurrencySums, Tally


class MarketplaceCycle(msgspec.Struct, array_like=True, gc=False):
    """What was sold in a cycle, and how many products and shops have net units in it."""

    sums: Tally = msgspec.field(default_factory=Tally)
    products: int = 0
    shops: int = 0

    def include(self, other: "MarketplaceCycle") -> None:
        """Add the sums, or the changes, of another one."""
        change(self.sums, other.sums, 1)
        self.products += other.products
        self.shops += other.shops

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left of it."""
        return not (
            self.sums.holds_anything or self.sums.restatements or self.products or self.shops
        )


def change(total: Tally, part: Tally, sign: int) -> None:
    """Add a part to a total, or remove it if `sign` is -1; equal sums give equal bytes.

    It runs for each changed row. So it names the fields, which is quicker than a loop.
    """
    total.restatements += sign * part.restatements
    for currency, sums in part.currencies.items():
        own = total.currencies.get(currency)
        if own is None:
            own = total.currencies[currency] = CurrencySums()
        own.units_gross += sign * sums.units_gross
        own.units_reversed += sign * sums.units_reversed
        own.units_booked += sign * sums.units_booked
        own.amount_gross += sign * sums.amount_gross
        own.amount_reversed += sign * sums.amount_reversed
        own.amount_booked += sign * sums.amount_booked
        if own == _NO_SUMS:
            del total.currencies[currency]


_NO_SUMS: Final = CurrencySums()

encode: Final[Callable[[MarketplaceCycle], bytes]] = msgspec.json.Encoder(
    order="deterministic"
).encode
"""The sums of a cycle → bytes; equal ones give equal bytes. JSON, as a sum may exceed 64 bits."""
decode: Final[Callable[[bytes], MarketplaceCycle]] = msgspec.json.Decoder(MarketplaceCycle).decode
"""Bytes → the sums of a cycle; raises msgspec's errors."""
