"""The workers' stages over tables in memory: events in, tables out. No Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self
from zlib import crc32

import msgspec

from schemas import envelope, journal
from schemas.events import topic_of
from schemas.refusals import Refusal
from streams.partitioning import partition_of
from tables import catalogue
from tables.catalogue import StageSpec
from tables.journal_stage import JournalStage
from tables.outcome import Outcome
from tables.report import report
from tables.stages import AnyStage, stages
from tables.terms import Terms
from tables.watermarks import Progress

PARTITIONS = 2


class Record(NamedTuple):
    """A Kafka record."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def binary(event: Mapping[str, Any]) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """An event as CloudEvents in binary mode."""
    return envelope.encode(event)


def reading(stage: AnyStage, records: Iterable[Record]) -> list[tuple[int, Any]]:
    """A chunk as a stage reads it."""
    return [(record.offset, stage.read(record)) for record in records]


class Rows(dict[bytes, bytes | None]):
    """A table's rows for a stage: None where there is none."""

    def __missing__(self, key: bytes) -> None:
        return None

    def get_many(self, keys: Sequence[bytes], /) -> list[bytes | None]:
        """The rows of some keys."""
        return [self[key] for key in keys]


class Flow:
    """A pipeline's logs and tables. `chunk` is the number of records that a stage reads at once."""

    def __init__(self, terms: Terms, chunk: Callable[[], int] = lambda: 4000) -> None:
        self.terms = terms
        self.tables: dict[str, dict[bytes, bytes]] = {table.name: {} for table in catalogue.TABLES}
        self.rows: dict[tuple[str, int], dict[bytes, bytes]] = {
            (table.name, partition): {}
            for table in catalogue.TABLES
            for partition in range(PARTITIONS)
        }
        self.logs: dict[tuple[str, int], list[Record]] = {}
        self.progress: dict[tuple[str, int], Progress] = {}
        self.parked: list[Refusal] = []
        self.entries: list[journal.Entry] = []
        self.alerts: list[dict[str, Any]] = []
        self.clock_ms = 0
        """When records are written."""

        self._chunk = chunk

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes,
        headers: Sequence[tuple[str, bytes]],
        partition: int | None = None,
    ) -> None:
        """Append a record to the partition of its key."""
        if partition is None:
            partition = crc32(key or b"") % PARTITIONS
        log = self.logs.setdefault((topic, partition), [])
        log.append(Record(topic, partition, len(log), self.clock_ms, key, value, headers))

    def take(
        self, events: Iterable[Mapping[str, Any]], form: Callable[[Mapping[str, Any]], Any] = binary
    ) -> Self:
        """Write events to their topics, and run all stages until nothing is left to do."""
        for event in events:
            self.send(topic_of(event["type"]), *form(event))
        return self.run()

    def tick(self, at_ms: int) -> Self:
        """Advance event time to an instant in every partition of events, and run all stages."""
        value, headers = envelope.tick(at_ms)
        for topic in (catalogue.ORDERS_TOPIC, catalogue.CHATS_TOPIC):
            for partition in range(PARTITIONS):
                self.send(topic, None, value, headers, partition)
        return self.run()

    def run(self) -> Self:
        """Run all stages until nothing is left to do."""
        for stage in stages(self.terms, 1000, partitions=PARTITIONS):
            for at in sorted(at for at in self.logs if at[0] == stage.spec.source):
                while self._step(stage, at):
                    self._end_cycles(stage, at)
                self._end_cycles(stage, at)
        return self

    def _end_cycles(self, stage: AnyStage, at: tuple[str, int]) -> None:
        def walk(table: str, behind: bytes) -> Iterator[tuple[bytes, bytes]]:
            return iter(sorted(row for row in self.rows[table, at[1]].items() if row[0] > behind))

        while isinstance(stage, JournalStage) and stage.must_end_cycles(
            self.progress.get(at, Progress())
        ):
            states = self._states(stage, at)
            place, progress = f"{at[0]}-{at[1]}", self.progress[at]
            self._commit(at, stage.end_cycles(place, walk, states, progress), stage.spec)

    def _states(self, stage: AnyStage, at: tuple[str, int]) -> dict[str, Rows]:
        return {table.name: Rows(self.rows[table.name, at[1]]) for table in stage.spec.tables}

    def _step(self, stage: AnyStage, at: tuple[str, int]) -> bool:
        begin = self.progress.get(at, Progress()).offset + 1
        records = self.logs[at][begin : begin + self._chunk()]
        readings = reading(stage, records)
        states = self._states(stage, at)
        outcome = stage.fold(f"{at[0]}-{at[1]}", readings, states, self.progress.get(at))
        self._commit(at, outcome, stage.spec)
        return bool(records) and not outcome.paused

    def _commit(self, at: tuple[str, int], outcome: Outcome, spec: StageSpec) -> None:
        for name, writes in outcome.writes.items():
            for key, state in writes.items():
                for rows in (self.tables[name], self.rows[name, at[1]]):
                    if state is None:
                        rows.pop(key, None)
                    else:
                        rows[key] = state
        for topic, sent in outcome.sends.items():
            for sent_key, value in sent:  # in the partition that workers choose
                own = topic in spec.publishes
                number = at[1] if own else partition_of(sent_key, PARTITIONS)
                self.send(topic, sent_key, value, [], number)
        written = [
            journal.decode(value) for _, value in outcome.sends.get(catalogue.SALES_TOPIC, [])
        ]
        self.entries += [row for row in written if isinstance(row, journal.Entry)]
        self.alerts += [
            msgspec.json.decode(value) for _, value in outcome.sends.get(catalogue.ALERTS_TOPIC, [])
        ]
        mark = journal.encode(
            journal.ProgressMark(*at, outcome.progress.offset, outcome.progress.watermark_ms)
        )
        for topic in spec.sends:
            for partition in range(PARTITIONS):
                self.send(topic, None, mark, [], partition)
        self.parked += [refusal for _, refusal in outcome.parked]
        self.progress[at] = outcome.progress

    def report(self) -> dict[str, list[dict[str, Any]]]:
        """The tables in the form of `netsold recount`."""
        return report(self.terms, {name: rows.items() for name, rows in self.tables.items()})
