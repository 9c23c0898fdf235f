"""The event index: where in the log each order's events are, and which orders a name leads to.

It is a second store of the reader, filled from the topics `orders` and `dead-letters` once the
tables are live. The events themselves stay in the log and are read from it by their offsets.
"""

from __future__ import annotations

import asyncio
import contextlib
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from schemas import http_limits, limits
from schemas.errors import NetsoldError
from schemas.positions import Position
from serving import index_keys
from serving.follow import (
    GATHER_S,
    LONGEST_PAUSE_S,
    AppliedStep,
    Follower,
    log_identity,
    trace_step,
)
from serving.indexing import IndexApplier, IndexIdentity, IndexStore, decode_letter
from serving.store import StoreUnusable, with_readable
from streams.log import READING_FAILS
from streams.single_records import SingleRecords
from tables.catalogue import DEAD_LETTERS_TOPIC, ORDERS_TOPIC

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from schemas.envelope import Record
    from serving.follow_tables import TableFollower
    from serving.indexing import DeadLetter, IndexProgress
    from serving.store import LogIdentity, StoreSnapshot
    from streams.log import At
    from streams.settings import Settings

logger = structlog.get_logger()

EVENTS: Final = "events"
"""The directory of the index, below that of the tables."""

READ_S: Final = 8.0
"""How long the reading of an order's events from the log may take."""

FOLLOW_S: Final = 2.0
"""How long a request waits for the index to reach the tables."""


class IndexBehind(NetsoldError):
    """The event index isn't as far as the tables yet; the sentence says how far it is."""


class LoggedRecord(NamedTuple):
    """A record as it stands in the log."""

    position: Position
    record: Record


class OrderRecords(NamedTuple):
    """The newest records that name an order, in the order of the log."""

    records: list[LoggedRecord]
    left_out: int
    """Earlier ones that were not read, as they are many or large; counted up to
    `http_limits.COUNTED_EVENTS`."""

    deleted: int
    """Those that the index has, and the log no longer."""


