"""The lanes of one worker at work.

Takes fetched chunks, folds them by the pure stages, hands the outcome to its transaction.

While one lane's transaction commits, the next lane's chunk is folded; a lane's own chunks never
overlap. Any doubt closes all lanes and asks the group for a rebalance, so that there is one way
only into work: assignment.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

import structlog

from schemas import limits
from streams import metrics
from streams.errors import Fatal, KafkaUnreachable
from streams.producers import BROKEN, is_fenced
from streams.recovery import StateUnfit
from streams.sizes import Size, Work, work_of
from streams.standing import Standing
from streams.stores import StateView, StoreDamaged, StoreUnopened
from streams.transactions import LaneClosed, commit
from streams.waiting import Waiting
from tables.catalogue import DEAD_LETTERS_TOPIC

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
"""How long a revoked partition's last transaction may take; then it is given up, and its next
owner settles it."""


REJOIN_SECONDS = 10.0
"""How long a rebalance that was asked for may take to begin."""


class Part(NamedTuple):
    """So much of a chunk as goes into one transaction, folded."""

    chunk: Chunk
    outcome: Outcome
    work: Work
    fold_s: float


class Pipeline:
    """All lanes that this worker holds.

    `seek`, `pause` and `rejoin` act on the consumer; `fatal` ends the worker.

    `now` is a clock in seconds.
    """

    def __init__(
        self, settings: Settings, opener: Opener, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.settings = settings
        self.opener = opener
        self.lanes: dict[TP, Lane] = {}
        self.waiting = Waiting(log.warning, now)
        self.waiting.begin(lambda: "the group to assign partitions")
        self._now = now
        self._standing = Standing(settings.stall_seconds, now)
        self._sizes: dict[
            TP, Size
        ] = {}  # across openings, else a chunk that is too large would be tried as it was for ever
        self._at_work: dict[TP, Chunk] = {}
        """What was folded, and isn't committed yet."""

        self._opening = asyncio.Lock()
        self._rejoin_at = 0.0
        self.seek: Callable[[TP, int], object]
        self.pause: Callable[[TP], object]
        self.rejoin: Callable[[], object]
        self.fatal: Callable[[Fatal], object]

    async def open(self, assigned: Iterable[TP]) -> None:
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
                self.waiting.begin(self.opener.waits_for)
                lanes = await self._opened(wanted)
            finally:
                self._standing.opened(wanted, began)
                self._sizes = {tp: self._sizes.get(tp) or Size(self.settings) for tp in wanted}
            by_place = {(tp.topic, tp.partition): tp for tp in wanted}
            self.lanes = {by_place[lane.topic, lane.partition]: lane for lane in lanes}
            self.waiting.end()
        for tp, lane in self.lanes.items():
            metrics.PAUSED.labels(lane.topic, str(lane.partition)).set(0)
            self._show_size(tp)

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
                task = asyncio.current_task()
                if (
                    task is not None and task.cancelling()
                ):  # what failed is its clean-up, and the next opening waits for its end
                    raise asyncio.CancelledError from error
                log.warning(
                    "partitions can't be opened yet, trying again",
                    error=repr(error),
                    again_in_s=pause_s,
                )
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, 5.0)

    async def close(self) -> None:
        """Let each lane's last transaction end, within a bound.

        Then give up producers and stores.
        """
        self._leave()
        lanes, self.lanes = list(self.lanes.values()), {}
        tasks = [
            lane.commit for lane in lanes if lane.commit is not None and not lane.commit.done()
        ]
        try:
            if tasks:
                _, late = await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
                for lane in lanes:
                    lane.closed = True  # a late one may not commit any more
                for task in late:
                    task.cancel()
                await asyncio.gather(*late, return_exceptions=True)
        finally:  # also if the wait is cancelled: nobody else knows these lanes any more
            self._at_work.clear()
            for lane in lanes:
                await lane.close()

    def most_records(self, tp: TP) -> int:
        """How many records of a partition its next transaction should have at most."""
        size = self._sizes.get(tp)
        return limits.FIRST_TRANSACTION_RECORDS if size is None else size.records

    def positions(self) -> dict[TP, int]:
        """Where each lane goes on reading."""
        return {tp: lane.position for tp, lane in self.lanes.items()}

    async def process(self, chunk: Chunk) -> None:
        """Fold one chunk and start its transaction, or one after another where one would be too much.

        A chunk that doesn't continue its lane is fetched again.
        """
        lane = self.lanes.get(chunk.tp)
        rest: Chunk | None = chunk
        while lane is not None and rest is not None:
            await lane.idle()
            if (
                not self._is_open(lane, chunk.tp) or lane.paused
            ):  # it may have been taken away in the meantime
                return
            if rest.start != lane.position:
                log.debug(
                    "chunk doesn't continue the lane",
                    lane=lane.name,
                    start=rest.start,
                    position=lane.position,
                )
                self.seek(chunk.tp, lane.position)
                return
            rest = await self._begin(lane, rest)

    def _is_open(self, lane: Lane, tp: TP) -> bool:
        return self.lanes.get(tp) is lane and not lane.closed

    async def _begin(self, lane: Lane, chunk: Chunk) -> Chunk | None:
        """Fold as much of a chunk as fits one transaction and start that; returns what is left."""
        try:
            part = await self._part(lane, chunk)
        except StoreDamaged as error:
            self._doubt(chunk, lane, error)
            return None
        except LaneClosed:
            return None
        except Exception as error:
            lane.closed = True
            log.exception("chunk can't be folded", lane=lane.name, start=chunk.start, end=chunk.end)
            self.fatal(
                Fatal(
                    f"{lane.name}@{chunk.start}: {error!r} while folding, nothing of this chunk is written: a fault of ours, report it"
                )
            )
            return None
        outcome = part.outcome
        if outcome.paused:
            self._pause(chunk.tp, lane)
        lane.position = outcome.progress.offset + 1 if outcome.paused else part.chunk.end
        self._at_work[chunk.tp] = part.chunk
        lane.commit = asyncio.create_task(self._commit(lane, part))
        return chunk.cut(len(part.chunk.readings))[1]

    async def _part(self, lane: Lane, chunk: Chunk) -> Part:
        """The first records of a chunk, as many as fit one transaction, folded.

        Raises StoreDamaged or LaneClosed, and on anything else the worker must stop.
        """
        size = self._sizes[chunk.tp]
        while True:
            first, _ = chunk.cut(size.records)
            began = self._now()
            outcome = self._fold(lane, first)
            fold_s, count, work = self._now() - began, len(first.readings), work_of(outcome)
            metrics.FOLD_SECONDS.labels(lane.stage.name).observe(fold_s)
            if count <= 1 or size.fits(work):
                return Part(first, outcome, work, fold_s)
            size.too_much(count, work)
            await asyncio.sleep(0)  # the other lanes' transactions go on
            if not self._is_open(lane, chunk.tp):
                raise LaneClosed(lane.name)

    def _fold(self, lane: Lane, chunk: Chunk) -> Outcome:
        states = {
            name: StateView(store, lane.recent.get(name, {})) for name, store in lane.stores.items()
        }
        return lane.fold.fold(lane.name, chunk.readings, states, lane.progress)

    async def _commit(self, lane: Lane, part: Part) -> None:
        began, chunk, outcome = self._now(), part.chunk, part.outcome
        try:
            await commit(lane, outcome, chunk.fetched, self.settings)
        except LaneClosed:
            return
        except asyncio.CancelledError:
            lane.closed = True
            raise
        except (*BROKEN, StoreDamaged) as error:
            self._doubt(chunk, lane, error, self._now() - began)
        except Exception as error:
            lane.closed = True
            log.exception("chunk failed", lane=lane.name, start=chunk.start, end=chunk.end)
            message = f"{lane.name}@{chunk.start}: {error!r} after or in its transaction: the store may be behind, restart to recover"
            self.fatal(Fatal(message))
        else:
            commit_s = self._now() - began
            self._standing.moved(chunk.tp)
            self._at_work.pop(chunk.tp, None)
            self._resize(part, commit_s)
            metrics.TRANSACTION_SECONDS.labels(lane.stage.name).observe(commit_s)
            metrics.count(lane.stage.name, outcome.counts)

    def _resize(self, part: Part, commit_s: float) -> None:
        """What a transaction that is committed says of the next one.

        One that took too long is named.
        """
        tp = part.chunk.tp
        size = self._sizes.get(tp)
        if size is None:  # not ours any more
            return
        before = size.records
        size.committed(len(part.chunk.readings), part.work, part.fold_s, commit_s)
        self._show_size(tp)
        if (
            size.is_late(0.0, part.fold_s + commit_s) and size.records < before
        ):  # a somewhat long fold is only a number
            took = f"folding took {part.fold_s:.1f} s and its transaction {commit_s:.1f} s"
            sentence = f"{part.chunk}; {took}: the next one has at most {size.records:,} records"
            log.warning(sentence)

    def _show_size(self, tp: TP) -> None:
        metrics.CHUNK_RECORDS.labels(tp.topic, str(tp.partition)).set(self.most_records(tp))

    def _doubt(self, chunk: Chunk, lane: Lane, error: BaseException, took_s: float = 0.0) -> None:
        """What happened to a lane is not known here.

        All lanes are given up, and opened anew by a rebalance.

        A chunk that was in a transaction for too long is cut in half at the next try.
        """
        tp = chunk.tp
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
        size = self._sizes[tp]
        if (isinstance(error, TimeoutError) or size.is_late(0.0, took_s)) and size.outran(
            len(chunk.readings)
        ):
            self._standing.moved(
                *self.lanes
            )  # the next try is another one, and the others weren't free to go on
            self._show_size(tp)
            sentence = f"{chunk}; not committed in {took_s:.1f} s: the next try has at most {size.records:,} records"
            log.warning(sentence)
        if self._standing.is_still(tp):
            still = f"in doubt ({error!r}), and no progress for {self.settings.stall_seconds:.0f} s"
            self.fatal(Fatal(f"{lane.name}: {still}; {chunk}: leaving, restart to recover"))
            return
        log.warning(
            "in doubt, all partitions are opened anew",
            lane=lane.name,
            error=repr(error),
            chunk=str(chunk),
        )
        self.give_up()
        self._standing.left(other for other in self.lanes if other != tp)
        self._rejoin()

    def _rejoin(self) -> None:
        self._rejoin_at = self._now()
        self.waiting.begin(lambda: "the group to rebalance, which was asked for after a doubt")
        self.rejoin()

    def _leave(self) -> None:
        """The lanes aren't open any more."""
        self._standing.left(self.lanes)
        if not self._opening.locked():
            self.waiting.begin(lambda: "the group to assign partitions")

    def give_up(self) -> None:
        """No lane begins or commits anything any more."""
        for lane in self.lanes.values():
            lane.closed = True

    def _pause(self, tp: TP, lane: Lane) -> None:
        lane.paused = True
        metrics.PAUSED.labels(lane.topic, str(lane.partition)).set(1)
        refused, parked = self.settings.refusals_in_a_row, self.settings.topic(DEAD_LETTERS_TOPIC)
        sentence = (
            f"{lane.name} is paused: {refused} records in a row could not be read, none between them could; "
            f"look at topic {parked}, mend the decoder or the producer, then restart the worker (docs/runbook.md, Partition paused)"
        )
        log.error(sentence)
        self.pause(tp)

    async def watch(self, lag: Callable[[TP], int | None]) -> None:
        """Look after the lanes for ever, see `turn`."""
        while True:
            await self._standing.turns()
            self.turn(lag)

    def turn(self, lag: Callable[[TP], int | None]) -> None:
        """End the worker when a lane has lag and stands still longer than `stall_seconds`.

        Before that, a rebalance that was asked for and didn't come is asked for again: a broker
        that was away may have lost it.
        """
        if self._now() - self._rejoin_at > REJOIN_SECONDS and any(
            lane.closed for lane in self.lanes.values()
        ):
            log.warning("no rebalance came, asking for one again")
            self._rejoin()
        lags = {tp: 0 if lane.paused else lag(tp) for tp, lane in self.lanes.items()}
        for tp in self._standing.turn(lags):
            # one that has nothing in hand may only wait for its turn behind another, which then is
            # the one to name
            guilty = (
                tp
                if tp in self._at_work
                else next(filter(self._standing.is_still, self._at_work), tp)
            )
            chunk = self._at_work.get(guilty)
            still = f"{lags[guilty]} records behind and no progress for {self.settings.stall_seconds:.0f} s"
            doing = "" if chunk is None else f"; not committed: {chunk}"
            self.fatal(
                Fatal(f"{self.lanes[guilty].name}: {still}{doing}: leaving, restart to recover")
            )
