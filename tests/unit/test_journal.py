"""The journal's records, as pipelines read them."""

import msgspec
import pytest

from schemas import journal, limits, times
from schemas.answers import ProductAnswer, ShopAnswer
from schemas.columns import RULES, ZERO, SaleColumns
from schemas.envelope import BUYER, Received, Written
from schemas.journal import (
    Bought,
    Contact,
    Delta,
    Entry,
    Late,
    ProgressMark,
    Replied,
    Served,
    ShopActivity,
    Sold,
)
from tables import entries
from tables.cycles import Calendar
from tables.entries import Cause, RowKey
from tables.shop_activity import ShopActivities
from tests.flow import TERMS, Flow
from tests.story import event

LINES = """
2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
2026-07-02T08:00Z  received  o-1
2026-07-10T08:00Z  refunded  o-1  r-1 short_weight  1:1:300
"""


def sale_and_refund() -> Flow:
    """A sale, refunded in the next cycle."""
    lines = [line.split() for line in LINES.splitlines() if line]
    return Flow().take([event(words, number) for number, words in enumerate(lines, 1)])


def test_an_entry_names_its_line_and_its_event() -> None:
    """Which line of which order changed by how much in which cycle, and because of which event."""
    found = [msgspec.to_builtins(entry) for entry in sale_and_refund().entries]
    whose = {
        "product_id": "p-3",
        "shop_id": "s-7",
        "buyer_id": "b-9",
        "order_id": "o-1",
        "line_id": "1",
        "currency": "CNY",
        "sold_at": "2026-07-02T08:00:00.000Z",
        "rules": RULES,
        "terms": TERMS.name,
    }
    partition = sale_and_refund().entries[0].id.partition("@")[0]
    refund = {
        "event_type": "refund_succeeded",
        "event_id": "e-3",
        "event_source": "/story",
        "occurred_at": "2026-07-10T08:00:00.000Z",
        "refund_id": "r-1",
        "refunded_at": "2026-07-10T08:00:00.000Z",
    }
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
    assert found == [
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
        | {
            "id": f"{partition}@2#0",
            "cycle": "2026-06-06T00:00:00Z",
            "units_reversed": 1,
            "amount_reversed": 300,
            "restates": True,
        },
        whose
        | nothing
        | refund
        | {
            "id": f"{partition}@2#1",
            "cycle": "2026-07-06T00:00:00Z",
            "units_booked": 1,
            "amount_booked": 300,
            "restates": False,
        },
    ]


def test_an_entry_has_each_part_under_its_own_name() -> None:
    """An entry made by position is the same one made by keywords."""
    key = RowKey("1", 0, "p-3", "s-7", "b-9", "CNY", 1000, 2000, "r-1")
    columns = SaleColumns(
        **{name: number for number, name in enumerate(SaleColumns.__struct_fields__, 1)}
    )
    event = Received("refund_succeeded", "e-3", "/story", 2000, "o-1", None)
    (entry,) = entries.listed({key: columns}, Cause(event, "orders-0@5", 1, "t"), Calendar(1000))
    assert entry == Entry(
        id="orders-0@5#0",
        product_id="p-3",
        shop_id="s-7",
        buyer_id="b-9",
        order_id="o-1",
        line_id="1",
        currency="CNY",
        cycle="1970-01-01T00:00:00Z",
        sold_at="1970-01-01T00:00:01.000Z",
        refund_id="r-1",
        refunded_at="1970-01-01T00:00:02.000Z",
        restates=True,
        event_type="refund_succeeded",
        event_id="e-3",
        event_source="/story",
        occurred_at="1970-01-01T00:00:02.000Z",
        rules=RULES,
        terms="t",
        **msgspec.structs.asdict(columns),
    )


def test_shops_get_what_came_together_in_one_record() -> None:
    """Sums of its entries by cycle and currency, its buyers' orders, and its service rows."""
    flow = sale_and_refund()
    (activity,) = (
        journal.decode(record.value or b"")
        for (topic, _), records in sorted(flow.logs.items())
        if topic == "shop-activity"
        for record in records
        if record.key == b"s-7"
    )
    july, august = "2026-06-06T00:00:00Z", "2026-07-06T00:00:00Z"
    first = {
        "units_gross": 2,
        "amount_gross": 2000,
        "units_reversed": 1,
        "amount_reversed": 300,
        "orders": 1,
    }
    second = {"units_booked": 1, "amount_booked": 300}
    sold = [
        Sold(july, "CNY", 1, msgspec.structs.replace(ZERO, **first)),
        Sold(august, "CNY", 0, msgspec.structs.replace(ZERO, **second)),
    ]
    partition = flow.entries[0].id.partition("@")[0]
    restates, columns = False, {"return.short_weight": 1, "return.short_weight.CNY": 300}
    refund = Served(
        f"{partition}@2#s0",
        "refund_succeeded",
        "e-3",
        "/story",
        "2026-07-10T08:00:00.000Z",
        cycle=august,
        columns=columns,
        restates=restates,
    )
    (entry,) = [one for one in flow.entries if one.restates]
    late = Late(
        july,
        entry.id,
        "refund_succeeded",
        "e-3",
        "/story",
        "2026-07-10T08:00:00.000Z",
        "o-1",
    )
    bought = [Bought("b-9", july, 1)]
    assert activity == ShopActivity("s-7", RULES, TERMS.name, sold, bought, [refund], late=[late])


