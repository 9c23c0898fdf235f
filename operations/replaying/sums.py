"""What a replay changes: units and money by cycle and currency, and the ids that move most."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final

import msgspec

from operations.replaying.row_keys import UNREADABLE, of_cycle
from tables import sales
from tables.sales import CurrencySums, Tally

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_MOVERS: Final = 20
"""Most ids of a table's partition that are kept as those that move most."""

COLUMNS: Final = CurrencySums.__struct_fields__


class Pair(msgspec.Struct):
    """The sums of the live and of the replayed side, by the columns of `CurrencySums`."""

    live: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(COLUMNS, 0))
    replayed: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(COLUMNS, 0))


class SaleSums(msgspec.Struct):
    """Sums by cycle's start (epoch milliseconds, as text) and currency."""

    by_cycle: dict[str, dict[str, Pair]] = msgspec.field(default_factory=dict)

    def add(self, key: bytes, live: bytes | None, replayed: bytes | None) -> None:
        """Add a row of a table of sales by cycle, as each side has it."""
        cycle = of_cycle(key)
        if cycle is None:
            return  # the row itself is listed as a difference
        _, start_ms = cycle
        for side, state in (("live", live), ("replayed", replayed)):
            if state is not None:
                for currency, sums in _tally(state).currencies.items():
                    pairs = self.by_cycle.setdefault(str(start_ms), {})
                    of_side = getattr(pairs.setdefault(currency, Pair()), side)
                    for column in COLUMNS:
                        of_side[column] += getattr(sums, column)

    def include(self, other: SaleSums) -> None:
        """Add the sums of another partition."""
        for start, currencies in other.by_cycle.items():
            for currency, pair in currencies.items():
                mine = self.by_cycle.setdefault(start, {}).setdefault(currency, Pair())
                for column in COLUMNS:
                    mine.live[column] += pair.live[column]
                    mine.replayed[column] += pair.replayed[column]


class Mover(msgspec.Struct):
    """The change of an id over all time: net units, and net money by currency in minor units."""

    id: str
    units: int
    money: dict[str, int]

    @property
    def size(self) -> tuple[int, int, str]:
        """How much it moves: units first, then the largest amount."""
        return abs(self.units), max(map(abs, self.money.values()), default=0), self.id


class Movers(msgspec.Struct):
    """The ids that move most, largest first."""

    most: list[Mover] = msgspec.field(default_factory=list)

    def add(self, key: bytes, live: bytes | None, replayed: bytes | None) -> None:
        """Add a differing row of a table of sales of all time."""
        before, after = _tally(live), _tally(replayed)
        moved = _net(after)
        for currency, amount in _net(before).items():
            moved[currency] = moved.get(currency, 0) - amount
        money = {currency: amount for currency, amount in sorted(moved.items()) if amount}
        id_ = key.decode(errors="backslashreplace")
        self._keep([*self.most, Mover(id_, after.net - before.net, money)])

    def include(self, other: Movers) -> None:
        """Add those of another partition."""
        self._keep([*self.most, *other.most])

    def _keep(self, movers: list[Mover]) -> None:
        self.most = heapq.nlargest(MOST_MOVERS, movers, key=lambda mover: mover.size)


def depends_on_basis(state: bytes) -> bool:
    """Whether a row of a table of sales by cycle shows another `sold_monthly` by each basis."""
    tally = sales.decode(state)
    return tally.sold_monthly("sale") != tally.sold_monthly("refund")


def _tally(state: bytes | None) -> Tally:
    try:
        return Tally() if state is None else sales.decode(state)
    except UNREADABLE:
        return Tally()  # the row itself is listed as a difference


def _net(tally: Tally) -> dict[str, int]:
    amounts: Mapping[str, CurrencySums] = tally.currencies
    return {name: sums.amount_gross - sums.amount_reversed for name, sums in amounts.items()}
