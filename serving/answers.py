"""Answers about one id from a reader's store, in the forms of schemas/answers.py.

A known id without sales in a cycle is answered with zeros; an unknown id is not answered (None).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from schemas import times
from schemas.answers import CycleAnswer, CycleSpan, Freshness, ServiceRulesAnswer
from schemas.errors import NetsoldError
from serving.badges import Counts
from serving.fresh_json import fresh_json
from serving.id_reads import NOTHING_SOLD, IdReads
from tables.report import all_time, span

if TYPE_CHECKING:
    from schemas.answers import State
    from serving.fresh_json import FreshJson
    from serving.heads import Heads
    from serving.kept_answers import KeptAnswers
    from serving.progress import TableProgress
    from serving.store import Snapshot
    from serving.subjects import Subject
    from tables.terms import Terms

Sales = TypeVar("Sales", bound=CycleAnswer)
"""An answer about an id in a cycle."""


class NothingYet(NetsoldError):
    """No event has been applied, so no cycle is current."""


class Source(NamedTuple):
    """A snapshot of the store, its heads of lists, and answers made of this snapshot and others.

    `step` is the last one that had ended before the snapshot.
    """

    snapshot: Snapshot
    heads: Heads
    kept: KeptAnswers
    step: int


class Answers(IdReads):
    """What one snapshot of the store answers; `now_ms` is when it answers, for the lag.

    For one request, in one thread. `state` is that of the whole way, as last judged.
    """

    def __init__(
        self,
        source: Source,
        terms: Terms,
        now_ms: int,
        state: State,
    ) -> None:
        super().__init__(source.snapshot, terms)
        self.source = source
        self.progress = source.snapshot.progress
        self.state = state
        self._now_ms = now_ms

    @property
    def service_rules(self) -> ServiceRulesAnswer:
        """The settings by which replies were counted."""
        return ServiceRulesAnswer(**self.terms.service.answer())

    def freshness(self, progress: TableProgress) -> Freshness:
        """The progress of tables as it is answered."""
        through_ms = progress.through_ms
        return Freshness(
            as_of=None if through_ms is None else times.format_ms(through_ms),
            applied=progress.applied,
            lag_seconds=self._lag_seconds(progress),
            state=self._state,
            version=self.snapshot.version,
        )

    @property
    def _state(self) -> State:
        return self.state if self.progress.live else "restoring"

    def _lag_seconds(self, progress: TableProgress) -> float | None:
        through_ms = progress.through_ms
        return None if through_ms is None else max(0, self._now_ms - through_ms) / 1000

    def fresh_json(self, *names: str) -> FreshJson:
        """The JSON of the freshness of these tables together."""
        progress = self.progress.of(*names)
        lag_seconds = self._lag_seconds(progress)
        return fresh_json(progress.text, lag_seconds, self._state, self.snapshot.version)

    def freshness_of(self, *names: str) -> Freshness:
        """The freshness of the tables (or the journal) of these names together."""
        return self.freshness(self.progress.of(*names))

    def current_cycle(self, *names: str) -> int:
        """The start of the cycle that contains the earliest watermark of these tables (C1, C2).

        Raises NothingYet.
        """
        return self.calendar.start_of(self.event_ms(*names))

    def event_ms(self, *names: str) -> int:
        """The earliest watermark of these tables, which decides the current cycle.

        Raises NothingYet.
        """
        earliest_ms = self.progress.of(*names).earliest_ms
        if earliest_ms is None:
            raise NothingYet
        return earliest_ms

    def span(self, start_ms: int) -> CycleSpan:
        """A cycle as it is answered."""
        return CycleSpan(**span(self.calendar, start_ms))

    def about(self, subject: Subject[Sales], id_: str, start_ms: int | None) -> Sales | None:
        """The answer about an id in a cycle, the current one if None; None if it is unknown.

        Raises NothingYet.
        """
        key = id_.encode()
        if start_ms is None:
            if not self.is_known(subject.keyed_by, key):
                return None
            start_ms = self.current_cycle(*subject.tables)
        found = self.fields(subject.keyed_by, key, start_ms, is_whole=True)
        if found is None:
            return None
        return subject.form(**found | {"freshness": self.freshness_of(*subject.tables)})

    def counts(self, subject: Subject[Any], id_: str, start_ms: int | None) -> Counts | None:
        """What a badge shows of an id in a cycle, the current one if None; None if it is unknown.

        Raises NothingYet.
        """
        keyed_by, key = subject.keyed_by, id_.encode()
        cycles = self.sales_by_cycle(keyed_by, key)
        if not cycles and not self.is_known(keyed_by, key):
            return None
        if start_ms is None:
            start_ms = self.current_cycle(*subject.tables)
        tally = cycles.get(start_ms, NOTHING_SOLD)
        return Counts(tally.sold_monthly(self.terms.sold_monthly_basis), all_time(cycles))
