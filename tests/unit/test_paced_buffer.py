"""When a worker's partitions are fetched again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from streams.chunk_reader import ChunkReader
from streams.paced_buffer import BUSY_S, IDLE_WAIT_MS, JOURNAL_PHASE, PacedBuffer
from tests.fetching import SALES, Fetches, batch

if TYPE_CHECKING:
    from aiokafka.consumer.fetcher import FetchResult

EVERY_MS = 50


class Reading(Fetches):
    """One partition, whose fetches are read to their ends at once."""

    def __init__(self, every_ms: int, *, has_events: bool = True) -> None:
        super().__init__()
        self.waits_ms: list[int] = []
        self.fetcher._get_actions_per_node = self._note_wait
        self.is_busy = False
        self.buffer = PacedBuffer(
            self.fetcher, every_ms, lambda _: self.is_busy, lambda _: has_events
        )
        self.reader = ChunkReader(self.buffer)

    def _note_wait(self, _: Any) -> None:  # noqa: ANN401 - aiokafka's is untyped
        self.waits_ms.append(self.fetcher._fetch_max_wait_ms)

    def wait_ms(self) -> int:
        """How long the next fetch would wait for records."""
        self.fetcher._get_actions_per_node(self.assignment)
        return self.waits_ms[-1]

    def read(self, stable: int) -> FetchResult:
        """Fetch one record and read it; the log is stable up to this offset."""
        self.fetch(batch(self.state.position, b"a"))
        self.state.lso = stable
        result = self.buffer.waiting({SALES})[SALES]
        while self.reader.next_chunk(SALES, result, 5, lambda record: record.value) is not None:
            pass
        return result

    def is_fetched(self) -> bool:
        """Whether the next fetch includes the partition."""
        return SALES not in self.fetcher._records


async def test_a_partition_that_is_read_is_fetched_when_it_is_due() -> None:
    """Until then it isn't handed over again, and a fetch of the others waits no longer."""
    reading = Reading(EVERY_MS)
    assert reading.wait_ms() == IDLE_WAIT_MS
    reading.read(stable=1)
    assert not reading.is_fetched()
    assert reading.buffer.waiting({SALES}) == {}
    assert reading.wait_ms() <= EVERY_MS
    await asyncio.sleep(EVERY_MS / 1000)
    assert reading.is_fetched()
    assert reading.wait_ms() == IDLE_WAIT_MS


@pytest.mark.parametrize(("has_events", "phase"), [(True, 0.0), (False, JOURNAL_PHASE)])
async def test_journals_are_due_between_two_instants_of_events(
    *, has_events: bool, phase: float
) -> None:
    """So what one stage has committed waits for no other interval before the next stage reads."""
    reading = Reading(EVERY_MS, has_events=has_events)
    reading.read(stable=1)
    intervals = reading.buffer._due_s[SALES] * 1000 / EVERY_MS - phase
    assert intervals == pytest.approx(round(intervals))


async def test_a_partition_that_is_being_committed_is_due_later() -> None:
    """Its next chunk then has all records until the commit; a fetch of the others stays short."""
    reading = Reading(EVERY_MS)
    reading.read(stable=1)
    reading.is_busy = True
    await asyncio.sleep(EVERY_MS / 1000)
    assert not reading.is_fetched()
    assert reading.wait_ms() <= BUSY_S * 1000
    reading.is_busy = False
    await asyncio.sleep(2 * BUSY_S)
    assert reading.is_fetched()


@pytest.mark.parametrize(("every_ms", "stable"), [(EVERY_MS, 2), (0, 1)])
async def test_a_partition_that_is_behind_is_fetched_at_once(every_ms: int, stable: int) -> None:
    """So is every one where no interval is set."""
    reading = Reading(every_ms)
    reading.read(stable)
    assert reading.is_fetched()


async def test_unread_records_do_not_make_other_fetches_spin() -> None:
    """Each waits at the broker for a while, even without an interval."""
    reading = Reading(0)
    reading.fetch(batch(0, b"a"))
    assert reading.wait_ms() == BUSY_S * 1000


async def test_what_is_fetched_after_a_seek_is_read() -> None:
    """The time of the fetch before it changes nothing."""
    reading = Reading(EVERY_MS)
    reading.read(stable=1)
    reading.fetcher.seek_to(SALES, 7)
    reading.fetch(batch(7, b"b"))
    (later,) = reading.buffer.waiting({SALES}).values()
    await asyncio.sleep(EVERY_MS / 1000)
    assert reading.buffer.waiting({SALES}) == {SALES: later}
