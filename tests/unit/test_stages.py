"""The stages as the streams drive them.

Skipping, parking, pausing, event time, marks, and what they hand out.
"""

# ruff: noqa: ANN401 - a test hands in anything, also what is wrong

from collections import Counter
from operator import itemgetter
from typing import Any

import msgspec
import pytest

from schemas import envelope, journal, times
from schemas.columns import RULES
from schemas.journal import ProgressMark
from schemas.refusals import Reason, Refusal
from tables import catalogue, orders
from tables.catalogue import PRODUCT_STAGE, PublicTopic, StageSpec, Table
from tables.cycles import Calendar
from tables.order_stage import OrderStage
from tables.outcome import EventCounts, Outcome
from tables.sales import ImpossibleTallyError
from tables.shop_activity import ShopActivities
from tables.shop_stage import ShopStage
from tables.summing_stage import SummingStage
from tables.watermarks import Progress, SourceProgress
from tests.flow import TERMS, Flow, Record, Rows, binary, reading
from tests.story import event


def records(*lines: str, first: int = 0) -> list[Record]:
    """Records of orders-0; a line is a story's, `tick TIME`, or `junk`."""
    found = []
    for number, line in enumerate(lines):
        words = line.split()
        if words[0] == "junk":
            found.append(Record("orders", 0, first + number, 0, b"o-1", b"junk", []))
        elif words[0] == "tick":
            at_ms = times.parse_ms(words[1])
            value, headers = envelope.tick(at_ms)
            found.append(Record("orders", 0, first + number, 0, None, value, headers))
        else:
            found.append(
                Record("orders", 0, first + number, 0, *binary(event(words, first + number + 1)))
            )
    return found


def fold(
    stage: Any,
    chunk: list[Record],
    progress: Progress | None = None,
    tables: dict[str, dict[bytes, bytes | None]] | None = None,
) -> Outcome:
    """Read and fold one chunk over tables."""
    states = {table.name: Rows((tables or {}).get(table.name, {})) for table in stage.spec.tables}
    outcome: Outcome = stage.fold(f"{stage.spec.source}-0", reading(stage, chunk), states, progress)
    return outcome


def order_stage(limit: int = 1000) -> OrderStage:
    """The order stage with cycles of 30 days."""
    return OrderStage(TERMS, limit)


def test_only_what_changed_is_written() -> None:
    """S11: a second delivery is counted as a duplicate, and its order isn't written again."""
    first = fold(order_stage(), records("2026-07-01T08:00Z paid o-1 5"))
    again = [record._replace(offset=1) for record in records("2026-07-01T08:00Z paid o-1 5")]
    second = fold(order_stage(), again, first.progress, first.writes)
    assert set(first.writes["orders"]) == {b"o-1"}
    assert second.writes == {"orders": {}}
    assert second.sends == {"sales": [], "shop-activity": []}
    assert second.events == EventCounts(duplicates=Counter(order_paid=1))
    assert second.progress.offset == 1


def test_records_handed_over_twice_are_skipped() -> None:
    """What stands at or before the progress is never taken again, not even to park it."""
    chunk = records("2026-07-01T08:00Z paid o-1 5", "junk", "2026-07-01T08:00Z paid o-2 5")
    outcome = fold(order_stage(), chunk, Progress(1))
    assert set(outcome.writes["orders"]) == {b"o-2"}
    assert outcome.parked == []
    assert (outcome.counts["skipped"], outcome.records_covered) == (2, 3)
    assert outcome.events == EventCounts(Counter(order_paid=1))


def test_refused_records_are_parked_with_their_reason() -> None:
    """They travel with the chunk's good events, and change no table."""
    chunk = records("junk", "2026-07-01T08:00Z paid o-1 5", "junk")
    outcome = fold(order_stage(), chunk)
    assert [(offset, refusal.reason) for offset, refusal in outcome.parked] == [
        (0, Reason.NOT_JSON),
        (2, Reason.NOT_JSON),
    ]
    assert (outcome.progress.offset, outcome.progress.refused_in_a_row) == (2, 1)
    assert outcome.events == EventCounts(Counter(order_paid=1))
    assert not outcome.paused


