"""From fetched records to the store.

What a changelog or journal record changes, in batches that go with their positions.

A table partition is only ever shown as it was at one of its marks, that is, at the end of a
transaction: what was fetched behind the last mark waits for the next one. So each answer about one
product, shop or order is one that some prefix of the log explains. While the store is filled for
the first time there is nothing to show, and nothing waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from rocksdict import WriteBatch

from schemas import journal, limits
from serving import keys
from serving.standing import DIRECT, FOLLOWED, JOURNAL, Reached, Standing
from streams.marks import MARK_KEY, decode_mark
from tables import catalogue, orders, overdue_rows, sales, service

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from schemas.envelope import Record
    from serving.store import Store
    from streams.log import At, FollowStep

BILLION: Final = 1_000_000_000


_decode_reached: Final = msgspec.json.Decoder(Reached).decode


class Applier:
    """Applies what is fetched to a store.

    `positions` are the next offsets to fetch, `ends` where the logs end, as last heard.

    `names` are the followed topics with the names of FOLLOWED, `starts` where each log begins.
    """

    def __init__(self, store: Store, names: Mapping[str, str], starts: Mapping[At, int]) -> None:
        self.store = store
        self._names = names
        self._held: dict[At, list[Record]] = {}
        self._dirty: set[At] = set()
        self._seen: set[bytes] = set()
        moment = store.moment()
        found = {at: moment.get(keys.of_partition(keys.POSITION, at)) for at in starts}
        self.positions = {
            at: start if (position := found[at]) is None else int(position)
            for at, start in starts.items()
        }
        self.ends: Mapping[At, int] = dict(self.positions)
        reached: dict[str, dict[int, Reached]] = {name: {} for name in FOLLOWED}
        for at in sorted(starts):
            said = moment.get(keys.of_partition(keys.REACHED, at))
            reached[names[at[0]]][at[1]] = Reached() if said is None else _decode_reached(said)
        store.write(
            WriteBatch(raw_mode=True),
            Standing(reached, complete=moment.get(keys.COMPLETE) is not None, live=False),
        )

    def take(self, step: FollowStep) -> int:
        """Apply a step of `streams.log.follow`; returns how many records were applied.

        The store is written once, or not at all.
        """
        before = self.store.standing
        batch = WriteBatch(raw_mode=True)
        waits = before.complete or not step.behind
        ready = {at: self._ready(at, records, waits=waits) for at, records in step.records.items()}
        reached = {name: dict(partitions) for name, partitions in before.reached.items()}
        for at, records in ready.items():
            self._apply(batch, at, records, reached)
        complete = waits and not self._dirty
        if complete and not before.complete:
            batch.put(keys.COMPLETE, b"")
        elif before.complete and not complete:
            batch.delete(keys.COMPLETE)
        positions = {
            at: self._held[at][0].offset if self._held.get(at) else position
            for at, position in step.positions.items()
        }
        for at, position in positions.items():
            if position != self.positions[at]:
                batch.put(keys.of_partition(keys.POSITION, at), b"%d" % position)
        self.store.write(batch, Standing(reached, complete, live=complete and not step.behind))
        self.positions, self.ends = positions, step.ends
        return sum(map(len, ready.values()))

    def _ready(self, at: At, records: list[Record], *, waits: bool) -> list[Record]:
        """Of what was held and what was fetched, the records to apply now; the others are held."""
        if self._names[at[0]] == JOURNAL:
            return records
        records = self._held.pop(at, []) + records
        end = next(
            (index for index in range(len(records), 0, -1) if records[index - 1].key == MARK_KEY), 0
        )
        if waits and len(records) - end <= limits.WAITING_RECORDS:
            self._held[at] = records[end:]
            if end:
                self._dirty.discard(at)
            return records[:end]
        if end < len(records):
            self._dirty.add(at)
        elif records:
            self._dirty.discard(at)
        return records

    def _apply(
        self,
        batch: WriteBatch,
        at: At,
        records: Sequence[Record],
        reached: Mapping[str, dict[int, Reached]],
    ) -> None:
        name = self._names[at[0]]
        before = reached[name][at[1]]
        after = (
            self._journal(batch, records, before)
            if name == JOURNAL
            else self._table(batch, name, records, before)
        )
        if after is not before:
            reached[name][at[1]] = after
            batch.put(keys.of_partition(keys.REACHED, at), msgspec.json.encode(after))

    def _table(
        self, batch: WriteBatch, name: str, records: Iterable[Record], reached: Reached
    ) -> Reached:
        states = {
            record.key: record.value for record in records if record.key is not None
        }  # the last one of each key
        mark = states.pop(MARK_KEY, None)
        if name == catalogue.ORDERS.name:
            self._orders(batch, states)
        elif name == catalogue.OVERDUE_INQUIRIES.name:
            self._overdue(batch, states)
        elif name == catalogue.SHOP_SERVICE_TOTALS.name:
            for key, state in states.items():
                _put(batch, keys.SHOP_SERVICE_EVER + key, state)
        else:
            self._cycles(batch, _SPACES[name], states)
        if mark is None:
            return reached
        said = decode_mark(mark)
        sources = (
            {f"{said.topic}-{said.partition}": (said.offset, said.watermark_ms)}
            if name in DIRECT
            else said.sources
        )
        return Reached(said.offset, sources, said.topic_id, said.refused_in_a_row)

    def _orders(self, batch: WriteBatch, states: Mapping[bytes, bytes | None]) -> None:
        """The orders themselves, and that the products and shops which they name exist."""
        if len(self._seen) > limits.RECENT_IDS:
            self._seen.clear()
        for key, state in states.items():
            _put(batch, keys.ORDER + key, state)
            for placed in () if state is None else orders.decode(state).placed:
                named = {keys.NAMED_PRODUCT + line.product_id.encode() for line in placed.lines}
                named.add(keys.NAMED_SHOP + placed.shop_id.encode())
                for one in named - self._seen:
                    batch.put(one, b"")
                self._seen |= named

    def _cycles(
        self, batch: WriteBatch, space: bytes, states: Mapping[bytes, bytes | None]
    ) -> None:
        """Rows by cycle, and their places in the lists of the best."""
        split = [_split(key) for key in states]
        rows = [keys.row(space, *one) for one in split]
        places = _PLACES.get(space)
        if places is None:
            for row, state in zip(rows, states.values(), strict=True):
                _put(batch, row, state)
            return
        for (id_, start_ms), row, before, after in zip(
            split, rows, self.store.get_many(rows), states.values(), strict=True
        ):
            _put(batch, row, after)
            was = set() if before is None else places(before, start_ms, id_)
            now = set() if after is None else places(after, start_ms, id_)
            for place in was - now:
                batch.delete(place)
            for place in now - was:
                batch.put(place, b"")

    def _overdue(self, batch: WriteBatch, states: Mapping[bytes, bytes | None]) -> None:
        """The conversations with an overdue inquiry, and their places in the list of all and in that of their shop."""
        rows = [keys.CONVERSATION + key for key in states]
        for key, row, before, after in zip(
            states, rows, self.store.get_many(rows), states.values(), strict=True
        ):
            _put(batch, row, after)
            for state in (before, after):  # what was there first, so that an unchanged place stays
                if state is not None:
                    for place in keys.overdue(
                        overdue_rows.decode(state).due_ms, *catalogue.split_conversation_key(key)
                    ):
                        _put(batch, place, None if state is before else row)

    @staticmethod
    def _journal(batch: WriteBatch, records: Iterable[Record], reached: Reached) -> Reached:
        """The entries as they are, by product; the marks say how far."""
        sources = dict(reached.sources)
        offset = reached.offset
        for record in records:
            offset = record.offset
            if record.key is not None:
                batch.put(keys.row(keys.JOURNAL, record.key, record.offset), record.value)
            elif isinstance(mark := journal.decode(record.value or b""), journal.Mark):
                sources[f"{mark.topic}-{mark.partition}"] = (mark.offset, mark.watermark_ms)
        return Reached(offset, sources) if offset != reached.offset else reached


def _places_of_product(state: bytes, start_ms: int, id_: bytes) -> set[bytes]:
    net = sales.decode(state).net
    return {keys.top(start_ms, net, id_)} if net else set()


def _places_of_sales(state: bytes, start_ms: int, id_: bytes) -> set[bytes]:
    net = sales.decode(state).net
    return {keys.top_shop("sales", start_ms, (net, 0), id_)} if net else set()


def _places_of_service(state: bytes, start_ms: int, id_: bytes) -> set[bytes]:
    """By response rate, then number counted; by good reviews, then their share.

    Shares are in billionths.
    """
    columns = service.decode(state).columns
    counted, reviews, good = (
        columns.get(name, 0) for name in (service.INQUIRIES, service.REVIEWS, service.GOOD_REVIEWS)
    )
    places = set()
    if counted:
        rate = columns.get(service.TIMELY, 0) * BILLION // counted
        places.add(keys.top_shop("response-rate", start_ms, (rate, counted), id_))
    if good:
        places.add(keys.top_shop("good-reviews", start_ms, (good, good * BILLION // reviews), id_))
    return places


_SPACES: Final = {
    catalogue.PRODUCT_CYCLES.name: keys.PRODUCT,
    catalogue.PRODUCT_SERVICE_CYCLES.name: keys.PRODUCT_SERVICE,
    catalogue.SHOP_CYCLES.name: keys.SHOP,
    catalogue.SHOP_SERVICE_CYCLES.name: keys.SHOP_SERVICE,
}
_PLACES: Final = {
    keys.PRODUCT: _places_of_product,
    keys.SHOP: _places_of_sales,
    keys.SHOP_SERVICE: _places_of_service,
}


def _split(key: bytes) -> tuple[bytes, int]:
    """(id, cycle's start) of a windowed table's key."""
    id_, start_ms = catalogue.split_cycle_key(key)
    return id_.encode(), start_ms


def _put(batch: WriteBatch, key: bytes, state: bytes | None) -> None:
    if state is None:
        batch.delete(key)
    else:
        batch.put(key, state)
