"""Chunks at work: folded by their lane's stage, and committed by its transaction.

While one lane's transaction commits, the next lane's chunk is folded; a lane's own chunks never
overlap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from schemas.positions import offset_after
from streams import metrics, tracing
from streams.batches import TolerantRecords
from streams.errors import Fatal
from streams.fetched import Chunk
from streams.producers import BROKEN
from streams.sizes import Size, Work, work_of
from streams.stores import StateView, StoreDamaged
from streams.traced import Steps
from streams.transactions import LaneClosed, commit
from tables.catalogue import EVENT_TOPICS
from tables.formats import UnreadableFormatError
from tables.journal_stage import JournalStage
from tables.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiokafka import TopicPartition

    from streams.assignment import Assignment
    from streams.lanes import Lane

log = structlog.get_logger()


REST_PART: Final = 1 / 2
"""A lane that commits nothing for this part of `marks_every_ms` is at rest."""


class FoldedPart(NamedTuple):
    """The part of a chunk that goes into one transaction, folded."""

    chunk: Chunk
    outcome: Outcome
    work: Work
    fold_s: float
    steps: Steps


class ChunkProcessor:
    """Folds and commits the chunks of an assignment's lanes; `now` is a clock in seconds."""

    def __init__(self, assignment: Assignment, now: Callable[[], float]) -> None:
        self._assignment = assignment
        self._now = now

    async def process(self, chunk: Chunk) -> None:
        """Fold one chunk and start its transaction, or several in turn if one would be too large.

        A chunk that doesn't continue its lane is fetched again.
        """
        lane = self._assignment.lanes.get(chunk.partition)
        rest: Chunk | None = chunk
        while lane is not None and rest is not None:
            lane.folding = True
            try:
                await lane.idle()
                if not self._assignment.accepts(lane, chunk.partition):  # revoked in the meantime
                    return
                if rest.start != lane.position:
                    self._fetch_again(lane, rest)
                    return
                if self._end_step(chunk.partition, lane):  # one before each chunk
                    await lane.idle()
                rest = await self._begin(lane, rest)
            finally:
                lane.folding = False

    def _fetch_again(self, lane: Lane, chunk: Chunk) -> None:
        log.debug(
            "chunk doesn't continue the lane",
            lane=lane.name,
            start=chunk.start,
            position=lane.position,
        )
        self._assignment.consumer.seek(chunk.partition, lane.position)
        self.announce(chunk.partition, lane)  # the chunk would have

    def announce(self, partition: TopicPartition, lane: Lane) -> None:
        """Write the marks that downstream partitions lack, once it is time and the lane rests."""
        if not lane.spec.sends or not lane.unmarked or lane.closed:
            return
        every_ms = self._assignment.settings.marks_every_ms
        due_s = max(REST_PART * every_ms / 1000, lane.marks_due_s(every_ms))
        lane.announce_in(due_s, partial(self._announce, partition, lane))

    def _announce(self, partition: TopicPartition, lane: Lane) -> None:
        """Commit the lane's progress once more, with marks to all downstream partitions."""
        # a chunk under way announces what it leaves unmarked
        if lane.unmarked and not (lane.closed or lane.folding or lane.committing):
            lane.commit = asyncio.create_task(self._commit(lane, _marks_alone(partition, lane)))

    def end_cycles(self, partition: TopicPartition, lane: Lane) -> None:
        """Start the next step of the ends of cycles, if one is due and the lane rests."""
        if not (lane.folding or lane.committing):  # a chunk under way does it
            self._end_step(partition, lane)

    def _end_step(self, partition: TopicPartition, lane: Lane) -> bool:
        """Start the next step, if one is due; whether it is under way."""
        if lane.closed or not lane.must_end_cycles:
            return False
        nothing, began = _nothing(partition, lane), self._now()
        with _folding(self._assignment, lane, nothing):
            outcome = _ended(lane)
            part = FoldedPart(nothing, outcome, work_of(outcome), self._now() - began, Steps())
            lane.commit = asyncio.create_task(self._commit(lane, part))
        return lane.committing

    async def _begin(self, lane: Lane, chunk: Chunk) -> Chunk | None:
        """Fold as much of a chunk as fits one transaction, start that, and return the rest."""
        parts = []
        with _folding(self._assignment, lane, chunk):
            parts.append(await self._part(lane, chunk))
        if not parts:
            return None
        (part,) = parts
        lane.position = part.chunk.end
        if part.outcome.paused:
            lane.position = offset_after(part.outcome.progress.offset)
            self._assignment.pause(chunk.partition, lane)
        self._assignment.in_work[chunk.partition] = part.chunk
        lane.commit = asyncio.create_task(self._commit(lane, part))
        _, rest = chunk.cut(len(part.chunk.readings))
        return rest

    async def _part(self, lane: Lane, chunk: Chunk) -> FoldedPart:
        """The first records of a chunk, as many as fit one transaction, folded.

        Raises StoreDamaged or LaneClosed; on anything else the worker must stop.
        """
        steps = Steps()
        steps.end("wait")
        size = self._assignment.sizes.of(chunk.partition)
        while size is not None and self._assignment.accepts(lane, chunk.partition):
            first, _ = chunk.cut(size.records)
            began = self._now()
            outcome = _fold(lane, first)
            fold_s, count, work = self._now() - began, len(first.readings), work_of(outcome)
            metrics.APPLY_SECONDS.labels(lane.spec.name, "fold").observe(fold_s)
            if count <= 1 or size.fits(work):
                steps.end("fold")
                return FoldedPart(first, outcome, work, fold_s, steps)
            size.too_much(count, work)
            await asyncio.sleep(0)  # let the other lanes' transactions run
        raise LaneClosed(lane.name)

    async def _commit(self, lane: Lane, part: FoldedPart) -> None:
        began, chunk, settings = self._now(), part.chunk, self._assignment.settings
        try:
            with tracing.transaction(lane, chunk, part.steps, settings.app):
                await commit(lane, part.outcome, chunk.records, settings, part.steps)
        except LaneClosed:
            return
        except asyncio.CancelledError:
            lane.give_up()
            raise
        except (*BROKEN, StoreDamaged) as error:
            self._assignment.doubt(lane, chunk, error, self._now() - began)
        except Exception as error:
            lane.give_up()
            log.exception("chunk failed", lane=lane.name, start=chunk.start, end=chunk.end)
            self._assignment.consumer.leave(
                Fatal(
                    f"{lane.name}@{chunk.start}: {error!r} after or in its transaction: "
                    "the store may be behind, restart to recover"
                )
            )
        else:
            self._committed(lane, part, self._now() - began)

    def _committed(self, lane: Lane, part: FoldedPart, commit_s: float) -> None:
        self._assignment.stalls.progressed(part.chunk.partition)
        self._assignment.in_work.pop(part.chunk.partition, None)
        sizes = self._assignment.sizes
        if _resize(sizes.of(part.chunk.partition), part, commit_s):
            sizes.show(part.chunk.partition)
        metrics.APPLY_SECONDS.labels(lane.spec.name, "transaction").observe(commit_s)
        self.announce(part.chunk.partition, lane)
        if lane.must_end_cycles:  # once this task has ended; a chunk may be first
            soon = partial(self.end_cycles, part.chunk.partition, lane)
            asyncio.get_running_loop().call_soon(soon)
        metrics.count_work(lane.spec.name, part.outcome)
        if lane.spec.source in EVENT_TOPICS:
            metrics.count_events(part.outcome, part.chunk.records)
        else:
            metrics.count_journal_records(lane.spec.name, part.outcome)


