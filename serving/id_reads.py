"""What a snapshot of the store has about one id, as the fields of its answer.

An id is known when a table has a row of it or any order names it. A known id without sales in a
cycle has zeros.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from serving import keys
from serving.naming import names_of
from serving.same_point import compared
from tables import figures, sales, service
from tables.catalogue import READER_TABLES, find_table
from tables.report import all_time, sold
from tables.sales import Tally

if TYPE_CHECKING:
    from collections.abc import Mapping

    from serving.store import Snapshot
    from tables.catalogue import Table
    from tables.terms import Terms

NOTHING_SOLD: Final = Tally()


class IdReads:
    """Reads of one snapshot, in one thread."""

    def __init__(self, snapshot: Snapshot, terms: Terms) -> None:
        self.snapshot = snapshot
        self.terms, self.calendar = terms, terms.calendar

    def fields(
        self, keyed_by: str, id_: bytes, start_ms: int, *, is_whole: bool
    ) -> dict[str, Any] | None:
        """The fields of the answer about an id in a cycle, in their order, without freshness.

        With what is of all time if it `is_whole`. None if the id is unknown.
        """
        cycles = self.sales_by_cycle(keyed_by, id_)
        if not cycles and not self.is_known(keyed_by, id_):
            return None
        found = self.shown_in(keyed_by, id_, start_ms, cycles)
        table = find_table(keyed_by, "service", windowed=True)
        if table is not None:
            found["service"] = self._service(keyed_by, keys.row(keys.space(table), id_, start_ms))
        return found | self._service_all_time(keyed_by, id_) if is_whole else found

    def is_known(self, keyed_by: str, id_: bytes) -> bool:
        """Whether a table with this key has a row of an id, or an order names it."""
        named = keys.NAMED.get(keyed_by)
        return (named is not None and self.snapshot.get(named + id_) is not None) or any(
            self._has_row(table, id_) for table in READER_TABLES if table.keyed_by == keyed_by
        )

    def _has_row(self, table: Table, id_: bytes) -> bool:
        if table.windowed:
            return next(self.snapshot.walk(keys.subject(keys.space(table), id_)), None) is not None
        return self.snapshot.get(keys.space(table) + id_) is not None

    def _service_all_time(self, keyed_by: str, id_: bytes) -> dict[str, Any]:
        """Service of all time, with the rules of replies, where a table has it."""
        table = find_table(keyed_by, "service", windowed=False)
        if table is None:
            return {}
        return {
            "service_all_time": self._service(keyed_by, keys.space(table) + id_),
            "service_rules": self.terms.service.answer(),
        }

    def _service(self, keyed_by: str, row: bytes) -> dict[str, Any]:
        """The figures of a row of service; those of no service without a row."""
        state = self.snapshot.get(row)
        if state is None:
            return no_service(keyed_by)
        return figures.FIGURES[keyed_by](service.decode(state).columns)

    def shown_in(
        self, keyed_by: str, id_: bytes, start_ms: int, cycles: Mapping[int, Tally]
    ) -> dict[str, Any]:
        """What a reader adds to the sales of an id in a cycle, and these, zeros without a row."""
        tally = cycles.get(start_ms, NOTHING_SOLD)
        point = compared(self.snapshot, self.calendar, keyed_by, id_, start_ms)
        return {
            **names_of(self.snapshot, keyed_by, id_),
            "restatements": tally.restatements,
            "same_point": None if point is None else point.answer(),
            keyed_by: id_.decode(),
            **sold(self.terms, start_ms, tally, all_time(cycles)),
        }

    def sales_by_cycle(self, keyed_by: str, id_: bytes) -> dict[int, Tally]:
        """The sales of an id by cycle.

        All time is their sum, so that one answer comes from one partition at one mark.
        """
        table = find_table(keyed_by, "sales", windowed=True)
        if table is None:
            return {}
        return {
            keys.split_row(key)[1]: sales.decode(state)
            for key, state in self.snapshot.walk(keys.subject(keys.space(table), id_))
        }


@cache
def no_service(keyed_by: str) -> dict[str, Any]:
    """The figures of an id without service; not to be changed."""
    return figures.FIGURES[keyed_by]({})
