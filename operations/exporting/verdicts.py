"""What the proof of an export finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection

SHOWN: Final = 20
"""Most differences of one check that are named."""


class Difference(msgspec.Struct, frozen=True):
    """What differs: the check that found it, where, and both sides."""

    check: str
    where: str
    recorded: str | None
    found: str | None


class Verdict(msgspec.Struct):
    """The result of a proof; `rows` by dataset as counted, `compared` the tables that were proven.

    `counts` has the number of differences by check, `in_part` the lanes of shops that could not be
    compared.
    """

    number: int
    complete_through: str | None
    files: int
    rows: dict[str, int] = msgspec.field(default_factory=dict)
    compared: list[str] = msgspec.field(default_factory=list)
    in_part: list[str] = msgspec.field(default_factory=list)
    counts: dict[str, int] = msgspec.field(default_factory=dict)
    differences: list[Difference] = msgspec.field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not self.counts

    def differs(self, check: str, where: str, recorded: object, found: object) -> None:
        """Count a difference, and name it if few of its check are named."""
        self.counts[check] = self.counts.get(check, 0) + 1
        if self.counts[check] <= SHOWN:
            both = [None if one is None else str(one) for one in (recorded, found)]
            self.differences.append(Difference(check, where, *both))


def rows_of(connection: DuckDBPyConnection, query: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a query, some at a time."""
    found = connection.execute(query)
    while some := found.fetchmany(1000):
        yield from some
