"""Faust's view of the tables and of their recovery.

A Faust application declares its tables with Faust: here each table of the catalogue is one
(`app.tables`), with its changelog and its window. Rows don't go through them: stages read and write
the stores of their lanes, and Faust's recovery opens those lanes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import faust
import structlog
from aiokafka import TopicPartition
from faust.stores.base import SerializedStore
from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from faust.types.windows import WindowRange, WindowT
from mode import Service

from streams.errors import Fatal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faust.types import TP

    from streams.pipeline import Pipeline
    from streams.stores import PartitionStore
    from tables.cycles import Calendar

log = structlog.get_logger()


class CycleWindow(WindowT):
    """Our cycles as a Faust window: half-open, by the anchor, in event time (C1, C2).

    It has no `expires`: Faust expires by the machine's clock, so a replay of old topics would lose
    its data.
    """

    def __init__(self, calendar: Calendar) -> None:
        self.calendar = calendar

    def _at(self, start_ms: int) -> WindowRange:
        return start_ms / 1000, self.calendar.end_of(start_ms) / 1000

    def ranges(self, timestamp: float) -> list[WindowRange]:
        """The one cycle that contains a time, in seconds."""
        return [self.current(timestamp)]

    def current(self, timestamp: float) -> WindowRange:
        """The cycle that contains a time, in seconds."""
        return self._at(self.calendar.start_of(round(timestamp * 1000)))

    def earliest(self, timestamp: float) -> WindowRange:
        """As `current`: cycles don't overlap."""
        return self.current(timestamp)

    def delta(self, timestamp: float, d: Any) -> WindowRange:
        """The cycle that contains the time `d` (seconds or a timedelta) earlier."""
        seconds = d.total_seconds() if hasattr(d, "total_seconds") else float(d)
        return self.current(timestamp - seconds)

    def stale(self, timestamp: float, latest_timestamp: float) -> bool:  # noqa: ARG002 - Faust's signature
        """Never: ended cycles stay readable (C3)."""
        return False


class RocksStore(SerializedStore[Any, Any]):
    """Faust's store of a table: reads the partitions that this worker has open, never writes."""

    partitions: dict[int, PartitionStore]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.partitions = {}

    def _encode_key(self, key: Any) -> bytes:
        if isinstance(key, tuple):  # a windowed table's key: (key, (start, end)), in seconds
            key, (start, _end) = key
            return f"{key}@{round(start * 1000)}".encode()
        return key if isinstance(key, bytes) else str(key).encode()

    def _decode_key(self, key: bytes | None) -> Any:
        return None if key is None else key.decode()

    def _decode_value(self, value: bytes | None) -> Any:
        return value

    def _get(self, key: bytes) -> bytes | None:
        for partition in self.partitions.values():
            value = partition.get(key)
            if value is not None:
                return value
        return None

    def _set(self, key: bytes, value: bytes | None) -> None:
        raise NotImplementedError(
            "a table is written by the chunk's transaction only, so that it never runs ahead "
            "of Kafka"
        )

    def _del(self, key: bytes) -> None:
        self._set(key, None)

    def _clear(self) -> None:
        self._set(b"", None)

    def reset_state(self) -> None:
        """Nothing: a partition's store is wiped when it is opened, if it doesn't fit."""

    async def backup_partition(self, *_args: Any, **_kwargs: Any) -> None:
        """Refused: the changelog is the backup."""
        self._set(b"", None)

    def restore_backup(self, *_args: Any, **_kwargs: Any) -> None:
        """Refused, as above."""
        self._set(b"", None)

    def _iteritems(self) -> Iterator[tuple[bytes, bytes]]:
        for partition in self.partitions.values():
            yield from partition.items()

    def _iterkeys(self) -> Iterator[bytes]:
        return (key for key, _ in self._iteritems())

    def _itervalues(self) -> Iterator[bytes | None]:
        return (value for _, value in self._iteritems())

    def _size(self) -> int:
        return sum(1 for _ in self._iteritems())

    def _contains(self, key: bytes) -> bool:
        return self._get(key) is not None


class LaneApp(Protocol):
    """What recovery uses of `streams.app.App`."""

    pipeline: Pipeline
    consumer: Any
    consumer_generation_id: int
    tables: Any

    def leave(self, error: Fatal) -> None:
        """End the worker for good."""


class LaneRecovery(Recovery):
    """Faust's recovery service, which opens lanes where Faust replays changelogs."""

    app: LaneApp

    async def on_rebalance(
        self,
        assigned: set[TP],  # noqa: ARG002 - Faust's signature; opening reads the assignment itself
        revoked: set[TP],  # noqa: ARG002 - as above
        newly_assigned: set[TP],  # noqa: ARG002 - as above
        generation_id: int = 0,
    ) -> None:
        """Start opening lanes, unless a later rebalance is already under way."""
        if generation_id == self.app.consumer_generation_id:
            self._generation_id = generation_id
            self.signal_recovery_start.set()

    @Service.task
    async def _restart_recovery(self) -> None:
        while not self.should_stop:
            if await self.wait_for_stopped(self.signal_recovery_start):
                return
            self.signal_recovery_start.clear()
            generation = self._generation_id
            try:
                self._set_recovery_started()
                await self._wait(self._open_lanes())
                self._show_partitions()
                self._set_recovery_ended()
                await self._resume_streams(generation_id=generation)
            except RebalanceAgain:
                log.info("another rebalance while opening partitions")
            except ServiceStopped:
                return
            except Fatal as error:
                self.app.leave(error)
                return

    @Service.task
    async def _report_waiting(self) -> None:
        """Report here: Faust begins an application's own tasks only after the first opening."""
        while not self.should_stop:
            self.app.pipeline.waiting.turn()
            await self.sleep(1.0)

    async def _open_lanes(self) -> None:
        await self.app.pipeline.open(TopicPartition(*tp) for tp in self.app.consumer.assignment())

    def _show_partitions(self) -> None:
        """Let Faust's tables read the partitions that are open now."""
        lanes = self.app.pipeline.lanes.values()
        for name, table in self.app.tables.items():
            table.data.partitions = {
                lane.partition: lane.stores[name] for lane in lanes if name in lane.stores
            }


class LaneTableManager(TableManager):
    """Faust's table manager with our recovery."""

    _recovery: LaneRecovery | None

    @property
    def recovery(self) -> LaneRecovery:
        """The service that opens lanes after a rebalance."""
        if self._recovery is None:
            self._recovery = LaneRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery

    async def on_start(self) -> None:
        """Register the changelogs at once; Faust waits a second for tables declared late."""
        await self._update_channels()
        await self.recovery.start()


class CatalogueTable(faust.Table):
    """A Faust table over the stores; its changelog is only compacted, also if windowed (C4)."""

    def _new_store(self) -> RocksStore:
        return RocksStore("rocksdict://", self.app, self, table_name=self.name, loop=self.loop)
