"""Writes records of the sales journal to the store: as they are, and in brief by product and shop.

Its marks tell how far each source partition was, and when its event time entered each cycle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemas import journal
from serving import keys
from serving.changes import of_table
from serving.period_rows import PeriodRows
from serving.progress import SALES_JOURNAL, PartitionProgress
from serving.shop_products import SoldRows
from serving.store import Identity
from tables import catalogue
from tables.cycles import Calendar
from tables.watermarks import SourceProgress

if TYPE_CHECKING:
    from rocksdict import WriteBatch

    from serving.changes import Changes
    from serving.folded_journal import FoldedJournal
    from serving.store import Store
    from serving.turns import Parts

_KEYED_BY: Final = catalogue.key_of(catalogue.SALES_TOPIC)


class JournalRows:
    """Puts records of the journal into a batch."""

    def __init__(self, store: Store, changes: Changes) -> None:
        self._store = store
        self._changes = changes
        identity = store.identity
        if not isinstance(identity, Identity):
            raise TypeError(f"a store of tables has the identity of tables, not {identity}")
        self._calendar = Calendar(identity.cycle_ms, identity.anchor_ms)
        self.periods = PeriodRows(store, self._calendar)
        """Collects what a whole step adds to sums by hour and day, of all partitions."""

        self._sold = SoldRows(store, self._calendar)
        self._cycle_begins = {
            key: keys.split_cycle_begin(value)[1]
            for key, value in store.snapshot().walk(keys.CYCLE_BEGINS)
        }

    def put(
        self,
        batch: WriteBatch,
        partition: int,
        folded: FoldedJournal,
        progress: PartitionProgress,
    ) -> PartitionProgress:
        """Put records of one partition of the journal; its progress after them."""
        sources = dict(progress.sources)
        self._changes.note(*of_table(SALES_JOURNAL))
        for row, value in folded.rows:
            batch.put(row, value)
        if self._changes.watched:
            for row, _ in folded.rows:
                self._changes.note(_KEYED_BY, keys.split_row(row)[0])
        for value in folded.marks:
            mark = journal.decode(value)
            if isinstance(mark, journal.ProgressMark):
                source = f"{mark.topic}-{mark.partition}"
                former = sources[source].offset if source in sources else -1
                sources[source] = SourceProgress(mark.offset, mark.watermark_ms)
                self._note_cycle(batch, source, mark, former)
        for new in folded.briefs:
            keyed_by, id_, cycle = new.whose
            self.periods.count(partition, new)
            encoded, start_ms = id_.encode(), self._calendar.start_of_iso(cycle)
            self._changes.note(keyed_by, encoded)
            at = partition, new.offset
            batch.put(keys.brief_value(keyed_by, encoded, start_ms, at), new.value)
        self.periods.add(folded.sums.hours)
        self._sold.add(folded.sums.sold)
        return PartitionProgress(folded.offset, sources)

    def put_sums(self, batch: WriteBatch, event_ms: int | None) -> Parts[None]:
        """Put the sums of a whole step; `event_ms` is event time."""
        yield from self._sold.put(batch)
        if self.periods.put(batch, event_ms):
            self._changes.note_all()

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
