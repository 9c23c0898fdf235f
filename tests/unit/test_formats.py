"""Formats of states and of journals' rows: kept bytes of each, and what is refused."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec
import pytest

from schemas import journal, row_versions
from schemas.columns import RULES, TALLY_VERSION
from schemas.refusals import Refusal
from schemas.row_versions import UnknownRow
from streams.errors import StateUnfit
from tables import (
    buyers,
    catalogue,
    conversations,
    formats,
    orders,
    overdue_rows,
    sales,
    service,
    watermarks,
)
from tables.catalogue import PRODUCT_STAGE
from tables.formats import UnreadableFormatError
from tables.summing_stage import SummingStage
from tables.terms import Terms
from tests.flow import Record, Rows
from tests.unit.test_recovery import left_by, mark, opened

KEPT: Final[dict[tuple[str, int], bytes]] = {
    ("orders", 1): (
        b'[1,[[1782892800000,"e-1","/s","s-7","b-9","CNY",null,[["1","p-3",2,1000,null]]]],'
        b'[[1783497600000,"e-5","/s",null,null,"logistics"]],[[1783497600001,"e-8","/s","buyer"]],'
        b'[[1783497600002,"e-6","/s","r-1","quality",[["1",1,300]]]],'
        b'[[1783497600003,"e-7","/s","r-1"]],'
        b'[[1783152000000,"e-3","/s","delivery_refused",{"reason":"quality"}]],[["/s","e-9"]]]'
    ),
    ("shop_buyers", 1): b'[1,{"1780704000000":2},[[1782871200000,0,""]],{"o-1":1782871260000}]',
    ("chats", 1): (
        b'[1,[[1782871200000,0,"e-1","/s","m-1",null,null],'
        b'[1782871260000,1,"e-2","/s","m-1","o-1","person"]],false,[["/s","e-1",true]]]'
    ),
    ("sales", 2): b'[2,3,{"CNY":[5,1,2,1000,300,400],"USD":[2,0,0,1400,0,0]}]',
    ("service", 1): b'[1,{"buyers":2,"difference.late_delivery.CNY":10},4]',
    ("overdue", 1): b'[1,1782871260000,1782871560000,"m-1",null]',
}
"""States by name and format, as a build wrote them. They are never changed: a new format gets one
more, and stays readable as long as its line is here."""

MODULES: Final[dict[str, tuple[Any, int]]] = {
    "orders": (orders, orders.VERSION),
    "shop_buyers": (buyers, buyers.VERSION),
    "chats": (conversations, conversations.VERSION),
    "sales": (sales, TALLY_VERSION),
    "service": (service, service.VERSION),
    "overdue": (overdue_rows, overdue_rows.VERSION),
}


def encoded(name: str, state: Any) -> bytes:  # noqa: ANN401 - a state of any kind
    """The bytes that this build writes of a state."""
    if name == "overdue":
        return overdue_rows.encode(state.opened_ms, state.due_ms, state.message_id, state.order_id)
    found: bytes = MODULES[name][0].encode(state)
    return found


def test_every_format_that_is_written_or_read_has_kept_bytes() -> None:
    """Also those that are only read; and no table's rows have a form without a number."""
    written = {(name, number) for name, (_, number) in MODULES.items()}
    assert written | formats.ALSO_READ.keys() == KEPT.keys()
    forms = {table.form for table in catalogue.TABLES}
    # the rows of timers have none, and shares are sums of sales
    assert len(forms - {"timer", "share"}) == len(MODULES)


@pytest.mark.parametrize(("name", "number"), KEPT)
def test_kept_bytes_are_read(name: str, number: int) -> None:
    """Those of the written format are written again as they are."""
    module, written = MODULES[name]
    state = module.decode(KEPT[name, number])
    again = encoded(name, state)
    assert module.decode(again) == state
    if number == written:
        assert again == KEPT[name, number]


@pytest.mark.parametrize("name", MODULES)
def test_a_row_of_another_format_is_never_guessed(name: str) -> None:
    """A number that isn't read has its sentence; damaged bytes of the written one are damaged."""
    module, written = MODULES[name]
    row = json.loads(KEPT[name, written])
    for number in (written + 1, written - 1, "x"):
        with pytest.raises(UnreadableFormatError, match="does not read: run a build that does"):
            module.decode(json.dumps([number, *row[1:]]).encode())
    with pytest.raises(msgspec.ValidationError):
        module.decode(json.dumps([written, "x", "y", "z", "u", "v"]).encode())
    with pytest.raises(UnreadableFormatError):
        module.decode(b"{}")


