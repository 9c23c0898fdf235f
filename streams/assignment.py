"""The lanes of the partitions that this worker is assigned, and what closes them.

One doubt closes all lanes and requests a rebalance, so assignment is the only way to open a lane.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import structlog

from streams import metrics
from streams.errors import Fatal
from streams.lanes import LaneState
from streams.producers import is_fenced
from streams.sizes import ChunkSizes
from streams.stalls import StallWatch
from streams.stores import StoreDamaged, StoreUnopened
from streams.waiting import WaitingReport
from tables.catalogue import DEAD_LETTERS_TOPIC

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from aiokafka import TopicPartition

    from streams.fetched import Chunk
    from streams.lanes import Lane
    from streams.settings import Settings

log = structlog.get_logger()

REJOIN_SECONDS = 10.0
"""How long a requested rebalance may take to begin before it is requested again."""


class GroupConsumer(Protocol):
    """This worker's consumer and its membership of the group."""

    def seek(self, partition: TopicPartition, position: int, /) -> object:
        """Fetch a partition from a position on."""

    def pause(self, partition: TopicPartition, /) -> object:
        """Fetch nothing more of a partition."""

    def lag(self, partition: TopicPartition, position: int, /) -> int | None:
        """Records from a position to the end of what can be read; None while it isn't known."""

    def rejoin(self) -> object:
        """Request a rebalance."""

    def leave(self, error: Fatal, /) -> object:
        """Leave the group, log the sentence of `error` and end the process."""


class Assignment:
    """The lanes, by partition, with what outlives each of them: sizes, stalls, chunks in work.

    `now` is a clock in seconds.
    """

    def __init__(
        self, settings: Settings, consumer: GroupConsumer, now: Callable[[], float]
    ) -> None:
        self.settings = settings
        self.consumer = consumer
        self.lanes: dict[TopicPartition, Lane] = {}
        self.sizes = ChunkSizes(settings)
        self.stalls = StallWatch(settings.stall_seconds, now)
        self.waiting = WaitingReport(log.warning, now)
        self.in_work: dict[TopicPartition, Chunk] = {}
        """What is folded and not committed yet."""

        self._now = now
        self._rejoin_at_s = 0.0

    def replace(self, assigned: Collection[TopicPartition], lanes: Collection[Lane]) -> None:
        """These are the lanes now, of partitions among `assigned`."""
        places = {(lane.topic, lane.partition): lane for lane in lanes}
        self.lanes = {one: places[one] for one in assigned if one in places}
        self.waiting.end()
        metrics.show_lanes(self.lanes.values())
        for partition in self.lanes:
            self.sizes.show(partition)

    def accepts(self, lane: Lane, partition: TopicPartition) -> bool:
        """Whether a lane is still the partition's lane, and accepts chunks."""
        return self.lanes.get(partition) is lane and lane.state is LaneState.OPEN

    def give_up(self) -> None:
        """No lane begins or commits anything any more."""
        for lane in self.lanes.values():
            lane.give_up()

    def pause(self, partition: TopicPartition, lane: Lane) -> None:
        """Fetch nothing more of a partition with too many refusals in a row."""
        lane.state = LaneState.PAUSED
        metrics.PAUSED.labels(lane.topic, str(lane.partition)).set(1)
        refused, parked = self.settings.refusals_in_a_row, self.settings.topic(DEAD_LETTERS_TOPIC)
        sentence = (
            f"{lane.name} is paused: {refused} records in a row could not be read, none between "
            f"them could; look at topic {parked}, mend the decoder or the producer, then restart "
            "the worker (docs/runbook.md, Partition paused)"
        )
        log.error(sentence)
        self.consumer.pause(partition)

    def doubt(self, lane: Lane, chunk: Chunk, error: BaseException, took_s: float = 0.0) -> None:
        """Close all lanes after an error of one: whether its chunk is committed isn't known.

        A rebalance opens them again. A chunk whose transaction took too long is cut in half at the
        next try.
        """
        partition = chunk.partition
        lane.give_up()
        if self.lanes.get(partition) is not lane:
            log.info("in doubt, and given up already", lane=lane.name, error=repr(error))
            return
        try:
            if isinstance(error, StoreDamaged):
                error.wipe_store()
        except StoreUnopened as unopened:
            self.consumer.leave(Fatal(str(unopened)))
            return
        if is_fenced(error):
            self.consumer.leave(
                Fatal(
                    f"{lane.name}: a newer worker has taken over this partition: "
                    "leaving, restart to rejoin"
                )
            )
            return
        self._cut_if_late(chunk, error, took_s)
        if self.stalls.is_stalled(partition):
            still = f"in doubt ({error!r}), and no progress for {self.settings.stall_seconds:.0f} s"
            self.consumer.leave(
                Fatal(f"{lane.name}: {still}; {chunk}: leaving, restart to recover")
            )
            return
        log.warning(
            "in doubt, all partitions are opened anew",
            lane=lane.name,
            error=repr(error),
            chunk=str(chunk),
        )
        self.give_up()
        self.stalls.closed(other for other in self.lanes if other != partition)
        self._rejoin()

    def _cut_if_late(self, chunk: Chunk, error: BaseException, took_s: float) -> None:
        """Halve the size of a partition whose transaction took too long."""
        size = self.sizes.of(chunk.partition)
        if not chunk.readings:  # marks alone
            return
        if size is None or not (isinstance(error, TimeoutError) or size.is_late(0.0, took_s)):
            return
        if size.timed_out(len(chunk.readings)):
            # the next try is another one, and meanwhile the other lanes could make no progress
            self.stalls.progressed(*self.lanes)
            self.sizes.show(chunk.partition)
            sentence = (
                f"{chunk}; not committed in {took_s:.1f} s: "
                f"the next try has at most {size.records:,} records"
            )
            log.warning(sentence)

    def _rejoin(self) -> None:
        self._rejoin_at_s = self._now()
        self.waiting.begin(lambda: "the group to rebalance, which was requested after a doubt")
        self.consumer.rejoin()

    def rejoin_if_lost(self) -> None:
        """Request again a rebalance that hasn't begun: a broker that was away may have lost it."""
        late = self._now() - self._rejoin_at_s > REJOIN_SECONDS
        if late and any(lane.closed for lane in self.lanes.values()):
            log.warning("no rebalance has begun, requesting one again")
            self._rejoin()

    def leave_if_stalled(self) -> None:
        """End the worker when a lane is behind without progress for `stall_seconds`."""
        lags = {one: self.lag(one) for one in self.lanes}
        for one, lane in self.lanes.items():
            metrics.show_lag(lane, lags[one])
            if lane.state is LaneState.PAUSED:
                lags[one] = 0
        metrics.show_keys(self.lanes.values())
        for stalled in self.stalls.turn(lags):
            # a lane without a chunk in work may only wait for its turn behind another one, which
            # is then to be named
            others = filter(self.stalls.is_stalled, self.in_work)
            guilty = stalled if stalled in self.in_work else next(others, stalled)
            chunk = self.in_work.get(guilty)
            doing = "" if chunk is None else f"; not committed: {chunk}"
            self.consumer.leave(
                Fatal(
                    f"{self.lanes[guilty].name}: {lags[guilty]} records behind and no progress for "
                    f"{self.settings.stall_seconds:.0f} s{doing}: leaving, restart to recover"
                )
            )

    def lag(self, partition: TopicPartition) -> int | None:
        """Records that a partition's lane is behind; None if that isn't known."""
        lane = self.lanes.get(partition)
        return None if lane is None else self.consumer.lag(partition, lane.position)
