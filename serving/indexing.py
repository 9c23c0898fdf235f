"""Applies records of orders and of dead letters to the event index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from rocksdict import WriteBatch

from schemas import envelope, limits
from schemas.envelope import Received
from schemas.named_orders import order_ids
from serving import index_keys, keys
from serving.store import CacheStore, LogIdentity, Sizes
from serving.turns import parts_of
from tables.catalogue import DEAD_LETTERS_TOPIC, ORDERS_TOPIC

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from schemas.envelope import Record
    from serving.turns import Parts
    from streams.log import At, FollowStep

FORMAT: Final = 1
"""Version of the index's keys and values; an index of another version is filled anew."""


class IndexIdentity(LogIdentity, frozen=True):
    """Which log an event index is of. It depends on no calendar and no rule."""

    format: int = FORMAT


class IndexProgress(msgspec.Struct, frozen=True):
    """How far the index is: the next offset of each followed partition.

    `live`: it has applied all that the log had when this process began to fill it.
    """

    positions: dict[At, int]
    live: bool


class DeadLetter(msgspec.Struct, frozen=True, array_like=True):
    """Where a refused record was parked, why, and when, in epoch milliseconds."""

    partition: int
    offset: int
    reason: str
    parked_ms: int


_encode: Final = msgspec.json.Encoder().encode
decode_letter: Final = msgspec.json.Decoder(DeadLetter).decode

_NOWHERE: Final = IndexProgress({}, live=False)
_SIZES: Final = Sizes(
    cache_bytes=limits.INDEX_CACHE_BYTES,
    write_buffer_bytes=limits.INDEX_WRITE_BUFFER_BYTES,
    write_buffers=limits.INDEX_WRITE_BUFFERS,
    open_files=limits.INDEX_OPEN_FILES,
)


class IndexStore(CacheStore[IndexProgress]):
    """The store of the event index.

    It is kept however long it was unused: the topics that it follows never drop a single record.
    """

    def __init__(self, directory: Path, identity: LogIdentity) -> None:
        super().__init__(directory, identity, _NOWHERE, _SIZES, None)


class IndexApplier:
    """Applies fetched records to the index.

    `positions` are the next offsets to fetch, `ends` where the logs end, as last known. `names` are
    the followed topics with their names in the catalogue, `starts` where each log begins. Only dead
    letters of `app` are indexed.
    """

    def __init__(
        self, store: IndexStore, names: Mapping[str, str], app: str, starts: Mapping[At, int]
    ) -> None:
        self.store = store
        self._names = names
        self._app = app.encode()
        snapshot = store.snapshot()
        found = {at: snapshot.get(keys.of_partition(keys.POSITIONS, at)) for at in starts}
        self.positions: Mapping[At, int] = {
            at: start if (position := found[at]) is None else int(position)
            for at, start in starts.items()
        }
        self.ends: Mapping[At, int] = dict(self.positions)
        progress = IndexProgress(dict(self.positions), live=False)
        store.write(WriteBatch(raw_mode=True), progress)

    @property
    def in_turns(self) -> bool:
        """Always, as tables are answered from meanwhile."""
        return True

    def apply(self, step: FollowStep) -> Parts[int]:
        """Apply a step; the store is written once. Returns how many records were applied."""
        batch = WriteBatch(raw_mode=True)
        for at, records in step.records.items():
            name = self._names[at[0]]
            for some in parts_of(records):
                if name == ORDERS_TOPIC:
                    _put_events(batch, at[1], some)
                elif name == DEAD_LETTERS_TOPIC:
                    _put_dead_letters(batch, at[1], some, self._app)
                yield
        for at, position in step.positions.items():
            if position != self.positions[at]:
                batch.put(keys.of_partition(keys.POSITIONS, at), b"%d" % position)
        progress = IndexProgress(dict(step.positions), live=not step.behind)
        self.store.write(batch, progress)
        self.positions, self.ends = step.positions, step.ends
        return sum(map(len, step.records.values()))


def _put_events(batch: WriteBatch, partition: int, records: Iterable[Record]) -> None:
    """Each record at the orders that it names, and each placing at what finds its order."""
    for record in records:
        reading = envelope.read(record)
        for order_id in order_ids(record, reading):
            batch.put(index_keys.event(order_id.encode(), partition, record.offset), b"")
        if isinstance(reading, Received):
            _put_finders(batch, reading)


def _put_finders(batch: WriteBatch, event: Received) -> None:
    """An event's order at the refund that it names, or at where and when it was placed."""
    order_id, body, at_ms = event.order_id.encode(), event.body, event.occurred_at_ms
    if event.type == "order_placed":
        batch.put(index_keys.by_time(at_ms, order_id), b"")
        shop_id = body.shop_id.encode()
        batch.put(index_keys.placed(index_keys.BY_SHOP, shop_id, at_ms, order_id), b"")
        for product_id in {line.product_id for line in body.lines}:
            key = index_keys.placed(index_keys.BY_PRODUCT, product_id.encode(), at_ms, order_id)
            batch.put(key, b"")
    elif event.type.startswith("refund_"):
        batch.put(index_keys.of_refund(body.refund_id.encode(), order_id), b"")


def _put_dead_letters(
    batch: WriteBatch, partition: int, records: Iterable[Record], app: bytes
) -> None:
    """Where each refused record was parked; what another application parked is not ours."""
    for record in records:
        headers = dict(record.headers)
        position = headers.get("x-dlq-id")
        if position and len(position) <= limits.POSITION_BYTES and headers.get("x-dlq-app") == app:
            reason = (headers.get("x-dlq-reason") or b"").decode(errors="replace")
            letter = DeadLetter(partition, record.offset, reason, record.timestamp)
            batch.put(index_keys.dead_letter(position), _encode(letter))