def test_so_many_refusals_in_a_row_pause_the_partition() -> None:
    """The outcome covers the records up to the last straw.

    Those behind it wait, through restarts, until someone resumes.
    """
    chunk = records("junk", "junk", "junk", "2026-07-01T08:00Z paid o-1 5")
    first = fold(order_stage(3), chunk[:2])
    assert (first.paused, first.records_covered) == (False, 2)
    second = fold(order_stage(3), chunk[2:], first.progress)
    assert (second.paused, second.records_covered, second.progress.offset, len(second.parked)) == (
        True,
        1,
        2,
        1,
    )
    assert second.writes == {"orders": {}}
    third = fold(order_stage(3), chunk[3:], second.progress)
    assert (third.paused, third.records_covered, third.progress) == (True, 0, second.progress)
    fourth = fold(order_stage(3), chunk[3:], second.progress.resumed())
    assert (
        fourth.paused,
        fourth.records_covered,
        fourth.progress.offset,
        fourth.progress.refused_in_a_row,
    ) == (False, 1, 3, 0)


def test_an_order_whose_later_events_wait_is_written_as_far_as_it_came() -> None:
    """A pause in the middle of an order's events loses none of those before it."""
    placed, received = "2026-07-01T08:00Z placed o-1 1:p-3:1x10", "2026-07-02T08:00Z received o-1"
    chunk = records(placed, "junk", "junk", received)
    first = fold(order_stage(2), chunk)
    assert (first.paused, first.records_covered) == (True, 3)
    second = fold(order_stage(2), chunk[3:], first.progress.resumed(), first.writes)
    assert second.writes == fold(order_stage(), chunk).writes
    assert len(_entries(second)) == 1


def test_records_that_can_be_read_but_are_not_applied_neither_pause_nor_end_a_row() -> None:
    """A partition full of other partitions' records goes on.

    What can't be read beside them pauses it as ever.
    """
    strays = [
        (at, Refusal(reason, ""))
        for at, reason in enumerate([Reason.WRONG_PARTITION, Reason.IN_THE_FUTURE] * 10)
    ]
    tables = {"orders": Rows()}
    outcome = order_stage(3).fold("orders-0", strays, tables, None)
    assert (outcome.paused, len(outcome.parked), outcome.progress.refused_in_a_row) == (
        False,
        20,
        0,
    )
    junk = [(at, Refusal(Reason.NOT_JSON, "")) for at in (20, 22, 24)]
    between = [(at, Refusal(Reason.WRONG_PARTITION, "")) for at in (21, 23)]
    assert (
        order_stage(3)
        .fold("orders-0", sorted([*junk, *between], key=itemgetter(0)), tables, outcome.progress)
        .paused
    )


def test_a_tick_does_not_end_a_row_of_refusals() -> None:
    """Ticks are ours; only an accepted event shows that the source can be read."""
    outcome = fold(
        order_stage(3),
        records("junk", "tick 2026-07-01T00:00:00Z", "junk", "tick 2026-07-02T00:00:00Z", "junk"),
    )
    assert outcome.paused
    assert outcome.counts["ticks"] == 2


def test_event_time_is_the_latest_of_all_events() -> None:
    """C2: accepted events and ticks move it on; late and refused ones don't move it back."""
    outcome = fold(
        order_stage(),
        records("2026-07-02T08:00:00Z paid o-1 5", "2026-07-01T08:00:00Z paid o-2 5", "junk"),
    )
    assert outcome.progress.watermark_ms == times.parse_ms("2026-07-02T08:00:00Z")
    ticked = fold(order_stage(), records("tick 2026-07-09T08:00:00Z", first=3), outcome.progress)
    assert (ticked.progress.offset, ticked.progress.watermark_ms) == (
        3,
        times.parse_ms("2026-07-09T08:00:00Z"),
    )
    assert fold(order_stage(), records("junk")).progress.watermark_ms is None


def test_an_entry_restates_when_event_time_has_passed_the_end_of_its_cycle() -> None:
    """S13: not one millisecond before, and by the event's own time too.

    Late events are counted and applied.

    2026-06-06               2026-07-06
    [-------- received --------)[ paid
    """
    placed, received = "2026-07-01T08:00Z placed o-1 1:p-3:1x10", "2026-07-02T08:00Z received o-1"
    in_time = fold(order_stage(), records(placed, "2026-07-05T23:59:59.999Z paid o-2 5", received))
    too_late = fold(order_stage(), records(placed, "2026-07-06T00:00:00.000Z paid o-2 5", received))
    ticked = fold(order_stage(), records(placed, "tick 2026-07-06T00:00:00.000Z", received))
    assert [_entries(one)[0].restates for one in (in_time, too_late, ticked)] == [False, True, True]
    assert [
        (one.events.late, one.counts["restated_up"]) for one in (in_time, too_late, ticked)
    ] == [
        (Counter(), 0),
        (Counter(receipt_confirmed=1), 1),
        (Counter(receipt_confirmed=1), 1),
    ]


