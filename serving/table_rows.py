"""Writes rows of tables to the store, with their places in the lists that readers add."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas import limits
from serving import keys
from serving.rankings import RANKINGS
from tables import catalogue, orders, overdue_rows
from tables.orders import Placed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rocksdict import WriteBatch

    from serving.store import Store
    from tables.catalogue import Table


class TableRows:
    """Puts the changed rows of a table into a batch; it reads the former rows from the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._named: set[bytes] = set()

    def put(self, batch: WriteBatch, table: Table, states: Mapping[bytes, bytes | None]) -> None:
        """Put the new states of a table's keys; None deletes a row."""
        if table.form == "overdue":
            self._put_overdue(batch, states)
        elif table.windowed:
            self._put_cycles(batch, table, states)
        else:
            for key, state in states.items():
                _put(batch, keys.space(table) + key, state)
            if table.form == "order":
                self._name_subjects(batch, states.values())

    def _name_subjects(self, batch: WriteBatch, states: Iterable[bytes | None]) -> None:
        """Record that the ids which orders name exist."""
        if len(self._named) > limits.RECENT_IDS:
            self._named.clear()
        for state in states:
            for placed in () if state is None else orders.decode(state).placed:
                named = {
                    space + id_.encode()
                    for keyed_by, space in keys.NAMED.items()
                    for id_ in _ids_named(placed, keyed_by)
                }
                for key in named - self._named:
                    batch.put(key, b"")
                self._named |= named

    def _put_cycles(
        self, batch: WriteBatch, table: Table, states: Mapping[bytes, bytes | None]
    ) -> None:
        """Rows by cycle, and their places in the lists of the best."""
        ids = [(id_.encode(), start_ms) for id_, start_ms in map(catalogue.split_cycle_key, states)]
        rows = [keys.row(keys.space(table), *id_) for id_ in ids]
        places_of = RANKINGS.get(table.name)
        if places_of is None:
            for row, state in zip(rows, states.values(), strict=True):
                _put(batch, row, state)
            return
        for (id_, start_ms), row, before, after in zip(
            ids, rows, self._store.get_many(rows), states.values(), strict=True
        ):
            _put(batch, row, after)
            old = set() if before is None else places_of(before, start_ms, id_)
            new = set() if after is None else places_of(after, start_ms, id_)
            for place in old - new:
                batch.delete(place)
            for place in new - old:
                batch.put(place, b"")

    def _put_overdue(self, batch: WriteBatch, states: Mapping[bytes, bytes | None]) -> None:
        """Rows of overdue inquiries, and their places in the lists of all and of their shop."""
        rows = [keys.space(catalogue.OVERDUE_INQUIRIES) + key for key in states]
        for key, row, before, after in zip(
            states, rows, self._store.get_many(rows), states.values(), strict=True
        ):
            _put(batch, row, after)
            for state in (before, after):  # the old places first, so that an unchanged one stays
                if state is not None:
                    due_ms = overdue_rows.decode(state).due_ms
                    for place in keys.overdue(due_ms, *catalogue.split_conversation_key(key)):
                        _put(batch, place, None if state is before else row)


def _ids_named(placed: Placed, keyed_by: str) -> set[str]:
    """The ids of this name in an order: its own, or those of its lines."""
    if keyed_by in Placed.__struct_fields__:
        return {getattr(placed, keyed_by)}
    return {getattr(line, keyed_by) for line in placed.lines}


def _put(batch: WriteBatch, key: bytes, state: bytes | None) -> None:
    if state is None:
        batch.delete(key)
    else:
        batch.put(key, state)
