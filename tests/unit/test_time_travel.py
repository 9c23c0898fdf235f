"""Orders in which a later fact changes an earlier one: each way for itself."""

from __future__ import annotations

import msgspec
import pytest

from schemas import envelope, journal, times
from schemas.columns import SALE_COLUMNS, ZERO
from schemas.envelope import Received
from tables import counting, orders, time_travel
from tables.brief_entries import decode_entries, encode_entries, in_brief
from tables.orders import Order
from tests.flow import CYCLES, Flow, Record, binary
from tests.story import parse

PLAIN = """== of the tests
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  received  o-1
2026-07-03T08:00Z  refunded  o-1  r-1 quality  1:1:1000
2026-07-03T09:00Z  cancelled o-1  buyer
"""
RETURNED = PLAIN + "2026-07-09T08:00Z  refund-returned  o-1 r-1\n"
PLACED_LATER = PLAIN.replace("2026-07-01T08:00Z  placed", "2026-07-02T09:00Z  placed")
PLACED_TWICE = PLAIN + "2026-07-08T08:00Z  placed    o-1  1:p-3:2x1000\n"


def order_of(story: str, *, conflicting: bool = False) -> Order:
    """The order after the events of a story; with another content of the last one's id."""
    events = next(parse(story)).events
    if conflicting:
        events = [*events, events[-1] | {"reason": "shop"}]
    order = orders.EMPTY
    for number, event in enumerate(events):
        key, value, headers = binary(event)
        read = envelope.read(Record("orders", 0, number, 0, key, value, headers))
        assert isinstance(read, Received)
        order = orders.absorb(order, read)
    return order


@pytest.mark.parametrize("story", [RETURNED, PLACED_LATER, PLACED_TWICE])
def test_an_order_is_intricate(story: str) -> None:
    """A returned refund, a placing after the receipt, and a second placing."""
    assert time_travel.is_intricate(order_of(story))
    assert not time_travel.is_intricate(order_of(PLAIN))
    assert time_travel.is_intricate(order_of(PLAIN, conflicting=True))


@pytest.mark.parametrize(
    ("story", "as_of", "net"),
    [
        (RETURNED, "2026-07-08T08:00:00Z", 1),
        (RETURNED, "2026-07-09T08:00:00Z", 2),
        (PLACED_LATER, "2026-07-02T08:30:00Z", 0),
        (PLACED_LATER, "2026-07-02T09:00:00Z", 2),
    ],
)
def test_its_facts_until_an_instant_count(story: str, as_of: str, net: int) -> None:
    """The instant is included; entries alone would have another result."""
    order = order_of(story)
    then = time_travel.happened(order, times.parse_ms(as_of))
    entries = [one for *_, one in time_travel.entries_of_order("o-1", then, CYCLES, "shop_id")]
    assert sum(one.units_gross - one.units_reversed for one in entries) == net
    assert {one.other_id for one in entries} <= {"p-3"}
    assert counting.derive(then) != counting.derive(order) or net == 2


def test_an_entry_is_kept_with_all_its_columns() -> None:
    """Whatever they are named; one that changes only the buyer's orders is in no sum of a table."""
    (entry,) = Flow().take(next(parse(PLAIN)).events[:2]).entries
    columns = {name: number for number, name in enumerate(SALE_COLUMNS, 1)}
    read = in_brief(journal.encode(msgspec.structs.replace(entry, **columns)))
    assert read is not None
    (kept,) = decode_entries(encode_entries([(*read[-1], "s-1", None)]))
    assert {name: getattr(kept, name) for name in columns} == columns
    for name in SALE_COLUMNS:
        changed = msgspec.structs.replace(entry, **{**msgspec.structs.asdict(ZERO), name: -1})
        assert (in_brief(journal.encode(changed)) is None) == (name == "orders")
