"""Applies fetched changelog and journal records to the store, in batches with their positions.

A table partition is only shown as it was at one of its marks, that is, at the end of a
transaction: records behind the last mark are pending until the next one arrives. So every answer
about one id is the state after some prefix of the log. While the store is filled for the first time
nothing is shown, and no record is pending.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from rocksdict import WriteBatch

from serving import keys
from serving.folded_journal import FoldedStep, fold
from serving.journal_rows import JournalRows
from serving.name_rows import NameRows
from serving.pending import Pending
from serving.period_rows import event_time
from serving.progress import (
    DIRECT,
    FOLLOWED,
    NAMES,
    SALES_JOURNAL,
    PartitionProgress,
    ReaderProgress,
)
from serving.same_terms import require_terms
from serving.store import Identity
from serving.table_rows import TableRows
from serving.turns import parts_of
from streams.marks import MARK_KEY, decode_mark
from tables import catalogue
from tables.watermarks import SourceProgress

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from schemas.envelope import Record
    from serving.changes import Changes
    from serving.folded_journal import FoldedJournal
    from serving.store import Store
    from serving.turns import Parts
    from streams.log import At, FollowStep
    from tables.catalogue import Table

_TABLES: Final = {table.name: table for table in catalogue.READER_TABLES}
_decode_progress: Final = msgspec.json.Decoder(PartitionProgress).decode


class Applier:
    """Applies fetched records to a store.

    `positions` are the next offsets to fetch, `ends` where the logs end, as last known. `names`
    are the followed topics with the names of FOLLOWED or NAMES, `starts` where each log begins.
    `changes` notes what is watched.

    Display names are shown as soon as they are read, and nothing waits for them.
    """

    def __init__(
        self, store: Store, names: Mapping[str, str], starts: Mapping[At, int], changes: Changes
    ) -> None:
        self.store = store
        self._changes = changes
        changes.note_another_store()
        store.heads.forget()
        self._names = names
        self._pending = Pending()
        self._rows = TableRows(store, changes)
        self._journal = JournalRows(store, changes)
        self._display_names = NameRows(store, changes)
        snapshot = store.snapshot()
        found = {at: snapshot.get(keys.of_partition(keys.POSITIONS, at)) for at in starts}
        self.positions: Mapping[At, int] = {
            at: start if (position := found[at]) is None else int(position)
            for at, start in starts.items()
        }
        self.ends: Mapping[At, int] = dict(self.positions)
        progress: dict[str, dict[int, PartitionProgress]] = {name: {} for name in FOLLOWED}
        for at in sorted(at for at in starts if names[at[0]] != NAMES):
            stored = snapshot.get(keys.of_partition(keys.PROGRESS, at))
            progress[names[at[0]]][at[1]] = (
                PartitionProgress() if stored is None else _decode_progress(stored)
            )
        complete = snapshot.get(keys.COMPLETE) is not None
        store.write(
            WriteBatch(raw_mode=True), ReaderProgress(progress, complete=complete, live=False)
        )

    @property
    def in_turns(self) -> bool:
        """Once tables are answered from: a second thread would make each answer wait."""
        return self.store.progress.live

    def apply(self, step: FollowStep) -> Parts[int]:
        """Apply a step in one write, or not at all; returns how many records were applied.

        Another step may only follow one that is applied to its end.
        """
        before = self.store.progress
        self._changes.begin_step(is_shown=before.complete)
        self.store.heads.begin_step()
        batch = WriteBatch(raw_mode=True)
        behind = any(self._names[topic] != NAMES for topic, _ in step.behind)
        until_mark = before.complete or not behind
        ready = {
            at: records
            if self._names[at[0]] == NAMES
            else self._pending.ready(at, records, until_mark=until_mark)
            for at, records in step.records.items()
            if self._names[at[0]] != SALES_JOURNAL
        }
        progress = {name: dict(partitions) for name, partitions in before.partitions.items()}
        for at, records in ready.items():
            yield from self._apply(batch, at, records, progress)
        count = sum(map(len, ready.values()))
        for at, folded in _folded(step, self._names):
            yield
            former = progress[SALES_JOURNAL][at[1]]
            _put_progress(
                batch, at, progress[SALES_JOURNAL], self._journal.put(batch, at[1], folded, former)
            )
            count += folded.count
        complete = until_mark and self._pending.end_with_marks
        if complete and not before.complete:
            batch.put(keys.COMPLETE, b"")
        elif before.complete and not complete:
            batch.delete(keys.COMPLETE)
        positions = {
            at: self._pending.position(at, fetched) for at, fetched in step.positions.items()
        }
        for at, position in positions.items():
            if position != self.positions[at]:
                batch.put(keys.of_partition(keys.POSITIONS, at), b"%d" % position)
        after = ReaderProgress(progress, complete, live=complete and not behind)
        self._rows.marketplace.put(batch)
        yield from self._journal.put_sums(batch, event_time(after))
        yield
        self.store.write(batch, after, logged=complete)
        self.store.heads.end_step(after)
        self._changes.end_step()
        self.positions, self.ends = positions, step.ends
        return count

    def _apply(
        self,
        batch: WriteBatch,
        at: At,
        records: Sequence[Record],
        progress: Mapping[str, dict[int, PartitionProgress]],
    ) -> Parts[None]:
        name = self._names[at[0]]
        if name == NAMES:
            self._display_names.put(batch, at, records)
            return
        before = progress[name][at[1]]
        after = yield from self._apply_table(batch, at[1], _TABLES[name], records, before)
        if after is not before:
            _put_progress(batch, at, progress[name], after)

    def _apply_table(
        self,
        batch: WriteBatch,
        partition: int,
        table: Table,
        records: Sequence[Record],
        progress: PartitionProgress,
    ) -> Parts[PartitionProgress]:
        states = {
            record.key: record.value for record in records if record.key is not None
        }  # the last one of each key
        encoded_mark = states.pop(MARK_KEY, None)
        mark = None if encoded_mark is None else decode_mark(encoded_mark)
        if mark is not None and isinstance(self.store.identity, Identity):
            require_terms(mark, self.store.identity.terms)
        is_shown = self.store.progress.complete
        ends_with_mark = bool(records) and records[-1].key == MARK_KEY
        changed = keys.changed(
            partition, mark.offset if mark and ends_with_mark and is_shown else None
        )
        for some in parts_of(states.items()):
            part = dict(some)
            self._rows.put(batch, table, part, changed)
            self._changes.note_rows(table, part)
            yield
        if mark is None:
            return progress
        if table is catalogue.ORDERS and not is_shown:
            batch.put(keys.filled(partition), b"%d" % mark.offset)
        sources = (
            {f"{mark.topic}-{mark.partition}": SourceProgress(mark.offset, mark.watermark_ms)}
            if table.name in DIRECT
            else mark.sources
        )
        return PartitionProgress(
            mark.offset, sources, mark.topic_id, mark.refused_in_a_row, mark.rules, mark.build
        )


def _folded(step: FollowStep, names: Mapping[str, str]) -> Iterator[tuple[At, FoldedJournal]]:
    """The records of the journal, folded; those of a partition perhaps in several parts."""
    if isinstance(step, FoldedStep):
        yield from step.journal.items()
        return
    for at, records in step.records.items():
        if names[at[0]] == SALES_JOURNAL:
            for some in parts_of(records):
                yield at, fold(some)


def _put_progress(
    batch: WriteBatch,
    at: At,
    partitions: dict[int, PartitionProgress],
    progress: PartitionProgress,
) -> None:
    partitions[at[1]] = progress
    batch.put(keys.of_partition(keys.PROGRESS, at), msgspec.json.encode(progress))
