"""How the lists of two reports differ, row by row."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from schemas.money import shown
from tables.catalogue import REPORT_LISTS
from tables.report import ReportRow, sort_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

MOST_ROWS: Final = 1000
"""Most rows of a list that are kept: no command shows more. All are counted."""

_OF_MONEY: Final = {"revenue", "amounts"}
"""Fields of a row that have money by currency."""


@dataclass(frozen=True, slots=True)
class DifferentRow:
    """A row that two versions have differently; None where one has no such row."""

    key: dict[str, str]
    first: ReportRow | None
    second: ReportRow | None

    def changes(self, firsts: str, seconds: str) -> list[str]:
        """The fields that differ, such as `units.gross 5 → 6`, between versions of these names."""
        if self.first is None or self.second is None:
            return [f"only in {seconds if self.first is None else firsts}"]
        return [
            f"{'.'.join(path)} {_shown(path, first)} → {_shown(path, second)}"
            for path, first, second in self._differing()
        ]

    def fields(self) -> list[tuple[str, Any, Any]]:
        """(name, value in the first, value in the second) of each field that differs.

        None where one has no such field; empty where one has no such row.
        """
        if self.first is None or self.second is None:
            return []
        return [(".".join(path), first, second) for path, first, second in self._differing()]

    def _differing(self) -> list[tuple[Path, Any, Any]]:
        first, second = dict(_flat(self.first or {})), dict(_flat(self.second or {}))
        return [
            (path, first.get(path), second.get(path))
            for path in first | second
            if first.get(path) != second.get(path)
        ]


@dataclass(frozen=True, slots=True)
class MovingRow:
    """A row that could not be compared: it was written so often while that was tried."""

    key: dict[str, str]
    writes: int


@dataclass(frozen=True, slots=True)
class ListComparison:
    """One list of two reports: how many rows are the same, and those that differ.

    `moving` are the rows that could not be compared, since they were still written. `more_…` count
    those of both that are not kept.
    """

    same: int = 0
    different: Sequence[DifferentRow] = ()
    moving: Sequence[MovingRow] = ()
    more_different: int = 0
    more_moving: int = 0

    @property
    def differing(self) -> int:
        """How many rows differ."""
        return len(self.different) + self.more_different

    @property
    def uncompared(self) -> int:
        """How many rows could not be compared."""
        return len(self.moving) + self.more_moving


@dataclass(slots=True)
class Comparison:
    """The lists of two versions, by name.

    `vector` has the first offset that is not compared, by source partition such as `orders-3`: of
    the lists that the journal has. `left_out` says why a list is not compared. Rows that move were
    waited for `waited_s` seconds.
    """

    first: str
    second: str
    vector: dict[str, int] = field(default_factory=dict)
    lists: dict[str, ListComparison] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    waited_s: float = 0.0

    def differences(self) -> dict[str, int]:
        """How many rows differ, of the lists where any does."""
        counts = {name: one.differing for name, one in self.lists.items()}
        return {name: count for name, count in counts.items() if count}

    @property
    def is_whole(self) -> bool:
        """Whether all rows of all lists were compared, and are the same."""
        return not (self.differences() or self.uncompared or self.left_out)

    @property
    def uncompared(self) -> int:
        """How many rows could not be compared."""
        return sum(one.uncompared for one in self.lists.values())

    def lines(self, most: int) -> Iterator[str]:
        """The comparison for people, with at most `most` rows of each list."""
        yield f"from {self.first} to {self.second}:"
        if self.vector:
            ends = ", ".join(f"{name}@{offset}" for name, offset in sorted(self.vector.items()))
            yield f"sales of products and shops are compared before {ends}"
        for name, one in self.lists.items():
            moving = f", {one.uncompared:,} not compared" if one.uncompared else ""
            yield f"{name}: {one.same:,} rows are the same, {one.differing:,} differ{moving}"
            for row in one.different[:most]:
                yield f"  {_named(row.key)}: {', '.join(row.changes(self.first, self.second))}"
            for open_row in one.moving[:most]:
                why = (
                    f"written {open_row.writes:,} times meanwhile"
                    if open_row.writes
                    else "the versions did not have it at one offset yet"
                )
                yield f"  {_named(open_row.key)}: not compared, {why}"
            more = max(0, one.differing - most) + max(0, one.uncompared - most)
            if more:
                yield f"  and {more:,} more rows"
        for name, why in self.left_out.items():
            yield f"{name}: not compared: {why}"
        yield self._verdict()

    def _verdict(self) -> str:
        """How much differs, and of how much that is not known, in one line."""
        rows = sum(one.same + one.differing for one in self.lists.values())
        moving = self.uncompared
        found = f"{sum(self.differences().values()):,} of {rows:,} compared rows differ"
        if not moving:
            return found
        return (
            f"{found}; not known of {moving:,}: in {self.waited_s:.0f} s the versions never held "
            "them at one offset: see `netsold rebuild status`, or wait longer by --within"
        )

    def as_json(self, most: int) -> dict[str, Any]:
        """The comparison with stable names."""
        return {
            "first": self.first,
            "second": self.second,
            "vector": self.vector,
            "lists": {
                name: {
                    "same": one.same,
                    "different": one.differing,
                    "moving": one.uncompared,
                    "rows": [
                        {"key": row.key, "first": row.first, "second": row.second}
                        for row in one.different[:most]
                    ],
                    "moving_rows": [
                        {"key": row.key, "writes": row.writes} for row in one.moving[:most]
                    ],
                }
                for name, one in self.lists.items()
            },
            "left_out": self.left_out,
        }


def compare_rows(
    name: str, first: Iterable[ReportRow], second: Iterable[ReportRow]
) -> ListComparison:
    """How two lists of this name in a report differ."""
    key_of = sort_key(name)
    firsts = {key_of(row): row for row in first}
    seconds = {key_of(row): row for row in second}
    different: list[DifferentRow] = []
    same = more = 0
    for key in sorted(firsts.keys() | seconds.keys()):
        one, other = firsts.get(key), seconds.get(key)
        if one == other:
            same += 1
        elif len(different) < MOST_ROWS:
            different.append(DifferentRow(row_key(name, one or other or {}), one, other))
        else:
            more += 1
    return ListComparison(same, different, more_different=more)


def row_key(name: str, row: Mapping[str, Any]) -> dict[str, str]:
    """What names a row of a report's list: its ids, and the start of its cycle."""
    table = REPORT_LISTS[name]
    fields = {
        "order": ("order_id", "anomaly", "line_id"),
        "overdue": ("shop_id", "buyer_id"),
    }.get(table.form, (table.keyed_by,))
    cycle = {"cycle": row["cycle"]["start"]} if "cycle" in row else {}
    return {field: row[field] for field in fields if field in row} | cycle


def _named(key: Mapping[str, str]) -> str:
    return " ".join(key.values())


Path = tuple[str, ...]
"""Where a field stands in a row: the names that lead to it."""


def _flat(row: Mapping[str, Any], within: Path = ()) -> Iterator[tuple[Path, Any]]:
    for name, value in row.items():
        if isinstance(value, dict):
            yield from _flat(value, (*within, name))
        else:
            yield (*within, name), value


def _shown(path: Path, value: object) -> str:
    """A field's value as people read it: money with the decimals of its currency."""
    if value is None:
        return "none"
    if not isinstance(value, int):
        return str(value)
    for name, currency in pairwise(path):
        if name in _OF_MONEY:
            return shown(currency, value)
    return f"{value:,}"