def _entries(outcome: Outcome) -> list[journal.Entry]:
    return [
        one
        for _, value in outcome.sends["sales"]
        if isinstance(one := journal.decode(value), journal.Entry)
    ]


def test_what_changes_no_number_writes_no_entry() -> None:
    """S7: a line wholly refunded before its receipt leaves no trace in the journal.

    Nor does a receipt that is told again later.
    """
    refunded = (
        "2026-07-01T08:00Z placed o-1 1:p-3:1x10",
        "2026-07-02T08:00Z refunded o-1 r-1 quality",
        "2026-07-03T08:00Z received o-1",
    )
    assert _entries(fold(order_stage(), records(*refunded))) == []
    again = (
        "2026-07-01T08:00Z placed o-1 1:p-3:1x10",
        "2026-07-03T08:00Z received o-1",
        "2026-07-04T08:00Z received o-1",
    )
    assert len(_entries(fold(order_stage(), records(*again)))) == 1


def test_entries_are_numbered_by_their_event() -> None:
    """Topic, partition, offset, index.

    A pure function of the log, so a second run gives the same ids.
    """
    chunk = records(
        "2026-07-01T08:00Z placed o-1 2:p-4:1x10 1:p-3:1x10",
        "2026-07-02T08:00Z received o-1",
        first=1840,
    )
    assert [(entry.id, entry.line_id) for entry in _entries(fold(order_stage(), chunk))] == [
        ("orders-0@1841#0", "1"),
        ("orders-0@1841#1", "2"),
    ]


def test_another_placing_moves_what_was_sold() -> None:
    """S11: after an earlier placing, entries retract the old sale and add the new one."""
    outcome = fold(
        order_stage(),
        records(
            "2026-07-01T09:00Z placed o-1 1:p-3:2x1000 buyer=b-1",
            "2026-07-02T08:00Z received o-1",
            "2026-07-01T08:00Z placed o-1 1:p-4:1x500 shop=s-8 currency=USD",
        ),
    )
    assert [
        (one.product_id, one.shop_id, one.buyer_id, one.currency, one.units_gross, one.amount_gross)
        for one in _entries(outcome)
    ] == [
        ("p-3", "s-7", "b-1", "CNY", 2, 2000),
        ("p-3", "s-7", "b-1", "CNY", -2, -2000),
        ("p-4", "s-8", "b-9", "USD", 1, 500),
    ]


def test_the_order_stage_leaves_the_states_it_was_handed_alone() -> None:
    """A chunk that isn't committed has changed nothing: folding it again gives the same outcome."""
    chunk = records(
        "2026-07-01T08:00Z placed o-1 1:p-3:2x1000",
        "2026-07-02T08:00Z received o-1",
        "2026-07-03T08:00Z refunded o-1 r-1 quality",
    )
    first = fold(order_stage(), chunk[:2])
    tables = {name: dict(rows) for name, rows in first.writes.items()}
    outcomes = [fold(order_stage(), chunk, first.progress, tables) for _ in range(2)]
    assert outcomes[0] == outcomes[1]
    assert tables == first.writes
    assert orders.decode(tables["orders"][b"o-1"] or b"").refunds == ()


SOLD = journal.Entry(
    id="orders-0@1#0",
    product_id="p-3",
    shop_id="s-7",
    buyer_id="b-9",
    order_id="o-1",
    line_id="1",
    currency="CNY",
    cycle="2026-06-06T00:00:00Z",
    sold_at="2026-07-02T08:00:00.000Z",
    units_gross=2,
    units_reversed=0,
    units_booked=0,
    amount_gross=2000,
    amount_reversed=0,
    amount_booked=0,
    orders=1,
    restates=False,
    event_type="receipt_confirmed",
    event_id="e-2",
    event_source="/s",
    occurred_at="2026-07-02T08:00:00.000Z",
    rules=RULES,
)


def sold(*items: tuple[bytes | None, bytes | None]) -> list[Record]:
    """Records of sales-0."""
    return [
        Record("sales", 0, offset, 0, key, value, []) for offset, (key, value) in enumerate(items)
    ]