def _resize(size: Size | None, part: FoldedPart, commit_s: float) -> bool:
    """Set the size of the next transaction; log one that took too long.

    Returns whether there is a size: the partition may not be assigned any more.
    """
    if size is None:
        return False
    before = size.records
    size.committed(len(part.chunk.readings), part.work, part.fold_s, commit_s)
    # a fold alone that is somewhat long is only a figure of the metrics
    if size.is_late(0.0, part.fold_s + commit_s) and size.records < before:
        sentence = (
            f"{part.chunk}; folding took {part.fold_s:.1f} s and its transaction "
            f"{commit_s:.1f} s: the next one has at most {size.records:,} records"
        )
        log.warning(sentence)
    return True


@contextmanager
def _folding(assignment: Assignment, lane: Lane, chunk: Chunk) -> Iterator[None]:
    """Settle what is raised inside: the lane is closed, as nothing of the chunk is written."""
    try:
        yield
    except StoreDamaged as error:
        assignment.doubt(lane, chunk, error)
    except LaneClosed:
        return
    except Exception as error:
        lane.give_up()
        log.exception("chunk can't be folded", lane=lane.name, start=chunk.start, end=chunk.end)
        assignment.consumer.leave(Fatal(_not_folded(lane, chunk, error)))


def _nothing(partition: TopicPartition, lane: Lane) -> Chunk:
    """A chunk without records, where the lane is."""
    return Chunk(partition, [], lane.position, lane.position, TolerantRecords(b""))


def _not_folded(lane: Lane, chunk: Chunk, error: Exception) -> str:
    """Why the worker leaves: rows of another release, or else a fault of the program."""
    if isinstance(error, UnreadableFormatError):
        return f"{lane.name}@{chunk.start}: {error}; nothing of this chunk is written"
    return (
        f"{lane.name}@{chunk.start}: {error!r} while folding, nothing of this chunk is "
        "written: a fault of ours, report it"
    )


def _marks_alone(partition: TopicPartition, lane: Lane) -> FoldedPart:
    """The lane's progress once more, of a chunk without records."""
    outcome = Outcome({}, {}, [], lane.progress, {}, 0, paused=False)
    return FoldedPart(_nothing(partition, lane), outcome, work_of(outcome), 0.0, Steps())


def _fold(lane: Lane, chunk: Chunk) -> Outcome:
    return lane.stage.fold(lane.name, chunk.readings, _states(lane), lane.progress)


def _ended(lane: Lane) -> Outcome:
    """The next step of the ends of cycles; the stores have all that is committed."""
    stage, stores = lane.stage, lane.stores
    assert isinstance(stage, JournalStage)  # noqa: S101 - others have none that is due

    def walk(table: str, behind: bytes) -> Iterator[tuple[bytes, bytes]]:
        return stores[table].items(behind)

    return stage.end_cycles(lane.name, walk, _states(lane), lane.progress)


def _states(lane: Lane) -> dict[str, StateView]:
    return {
        name: StateView(store, lane.recent.get(name, {})) for name, store in lane.stores.items()
    }
