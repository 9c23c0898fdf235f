"""The journal's records, as pipelines read them."""

import msgspec
import pytest

from schemas import journal
from schemas.answers import ProductAnswer, ShopAnswer
from schemas.journal import Bought, Delta, Entry, Mark, ShopSales, Sold
from tables import shop_sales
from tables.shop_sales import ShopSums
from tests.flow import Flow
from tests.story import event

LINES = """
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  received  o-1
2026-07-10T08:00Z  refunded  o-1  r-1 short_weight  1:1:300
"""


def told() -> Flow:
    """A sale, refunded in the next cycle."""
    lines = [line.split() for line in LINES.splitlines() if line]
    return Flow().take([event(words, number) for number, words in enumerate(lines, 1)])


def test_an_entry_says_all_about_itself() -> None:
    """Which line of which order changed by how much in which cycle, and because of which event."""
    entries = [msgspec.to_builtins(entry) for entry in told().entries]
    whose = {"product_id": "p-3", "shop_id": "s-7", "buyer_id": "b-9", "order_id": "o-1", "line_id": "1", "currency": "CNY", "rules": 3}
    partition = told().entries[0].id.partition("@")[0]
    refund = {"event_type": "refund_succeeded", "event_id": "e-3", "event_source": "/story", "occurred_at": "2026-07-10T08:00:00.000Z"}
    nothing = {
        "units_gross": 0,
        "units_reversed": 0,
        "units_booked": 0,
        "amount_gross": 0,
        "amount_reversed": 0,
        "amount_booked": 0,
        "orders": 0,
        "type": "entry",
    }
    assert entries == [
        whose
        | nothing
        | {
            "id": f"{partition}@1#0",
            "cycle": "2026-06-06T00:00:00Z",
            "units_gross": 2,
            "amount_gross": 2000,
            "orders": 1,
            "restates": False,
            "event_type": "receipt_confirmed",
            "event_id": "e-2",
            "event_source": "/story",
            "occurred_at": "2026-07-02T08:00:00.000Z",
        },
        whose
        | nothing
        | refund
        | {"id": f"{partition}@2#0", "cycle": "2026-06-06T00:00:00Z", "units_reversed": 1, "amount_reversed": 300, "restates": True},
        whose
        | nothing
        | refund
        | {"id": f"{partition}@2#1", "cycle": "2026-07-06T00:00:00Z", "units_booked": 1, "amount_booked": 300, "restates": False},
    ]


def test_shops_get_the_sums_of_what_came_together() -> None:
    """One record a shop and chunk: the sums of its entries by cycle and currency, and its buyers' orders."""
    flow = told()
    (told_,) = (
        journal.decode(record.value or b"")
        for (topic, _), records in sorted(flow.logs.items())
        if topic == "shop-activity"
        for record in records
        if record.key == b"s-7" and b'"type":"shop_sales"' in (record.value or b"")
    )
    july, august = "2026-06-06T00:00:00Z", "2026-07-06T00:00:00Z"
    assert told_ == ShopSales(
        "s-7",
        [Sold(july, "CNY", 2, 1, 0, 2000, 300, 0, 1), Sold(august, "CNY", 0, 0, 1, 0, 0, 300, 0)],
        [Bought("b-9", july, 1)],
    )


def test_sums_of_many_cycles_or_buyers_are_told_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """No record outgrows its bound, and none of the sums is lost."""
    monkeypatch.setattr(shop_sales, "MOST_SUMS", 2)
    sums, entry = ShopSums(), told().entries[0]
    for number in range(5):
        sums.add(msgspec.structs.replace(entry, buyer_id=f"b-{number}"))
    records = [journal.decode(value) for _, value in sums.records()]
    assert [[one.buyer_id for one in record.bought] for record in records] == [["b-0", "b-1"], ["b-2", "b-3"], ["b-4"]]
    assert [[one.units_gross for one in record.sold] for record in records] == [[4], [4], [2]]


def test_records_come_back() -> None:
    """Entries and marks are told apart, and a Delta is part of an Entry."""
    entry, mark = told().entries[0], Mark("orders", 3, 1841, None)
    assert journal.decode(journal.encode(entry)) == entry
    assert journal.decode(journal.encode(mark)) == journal.decode_product(journal.encode(mark)) == mark
    delta = journal.decode_product(journal.encode(entry))
    assert isinstance(delta, Delta)
    assert all(getattr(delta, name) == getattr(entry, name) for name in Delta.__struct_fields__)
    assert {field.name: field.type for field in msgspec.structs.fields(Delta)}.items() <= {
        field.name: field.type for field in msgspec.structs.fields(Entry)
    }.items()


def test_readers_of_today_read_fields_of_tomorrow() -> None:
    """Fields may be added to the journal: unknown ones are passed over."""
    value = journal.encode(told().entries[0])[:-1] + b',"colour":"red"}'
    assert journal.decode(value) == told().entries[0]


@pytest.mark.parametrize(("model", "part"), [(ProductAnswer, "products"), (ShopAnswer, "shops")])
def test_answers_have_the_form_of_the_report(model: type[ProductAnswer | ShopAnswer], part: str) -> None:
    """A row of the report is an answer, with no field more or less."""
    for row in told().report()[part]:
        assert model.model_validate(row).model_dump() == row