def test_much_of_one_shop_is_sent_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """No record outgrows its bound, and nothing of it is lost, nor comes in another order."""
    monkeypatch.setattr(limits, "ACTIVITY_UNITS", 6)
    shops, entry = ShopActivities(TERMS.name), sale_and_refund().entries[0]
    for number in range(5):
        shops.sell(msgspec.structs.replace(entry, buyer_id=f"b-{number}"))
    for number in range(2):
        shops.contact("s-7", Contact("b-9", "o-1", number))
    records = [journal.decode(value) for _, value in shops.records()]
    assert all(isinstance(record, ShopActivity) for record in records)
    assert [[one.buyer_id for one in record.bought] for record in records] == [
        ["b-0", "b-1"],
        ["b-2", "b-3"],
        ["b-4"],
        [],
        [],
    ]
    assert [[one.columns.units_gross for one in record.sold] for record in records] == [
        [4],
        [4],
        [2],
        [],
        [],
    ]
    assert [one.at_ms for record in records for one in record.contacts] == [0, 1]


def test_the_largest_record_of_a_shop_fits_into_a_batch() -> None:
    """With the longest ids and sources, in characters of four bytes, or such that JSON escapes."""
    most, largest = limits.ID_CHARS, 0
    for char in ("\U0001d11e", '"'):
        long, source = char * most, char * limits.SOURCE_CHARS
        restates, columns = (
            True,
            {
                f"return.damaged_in_transit.{currency}": limits.PAID_MINOR
                for currency in ("CNY", "USD", "EUR")
            },
        )
        row = Served(
            "x" * 290,
            "refund_succeeded",
            long,
            source,
            "2026-07-10T08:00:00.000Z",
            cycle="2026-06-06T00:00:00Z",
            columns=columns,
            restates=restates,
        )
        sold = msgspec.structs.replace(sale_and_refund().entries[0], shop_id="s-7")
        message = Written(
            times.parse_ms("2026-07-02T10:00:00Z"), BUYER, "e-1", "/s", "m-1", long, None
        )
        kinds = [ShopActivities(TERMS.name) for _ in range(5)]
        for number in range(1000):
            kinds[0].serve("s-7", row)
            kinds[1].contact("s-7", Contact(long, long, number))
            kinds[2].write("s-7", long, [message] * 40, [message] * 40)
            kinds[3].sell(
                msgspec.structs.replace(
                    sold, buyer_id=f"{long[:-6]}{number:06}", cycle=f"{number:020}"
                )
            )
            kinds[4].reply(
                "s-7",
                Replied(
                    f"{number:020}", {f"reply_ms.{n}": 10**18 for n in range(number % 700)}, 10**9
                ),
            )
        largest = max(largest, *(len(value) for shops in kinds for _, value in shops.records()))
    assert 400_000 < largest < 900_000


def test_records_come_back() -> None:
    """Entries and marks differ by their type."""
    entry, mark = sale_and_refund().entries[0], ProgressMark("orders", 3, 1841, None)
    assert journal.decode(journal.encode(entry)) == entry
    assert journal.decode(journal.encode(mark)) == mark


@pytest.mark.parametrize("id_name", ["product_id", "shop_id", "buyer_id"])
def test_a_part_of_an_entry_is_decoded_by_any_of_its_ids(id_name: str) -> None:
    """The columns, what else a table of sums needs, and the id; a mark is decoded as a whole."""
    entry, mark = sale_and_refund().entries[0], ProgressMark("orders", 3, 1841, None)
    decode = journal.decoder_by(id_name)
    delta = decode(journal.encode(entry))
    assert isinstance(delta, Delta)
    parts = msgspec.structs.asdict(delta)
    assert parts.pop("subject") == getattr(entry, id_name)
    assert parts == {name: getattr(entry, name) for name in Delta.__struct_fields__}
    assert decode(journal.encode(mark)) == mark
    assert {field.name: field.type for field in msgspec.structs.fields(Delta)}.items() <= {
        field.name: field.type for field in msgspec.structs.fields(Entry)
    }.items()


def test_no_journal_has_a_key_that_entries_lack() -> None:
    """Nobody could add its entries up."""
    with pytest.raises(TypeError, match="no group_id"):
        journal.decoder_by("group_id")


def test_readers_of_today_read_fields_of_tomorrow() -> None:
    """Fields may be added to the journal: unknown ones are passed over."""
    value = journal.encode(sale_and_refund().entries[0])[:-1] + b',"colour":"red"}'
    assert journal.decode(value) == sale_and_refund().entries[0]


@pytest.mark.parametrize(("model", "part"), [(ProductAnswer, "products"), (ShopAnswer, "shops")])
def test_answers_have_the_form_of_the_report(
    model: type[ProductAnswer | ShopAnswer], part: str
) -> None:
    """A row of the report is an answer, with no field more or less."""
    for row in sale_and_refund().report()[part]:
        assert model.model_validate(row).model_dump() == row
