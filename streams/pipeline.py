"""A worker's lanes from assignment to revocation: opened, at work, watched for stalls, closed.

`streams/recovery.py` opens lanes, `streams/chunk_processor.py` processes their chunks, and
`streams/assignment.py` closes them after a doubt.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import structlog

from streams.assignment import Assignment, GroupConsumer
from streams.chunk_processor import ChunkProcessor
from streams.errors import Fatal, KafkaUnreachable, StateUnfit
from streams.producers import BROKEN, is_fenced
from streams.stores import StoreDamaged, StoreUnopened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from aiokafka import TopicPartition

    from schemas.envelope import Record
    from streams.fetched import Chunk
    from streams.lanes import Lane
    from streams.recovery import Opener
    from streams.settings import Settings
    from streams.throttle import Throttle
    from streams.waiting import WaitingReport

log = structlog.get_logger()

DRAIN_SECONDS = 5.0
"""How long a revoked partition's last transaction may take; after that it is given up, and the next
owner settles it."""


class Pipeline:
    """All lanes of one worker; `now` is a clock in seconds, `throttle` bounds events a second."""

    def __init__(
        self,
        settings: Settings,
        opener: Opener,
        consumer: GroupConsumer,
        now: Callable[[], float] = time.monotonic,
        throttle: Throttle | None = None,
    ) -> None:
        self.settings = settings
        self._throttle = throttle
        self._opener = opener
        self._now = now
        self._opening = asyncio.Lock()
        self._assignment = Assignment(settings, consumer, now)
        self._processor = ChunkProcessor(self._assignment, now)
        self.waiting.begin(lambda: "the group to assign partitions")

    @property
    def lanes(self) -> Mapping[TopicPartition, Lane]:
        """The lanes that are open, by partition."""
        return self._assignment.lanes

    @property
    def waiting(self) -> WaitingReport:
        """What the worker waits for while no lane is open."""
        return self._assignment.waiting

    async def open(self, assigned: Iterable[TopicPartition]) -> None:
        """Open a lane for every assigned source partition.

        Tries again while Kafka can't be reached. Raises Fatal.
        """
        began, wanted = self._now(), sorted(assigned)
        self.waiting.begin(lambda: "the opening before to end")
        # Faust cancels an opening without waiting for its end, and stores and ids can be opened
        # only once
        async with self._opening:
            try:
                self.waiting.begin(lambda: "the transactions under way to end")
                await self.close()
                self.waiting.begin(self._opener.waits_for)
                lanes = await self._opened(wanted)
            finally:
                self._assignment.stalls.opened(wanted, began)
                self._assignment.sizes.assign(wanted)
            self._assignment.replace(wanted, lanes)
            for partition, lane in self.lanes.items():
                self._processor.announce(partition, lane)

    async def _opened(self, wanted: list[TopicPartition]) -> list[Lane]:
        pause_s = 0.2
        while True:
            try:
                return await self._opener.open(wanted)
            except (StateUnfit, StoreUnopened) as error:
                raise Fatal(str(error)) from error
            except (*BROKEN, KafkaUnreachable, StoreDamaged) as error:
                if is_fenced(error):
                    raise Fatal(
                        "another worker has taken over while this one was opening its partitions: "
                        "leaving, restart to rejoin"
                    ) from error
                task = asyncio.current_task()
                # cancelled: its clean-up has failed, and the next opening waits for its end
                if task is not None and task.cancelling():
                    raise asyncio.CancelledError from error
                log.warning(
                    "partitions can't be opened yet, trying again",
                    error=repr(error),
                    again_in_s=pause_s,
                )
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, 5.0)

    async def close(self) -> None:
        """Wait a bounded time for each lane's last transaction, then close producers and stores."""
        self._assignment.stalls.closed(self.lanes)
        if not self._opening.locked():
            self.waiting.begin(lambda: "the group to assign partitions")
        lanes, self._assignment.lanes = list(self.lanes.values()), {}
        tasks = [lane.commit for lane in lanes if lane.commit is not None and lane.committing]
        try:
            if tasks:
                _, late = await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
                for lane in lanes:
                    lane.give_up()  # a late transaction may not commit any more
                for task in late:
                    task.cancel()
                await asyncio.gather(*late, return_exceptions=True)
        finally:  # also if the wait is cancelled: nothing else refers to these lanes any more
            self._assignment.in_work.clear()
            for lane in lanes:
                await lane.close()

    def give_up(self) -> None:
        """No lane begins or commits anything any more."""
        self._assignment.give_up()

    def decoder_of(self, partition: TopicPartition) -> Callable[[Record], Any]:
        """The decoder of a source partition's records, with its stage's conditions."""
        return self._opener.reading(partition)

    def most_records(self, partition: TopicPartition) -> int:
        """Most records of a partition's next chunk."""
        most = self._assignment.sizes.most_records(partition)
        if self._throttle is not None and self.has_events(partition):
            return min(most, self._throttle.most(sum(map(self.has_events, self.lanes))))
        return most

    def is_busy(self, partition: TopicPartition) -> bool:
        """Whether a partition's last chunk is being committed; from any thread."""
        lane = self.lanes.get(partition)
        return lane is not None and lane.committing

    def positions(self) -> dict[TopicPartition, int]:
        """The fetch position at which each lane continues."""
        return {partition: lane.position for partition, lane in self.lanes.items()}

    def lag(self, partition: TopicPartition) -> int | None:
        """Records that a lane is behind; None while that isn't known."""
        return self._assignment.lag(partition)

    async def process(self, chunk: Chunk) -> None:
        """Fold one chunk and start its transaction; see `ChunkProcessor.process`."""
        if self._throttle is not None and self.has_events(chunk.partition):
            self._assignment.stalls.waited(await self._throttle.wait(len(chunk.readings)))
        await self._processor.process(chunk)

    def has_events(self, partition: TopicPartition) -> bool:
        """Whether a source partition has events from outside, not records of our own stages."""
        lane = self.lanes.get(partition)
        return lane is not None and bool(lane.spec.sends)

    async def watch(self) -> None:
        """Look after the lanes for ever, see `turn`."""
        while True:
            await self._assignment.stalls.next_turn()
            self.turn()

    def turn(self) -> None:
        """End the worker if a lane is stalled; request again a rebalance that hasn't begun."""
        self._assignment.rejoin_if_lost()
        self._assignment.leave_if_stalled()
