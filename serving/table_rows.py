"""Writes rows of tables to the store, with their places in the lists that readers add."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemas import limits
from serving import keys
from serving.marketplace_rows import SUMMED_TABLES, MarketplaceRows
from serving.rankings import RANKINGS
from tables import catalogue, orders, overdue_rows
from tables.time_travel import is_intricate

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from rocksdict import WriteBatch

    from serving.changes import Changes
    from serving.store import Store
    from tables.catalogue import Table
    from tables.orders import Placed


class TableRows:
    """Puts the changed rows of a table into a batch; it reads the former rows from the store."""

    def __init__(self, store: Store, changes: Changes) -> None:
        self._store = store
        self._changes = changes
        self._named: dict[str, set[str]] = {keyed_by: set() for keyed_by in keys.NAMED}
        """The ids that were put already, by their name."""

        self.marketplace = MarketplaceRows(store)
        """Collects the sums of the marketplace of a whole step, of all partitions."""

    def put(
        self,
        batch: WriteBatch,
        table: Table,
        states: Mapping[bytes, bytes | None],
        changed: bytes = b"",
    ) -> None:
        """Put the new states of a table's keys; None deletes a row.

        `changed`: of orders, when they changed, as `keys.INTRICATE` has it.
        """
        if table.form == "overdue":
            self._put_overdue(batch, states)
        elif table.windowed:
            self._put_cycles(batch, table, states)
        else:
            for key, state in states.items():
                _put(batch, keys.space(table) + key, state)
            if table.form == "order":
                self._put_orders(batch, states, changed)

    def _put_orders(
        self, batch: WriteBatch, states: Mapping[bytes, bytes | None], changed: bytes
    ) -> None:
        """Record that the ids which orders name exist, and which orders are intricate."""
        for order_id, state in states.items():
            if state is not None:
                order = orders.decode(state)
                self._name_subjects(batch, order.placed)
                if is_intricate(order):
                    _mark_intricate(batch, order_id, order.placed, changed)

    def _name_subjects(self, batch: WriteBatch, placings: Collection[Placed]) -> None:
        """It runs for each order, and nearly all of its ids are known."""
        for placed in placings:
            for keyed_by, known in self._named.items():
                for id_ in _IDS_OF[keyed_by](placed):
                    if id_ not in known:
                        if len(known) > limits.RECENT_IDS:
                            known.clear()
                        known.add(id_)
                        batch.put(keys.NAMED[keyed_by] + id_.encode(), b"")
                        self._changes.note(keyed_by, id_.encode())

    def _put_cycles(
        self, batch: WriteBatch, table: Table, states: Mapping[bytes, bytes | None]
    ) -> None:
        """Rows by cycle, and their places in the lists of the best."""
        ids = [(id_.encode(), start_ms) for id_, start_ms in map(catalogue.split_cycle_key, states)]
        rows = [keys.row(keys.space(table), *id_) for id_ in ids]
        ranked = RANKINGS.get(table.name)
        if ranked is None:
            for row, state in zip(rows, states.values(), strict=True):
                _put(batch, row, state)
            return
        decode, places_of = ranked
        is_summed = table in SUMMED_TABLES
        for (id_, start_ms), row, before, after in zip(
            ids, rows, self._store.get_many(rows), states.values(), strict=True
        ):
            _put(batch, row, after)
            old_state = None if before is None else decode(before)
            new_state = None if after is None else decode(after)
            if is_summed:
                self.marketplace.add(table, start_ms, old_state, new_state)
            old = set() if old_state is None else places_of(old_state, start_ms, id_)
            new = set() if new_state is None else places_of(new_state, start_ms, id_)
            for place in old - new:
                batch.delete(place)
                self._store.heads.leave(place)
            for place in new - old:
                batch.put(place, b"")
                self._store.heads.enter(place)

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


_IDS_OF: Final[Mapping[str, Callable[[Placed], Collection[str]]]] = {
    catalogue.SHOP_CYCLES.keyed_by: lambda placed: (placed.shop_id,),
    catalogue.PRODUCT_CYCLES.keyed_by: lambda placed: [line.product_id for line in placed.lines],
}


def ids_named(placed: Placed, keyed_by: str) -> set[str]:
    """The ids of this name in an order: its own, or those of its lines."""
    return set(_IDS_OF[keyed_by](placed))


def _mark_intricate(
    batch: WriteBatch, order_id: bytes, placings: Iterable[Placed], changed: bytes
) -> None:
    """Put an order into the lists of the products and shops that it names."""
    for keyed_by in keys.INTRICATE:
        for id_ in {id_ for placed in placings for id_ in ids_named(placed, keyed_by)}:
            batch.put(keys.intricate(keyed_by, id_.encode(), order_id), changed)


def _put(batch: WriteBatch, key: bytes, state: bytes | None) -> None:
    if state is None:
        batch.delete(key)
    else:
        batch.put(key, state)
