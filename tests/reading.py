"""A reader without Kafka: the real stages' changelogs with marks, fed to the real store."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from schemas.positions import Position
from schemas.shown_answers import Shown
from serving.conditional import with_freshness
from serving.indexing import IndexIdentity
from serving.reader import Reader, end
from serving.store import Identity, now_ms
from serving.turns import whole
from streams.build import this_build
from streams.dead_letters import parked_headers
from streams.log import At, FollowStep, WrittenBy
from streams.marks import MARK_KEY, Mark, encode_mark
from streams.observe import Group, Member, Observation, PartitionSeen, TopicSeen
from streams.settings import Settings
from streams.single_records import SingleRecords
from streams.unapplied import UnappliedRecord
from tables.catalogue import (
    CHATS_TOPIC,
    DEAD_LETTERS_TOPIC,
    ORDERS_TOPIC,
    SALES_TOPIC,
    STAGES,
    StageSpec,
)
from tables.outcome import Outcome
from tests.flow import PARTITIONS, Flow, Record, binary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
    from pathlib import Path

    from serving.conditional import Rendered


EVENTS = (ORDERS_TOPIC, CHATS_TOPIC)
INDEXED = (ORDERS_TOPIC, DEAD_LETTERS_TOPIC)


class Changelogs(Flow):
    """A pipeline in memory that also keeps the changelog of each table partition."""

    def __init__(self, settings: Settings, chunk: Callable[[], int] = lambda: 4000) -> None:
        reader = Reader(settings)
        super().__init__(settings.terms.calendar, chunk, settings.terms.service)
        self.app = settings.app
        self.topics = {name: topic for topic, name in reader.names.items()}
        self.begins = 0
        """The first offset that the logs still have."""

        self.changelogs: dict[At, list[Record]] = {
            (topic, partition): [] for topic in reader.names for partition in range(PARTITIONS)
        }

    def _commit(self, at: At, outcome: Outcome, spec: StageSpec) -> None:
        super()._commit(at, outcome, spec)
        for offset, refusal in outcome.parked:
            record, position = self.logs[at][offset], Position(*at, offset)
            headers = parked_headers(record, position, refusal, self.app)
            self.send(DEAD_LETTERS_TOPIC, record.key, record.value or b"", headers, at[1])
        progress = outcome.progress
        mark = Mark(
            *[getattr(progress, name) for name in progress.__struct_fields__],
            topic=at[0],
            topic_id="id",
            partition=at[1],
            build=str(this_build()),
        )
        for name, writes in outcome.writes.items():
            if name in self.topics:
                log = self.changelogs[self.topics[name], at[1]]
                for key, value in (*writes.items(), (MARK_KEY, encode_mark(mark))):
                    log.append(Record(self.topics[name], at[1], len(log), 0, key, value, []))

    def take(
        self, events: Iterable[Mapping[str, Any]], form: Callable[[Mapping[str, Any]], Any] = binary
    ) -> Self:
        """Write events, run all stages, and update the journal."""
        super().take(events, form)
        self._update_journal()
        return self

    def tick(self, at_ms: int) -> Self:
        """Advance the event time of every source partition, and update the journal."""
        super().tick(at_ms)
        self._update_journal()
        return self

    def _update_journal(self) -> None:
        journal = self.topics["journal"]
        for partition in range(PARTITIONS):
            self.changelogs[journal, partition] = [
                record._replace(topic=journal) for record in self.logs.get(("sales", partition), [])
            ]


class LogInMemory(SingleRecords):
    """Reads single records from logs in memory; `deleted` has the first offset that is left."""

    def __init__(self, logs: Flow) -> None:
        self._logs = logs
        self.deleted: dict[At, int] = {}

    async def close(self) -> None:
        pass

    async def read(
        self, wanted: Mapping[At, Collection[int]], within_s: float
    ) -> dict[At, dict[int, Any]]:
        """The records at these offsets."""
        assert within_s > 0
        return {
            at: {
                offset: self._logs.logs[at][offset]
                for offset in offsets
                if offset >= self.deleted.get(at, 0)
            }
            for at, offsets in wanted.items()
        }


class FedReader(Reader):
    """A reader that the test feeds.

    `feed` gives it the unread records of the changelogs, in one step or several.
    """

    def __init__(self, settings: Settings, logs: Changelogs) -> None:
        super().__init__(settings)
        self.logs = logs
        self.open()

    def open(self) -> None:
        """Open the store, as a process does at its start."""
        identity = Identity(
            "cluster",
            self.settings.app,
            dict.fromkeys(self.names, "id"),
            2,
            self.settings.terms.calendar.length_ms,
            self.settings.terms.calendar.anchor_ms,
            "r",
        )
        self.applier = self.open_store(identity, dict.fromkeys(self.logs.changelogs, 0))
        self.store = self.applier.store
        self._fetched = dict(self.applier.positions)
        ids = dict.fromkeys(INDEXED, "id")
        self.indexing = self.index.open_store(
            IndexIdentity("cluster", self.settings.app, ids, PARTITIONS),
            {(topic, partition): 0 for topic in INDEXED for partition in range(PARTITIONS)},
        )
        self.index.log = LogInMemory(self.logs)
        self.index.waiting_for = ""

    def close(self) -> None:
        """Release the files of both stores."""
        super().close()
        self.index.close()

    def reopen(self) -> None:
        """Close and open again, on the same files."""
        self.close()
        self.open()

    async def written_by(self, at_ms: int) -> dict[At, WrittenBy]:
        """By the times of the records in the logs, as Kafka finds it."""
        found = {}
        for topic in (ORDERS_TOPIC, SALES_TOPIC):
            for partition in range(PARTITIONS):
                log = self.logs.logs.get((topic, partition), [])
                after = next((record for record in log if record.timestamp > at_ms), None)
                end = len(log) if after is None else after.offset
                next_ms = None if after is None else after.timestamp
                found[topic, partition] = WrittenBy(self.logs.begins, end, next_ms)
        return found

    def observe(self, members: Iterable[str] = ("worker",), **more: Any) -> None:  # noqa: ANN401 - any field of an observation
        """Observe a healthy cluster with these logs, all partitions shared among the members.

        `more` replaces fields of the observation.
        """
        names = tuple(members)
        read = [
            (self.settings.topic(stage.source), partition)
            for stage in STAGES
            for partition in range(PARTITIONS)
        ]
        readers = [
            Member(name, "127.0.0.1", frozenset(read[number :: len(names)]))
            for number, name in enumerate(names)
        ]
        ends = {
            (topic, number): len(self.logs.logs.get((topic, number), []))
            for topic in EVENTS
            for number in range(PARTITIONS)
        }
        seen = TopicSeen(
            "id", {number: PartitionSeen(1, (1,), (1,)) for number in range(PARTITIONS)}, 1
        )
        topics = dict.fromkeys({topic for topic, _ in read} | set(self.names), seen)
        written = UnappliedRecord(0, now_ms())
        self.watch.letters.uncounted = None
        observation = Observation(
            at_ms=now_ms(),
            brokers={1: True},
            topics=topics,
            beginnings=dict.fromkeys(ends, 0),
            ends=ends,
            group=Group("Stable" if readers else "Empty", tuple(readers), ends),
            waiting=dict.fromkeys(ends, written),
        )
        self.watch.observed(replace(observation, **more))

    def feed(self, *, most: int = 10**9, only: Iterable[At] | None = None) -> bool:
        """Apply one step with at most `most` records of each partition; False if none was left.

        Like Kafka's consumer, it remembers what it fetched, and not what was applied.
        """
        position = self._fetched
        records = {
            at: log[position[at] : position[at] + most]
            for at, log in self.logs.changelogs.items()
            if only is None or at in only
        }
        records = {at: some for at, some in records.items() if some}
        after = {at: position[at] + len(records.get(at, [])) for at in position}
        ends = {at: len(log) for at, log in self.logs.changelogs.items()}
        self._fetched = after
        behind = frozenset(at for at in after if after[at] < ends[at])
        whole(self.applier.apply(FollowStep(records, after, ends, behind)))
        self.feed_index()
        self.observe()
        return bool(records)

    def feed_index(self, *, most: int = 10**9) -> bool:
        """Apply one step of the unread events and dead letters to the index, as `feed`."""
        before, logs = self.indexing.positions, self.logs.logs
        records = {
            at: logs.get(at, [])[position : position + most] for at, position in before.items()
        }
        after = {at: position + len(records[at]) for at, position in before.items()}
        ends = {at: len(logs.get(at, [])) for at in before}
        behind = frozenset(at for at in after if after[at] < ends[at])
        whole(self.indexing.apply(FollowStep(records, after, ends, behind)))
        return any(records.values())


def settings_in(directory: Path) -> Settings:
    """Settings that need no broker."""
    return Settings(_env_file=None, partitions=PARTITIONS, data_dir=directory)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Reader]:
    """A running reader."""
    reader = Reader(settings)
    task = asyncio.create_task(reader.run())
    try:
        yield reader
        assert not task.done(), task
    finally:
        await end(task)
        with suppress(asyncio.CancelledError):
            task.result()


def form_of(answer: Rendered) -> Any:  # noqa: ANN401 - any form of schemas/shown_answers.py
    """The form of an answer. Its JSON has exactly what the form's has, in the form's order."""
    text = with_freshness(answer.content, answer.freshness.json)
    found: Any = answer.form.model_validate_json(text)
    assert found.model_dump_json(exclude={"freshness"}) == answer.content
    assert found.freshness.model_dump_json() == answer.freshness.json
    return found


def of_reports(item: dict[str, Any]) -> dict[str, Any]:
    """A product or a shop of an answer as the table of its sales has it.

    Without its service, and without what a reader adds.
    """
    return {
        name: value for name, value in item.items() if name not in {*Shown.model_fields, "service"}
    }
