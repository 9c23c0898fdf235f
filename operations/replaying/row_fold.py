"""Folds the replayed rows of a journal's partition into a store, whatever their sums become.

A worker ends before it writes a sum that is out of its bounds. A replay is there to show what other
rules make of the log, so it leaves the sums of that id as they are, names them, and continues.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from operations.replaying.differences import SHOWN, text
from schemas import limits
from schemas.errors import NetsoldError
from tables.sales import ImpossibleTallyError
from tables.service import ImpossibleServiceError
from tables.watermarks import Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from operations.replaying.row_files import JournalRow
    from operations.replaying.row_store import RowStore
    from operations.replaying.work import Work

CHUNK_ROWS: Final = 20_000
"""How many rows are folded at once, at least, unless they are long."""

CHUNK_BYTES: Final = 8 * limits.MIB
"""The same in bytes: a row of a shop names all buyers of a chunk of events."""

_IMPOSSIBLE: Final = (ImpossibleTallyError, ImpossibleServiceError)


class RowRefused(NetsoldError):
    """A row is none of these settings or this build, so its sums cannot be compared."""

    exit_code = 2


class ImpossibleSums(msgspec.Struct):
    """The sums of an id, such as `product_id` p-7, that left their bounds; why."""

    id_name: str
    id: str
    why: str


class ImpossibleResult(msgspec.Struct):
    """All of a lane: how many ids, of which some are kept."""

    ids: int = 0
    shown: list[ImpossibleSums] = msgspec.field(default_factory=list)


class _Row(NamedTuple):
    """What a stage of a journal reads of a record."""

    key: bytes
    value: bytes


class RowFold:
    """Folds rows, some thousand at a time; their order does not matter."""

    def __init__(self, work: Work, name: str, store: RowStore) -> None:
        self._stage = stage = work.stage(name)
        self._store = store
        self._place = f"replayed {stage.spec.source}"
        self._views = {table.name: store.view(table.name) for table in stage.spec.tables}
        self._rows: list[JournalRow] = []
        self._bytes = 0
        self._progress = Progress()
        self._left_out: set[bytes] = set()
        self.impossible = ImpossibleResult()

    def add(self, rows: Sequence[JournalRow]) -> None:
        """Add rows."""
        self._rows += rows
        self._bytes += sum(len(value) for _, value in rows)
        if len(self._rows) >= CHUNK_ROWS or self._bytes >= CHUNK_BYTES:
            self.end()

    def end(self) -> None:
        """Fold what was added."""
        rows, self._rows, self._bytes = self._rows, [], 0
        if self._left_out:
            rows = [row for row in rows if row[0] not in self._left_out]
        try:
            self._fold(rows)
        except _IMPOSSIBLE:  # of some ids; those of the others are independent of them
            by_id: defaultdict[bytes, list[JournalRow]] = defaultdict(list)
            for row in rows:
                by_id[row[0]].append(row)
            for id_, some in by_id.items():
                try:
                    self._fold(some)
                except _IMPOSSIBLE as error:
                    self._leave_out(id_, str(error.__cause__))

    def _fold(self, rows: Sequence[JournalRow]) -> None:
        read, first = self._stage.read, self._progress.offset + 1
        readings = [
            (offset, read(_Row(*row)))  # type: ignore[arg-type]  # journals read these two
            for offset, row in enumerate(rows, first)
        ]
        outcome = self._stage.fold(self._place, readings, self._views, self._progress)
        if outcome.parked:
            raise RowRefused(
                f"a row of {self._stage.spec.source} is refused ({outcome.parked[0][1].detail}): "
                "use the settings and the build that wrote it"
            )
        self._store.write(outcome.writes)
        self._progress = Progress(offset=outcome.progress.offset)

    def _leave_out(self, id_: bytes, why: str) -> None:
        self._left_out.add(id_)
        found = self.impossible
        found.ids += 1
        if len(found.shown) < SHOWN:
            name = self._stage.spec.tables[0].keyed_by
            found.shown.append(ImpossibleSums(name, text(id_) or "", why))
