"""What rows of the sales journal changed: sums by chosen columns, and who wrote them."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from schemas import journal, limits, times
from schemas.columns import ZERO, SaleColumns, plus
from schemas.envelope import Record
from schemas.errors import NetsoldError
from schemas.journal import Entry, ProgressMark, Service
from schemas.money import DECIMALS
from schemas.positions import Position
from tables.sales import Tally

_SCALE_DECIMALS: Final = max(DECIMALS.values())


class TooManyGroups(NetsoldError):
    """More groups than memory is meant for; the sentence has the remedy."""


class WrittenRow(NamedTuple):
    """A row of the journal: its position in the topic, when it was written, and by which build.

    `written_ms` is the record's own timestamp, epoch milliseconds. `build` is empty where the mark
    of its transaction names none.
    """

    row: Entry | Service
    position: Position
    written_ms: int
    build: str = ""


class RowFilter(NamedTuple):
    """Which rows are wanted: written at `since_ms` ≤ t < `until_ms`, and of these ids.

    None is any. A service row has no order, so it is of none.
    """

    since_ms: int
    until_ms: int | None = None
    product: str | None = None
    order: str | None = None
    shop: str | None = None

    def selects(self, written: WrittenRow) -> bool:
        """Whether a row is wanted."""
        wanted = {"product": self.product, "order": self.order, "shop": self.shop}
        return (
            self.since_ms <= written.written_ms
            and (self.until_ms is None or written.written_ms < self.until_ms)
            and all(
                COLUMNS[name](written) == one for name, one in wanted.items() if one is not None
            )
        )


class Attribution:
    """Finds the build of each row of the topic `sales`.

    In each partition a transaction has the progress mark of its source partition behind its rows,
    and the mark names the build. So at most one transaction of each source partition is kept.
    `unreadable` counts the records that no worker wrote; `first_unreadable` is the first one's
    position.
    """

    def __init__(self, topic: str) -> None:
        """`topic` is the name of `sales` on the cluster."""
        self.unreadable = 0
        self.first_unreadable: Position | None = None
        self._topic = topic
        self._unmarked: dict[tuple[int, str], list[WrittenRow]] = {}

    @property
    def waiting(self) -> set[int]:
        """The partitions that have rows whose mark was not read yet."""
        return {partition for partition, _ in self._unmarked}

    def add(self, partition: int, record: Record) -> list[WrittenRow]:
        """The rows whose build is known by this record; call it in the order of each partition."""
        position = Position(self._topic, partition, record.offset)
        try:
            row = journal.decode(record.value or b"")
        except (msgspec.DecodeError, ValueError, RecursionError):
            row = None
        if isinstance(row, ProgressMark):
            rows = self._unmarked.pop((partition, f"{row.topic}-{row.partition}"), [])
            return [written._replace(build=row.build) for written in rows]
        if isinstance(row, Entry | Service):
            source = row.id.rpartition("@")[0]
            written = WrittenRow(row, position, record.timestamp)
            self._unmarked.setdefault((partition, source), []).append(written)
        else:
            self.unreadable += 1
            self.first_unreadable = self.first_unreadable or position
        return []

    def unattributed(self) -> list[WrittenRow]:
        """The rows whose mark was not read, such as those of another writer."""
        return [written for rows in self._unmarked.values() for written in rows]


ColumnValue = str | int | bool | None

COLUMNS: Final[dict[str, Callable[[WrittenRow], ColumnValue]]] = {
    "product": lambda written: written.row.product_id,
    "shop": lambda written: written.row.shop_id,
    "order": lambda written: written.row.order_id if isinstance(written.row, Entry) else None,
    "cycle": lambda written: written.row.cycle,
    "event_type": lambda written: written.row.event_type,
    "rules": lambda written: written.row.rules,
    "terms": lambda written: written.row.terms,
    "build": lambda written: written.build,
    "day": lambda written: times.format_ms(written.written_ms)[:10],
    "restates": lambda written: written.row.restates,
}
"""What rows can be grouped by, each with its value of a row. `day` is the UTC day in which the row
was written; a service row names no `order`."""


class ChangeSums(msgspec.Struct, gc=False):
    """The sums of some rows; `columns` are by currency, amounts in minor units.

    `restatements` counts those of a cycle that had ended (S13). `service` has the columns of
    service that changed (tables/service.py). `first_ms` and `last_ms`: when the first and the last
    row were written.
    """

    entries: int = 0
    service_rows: int = 0
    restatements: int = 0
    columns: dict[str, SaleColumns] = msgspec.field(default_factory=dict)
    service: dict[str, int] = msgspec.field(default_factory=dict)
    first_ms: int = times.NO_INSTANT_MS
    last_ms: int = -times.NO_INSTANT_MS

    @property
    def rows(self) -> int:
        """Entries and service rows."""
        return self.entries + self.service_rows

    def add(self, written: WrittenRow) -> None:
        """Add a row."""
        row = written.row
        self.restatements += row.restates
        self.first_ms = min(self.first_ms, written.written_ms)
        self.last_ms = max(self.last_ms, written.written_ms)
        if isinstance(row, Service):
            self.service_rows += 1
            for column, change in row.columns.items():
                self.service[column] = self.service.get(column, 0) + change
            return
        self.entries += 1
        self._change(row, row.currency)

    def include(self, other: "ChangeSums") -> None:
        """Add the sums of other rows."""
        self.entries += other.entries
        self.service_rows += other.service_rows
        self.restatements += other.restatements
        for currency, columns in other.columns.items():
            self._change(columns, currency)
        for column, change in other.service.items():
            self.service[column] = self.service.get(column, 0) + change
        self.first_ms = min(self.first_ms, other.first_ms)
        self.last_ms = max(self.last_ms, other.last_ms)

    def _change(self, columns: SaleColumns, currency: str) -> None:
        self.columns[currency] = plus(self.columns.get(currency, ZERO), columns)

    @property
    def sales(self) -> Tally:
        """The changes of sums; each may be below zero."""
        tally = Tally()
        for currency, columns in self.columns.items():
            tally.change(columns, currency)
        return tally

    @property
    def size(self) -> tuple[int, int, int]:
        """How much changed: net units, then the largest net amount, then the number of rows.

        Amounts of two currencies compare by their numbers, as if they had the same decimals.
        """
        sales = self.sales
        amounts = [
            abs(sums.net) * 10 ** (_SCALE_DECIMALS - DECIMALS.get(currency, 0))
            for currency, sums in sales.amounts.items()
        ]
        return abs(sales.net), max(amounts, default=0), self.rows


SummedGroup = tuple[tuple[ColumnValue, ...], ChangeSums]
"""The values of the chosen columns, and the sums of the rows that have them."""


class JournalSums:
    """Sums of rows by build and rules, and by the chosen columns of COLUMNS."""

    def __init__(self, by: Sequence[str]) -> None:
        self.writers: dict[tuple[str, int], ChangeSums] = {}
        self._by = by
        self._values = [COLUMNS[name] for name in by]
        self._groups: dict[tuple[ColumnValue, ...], ChangeSums] = {}

    def add(self, written: WrittenRow) -> None:
        """Add a row. Raises TooManyGroups."""
        key = tuple([value(written) for value in self._values])
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= limits.JOURNAL_GROUPS:
                raise TooManyGroups(
                    f"more than {limits.JOURNAL_GROUPS:,} groups by {', '.join(self._by)}:"
                    " choose fewer columns with --by, a later --since, or --each"
                )
            group = self._groups[key] = ChangeSums()
        writer = self.writers.get(by := (written.build, written.row.rules))
        if writer is None:
            writer = self.writers[by] = ChangeSums()
        for sums in (group, writer):
            sums.add(written)

    @property
    def total(self) -> ChangeSums:
        """The sums of all rows."""
        total = ChangeSums()
        for sums in self.writers.values():
            total.include(sums)
        return total

    @property
    def count(self) -> int:
        """The number of groups."""
        return len(self._groups)

    def largest(self, limit: int) -> list[SummedGroup]:
        """The groups with the largest changes, largest first, then by their columns' values."""

        def rank(group: SummedGroup) -> tuple[int, int, int, tuple[str, ...]]:
            units, amount, rows = group[1].size
            return -units, -amount, -rows, tuple(map(str, group[0]))

        return sorted(self._groups.items(), key=rank)[:limit]