@pytest.mark.parametrize("name", MODULES)
def test_a_format_that_is_also_read_stands_beside_the_written_one(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a release before the one that writes it."""
    module, written = MODULES[name]
    plain = KEPT[name, written]

    def turned(state: bytes, number: int) -> bytes:
        _, *fields = msgspec.json.decode(state, type=list[msgspec.Raw])
        return msgspec.json.encode([number, *reversed(fields)])

    monkeypatch.setitem(
        formats.ALSO_READ,
        (name, written + 1),
        lambda state: module.decode(turned(state, written)),
    )
    assert module.decode(turned(plain, written + 1)) == module.decode(plain)


# --- marks


async def test_state_with_rows_of_a_later_format_is_refused_at_the_start() -> None:
    """The sentence has both numbers and the way out."""
    later = mark(41, format=formats.READ + 1)
    with pytest.raises(StateUnfit, match="has rows of format 2, this build reads formats up to 1"):
        await opened(left_by({"orders": later}, 42)[0])


async def test_a_mark_keeps_the_highest_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the way back, rows of the next release are still there; older marks name none."""
    monkeypatch.setattr(formats, "READ", 2)
    lane, _ = await opened(left_by({"orders": mark(41, format=2)}, 42)[0])
    assert lane.mark(lane.progress).format == 2
    lane, _ = await opened(left_by({"orders": mark(41)}, 42)[0])
    assert lane.mark(lane.progress).format == 1


# --- rows of journals

ENTRY: Final = {
    "type": "entry", "units_gross": 2, "units_reversed": 0, "units_booked": 0,
    "amount_gross": 2000, "amount_reversed": 0, "amount_booked": 0, "orders": 1,
    "product_id": "p-3", "currency": "CNY", "cycle": "2026-06-06T00:00:00Z", "restates": False,
    "id": "orders-0@1#0", "shop_id": "s-7", "buyer_id": "b-9", "order_id": "o-1", "line_id": "1",
    "sold_at": "2026-07-02T08:00:00.000Z", "event_type": "receipt_confirmed", "event_id": "e-2",
    "event_source": "/s", "occurred_at": "2026-07-02T08:00:00.000Z", "rules": RULES,
}  # fmt: skip
NEXT: Final = json.dumps({"type": "entry.2", "fields": ENTRY}).encode()


def stage() -> SummingStage:
    """The stage that sums entries by product."""
    return SummingStage(PRODUCT_STAGE, Terms(), 1000)


def row(value: bytes) -> Record:
    """A record of the journal of product p-3."""
    return Record("sales", 0, 7, 0, b"p-3", value, [])


def test_the_kept_row_is_written_as_it_is() -> None:
    """The form of the first version."""
    value = json.dumps(ENTRY, separators=(",", ":")).encode()
    assert journal.encode(journal.decode(value)) == value


def test_a_row_of_a_later_version_stops_the_worker() -> None:
    """It is netsold's own, so it is not parked: it would be missing in the sums."""
    found = stage().read(row(NEXT))
    assert found == UnknownRow("entry.2")
    states = {table.name: Rows() for table in PRODUCT_STAGE.tables}
    with pytest.raises(UnreadableFormatError, match=r"sales-0@7, a row of entry\.2,"):
        stage().fold("sales-0", [(7, found)], states, watermarks.START)


def test_a_row_of_a_version_that_is_also_read_is_the_same_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a release before the one that writes it."""
    monkeypatch.setitem(row_versions.OTHERS, "entry.2", lambda fields: fields["fields"])
    summing = stage()
    plain, found = (summing.read(row(one)) for one in (json.dumps(ENTRY).encode(), NEXT))
    assert not isinstance(plain, UnknownRow | Refusal)
    assert found == plain


@pytest.mark.parametrize(
    "value", [b"{", b"[]", b'{"type":7}', b'{"type":"entry"}', b'{"type":"gift.2"}', b"\xff"]
)
def test_what_is_no_row_of_another_version_stays_what_it_is(value: bytes) -> None:
    """It is parked by the reasons of before."""
    assert row_versions.as_written(value) is None
