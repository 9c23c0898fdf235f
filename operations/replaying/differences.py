"""Two sides of a table's partition, compared row by row: the live one and the replayed one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from operations.replaying.row_keys import UNREADABLE
from operations.replaying.sums import Movers, SaleSums, depends_on_basis
from tables import conversations, orders
from tables.catalogue import CHATS, ORDERS, PRODUCT_CYCLES, PRODUCT_TOTALS, SHOP_CYCLES, SHOP_TOTALS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from operations.replaying.row_store import RowStore
    from operations.replaying.work import Report

SHOWN: Final = 20
"""Most differing rows of a table's partition that are kept; all are counted."""

SHOWN_CHARS: Final = 20_000
"""Most characters of a row that are kept."""

REPORT_ROWS: Final = 100_000
"""After so many rows it shows that it is at work."""

_OF_CYCLES: Final = frozenset({PRODUCT_CYCLES.name, SHOP_CYCLES.name})

MOST_FACTS: Final = 100
"""Most facts of a row that are kept."""


class RowDifference(msgspec.Struct):
    """A key with different rows; None where a side has none.

    `first` is the first source position from which on they differ, None where it is not known.
    `facts` are the (source, id) of the events of which only one side has the fact, or another one.
    """

    table: str
    partition: int
    key: str
    live: str | None
    replayed: str | None
    first: str | None = None
    facts: list[tuple[str, str]] = msgspec.field(default_factory=list)


class Compared(msgspec.Struct, kw_only=True):
    """What was found of the rows of two sides; `rows` counts the keys of both together."""

    rows: int = 0
    differing: int = 0
    shown: list[RowDifference] = msgspec.field(default_factory=list)

    def differs(
        self, name: str, partition: int, key: bytes, live: bytes | None, replayed: bytes | None
    ) -> RowDifference | None:
        """Count a row that differs in the table or topic `name`; return it if it is kept."""
        self.differing += 1
        if len(self.shown) == SHOWN:
            return None
        row = RowDifference(name, partition, text(key) or "", text(live), text(replayed))
        self.shown.append(row)
        return row


class TableResult(Compared):
    """The comparison of a table's partition.

    `cycles` and `movers` are there if sums are shown, for the tables that have them. Then
    `by_basis` counts the replayed rows whose `sold_monthly` depends on its basis (S6).
    """

    table: str
    partition: int
    cycles: SaleSums | None = None
    movers: Movers | None = None
    by_basis: int = 0


def differing(
    live: Iterable[tuple[bytes, bytes]], replayed: Iterable[tuple[bytes, bytes]]
) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
    """Every key of two sorted sides with its values, None where a side lacks it."""
    ones, others = iter(live), iter(replayed)
    one, other = next(ones, None), next(others, None)
    while one is not None and other is not None:
        if one[0] == other[0]:
            yield one[0], one[1], other[1]
            one, other = next(ones, None), next(others, None)
        elif one[0] < other[0]:
            yield one[0], one[1], None
            one = next(ones, None)
        else:
            yield other[0], None, other[1]
            other = next(others, None)
    while one is not None:
        yield one[0], one[1], None
        one = next(ones, None)
    while other is not None:
        yield other[0], None, other[1]
        other = next(others, None)


def compare(
    table: str,
    partition: int,
    live: RowStore,
    replayed: RowStore,
    report: Report,
    *,
    adds_up: bool,
) -> TableResult:
    """Compare a table's partition in two stores; `report` only shows that it is at work."""
    result = TableResult(table, partition)
    if adds_up and table == PRODUCT_CYCLES.name:
        result.cycles = SaleSums()
    if adds_up and table in {PRODUCT_TOTALS.name, SHOP_TOTALS.name}:
        result.movers = Movers()
    for key, before, after in differing(live.rows(table), replayed.rows(table)):
        result.rows += 1
        if not result.rows % REPORT_ROWS:
            report(0)
        if adds_up and table in _OF_CYCLES:
            _sum_up(result, key, before, after)
        if before == after:
            continue
        row = result.differs(table, partition, key, before, after)
        if row is not None and table in _FACTS:
            row.facts = _differing_facts(table, before, after)
        if result.movers is not None:
            result.movers.add(key, before, after)
    return result


def _sum_up(result: TableResult, key: bytes, live: bytes | None, replayed: bytes | None) -> None:
    if result.cycles is not None:
        result.cycles.add(key, live, replayed)
    if replayed is not None:
        result.by_basis += depends_on_basis(replayed)


def _differing_facts(
    table: str, live: bytes | None, replayed: bytes | None
) -> list[tuple[str, str]]:
    """What `RowDifference.facts` is; empty where a row is no order or conversation."""
    try:
        one, other = (_FACTS[table](state) if state else {} for state in (live, replayed))
    except UNREADABLE:
        return []
    names = sorted(one.keys() | other.keys())
    return [name for name in names if one.get(name) != other.get(name)][:MOST_FACTS]


def _facts_of_order(state: bytes) -> dict[tuple[str, str], object]:
    order = orders.decode(state)
    return {(fact.source, fact.id): fact for kind in orders.KINDS for fact in getattr(order, kind)}


def _facts_of_conversation(state: bytes) -> dict[tuple[str, str], object]:
    return {(one.source, one.id): one for one in conversations.decode(state).written}


_FACTS: Final[dict[str, Callable[[bytes], dict[tuple[str, str], object]]]] = {
    ORDERS.name: _facts_of_order,
    CHATS.name: _facts_of_conversation,
}


def text(data: bytes | None) -> str | None:
    """A key or a row for people: rows are JSON."""
    return None if data is None else data.decode(errors="backslashreplace")[:SHOWN_CHARS]
