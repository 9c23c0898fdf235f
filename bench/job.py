"""The job that every engine does, by netsold's own rules: the engines are compared, not the rules.

Its tables are orders, and by product and shop: sales by cycle and of all time, after-sales, reviews
and occasions to write by cycle, for shops also of all time, and the shops' buyers. Only messages
(`chats`) are left out. Restatements are not computed: they depend on watermarks, which the other
engines don't keep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from schemas.envelope import Received, read
from schemas.journal import Contact, Delta, Entry
from tables import aftersales, buyers, catalogue, counting, entries, orders, sales, service
from tables.buyers import Buyer
from tables.sales import Tally
from tables.service import Columns, ServiceTally
from tables.terms import Terms

TERMS = Terms()
CALENDAR = TERMS.calendar
NO_CYCLE_MS = -(2**62)
TABLES: Final = {
    stage.name: tuple(table.name for table in stage.tables)
    for stage in (catalogue.PRODUCT_STAGE, catalogue.SHOP_STAGE)
}
"""The names of the tables by product and by shop."""


class Fetched(msgspec.Struct, frozen=True, gc=False):
    """The parts of a record that the job needs; as cheap to create as possible."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Served(msgspec.Struct, frozen=True, tag_field="type", tag="served"):
    """The change of the service of a shop, or of one of its products, in a cycle."""

    shop_id: str
    product_id: str | None
    cycle: str
    columns: Columns


class Contacted(msgspec.Struct, frozen=True, tag_field="type", tag="contacted"):
    """The time of a shop's occasion to write to a buyer about an order; None if withdrawn."""

    shop_id: str
    buyer_id: str
    order_id: str
    at_ms: int | None


Change = Entry | Served | Contacted


def of_product(change: Mapping[str, Any]) -> bool:
    """Whether a change, as builtins, concerns a product."""
    return change.get("product_id") is not None


def of_shop(change: Mapping[str, Any]) -> bool:
    """Whether a change, as builtins, concerns a shop itself."""
    return change["type"] != "served" or change["product_id"] is None


def fold(record: Fetched, place: str, state: bytes | None) -> tuple[bytes | None, list[Change]]:
    """The order's state after one event of the partition `place`, and the changes that follow.

    The state is None if the event has nothing new.
    """
    received = read(record)
    if not isinstance(received, Received):
        raise TypeError(f"all events of the bench can be read, but {record}: {received}")
    before = orders.EMPTY if state is None else orders.decode(state)
    after = orders.absorb(before, received)
    if after is before:
        return None, []
    changed: list[Change] = []
    sells, serves = (
        counting.sales_may_differ(after, received),
        aftersales.service_may_differ(after, received),
    )
    if sells or serves:
        now = counting.derive(after)
        was = counting.derive(before) if sells else now
        if sells:
            cause = entries.Cause(received, f"{place}@{record.offset}", NO_CYCLE_MS, TERMS.name)
            changed += entries.difference(was, now, cause, CALENDAR)
        if serves:
            for shop_id, product_id, start_ms, columns in aftersales.changes(
                (before, was), (after, now), CALENDAR
            ):
                changed.append(Served(shop_id, product_id, CALENDAR.iso(start_ms), columns))
            for shop_id, buyer_id, at_ms in aftersales.contact_changes(
                aftersales.contact(before), aftersales.contact(after)
            ):
                changed.append(Contacted(shop_id, buyer_id, received.order_id, at_ms))
    return orders.encode(after), changed


State = list[Any]
"""A state as Python builtins, to be encoded as JSON."""


class Store(Protocol):
    """An engine's states of one product or shop, by table and the rest of the key."""

    def get(self, table: str, key: str) -> State | None:
        """A state; None if there is none."""

    def set(self, table: str, key: str, state: State) -> None:
        """Store a state."""


def count_product(change: Mapping[str, Any], store: Store) -> None:
    """Add a change to its product's sums."""
    start_ms = CALENDAR.start_of_iso(change["cycle"])
    if change["type"] == "served":
        _serve(store, "product_service_cycles", str(start_ms), change["columns"])
    else:
        _sell(store, "product", start_ms, msgspec.convert(change, Delta))


def count_shop(change: Mapping[str, Any], store: Store) -> None:
    """Add a change to its shop's sums and to its buyer."""
    if change["type"] == "served":
        _serve_shop(store, CALENDAR.start_of_iso(change["cycle"]), change["columns"])
        return
    if change["type"] == "contacted":
        buyer = _buyer(store, change["buyer_id"])
        rows = buyer.learn(
            Contact(change["buyer_id"], change["order_id"], change["at_ms"]), CALENDAR
        )
        for (_, start_ms), columns in rows.items():
            _serve_shop(store, start_ms, columns)
    else:
        start_ms = CALENDAR.start_of_iso(change["cycle"])
        _sell(store, "shop", start_ms, msgspec.convert(change, Delta))
        if not change["orders"]:
            return
        buyer = _buyer(store, change["buyer_id"])
        in_cycle, ever = buyer.buy(start_ms, change["orders"])
        _serve(store, "shop_service_cycles", str(start_ms), in_cycle)
        _serve(store, "shop_service_totals", "", ever)
    store.set("shop_buyers", change["buyer_id"], msgspec.json.decode(buyers.encode(buyer)))


def _sell(store: Store, subject: str, start_ms: int, delta: Delta) -> None:
    for table, key in ((f"{subject}_cycles", str(start_ms)), (f"{subject}_totals", "")):
        known = store.get(table, key)
        tally = Tally() if known is None else sales.decode(msgspec.json.encode(known))
        tally.add(delta, delta.currency, delta.restates)
        store.set(table, key, msgspec.json.decode(sales.encode(tally)))


def _serve_shop(store: Store, start_ms: int, columns: Columns) -> None:
    _serve(store, "shop_service_cycles", str(start_ms), columns)
    _serve(store, "shop_service_totals", "", columns)


def _serve(store: Store, table: str, key: str, columns: Columns) -> None:
    if not columns:
        return
    known = store.get(table, key)
    tally = ServiceTally() if known is None else service.decode(msgspec.json.encode(known))
    tally.add(columns)
    store.set(table, key, msgspec.json.decode(service.encode(tally)))


def _buyer(store: Store, buyer_id: str) -> Buyer:
    known = store.get("shop_buyers", buyer_id)
    return Buyer() if known is None else buyers.decode(msgspec.json.encode(known))
