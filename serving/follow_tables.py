"""Follows the changelogs and the journal into the store of the tables."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import structlog
from msgspec import structs

from schemas import limits, times
from serving import metrics, reading_apart
from serving.applying import Applier
from serving.changes import Changes
from serving.follow import GATHER_S, AppliedStep, Follower, log_identity, trace_step
from serving.progress import NAMES, NOT_FOLLOWING, SALES_JOURNAL, ReaderProgress
from serving.same_terms import require_terms
from serving.store import Identity, Store, with_readable
from streams import log, topics
from streams.last_marks import last_marks
from tables import catalogue

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from serving.store import LogIdentity, Snapshot
    from streams.log import At, FollowStep
    from streams.settings import Settings

logger = structlog.get_logger()


class TableFollower(Follower[Applier]):
    """Follows the log into the tables, and knows how far they are."""

    def __init__(self, settings: Settings, directory: Path) -> None:
        self.names: Final = {
            topics.changelog(settings, table.name): table.name for table in catalogue.READER_TABLES
        } | {
            settings.topic(catalogue.SALES_TOPIC): SALES_JOURNAL,
            settings.topic(catalogue.NAMES_TOPIC): NAMES,
        }
        super().__init__(settings, self.names)
        self.changes: Final = Changes()
        self.directory: Final = directory
        self.is_beside = False
        """Whether another reader of this process answers: then that comes first."""

        self._logged_live = False

    @property
    def progress(self) -> ReaderProgress:
        """How far the tables are; of no partition before there are any."""
        return NOT_FOLLOWING if self._applier is None else self._applier.store.progress

    @property
    def live(self) -> bool:
        """Whether the tables contain all that the log had when this process began."""
        return self.progress.live

    def snapshot(self) -> Snapshot | None:
        """A snapshot of the store, None before there are tables."""
        if self._applier is None or not self.progress.has_tables:
            return None
        return self._applier.store.snapshot()

    async def identity(self) -> LogIdentity:
        """The identity of the tables. Raises TopicsMissing and TablesByOtherTerms."""
        settings = self.settings
        identity = await log_identity(settings, self.names)
        totals = topics.changelog(settings, catalogue.PRODUCT_TOTALS.name)
        for mark in (await last_marks(settings, [totals])).marks.values():
            if mark is not None:
                require_terms(mark, settings.terms.text)
        return Identity(
            **structs.asdict(identity),
            cycle_ms=settings.terms.calendar.length_ms,
            anchor_ms=settings.terms.calendar.anchor_ms,
            terms=settings.terms.text,
        )

    def new_applier(
        self, former: Applier | None, identity: LogIdentity, beginnings: Mapping[At, int]
    ) -> Applier:
        """An applier to the former one's store, or to the newly opened store of this identity."""
        store = Store(self.directory, identity) if former is None else former.store
        return with_readable(store, lambda: Applier(store, self.names, beginnings, self.changes))

    def following(self, applier: Applier) -> None:
        """Log how far the tables are."""
        self._logged_live = False
        complete = applier.store.progress.complete
        logger.info("following", records_behind=self.remaining(), complete=complete)

    async def steps(self, applier: Applier) -> AsyncGenerator[FollowStep, None]:
        """As `log.follow`; in another process while much is to be read and no other store answers.

        Beside a reader that answers, another process would compete with it for the cores. Steps of
        whole batches are cut, so that answers never wait for a large one.
        """
        positions = applier.positions
        is_long = self.remaining() >= limits.APART_RECORDS
        if is_long and not self.is_beside and reading_apart.has_second_core():
            journals = [topic for topic, name in self.names.items() if name == SALES_JOURNAL]
            logger.info("reading the log in another process", records_behind=self.remaining())
            apart = reading_apart.follow_apart(self.settings, positions, journals)
            async with aclosing(apart) as steps:
                async for step in steps:
                    positions = step.positions
                    yield step
        async with aclosing(log.follow(self.settings, positions, self.most_records)) as steps:
            async for step in steps:
                for part in log.parts_of(step, positions, self.most_records()):
                    yield part
                positions = step.positions

    def most_records(self) -> int:
        """Few once tables are answered from: nothing is answered while a step is written."""
        if self.live:
            return limits.LIVE_RECORDS
        return limits.INDEX_RECORDS if self.is_beside else limits.FOLLOW_RECORDS

    def applied(self, applier: Applier, step: AppliedStep) -> float:
        """Count the records, and log once that the reader is live; pause unless more wait.

        Beside a reader that answers, a step is followed by a pause as long, until this one is live.
        """
        metrics.APPLIED.inc(step.records)
        metrics.APPLY_SECONDS.observe(step.seconds)
        trace_step("tables", step)
        if self.live and not self._logged_live:
            self._logged_live = True
            through_ms = applier.store.progress.of_all().through_ms
            as_of = None if through_ms is None else times.format_ms(through_ms)
            logger.info("live", as_of=as_of)
        if step.fetched < limits.LIVE_RECORDS:
            return GATHER_S
        return step.seconds if self.is_beside and not self.live else 0.0
