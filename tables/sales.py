"""Tally: the sums of journal entries that the product and shop tables hold, per cycle and of all time (C4)."""

from collections.abc import Callable
from typing import Final

import msgspec

from schemas.journal import Delta, Entry, Sold

VERSION: Final = 1
"""Version of the state's form; the first element of its bytes."""


class ImpossibleTallyError(Exception):
    """A sum left its bounds.

    It can't by the rules, so the journal was read twice, or with a hole: nothing may be written on.
    """


class Tally(msgspec.Struct, array_like=True, gc=False):
    """Units and, per currency, money in minor units.

    [gross, reversed (basis sale), booked (basis refund)] (S6).

    `restatements` counts the entries that came when their cycle was over (C3). It depends on the
    log's order; the sums don't (S12).
    """

    version: int = VERSION
    gross: int = 0
    reversed: int = 0
    booked: int = 0
    restatements: int = 0
    amounts: dict[str, list[int]] = msgspec.field(default_factory=dict)

    @property
    def net(self) -> int:
        """Units that stayed sold."""
        return self.gross - self.reversed

    @property
    def holds_anything(self) -> bool:
        """Whether any sum isn't zero."""
        return bool(self.gross or self.reversed or self.booked or self.amounts)

    def add(self, entry: Entry | Delta | Sold) -> None:
        """Add one entry, or the sum of some.

        ImpossibleTallyError unless 0 <= reversed <= gross and 0 <= booked hold afterwards (S8).
        """
        self.gross += entry.units_gross
        self.reversed += entry.units_reversed
        self.booked += entry.units_booked
        self.restatements += entry.restates
        amounts = self.amounts.get(entry.currency)
        if amounts is None:
            amounts = self.amounts[entry.currency] = [0, 0, 0]
        amounts[0] += entry.amount_gross
        amounts[1] += entry.amount_reversed
        amounts[2] += entry.amount_booked
        if not (
            0 <= self.reversed <= self.gross
            and 0 <= amounts[1] <= amounts[0]
            and self.booked >= 0
            and amounts[2] >= 0
        ):
            raise ImpossibleTallyError(
                f"0 <= reversed <= gross and 0 <= booked don't hold in {self} after {entry}"
            )
        if amounts == [0, 0, 0]:
            del self.amounts[entry.currency]  # as if it had never been: equal sums give equal bytes


encode: Final[Callable[[Tally], bytes]] = msgspec.json.Encoder(order="deterministic").encode
"""Tally → bytes; equal sums give equal bytes."""
decode: Final[Callable[[bytes], Tally]] = msgspec.json.Decoder(Tally).decode
"""Bytes → Tally; raises msgspec's errors."""
