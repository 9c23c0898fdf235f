"""Writes display names to the store, with the words by which they are found.

A record that can't be read is counted, logged and skipped: the last good name stays.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from schemas.names import UnreadableName, decode_name, split_name_key
from schemas.positions import Position
from serving import keys, metrics
from serving.changes import of_table
from serving.name_words import name_words
from serving.progress import NAMES
from serving.rare_log import EVERY_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rocksdict import WriteBatch

    from schemas.envelope import Record
    from serving.changes import Changes
    from serving.store import Store
    from streams.log import At

logger = structlog.get_logger()


class NameRows:
    """Puts records of the topic `names` into a batch; it reads the former names from the store."""

    def __init__(self, store: Store, changes: Changes) -> None:
        self._store = store
        self._changes = changes
        self._unlogged = 0
        self._quiet_until_s = 0.0

    def put(self, batch: WriteBatch, at: At, records: Sequence[Record]) -> None:
        """Put records of one partition of `names`."""
        self._changes.note(*of_table(NAMES))
        last: dict[tuple[str, bytes], bytes | None] = {}
        for record in records:
            try:
                subject = split_name_key(record.key or b"")
                if record.value is not None:
                    decode_name(record.value)
            except UnreadableName as error:
                self._skip(at, record.offset, error)
            else:
                last[subject] = record.value
        rows = [keys.NAMES[keyed_by] + id_ for keyed_by, id_ in last]
        for (keyed_by, id_), row, before, after in zip(
            last, rows, self._store.get_many(rows), last.values(), strict=True
        ):
            if before == after:
                continue
            self._changes.note(keyed_by, id_)
            old, new = _words(before), _words(after)
            for word in old - new:
                batch.delete(keys.name_word(keyed_by, word, id_))
            for word in new - old:
                batch.put(keys.name_word(keyed_by, word, id_), b"")
            if after is None:
                batch.delete(row)
            else:
                batch.put(row, after)

    def _skip(self, at: At, offset: int, error: UnreadableName) -> None:
        """Count a record that can't be read; log one of them now and then, with its position."""
        metrics.UNREADABLE_NAMES.inc()
        self._unlogged += 1
        now_s = time.monotonic()
        if now_s >= self._quiet_until_s:
            logger.warning(
                "a name can't be read, and is skipped",
                position=str(Position(*at, offset)),
                why=str(error),
                times=self._unlogged,
            )
            self._unlogged, self._quiet_until_s = 0, now_s + EVERY_S


def _words(value: bytes | None) -> set[str]:
    return set() if value is None else name_words(decode_name(value).name)