class EventIndex(Follower[IndexApplier]):
    """Follows orders and dead letters into the index, and finds events and orders by it.

    `run` follows until it is cancelled. The other methods may be called meanwhile in its loop.
    """

    def __init__(self, settings: Settings, tables: TableFollower) -> None:
        self._names: Final = {
            settings.topic(name): name for name in (ORDERS_TOPIC, DEAD_LETTERS_TOPIC)
        }
        super().__init__(settings, self._names)
        self._tables = tables
        self._orders = settings.topic(ORDERS_TOPIC)
        self.log = SingleRecords(settings, self._names)
        self.dead_letters = settings.topic(DEAD_LETTERS_TOPIC)
        self.directory = tables.directory / EVENTS
        self.turns = asyncio.Semaphore(http_limits.EXPLANATIONS)
        """Whoever keeps many records in memory takes a turn."""

    async def run(self) -> None:
        """Follow once the tables are live, until cancelled.

        A failure doesn't end the reader, as its tables don't need the index: it is logged, and
        after a pause the index is filled on.
        """
        try:
            while not self._tables.live:
                self.waiting_for = "the tables are filled first"
                await self._tables.change()
            with contextlib.suppress(*READING_FAILS):  # else the first explanation connects
                await self.log.connect()
            while True:
                before = self.waiting_for
                try:
                    await self.follow()
                except StoreUnusable as error:
                    self.waiting_for = str(error)
                    if self.waiting_for != before:
                        logger.warning("the event index can't be filled", error=str(error))
                except Exception as error:
                    self.waiting_for = f"{error!r}: a fault of ours, report it"
                    logger.exception("the event index failed: a fault of ours, report it")
                self.close()
                await asyncio.sleep(LONGEST_PAUSE_S)
        finally:
            self._thread.shutdown()
            self.close()
            await self.log.close()

    async def identity(self) -> LogIdentity:
        """The identity of the log. Raises TopicsMissing."""
        found = await log_identity(self.settings, self._names)
        return IndexIdentity(found.cluster, found.app, found.topics, found.partitions)

    def new_applier(
        self, former: IndexApplier | None, identity: LogIdentity, beginnings: Mapping[At, int]
    ) -> IndexApplier:
        """An applier to the former one's store, or to the newly opened store of this identity."""
        store = IndexStore(self.directory, identity) if former is None else former.store
        return with_readable(
            store, lambda: IndexApplier(store, self._names, self.settings.app, beginnings)
        )

    def following(self, _: IndexApplier) -> None:
        """Log how far the index is."""
        self.waiting_for = ""
        logger.info("filling the event index", records_behind=self.remaining())

    def most_records(self) -> int:
        """Few: nothing is answered while a step is written."""
        return limits.INDEX_RECORDS

    def applied(self, _: IndexApplier, step: AppliedStep) -> float:
        """Pause for as long as the step took while many are left: tables and answers come first."""
        trace_step("event index", step)
        return step.seconds if self.remaining() > limits.INDEX_RECORDS else GATHER_S

    @property
    def progress(self) -> IndexProgress | None:
        """How far the index is; None before there is one."""
        return None if self._applier is None else self._applier.store.progress

    @property
    def live(self) -> bool:
        """Whether the index has all that the log had when this process began to fill it."""
        return self.progress is not None and self.progress.live

    async def snapshot(self, applied: Mapping[str, int]) -> IndexSnapshot:
        """The index once it has these offsets of `orders`, by source partition.

        Raises IndexBehind if it doesn't have them in time.
        """

        def missing() -> list[str]:
            positions = {} if self.progress is None else self.progress.positions
            return [
                f"{at} is at {positions.get(self._at(at), 0):,}, the tables are at {offset:,}"
                for at, offset in applied.items()
                if positions.get(self._at(at), 0) <= offset
            ]

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FOLLOW_S), self.changed:
                await self.changed.wait_for(lambda: not missing())
        for first in missing():
            why = self.waiting_for or f"{self.remaining():,} records to go"
            raise IndexBehind(
                f"the event index isn't that far yet ({why}): {first}; try again later"
            )
        if self._applier is None:  # it was closed meanwhile
            raise IndexBehind(f"the event index is being opened anew: {self.waiting_for}")
        return IndexSnapshot(self._applier.store.snapshot(), self._orders)

    def _at(self, source: str) -> At:
        topic, _, partition = source.rpartition("-")
        return topic, int(partition)

    async def records_of_order(
        self, index: IndexSnapshot, order_id: str, ends: Mapping[str, int], most: int
    ) -> OrderRecords:
        """The newest records, at most `most`, that name an order, with offsets before `ends`.

        `ends` is by source partition, such as `orders-0`; others are left out. Raises what
        `SingleRecords.read` raises.
        """
        left, left_out = await asyncio.to_thread(index.places, order_id, ends, most)
        read: list[LoggedRecord] = []
        deleted = size = 0
        async with asyncio.timeout(READ_S):
            while left and size < limits.LOOKUP_BYTES:
                places, left = left[-limits.LOOKUP_RECORDS :], left[: -limits.LOOKUP_RECORDS]
                some = await self._read(places)
                size += sum(len(one.record.value or b"") for one in some)
                deleted += len(places) - len(some)
                read = some + read
        return OrderRecords(read, left_out + len(left), deleted)

    async def _read(self, places: Sequence[Position]) -> list[LoggedRecord]:
        wanted: dict[At, list[int]] = {}
        for place in places:
            wanted.setdefault((place.topic, place.partition), []).append(place.offset)
        read = await self.log.read(wanted, READ_S)
        return [
            LoggedRecord(place, record)
            for place in places
            if (record := read[place.topic, place.partition].get(place.offset)) is not None
        ]


class IndexSnapshot:
    """The index at one moment. For one request, in one thread at a time."""

    def __init__(self, snapshot: StoreSnapshot[IndexProgress], orders: str) -> None:
        self.rows = snapshot
        self._orders = orders

    def places(
        self, order_id: str, ends: Mapping[str, int], most: int
    ) -> tuple[list[Position], int]:
        """The newest positions of records that name an order, and how many earlier ones it has.

        They are `most` in all; of several partitions the one with the most gives way. In each they
        are in the order of the log. No more than `http_limits.COUNTED_EVENTS` of one are counted.
        """
        newest: list[list[Position]] = []
        left_out = 0
        for source, end in ends.items():
            topic, _, number = source.rpartition("-")
            if topic == self._orders and end:
                offsets = self._offsets(order_id.encode(), int(number), end)
                some = [Position(topic, int(number), offset) for offset in islice(offsets, most)]
                newest.append(some[::-1])
                left_out += sum(1 for _ in islice(offsets, http_limits.COUNTED_EVENTS))
        found: list[Position] = []
        for some in sorted(newest, key=len):
            room = most - len(found)
            left_out += max(0, len(some) - room)
            found += some[max(0, len(some) - room) :]
        return found, left_out

    def _offsets(self, order_id: bytes, partition: int, end: int) -> Iterator[int]:
        """The offsets before `end` of an order's records in a partition, the newest first."""
        until = index_keys.event(order_id, partition, end - 1)
        for key, _ in self.rows.walk_back(index_keys.in_partition(order_id, partition), until):
            yield index_keys.offset_of(key)

    def dead_letter(self, position: Position) -> DeadLetter | None:
        """Where the record at a position was parked; None if it wasn't, or no longer is."""
        state = self.rows.get(index_keys.dead_letter(str(position).encode()))
        return None if state is None else decode_letter(state)
