"""Restoring local stores: each is read up to the end that its changelog had after INIT.

Only committed records are read. A store whose position lies outside of its changelog is wiped
first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiokafka import TopicPartition

from streams import metrics
from streams.build import this_build
from streams.failpoints import Point, reach
from streams.standstill import Standstill
from streams.stores import Identity
from streams.topics import changelog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from streams.cluster import Bounds, Cluster
    from streams.settings import Settings
    from streams.stores import PartitionStore

HANGING: Final = (
    "a transaction there has neither been committed nor aborted, waiting "
    "(docs/runbook.md, Hanging transaction)"
)


@dataclass(frozen=True, slots=True)
class StoreFolder:
    """Opens the stores of one worker, below `state_dir`.

    `cluster` and `topic_ids` are the cluster's ids: a store of another log is wiped.
    """

    settings: Settings
    state_dir: Path
    cluster: str
    topic_ids: Mapping[str, str]
    open_store: Callable[[Path, Identity], PartitionStore]

    def open(self, table: str, partition: int) -> PartitionStore:
        """The store of one partition of a table. Raises StoreUnopened."""
        identity = Identity(
            self.cluster,
            self.settings.app,
            f"{table}/{self.topic_ids[changelog(self.settings, table)]}",
            partition,
            self.settings.partitions,
            build=str(this_build()),
        )
        return self.open_store(self.state_dir / table / str(partition), identity)


async def restore(
    kafka: Cluster,
    stores: Mapping[TopicPartition, PartitionStore],
    beginnings: Bounds,
    ends: Bounds,
) -> int:
    """Bring stores up to the ends of their changelogs; returns how many records that took.

    `stores` are by changelog partition. `ends` are high watermarks, not last stable offsets, so a
    transaction that is open there is waited for.
    """
    for tp, store in stores.items():
        if store.position is not None and not beginnings[tp] <= store.position <= ends[tp]:
            log_span = f"{tp.topic}-{tp.partition}@{beginnings[tp]}-{ends[tp]}"
            store.wipe(f"its position {store.position} lies outside of {log_span}")
    positions = {tp: store.position or beginnings[tp] for tp, store in stores.items()}
    behind = {tp: position for tp, position in positions.items() if position < ends[tp]}
    restored = 0
    _show_remaining(behind, ends)
    if not behind:
        return restored
    async with kafka.changelogs(behind) as changelogs:
        standstill = Standstill(HANGING, "changelogs")
        while behind:
            # a log that ends in control records never delivers its last offset, so only positions
            # show that the end is reached
            fetched, read = await changelogs.fetch()
            positions |= read
            for tp, records in fetched.items():
                stores[tp].write(((record.key, record.value) for record in records), positions[tp])
                restored += len(records)
                reach(Point.IN_RECOVERY)
            behind = {tp: positions[tp] for tp in behind if positions[tp] < ends[tp]}
            _show_remaining(behind, ends)
            standstill.watch(f"{tp.topic}-{tp.partition}@{at}" for tp, at in behind.items())
    return restored


def _show_remaining(behind: Bounds, ends: Bounds) -> None:
    remaining = sum(ends[tp] - position for tp, position in behind.items())
    metrics.RESTORE_REMAINING.set(remaining)
