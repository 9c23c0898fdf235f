"""Writes records of the sales journal to the store: as they are, and in brief by product and shop.

Its marks tell how far each source partition was, and when its event time entered each cycle.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from schemas import journal, limits
from serving import keys
from serving.changes import of_table
from serving.period_rows import PeriodRows
from serving.progress import SALES_JOURNAL, PartitionProgress
from serving.shop_products import ShopProducts
from serving.store import Identity
from tables import catalogue
from tables.brief_entries import BriefEntry, encode_entries, owned
from tables.cycles import Calendar
from tables.watermarks import SourceProgress

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rocksdict import WriteBatch

    from schemas.envelope import Record
    from serving.changes import Changes
    from serving.store import Store
    from tables.brief_entries import Owned

_KEYED_BY: Final = catalogue.key_of(catalogue.SALES_TOPIC)


class JournalRows:
    """Puts records of the journal into a batch."""

    def __init__(self, store: Store, changes: Changes) -> None:
        self._changes = changes
        identity = store.identity
        if not isinstance(identity, Identity):
            raise TypeError(f"a store of tables has the identity of tables, not {identity}")
        self._calendar = Calendar(identity.cycle_ms, identity.anchor_ms)
        self.periods = PeriodRows(store, self._calendar)
        """Collects what a whole step adds to sums by hour and day, of all partitions."""

        self._shop_products = ShopProducts(store)
        self._cycle_begins = {
            key: keys.split_cycle_begin(value)[1]
            for key, value in store.snapshot().walk(keys.CYCLE_BEGINS)
        }

    def put(
        self,
        batch: WriteBatch,
        partition: int,
        records: Sequence[Record],
        progress: PartitionProgress,
    ) -> PartitionProgress:
        """Put records of one partition of the journal; its progress after them."""
        sources = dict(progress.sources)
        offset = progress.offset
        brief: defaultdict[tuple[str, str, str], list[BriefEntry]] = defaultdict(list)
        first: dict[tuple[str, str, str], int] = {}
        if records:
            self._changes.note(*of_table(SALES_JOURNAL))
        for record in records:
            offset, value = record.offset, record.value or b""
            if record.key is not None:
                batch.put(keys.row(keys.JOURNAL, record.key, offset), value)
                entries = owned(value)
                self._note(record.key, entries)
                for keyed_by, id_, cycle, entry in entries:
                    whose = keyed_by, id_, cycle
                    some = brief[whose]
                    some.append(entry)
                    if keyed_by == _KEYED_BY:
                        self.periods.add(cycle, entry)
                    if len(some) == 1:
                        first[whose] = offset
                    elif len(some) == limits.BRIEF_ENTRIES:
                        self._put_brief(batch, whose, (partition, first[whose]), brief.pop(whose))
            elif isinstance(mark := journal.decode(value), journal.ProgressMark):
                source = f"{mark.topic}-{mark.partition}"
                former = sources[source].offset if source in sources else -1
                sources[source] = SourceProgress(mark.offset, mark.watermark_ms)
                self._note_cycle(batch, source, mark, former)
        for whose, some in brief.items():
            self._put_brief(batch, whose, (partition, first[whose]), some)
        self._shop_products.put(batch)
        return PartitionProgress(offset, sources) if offset != progress.offset else progress

    def put_periods(self, batch: WriteBatch, event_ms: int | None) -> None:
        """Put the sums of a whole step by hour and day; `event_ms` is event time."""
        if self.periods.put(batch, event_ms):
            self._changes.note_all()

    def _note(self, key: bytes, entries: Iterable[Owned]) -> None:
        """Note the ids of a record, if any are watched. It runs for each."""
        if self._changes.watched:
            self._changes.note(_KEYED_BY, key)
            for entry in entries:
                self._changes.note(entry.keyed_by, entry.id.encode())

    def _put_brief(
        self,
        batch: WriteBatch,
        whose: tuple[str, str, str],
        at: tuple[int, int],
        entries: list[BriefEntry],
    ) -> None:
        keyed_by, id_, cycle = whose
        start_ms = self._calendar.start_of_iso(cycle)
        self.periods.count(whose, at, entries)
        self._changes.note(keyed_by, id_.encode())
        if keyed_by == "shop_id":
            self._shop_products.add(id_, start_ms, entries)
        batch.put(keys.brief_value(keyed_by, id_.encode(), start_ms, at), encode_entries(entries))

    def _note_cycle(
        self, batch: WriteBatch, source: str, mark: journal.ProgressMark, former: int
    ) -> None:
        """Keep the first mark of a source partition in a cycle; its others come in any order."""
        if mark.watermark_ms is None:
            return
        key = keys.cycle_begins(source, self._calendar.start_of(mark.watermark_ms))
        known = self._cycle_begins.get(key)
        if known is None or mark.offset < known:
            self._cycle_begins[key] = mark.offset
            batch.put(key, keys.cycle_begin(former, mark.offset))