def test_marks_have_the_progress_of_the_sources() -> None:
    """C2: per source partition the latest offset and event time.

    Their least is this partition's.
    """
    marks = [
        ProgressMark("orders", 0, 5, 50),
        ProgressMark("orders", 1, 7, 40),
        ProgressMark("orders", 0, 9, 60),
    ]
    outcome = fold(
        SummingStage(PRODUCT_STAGE, TERMS, 1000),
        sold(*((None, journal.encode(mark)) for mark in marks)),
    )
    assert outcome.progress == Progress(
        2, 40, 0, {"orders-0": SourceProgress(9, 60), "orders-1": SourceProgress(7, 40)}
    )
    assert outcome.writes == {
        "product_cycles": {},
        "product_totals": {},
        "product_service_cycles": {},
    }
    assert outcome.counts["marks"] == 3


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (b"p-3", None, Reason.EMPTY_VALUE),
        (b"p-3", b"junk", Reason.NOT_JSON),
        (b"p-3", b"\xff", Reason.NOT_JSON),
        (b"p-3", b'"\xff"', Reason.INVALID_FIELD),
        (b"p-3", b"[" * 100_000, Reason.INVALID_FIELD),
        (b"p-3", b'{"type":"entry","x":' + b"[" * 100_000, Reason.NOT_JSON),
        (b"p-3", b'{"type":"entry"}', Reason.INVALID_FIELD),
        (b"p-3", b'{"type":"other"}', Reason.INVALID_FIELD),
        (None, journal.encode(SOLD), Reason.MISSING_KEY),
        (b"", journal.encode(SOLD), Reason.MISSING_KEY),
        (b"p-4", journal.encode(SOLD), Reason.KEY_MISMATCH),
        (b"p-3", journal.encode(SOLD).replace(b"06-06", b"06-07"), Reason.INVALID_FIELD),
        (
            b"p-3",
            journal.encode(SOLD).replace(b"2026-06-06T00:00:00Z", b"June"),
            Reason.INVALID_FIELD,
        ),
    ],
)
def test_the_stages_after_the_first_refuse_too(
    key: bytes | None, value: bytes | None, reason: Reason
) -> None:
    """A foreign record in the journal is parked, not a crash.

    An entry of other cycles isn't added to ours.
    """
    outcome = fold(
        SummingStage(PRODUCT_STAGE, TERMS, 2),
        sold((b"p-3", journal.encode(SOLD)), (key, value), (key, value)),
    )
    assert [refusal.reason for _, refusal in outcome.parked] == [reason, reason]
    assert (outcome.paused, outcome.records_covered, outcome.counts["added"]) == (True, 3, 1)


def test_product_and_shop_stage_add_up_under_their_own_ids() -> None:
    """One entry goes into its cycle and into the total of all time (C4)."""
    product = fold(SummingStage(PRODUCT_STAGE, TERMS, 1000), sold((b"p-3", journal.encode(SOLD))))
    shops = ShopActivities(TERMS.name)
    shops.sell(SOLD)
    shop = fold(ShopStage(TERMS, 1000), sold(*shops.records()))
    state = b'[2,0,{"CNY":[2,0,0,2000,0,0]}]'
    assert product.writes == {
        "product_cycles": {b"p-3@1780704000000": state},
        "product_totals": {b"p-3": state},
        "product_service_cycles": {},
    }
    bought = b'[1,{"buyers":1},0]'  # R6: an order of a new buyer
    assert shop.writes == {
        "shop_cycles": {b"s-7@1780704000000": state},
        "shop_totals": {b"s-7": state},
        "shop_service_cycles": {b"s-7@1780704000000": bought},
        "shop_service_totals": {b"s-7": bought},
        "shop_buyers": {b"s-7\x1fb-9": b'[1,{"1780704000000":1},[],{}]'},
    }


