"""Answers about one id from a reader's store, in the forms of schemas/answers.py.

An id is known when a table has a row of it or any order names it. A known id without sales in a
cycle is answered with zeros; an unknown id is not answered (None).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from schemas import times
from schemas.answers import CycleAnswer, CycleSpan, Freshness, ServiceRulesAnswer
from schemas.errors import NetsoldError
from serving import keys
from tables import figures, sales, service
from tables.catalogue import READER_TABLES, find_table
from tables.report import all_time, sold, span
from tables.sales import Tally

if TYPE_CHECKING:
    from schemas.answers import State
    from serving.progress import TableProgress
    from serving.store import Snapshot
    from serving.subjects import Subject
    from tables.catalogue import Table
    from tables.cycles import Calendar
    from tables.service_hours import ServiceRules

Sales = TypeVar("Sales", bound=CycleAnswer)
"""An answer about an id in a cycle."""

_NOTHING_SOLD: Final = Tally()


class NothingYet(NetsoldError):
    """No event has been applied, so no cycle is current."""


class Answers:
    """What one snapshot of the store answers; `now_ms` is when it answers, for the lag.

    For one request, in one thread. `state` is that of the whole way, as last judged.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        calendar: Calendar,
        rules: ServiceRules,
        now_ms: int,
        state: State = "unknown",
    ) -> None:
        self.snapshot = snapshot
        self.calendar = calendar
        self.progress = snapshot.progress
        self.state = state
        self._rules = rules
        self._now_ms = now_ms

    @property
    def service_rules(self) -> ServiceRulesAnswer:
        """The settings by which replies were counted."""
        return ServiceRulesAnswer(**self._rules.answer())

    def freshness(self, progress: TableProgress) -> Freshness:
        """The progress of tables as it is answered."""
        through_ms = progress.through_ms
        return Freshness(
            as_of=None if through_ms is None else times.format_ms(through_ms),
            applied=progress.applied,
            lag_seconds=None if through_ms is None else max(0, self._now_ms - through_ms) / 1000,
            state=self.state if self.progress.live else "restoring",
        )

    def freshness_of(self, *names: str) -> Freshness:
        """The freshness of the tables (or the journal) of these names together."""
        return self.freshness(self.progress.of(*names))

    def current_cycle(self, *names: str) -> int:
        """The start of the cycle that contains the earliest watermark of these tables (C1, C2).

        Raises NothingYet.
        """
        earliest_ms = self.progress.of(*names).earliest_ms
        if earliest_ms is None:
            raise NothingYet
        return self.calendar.start_of(earliest_ms)

    def span(self, start_ms: int) -> CycleSpan:
        """A cycle as it is answered."""
        return CycleSpan(**span(self.calendar, start_ms))

    def about(self, subject: Subject[Sales], id_: str, start_ms: int | None) -> Sales | None:
        """The answer about an id in a cycle, the current one if None; None if it is unknown.

        Raises NothingYet.
        """
        keyed_by, key = subject.keyed_by, id_.encode()
        if not self.is_known(keyed_by, key):
            return None
        if start_ms is None:
            start_ms = self.current_cycle(*subject.tables)
        found = self.in_cycle(keyed_by, key, start_ms) | self._service_all_time(keyed_by, key)
        return subject.form(**found | {"freshness": self.freshness_of(*subject.tables)})

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

    def in_cycle(self, keyed_by: str, id_: bytes, start_ms: int) -> dict[str, Any]:
        """Sales of an id in a cycle, and service where a table has it; zeros without rows."""
        found = self.sold_in(keyed_by, id_, start_ms)
        table = find_table(keyed_by, "service", windowed=True)
        if table is not None:
            found["service"] = self._service(keyed_by, keys.row(keys.space(table), id_, start_ms))
        return found

    def _service_all_time(self, keyed_by: str, id_: bytes) -> dict[str, Any]:
        """Service of all time, with the rules of replies, where a table has it."""
        table = find_table(keyed_by, "service", windowed=False)
        if table is None:
            return {}
        return {
            "service_all_time": self._service(keyed_by, keys.space(table) + id_),
            "service_rules": self.service_rules,
        }

    def _service(self, keyed_by: str, row: bytes) -> dict[str, Any]:
        """The figures of a row of service; those of no service without a row."""
        state = self.snapshot.get(row)
        return figures.FIGURES[keyed_by]({} if state is None else service.decode(state).columns)

    def sold_in(self, keyed_by: str, id_: bytes, start_ms: int) -> dict[str, Any]:
        """Sales of an id in a cycle; zeros without a row."""
        cycles = self._sales(keyed_by, id_)
        tally = cycles.get(start_ms, _NOTHING_SOLD)
        return {keyed_by: id_.decode()} | sold(self.calendar, start_ms, tally, all_time(cycles))

    def _sales(self, keyed_by: str, id_: bytes) -> dict[int, Tally]:
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
