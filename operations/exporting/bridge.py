"""The bridge from refunds by basis sale to those by basis refund (S6), and whether it reconciles.

It is counted from the journal's entries, and compared with the tables of products.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from schemas.times import format_short

if TYPE_CHECKING:
    from collections.abc import Iterable

    from duckdb import DuckDBPyConnection

_COLUMNS: Final = ("reversed", "in_other_cycles", "of_other_cycles", "booked")
_OF_TABLES: Final = ("reversed", "booked")


class Steps(msgspec.Struct, frozen=True):
    """Units, or minor units of money, of a cycle's refunds.

    `reversed` (basis sale) - `in_other_cycles` + `of_other_cycles` = `booked` (basis refund). Those
    between are of its sales but happened in other cycles, and the other way round.
    """

    reversed: int = 0
    in_other_cycles: int = 0
    of_other_cycles: int = 0
    booked: int = 0

    def plus(self, other: Steps) -> Steps:
        """The sums of both."""
        both = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return Steps(*(one + another for one, another in both))


class BridgeRow(msgspec.Struct, frozen=True):
    """The refunds of a cycle in one currency; of all cycles where `cycle_start` is None."""

    cycle_start: str | None
    currency: str
    units: Steps
    amount: Steps


class Gap(msgspec.Struct, frozen=True):
    """What does not reconcile: units, or minor units of money, that are left between two sides."""

    cycle_start: str | None
    currency: str
    measure: str
    sides: str
    left: int


class Bridge(msgspec.Struct):
    """The bridge by cycle and currency, its totals by currency, and what does not reconcile."""

    cycles: list[BridgeRow]
    totals: list[BridgeRow]
    gaps: list[Gap]


def bridge_of(connection: DuckDBPyConnection, currency: str | None = None) -> Bridge:
    """The bridge of an export's database, of one currency if that is given."""
    names = [
        f"coalesce({side}.{measure}_{column}, 0)"
        for measure in ("units", "amount")
        for side, columns in (("bridge", _COLUMNS), ("tables", _OF_TABLES))
        for column in columns
    ]
    query = (
        f"SELECT epoch_ms(cycle_start), currency, {', '.join(names)} FROM refund_bridge AS bridge"
        " FULL JOIN cycles AS tables USING (cycle_start, currency)"
        " WHERE currency = coalesce(?, currency) ORDER BY cycle_start, currency"
    )
    found = Bridge([], [], [])
    totals: dict[str, BridgeRow] = {}
    for start_ms, code, *numbers in connection.execute(query, [currency]).fetchall():
        units, amount = Steps(*numbers[:4]), Steps(*numbers[6:10])
        row = BridgeRow(format_short(start_ms), code, units, amount)
        found.cycles.append(row)
        found.gaps += _gaps(row, {"units": numbers[4:6], "amount": numbers[10:]})
        total = totals.get(code, BridgeRow(None, code, Steps(), Steps()))
        totals[code] = BridgeRow(None, code, total.units.plus(units), total.amount.plus(amount))
    found.totals = [total for _, total in sorted(totals.items())]
    for total in found.totals:
        found.gaps += _gaps(total)
    return found


def _gaps(row: BridgeRow, tables: dict[str, list[int]] | None = None) -> Iterable[Gap]:
    """What is left within a cycle, between it and the tables, or over all cycles without these."""
    for measure in ("units", "amount"):
        steps: Steps = getattr(row, measure)
        left = {
            "reversed and booked": steps.reversed
            - steps.in_other_cycles
            + steps.of_other_cycles
            - steps.booked
        }
        if tables is None:
            left["in_other_cycles and of_other_cycles"] = (
                steps.in_other_cycles - steps.of_other_cycles
            )
        else:
            for column, value in zip(_OF_TABLES, tables[measure], strict=True):
                left[f"{column} and the tables"] = getattr(steps, column) - value
        for sides, number in left.items():
            if number:
                yield Gap(row.cycle_start, row.currency, measure, sides, number)