def test_a_table_of_sums_by_another_id_needs_no_stage_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A topic, a table and a stage in the catalogue: the entries are added up by their buyer."""
    buyers = Table(
        "buyer_cycles", "buyer_id", windowed=True, stage="buyer", form="sales", contents=""
    )
    topic = PublicTopic("buyer-sales", "journal", "buyer_id", "")
    monkeypatch.setattr(catalogue, "TABLES", (*catalogue.TABLES, buyers))
    monkeypatch.setattr(catalogue, "PUBLIC_TOPICS", (*catalogue.PUBLIC_TOPICS, topic))
    stage = SummingStage(StageSpec("buyer", "buyer-sales"), TERMS, 1000)
    outcome = fold(stage, sold((b"b-9", journal.encode(SOLD)), (b"s-7", journal.encode(SOLD))))
    assert outcome.writes == {
        "buyer_cycles": {b"b-9@1780704000000": b'[2,0,{"CNY":[2,0,0,2000,0,0]}]'}
    }
    assert [refusal.reason for _, refusal in outcome.parked] == [Reason.KEY_MISMATCH]


def test_a_summing_stage_has_sums_by_the_key_of_its_journal_alone() -> None:
    """Other rows need a stage that knows them."""
    with pytest.raises(TypeError, match="shop_buyers"):
        SummingStage(catalogue.SHOP_STAGE, TERMS, 1000)


def test_an_impossible_sum_stops_the_stage() -> None:
    """More taken back than was sold.

    The journal has a hole or was read twice, and nothing may be written on.
    """
    with pytest.raises(ImpossibleTallyError, match="sales-0@0"):
        fold(
            SummingStage(PRODUCT_STAGE, TERMS, 1000),
            sold((b"p-3", journal.encode(msgspec.structs.replace(SOLD, units_gross=-2)))),
        )


def test_both_partitions_of_sources_reach_every_table() -> None:
    """A whole flow over two partitions: each table partition knows both sources' watermarks."""
    flow = Flow().take([event(f"2026-07-0{n}T08:00Z paid o-{n} 5".split(), n) for n in range(1, 9)])
    expected = {
        f"orders-{at[1]}": one.watermark_ms
        for at, one in flow.progress.items()
        if at[0] == "orders"
    }
    for at, progress in flow.progress.items():
        if at[0] != "orders":
            assert {source: mark for source, (_, mark) in progress.sources.items()} == expected


def test_other_cycles_other_tables() -> None:
    """The same events under another length and anchor."""
    lines = ["2026-07-01T08:00Z placed o-1 1:p-3:1x10", "2026-07-02T08:00Z received o-1"]
    flow = Flow(Calendar(7 * 86_400_000, 3_600_000)).take(
        [event(line.split(), number) for number, line in enumerate(lines)]
    )
    assert [row["cycle"] for row in flow.report()["products"]] == [
        {"start": "2026-07-02T01:00:00Z", "end": "2026-07-09T01:00:00Z"}
    ]


def test_an_order_that_outgrows_a_record_parks_what_comes_last() -> None:
    """What fits counts, the rest is parked as order_full; chunk boundaries don't matter."""

    def shipped(offset: int, order_id: str, size: int) -> Record:
        ids = [f"{offset}-{number:03d}".ljust(120, "x") for number in range(size)]
        fields = {
            "type": "order_shipped",
            "id": f"e-{offset}",
            "source": "/t",
            "occurred_at": "2026-07-01T08:00:00Z",
        }
        return Record(
            "orders",
            0,
            offset,
            0,
            *envelope.encode(fields | {"order_id": order_id, "line_ids": ids}),
        )

    chunk = [shipped(offset, "o-1", 1000) for offset in range(9)] + [
        shipped(9, "o-2", 10),
        shipped(10, "o-1", 10),
    ]
    whole = fold(order_stage(), chunk)
    first = fold(order_stage(), chunk[:5])
    second = fold(order_stage(), chunk[5:], first.progress, first.writes)
    assert [(offset, refusal.reason) for offset, refusal in whole.parked] == [
        (6, Reason.ORDER_FULL),
        (7, Reason.ORDER_FULL),
        (8, Reason.ORDER_FULL),
    ]
    assert [offset for offset, _ in first.parked + second.parked] == [6, 7, 8]
    assert {**first.writes["orders"], **second.writes["orders"]} == whole.writes["orders"]
    assert len(orders.decode(whole.writes["orders"][b"o-1"] or b"").others) == 7
    assert whole.events.applied.total() == 8


def test_confirmed_time_goes_on_to_the_stages_behind() -> None:
    """C2: the latest of all sources, whatever the marks' order.

    A mark without it takes nothing back.
    """
    marks = [
        ProgressMark("orders", 0, 5, 50, 45),
        ProgressMark("orders", 1, 7, 90, None),
        ProgressMark("orders", 0, 9, 60, 40),
    ]
    chunk = [
        Record("sales", 0, at, 0, None, journal.encode(mark), []) for at, mark in enumerate(marks)
    ]
    assert fold(SummingStage(PRODUCT_STAGE, TERMS, 1000), chunk).progress.confirmed_ms == 45
    assert fold(SummingStage(PRODUCT_STAGE, TERMS, 1000), chunk[1:2]).progress.confirmed_ms is None
