"""Which ids and tables the steps of a follower changed.

Of what is watched by streams the changes are noted until they are drained; nothing else is, so
memory and work are bounded by what is watched. Of all products and shops there are marks of the
step that last changed them, so that kept answers are known to be old. Several ids share a mark.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from schemas import http_limits
from tables.catalogue import OVERDUE_INQUIRIES, split_conversation_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tables.catalogue import Table

Change = tuple[str, bytes]
"""The name of an id and the id, such as ("product_id", b"p-3"); or TABLE and a table's name; or
OVERDUE and the shop of an overdue inquiry."""

TABLE: Final = "table"
OVERDUE: Final = OVERDUE_INQUIRIES.name

_BY_ID: Final = frozenset({"product_id", "shop_id"})


def of_table(name: str) -> Change:
    """The change of any row of a table."""
    return TABLE, name.encode()


class Changes:
    """The changes of steps that were applied, until `drain`.

    One thread applies steps: it calls `begin_step`, `note…` and then `end_step`. Another one may
    set `watched`, whose keys it alone changes, and drain.

    A step notes what is watched at that moment. So the first step that has noted all changes of a
    new key is the one after `begun`, and what it doesn't note is in the store once `ended` is as
    large.
    """

    def __init__(self) -> None:
        self.watched: Mapping[Change, object] = {}
        self.begun = 0
        self.ended = 0
        self._step: set[Change] = set()
        self._ended: deque[set[Change]] = deque()
        self._marks = {keyed_by: [0] * http_limits.KEPT_MARKS for keyed_by in _BY_ID}
        self._all = 0
        self._marks_ids = False

    def note(self, keyed_by: str, id_: bytes) -> None:
        """Note that something of an id changed."""
        if self._marks_ids and keyed_by in _BY_ID:
            self._marks[keyed_by][hash(id_) % http_limits.KEPT_MARKS] = self.begun
        if (keyed_by, id_) in self.watched:
            self._step.add((keyed_by, id_))

    def note_rows(self, table: Table, row_keys: Iterable[bytes]) -> None:
        """Note that rows of a table changed; at least one."""
        if self._marks_ids and table.keyed_by in _BY_ID:
            marks, step = self._marks[table.keyed_by], self.begun
            for key in row_keys:
                id_ = key.rpartition(b"@")[0] if table.windowed else key
                marks[hash(id_) % http_limits.KEPT_MARKS] = step
        if not self.watched:
            return
        self.note(*of_table(table.name))
        if table is OVERDUE_INQUIRIES:
            for key in row_keys:
                self.note(OVERDUE, split_conversation_key(key)[0].encode())
        elif table.keyed_by in _BY_ID:
            for key in row_keys:
                id_ = key.rpartition(b"@")[0] if table.windowed else key
                if (table.keyed_by, id_) in self.watched:
                    self._step.add((table.keyed_by, id_))

    def begin_step(self, *, is_shown: bool) -> None:
        """Begin a step; the former one may have failed.

        While the tables are not shown nothing is marked: then everything counts as changed.
        """
        self.begun += 1
        self._marks_ids = is_shown
        if not is_shown:
            self.note_all()

    def note_all(self) -> None:
        """Mark that anything may have changed in this step."""
        self._all = self.begun

    def note_another_store(self) -> None:
        """Mark that what was read until the end of the next step may be of another store."""
        self._all = self.begun + 1

    def last_step(self, keyed_by: str, id_: bytes) -> int:
        """No later step than this one, of those that have begun, has changed a product or shop."""
        return max(self._all, self._marks[keyed_by][hash(id_) % http_limits.KEPT_MARKS])

    def end_step(self) -> None:
        """The changes noted so far are in the store."""
        if self._step:
            self._ended.append(self._step)
            self._step = set()
        self.ended = self.begun

    @property
    def waits(self) -> bool:
        """Whether there is something to drain."""
        return bool(self._ended)

    def drain(self) -> set[Change]:
        """All changes since the last call that are in the store."""
        found: set[Change] = set()
        while self._ended:
            found |= self._ended.popleft()
        return found
