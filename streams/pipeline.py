"""The lanes of one worker at work: takes fetched chunks, folds them by the pure stages, hands the outcome to its transaction.

While one lane's transaction commits, the next lane's chunk is folded; a lane's own chunks never overlap. Any doubt
closes all lanes and asks the group for a rebalance, so that there is one way only into work: assignment.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from streams import metrics
from streams.errors import KafkaUnreachable
from streams.producers import BROKEN, is_fenced
from streams.recovery import StateUnfit
from streams.stores import StateView, StoreDamaged, StoreUnopened
from streams.topics import DEAD_LETTERS
from streams.transactions import LaneClosed, commit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from faust.types import TP

    from streams.chunks import Chunk
    from streams.lanes import Lane
    from streams.recovery import Opener
    from streams.settings import Settings
    from tables.outcome import Outcome

log = structlog.get_logger()

DRAIN_SECONDS = 5.0
"""How long a revoked partition's last transaction may take; then it is given up, and its next owner settles it."""


REJOIN_SECONDS = 10.0
"""How long a rebalance that was asked for may take to begin."""


class Fatal(Exception):
    """This worker must not go on; the sentence says why and what to do."""


class Pipeline:
    """All lanes that this worker holds. `seek`, `pause` and `rejoin` act on the consumer; `fatal` ends the worker."""

    def __init__(self, settings: Settings, opener: Opener) -> None:
        self.settings = settings
        self.opener = opener
        self.lanes: dict[TP, Lane] = {}
        self._asked_at = 0.0
        self._moved_at: dict[TP, float] = {}  # across openings, else a chunk that can't be committed would be tried for ever
        self.seek: Callable[[TP, int], object]
        self.pause: Callable[[TP], object]
        self.rejoin: Callable[[], object]
        self.fatal: Callable[[Fatal], object]

    async def open(self, assigned: Iterable[TP]) -> None:
        """Open a lane for every assigned source partition; tries again while Kafka can't be reached. Raises Fatal."""
        began, wanted = time.monotonic(), sorted(assigned)
        try:
            await self.close()
            lanes = await self._opened(wanted)
        finally:
            # what is not ours any more is forgotten; the time that opening takes is no standstill, it says itself what it waits for
            took = time.monotonic() - began
            self._moved_at = {tp: self._moved_at.get(tp, began) + took for tp in wanted}
        by_place = {(tp.topic, tp.partition): tp for tp in wanted}
        self.lanes = {by_place[lane.topic, lane.partition]: lane for lane in lanes}
        for lane in lanes:
            metrics.PAUSED.labels(lane.topic, str(lane.partition)).set(0)

    async def _opened(self, wanted: list[TP]) -> list[Lane]:
        pause_s = 0.2
        while True:
            try:
                return await self.opener.open(wanted)
            except (StateUnfit, StoreUnopened) as error:
                raise Fatal(str(error)) from error
            except (*BROKEN, KafkaUnreachable, StoreDamaged) as error:
                if is_fenced(error):
                    message = "another worker has taken over while this one was opening its partitions: leaving, restart to rejoin"
                    raise Fatal(message) from error
                log.warning("partitions can't be opened yet, trying again", error=repr(error), again_in_s=pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, 5.0)

    async def close(self) -> None:
        """Let each lane's last transaction end, within a bound; then give up producers and stores."""
        lanes, self.lanes = list(self.lanes.values()), {}
        tasks = [lane.commit for lane in lanes if lane.commit is not None and not lane.commit.done()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
            for lane in lanes:
                lane.closed = True  # a late one may not commit any more
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for lane in lanes:
            await lane.close()

    def positions(self) -> dict[TP, int]:
        """Where each lane goes on reading."""
        return {tp: lane.position for tp, lane in self.lanes.items()}

    async def process(self, chunk: Chunk) -> None:
        """Fold one chunk and start its transaction; a chunk that doesn't continue its lane is fetched again."""
        lane = self.lanes.get(chunk.tp)
        if lane is None:
            return
        await lane.idle()
        if self.lanes.get(chunk.tp) is not lane or lane.closed or lane.paused:  # it may have been taken away in the meantime
            return
        if chunk.start != lane.position:
            log.debug("chunk doesn't continue the lane", lane=lane.name, start=chunk.start, position=lane.position)
            self.seek(chunk.tp, lane.position)
            return
        try:
            outcome = self._fold(lane, chunk)
        except StoreDamaged as error:
            self._doubt(chunk.tp, lane, error)
            return
        except Exception as error:
            lane.closed = True
            log.exception("chunk can't be folded", lane=lane.name, start=chunk.start, end=chunk.end)
            self.fatal(
                Fatal(f"{lane.name}@{chunk.start}: {error!r} while folding, nothing of this chunk is written: a fault of ours, report it")
            )
            return
        if outcome.paused:
            self._pause(chunk.tp, lane)
        lane.position = outcome.progress.offset + 1 if outcome.paused else chunk.end
        lane.commit = asyncio.create_task(self._commit(lane, chunk, outcome))

    def _fold(self, lane: Lane, chunk: Chunk) -> Outcome:
        """What a chunk changes; raises StoreDamaged, and on anything else the worker must stop."""
        began = time.perf_counter()
        states = {name: StateView(store, lane.recent.get(name, {})) for name, store in lane.stores.items()}
        outcome = lane.fold.fold(lane.name, chunk.readings, states, lane.progress)
        metrics.FOLD_SECONDS.labels(lane.stage.name).observe(time.perf_counter() - began)
        return outcome

    async def _commit(self, lane: Lane, chunk: Chunk, outcome: Outcome) -> None:
        began = time.perf_counter()
        try:
            await commit(lane, outcome, chunk.fetched, self.settings)
        except LaneClosed:
            return
        except asyncio.CancelledError:
            lane.closed = True
            raise
        except (*BROKEN, StoreDamaged) as error:
            self._doubt(chunk.tp, lane, error)
        except Exception as error:
            lane.closed = True
            log.exception("chunk failed", lane=lane.name, start=chunk.start, end=chunk.end)
            message = f"{lane.name}@{chunk.start}: {error!r} after or in its transaction: the store may be behind, restart to recover"
            self.fatal(Fatal(message))
        else:
            self._moved_at[chunk.tp] = time.monotonic()
            metrics.TRANSACTION_SECONDS.labels(lane.stage.name).observe(time.perf_counter() - began)
            metrics.count(lane.stage.name, outcome.counts)

    def _doubt(self, tp: TP, lane: Lane, error: BaseException) -> None:
        """What happened to a lane is not known here: all lanes are given up, and opened anew by a rebalance."""
        lane.closed = True
        if self.lanes.get(tp) is not lane:
            log.info("in doubt, and given up already", lane=lane.name, error=repr(error))
            return
        if isinstance(error, StoreDamaged):
            error.store.wipe(str(error))
        if is_fenced(error):
            message = f"{lane.name}: a newer worker has taken over this partition: leaving, restart to rejoin"
            self.fatal(Fatal(message))
            return
        if self._stands_still(tp):
            still = f"in doubt ({error!r}), and no progress for {self.settings.stall_seconds:.0f} s"
            self.fatal(Fatal(f"{lane.name}: {still}: leaving, restart to recover"))
            return
        log.warning("in doubt, all partitions are opened anew", lane=lane.name, error=repr(error))
        self.give_up()
        self._rejoin()

    def _stands_still(self, tp: TP) -> bool:
        return time.monotonic() - self._moved_at[tp] > self.settings.stall_seconds

    def _rejoin(self) -> None:
        self._asked_at = time.monotonic()
        self.rejoin()

    def give_up(self) -> None:
        """No lane begins or commits anything any more."""
        for lane in self.lanes.values():
            lane.closed = True

    def _pause(self, tp: TP, lane: Lane) -> None:
        lane.paused = True
        metrics.PAUSED.labels(lane.topic, str(lane.partition)).set(1)
        refused, parked = self.settings.refusals_in_a_row, self.settings.topic(DEAD_LETTERS)
        sentence = (
            f"{lane.name} is paused: {refused} records in a row could not be read, none between them could; "
            f"look at topic {parked}, mend the decoder or the producer, then restart the worker (docs/runbook.md, Partition paused)"
        )
        log.error(sentence)
        self.pause(tp)

    async def watch(self, lag: Callable[[TP], int | None]) -> None:
        """End the worker when a lane has lag and stands still longer than `stall_seconds`; runs for ever.

        Before that, a rebalance that was asked for and didn't come is asked for again: a broker that was away may have lost it.
        """
        now = time.monotonic()
        while True:
            await asyncio.sleep(min(5.0, self.settings.stall_seconds / 4))
            before, now = now, time.monotonic()
            if now - self._asked_at > REJOIN_SECONDS and any(lane.closed for lane in self.lanes.values()):
                log.warning("no rebalance came, asking for one again")
                self._rejoin()
            for tp, lane in list(self.lanes.items()):
                behind = lag(tp)
                if behind == 0 or lane.paused:
                    self._moved_at[tp] = now
                elif behind is None:  # nothing was fetched yet since it was opened: that time isn't counted
                    self._moved_at[tp] += now - before
                elif self._stands_still(tp):
                    still = f"{behind} records behind and no progress for {self.settings.stall_seconds:.0f} s"
                    self.fatal(Fatal(f"{lane.name}: {still}: leaving, restart to recover"))
