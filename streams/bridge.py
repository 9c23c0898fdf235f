"""Reads a topic of another system and writes the events that its records make, exactly once.

Each transaction has the events of some records, dead letters for what makes none, and the offsets
behind them: so a bridge that is killed leaves neither a gap nor a repeat. Its group is its own, so
the offsets that are committed are where it continues.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from schemas import limits
from schemas.errors import NetsoldError
from schemas.positions import Position
from schemas.refusals import Refusal
from streams import groups, log, topics
from streams.dead_letters import parked_headers
from streams.fenced_writer import FencedWriter
from streams.log import parts_of
from streams.partitioning import partition_of
from streams.producers import StrictProducer
from streams.transactions import send_records
from tables.catalogue import DEAD_LETTERS_TOPIC

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.envelope import Record
    from streams.log import At, FollowStep
    from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class Bridged:
    """A record for one of our topics, by its name without the prefix."""

    topic: str
    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]]


Convert = Callable[["Record"], "Sequence[Bridged] | Refusal"]
"""The records that one of the other system makes, all of them or none; empty: it is left out."""

_Headers = list[tuple[str, bytes]]
_Sends = defaultdict["At", list[tuple[tuple[bytes | None, bytes | None], _Headers]]]


class BridgeInDoubt(NetsoldError):
    """It is not known whether the last transaction of a bridge was committed."""


class BridgeFenced(BridgeInDoubt):
    """Another bridge of the same topic has started."""


class BridgeUnfit(NetsoldError):
    """The topic is not the one that the bridge read before, or has lost what it did not read."""

    exit_code = 5


@dataclass(slots=True)
class BridgeCounts:
    """What a process has committed: records read, left out, parked, and events written."""

    records: int = 0
    left_out: int = 0
    parked: int = 0
    events: int = 0


def bridge_group(settings: Settings, topic: str) -> str:
    """The group and the transactional id of the bridge of a topic."""
    return f"{settings.app}-bridge-{topic}"


class Bridge(FencedWriter):
    """The one process that bridges a topic."""

    in_doubt = BridgeInDoubt
    fenced = BridgeFenced
    rival = "another bridge of this topic runs now"
    remedy = "one of them is enough: what is committed is written once"

    def __init__(
        self,
        settings: Settings,
        topic: str,
        convert: Convert,
        connect: Callable[[Settings, str], Any] = StrictProducer,
    ) -> None:
        self._group = bridge_group(settings, topic)
        super().__init__(settings, self._group, connect)
        self._topic, self._convert = topic, convert
        self._topic_id = ""
        self.counts = BridgeCounts()
        self.left: int | None = None
        """Offsets that are not read yet; None before the first reading."""

    async def run(self, stop: asyncio.Event) -> None:
        """Bridge until `stop` is set. Raises BridgeUnfit, BridgeInDoubt, and as `log.follow`."""
        positions = await self._starts()
        async with aclosing(log.follow(self._settings, positions, _most_records)) as steps:
            async for step in steps:
                for part in parts_of(step, positions, limits.COPY_RECORDS):
                    if part.count:
                        await self._write(part)
                    positions = dict(part.positions)
                self.left = sum(step.ends[at] - step.positions[at] for at in step.ends)
                if stop.is_set():
                    return

    async def _starts(self) -> dict[At, int]:
        """Where each partition continues. Raises BridgeUnfit."""
        topic = self._topic
        found = (await topics.ids_of(self._settings, [topic])).get(topic)
        if found is None:
            raise BridgeUnfit(f"{topic}: there is no such topic on this cluster: see its name")
        self._topic_id = found
        beginnings, ends = await log.bounds(self._settings, [topic])
        own = self._settings.model_copy(update={"app": self._group})
        committed = {
            (tp.topic, tp.partition): one
            for tp, one in (await groups.committed(own)).items()
            if tp.topic == topic and one.offset >= 0
        }
        starts = {}
        for at, beginning in beginnings.items():
            known = committed.get(at)
            if known is None:
                starts[at] = beginning
                continue
            where = f"{topic}-{at[1]}"
            if known.metadata != found:
                raise BridgeUnfit(
                    f"{where}: the group {self._group} has read another topic of this name: delete"
                    " the group's offsets to read this one from its beginning"
                )
            if not beginning <= known.offset <= ends[at]:
                raise BridgeUnfit(
                    f"{where}: the bridge continues at {known.offset}, and the log has"
                    f" {beginning} to {ends[at]}: records were deleted before they were read; to go"
                    " on without them, delete the group's offsets"
                )
            starts[at] = known.offset
        return starts

    async def _write(self, step: FollowStep) -> None:
        """Write what the records of a step make, in one transaction."""
        counts = BridgeCounts()
        sends = self._made(step.records, counts)
        offsets = {
            TopicPartition(*at): OffsetAndMetadata(step.positions[at], self._topic_id)
            for at in step.records
        }
        async with self._transaction() as producer:
            await producer.begin_transaction()
            sent = []
            for (topic, partition), items in sends.items():
                pairs, headers = [pair for pair, _ in items], [one for _, one in items]
                sent += await send_records(producer, topic, partition, pairs, headers)
            # aiokafka counts a failed batch as flushed, so each future is awaited
            await asyncio.gather(*(future for future, _ in sent))
            await producer.send_offsets_to_transaction(offsets, self._group)
            await producer.commit_transaction()
        self.counts.records += counts.records
        self.counts.left_out += counts.left_out
        self.counts.parked += counts.parked
        self.counts.events += counts.events

    def _made(self, records: Mapping[At, Sequence[Record]], counts: BridgeCounts) -> _Sends:
        """What is written, by topic and partition; `counts` gets how much it is."""
        settings, sends = self._settings, _Sends(list)
        for at, some in records.items():
            for record in some:
                counts.records += 1
                made = self._convert(record)
                if isinstance(made, Refusal):
                    counts.parked += 1
                    sends[self._letters_of(at)].append(self._letter(at, record, made))
                    continue
                counts.left_out += not made
                counts.events += len(made)
                for one in made:
                    topic = settings.topic(one.topic)
                    number = partition_of(
                        one.key, settings.partitions_of(topic), settings.partitioner_of(topic)
                    )
                    sends[topic, number].append(((one.key, one.value), one.headers))
        return sends

    def _letters_of(self, at: At) -> At:
        topic = self._settings.topic(DEAD_LETTERS_TOPIC)
        return topic, at[1] % self._settings.partitions_of(topic)

    def _letter(
        self, at: At, record: Record, refusal: Refusal
    ) -> tuple[tuple[bytes | None, bytes | None], _Headers]:
        position = Position(*at, record.offset)
        headers = parked_headers(record, position, refusal, self._settings.app)
        return (record.key, record.value), headers


_RECORDS: Final = limits.COPY_RECORDS


def _most_records() -> int:
    return _RECORDS
