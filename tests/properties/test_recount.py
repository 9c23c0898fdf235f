"""The core against the independent recount: two routes from the same events to the same tables."""

from collections import Counter
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from operations.oracle.cycles import iso_ms
from operations.oracle.events import accept, time_ms
from operations.oracle.order import count_order
from operations.oracle.recount import recount
from operations.oracle.replies import Terms
from schemas import times
from tables import sales
from tables.cycles import Calendar
from tables.service_hours import ServiceRules
from tests.flow import Flow
from tests.properties.strategies import EDGE_MS, events, happenings, lines, market, messages

CYCLES = st.sampled_from([(30 * 86_400_000, 0), (1, 0), (7_919, -3), (86_400_000, EDGE_MS + 1)])
RULES = [
    (ServiceRules(), Terms()),
    (ServiceRules(count_per="inquiry"), Terms(each_inquiry=True)),
    (ServiceRules(60_000, "23:00-08:00"), Terms(60_000, 23 * 60, 8 * 60)),
    (ServiceRules(1000, "00:00-24:00", "Europe/Berlin"), Terms(1000, 0, 24 * 60, "Europe/Berlin")),
    (
        ServiceRules(3_600_000, "02:30-02:30", "America/New_York"),
        Terms(3_600_000, 150, 150, "America/New_York"),
    ),
]
# Event time minus the time of the latest event. Some values equal, or just exceed, the time to
# reply.
AFTER_MS = st.sampled_from([0, 1000, 1001, 60_000, 60_001, 300_000, 300_001]) | st.integers(
    0, 400 * 86_400_000
)
_AROUND = st.sampled_from(
    [EDGE_MS + by for by in (-300_001, -1, 0, 1, 60_000, 300_000, 3_600_000, 86_400_000)]
).map(times.format_ms)


@st.composite
def busy_shop(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Orders of two buyers in one shop, most of them received, with events and messages around."""
    found = []
    for number in range(draw(st.integers(1, 4))):
        order = {"order_id": f"o-{number}", "occurred_at": draw(_AROUND)}
        buyer_id = draw(st.sampled_from(["b-1", "b-1", "b-2"]))
        found.append(
            {
                "type": "order_placed",
                **order,
                "shop_id": "s-1",
                "buyer_id": buyer_id,
                "currency": "CNY",
                "lines": draw(lines()),
            }
        )
        if draw(st.integers(0, 3)):
            found.append(
                {"type": "receipt_confirmed", **order, "occurred_at": draw(_AROUND), "by": "buyer"}
            )
        own = draw(
            st.lists(
                events().filter(
                    lambda event: event["type"] not in {"order_placed", "order_cancelled"}
                ),
                max_size=4,
            )
        )
        found += [
            event | {"order_id": order["order_id"], "occurred_at": draw(_AROUND)} for event in own
        ]
    chat = draw(st.lists(messages(), max_size=8))
    found += [message | {"shop_id": "s-1", "occurred_at": draw(_AROUND)} for message in chat]
    return [
        event | {"id": f"e-{number}", "source": "/s"}
        for number, event in enumerate(draw(st.permutations(found)))
    ]


@settings(max_examples=300)
@given(happenings(20), CYCLES)
def test_core_agrees_with_recount(happened: list[dict[str, Any]], cycle: tuple[int, int]) -> None:
    """All lists are equal for any events, length of cycle and anchor."""
    length_ms, anchor_ms = cycle
    assert Flow(Calendar(length_ms, anchor_ms)).take(happened).report() == recount(
        happened, cycle_ms=length_ms, anchor_ms=anchor_ms
    )


def _agree_on_service(
    happened: list[dict[str, Any]],
    cycle: tuple[int, int],
    rules: tuple[ServiceRules, Terms],
    chunk: int,
    after_ms: int,
) -> None:
    length_ms, anchor_ms = cycle
    as_of_ms = (
        max((time_ms(event["occurred_at"]) for event in happened), default=EDGE_MS) + after_ms
    )
    flow = (
        Flow(Calendar(length_ms, anchor_ms), lambda: chunk, rules[0]).take(happened).tick(as_of_ms)
    )
    assert flow.report() == recount(
        happened, cycle_ms=length_ms, anchor_ms=anchor_ms, terms=rules[1], as_of_ms=as_of_ms
    )
    assert not flow.parked


@settings(max_examples=400)
@given(market(), CYCLES, st.sampled_from(RULES), st.integers(1, 30), AFTER_MS)
def test_core_agrees_with_recount_on_service(
    happened: list[dict[str, Any]],
    cycle: tuple[int, int],
    rules: tuple[ServiceRules, Terms],
    chunk: int,
    after_ms: int,
) -> None:
    """All lists are equal with messages, under any rules and chunks, at one event time."""
    _agree_on_service(happened, cycle, rules, chunk, after_ms)


@settings(max_examples=600)
@given(busy_shop(), CYCLES, st.sampled_from(RULES), st.integers(1, 30), AFTER_MS)
def test_core_agrees_with_recount_on_a_busy_shop(
    happened: list[dict[str, Any]],
    cycle: tuple[int, int],
    rules: tuple[ServiceRules, Terms],
    chunk: int,
    after_ms: int,
) -> None:
    """All lists are equal where most orders count, so that the rules of service meet."""
    _agree_on_service(happened, cycle, rules, chunk, after_ms)


def _by_day_of_the_journal(flow: Flow) -> Counter[tuple[str, str, str, str]]:
    """The journal's sums by product, currency, column and day of sale, or day of refund."""
    sums: Counter[tuple[str, str, str, str]] = Counter()
    for entry in flow.entries:
        for name in ("gross", "reversed", "booked"):
            day = (entry.refunded_at if name == "booked" else entry.sold_at) or ""
            whose = entry.product_id, entry.currency
            sums[*whose, f"units {name}", day[:10]] += getattr(entry, f"units_{name}")
            sums[*whose, f"amount {name}", day[:10]] += getattr(entry, f"amount_{name}")
    return Counter({key: number for key, number in sums.items() if number})


def _by_day_of_the_recount(happened: list[dict[str, Any]]) -> Counter[tuple[str, str, str, str]]:
    """The same sums, counted by the recount."""
    by_order: dict[str, list[dict[str, Any]]] = {}
    for event in happened:
        by_order.setdefault(event["order_id"], []).append(accept(event))
    sums: Counter[tuple[str, str, str, str]] = Counter()
    for counted in map(count_order, by_order.values()):
        if counted.placed is None:
            continue
        for sale in counted.sales:
            whose = sale.product_id, counted.placed["currency"]
            sold_day = iso_ms(sale.received_ms)[:10]
            parts = [("gross", sold_day, sale.gross[0], sale.gross[1])]
            for one in sale.reversals:
                parts.append(("reversed", sold_day, one.units, one.amount))
                parts.append(("booked", iso_ms(one.at_ms)[:10], one.units, one.amount))
            for name, day, units, amount in parts:
                sums[*whose, f"units {name}", day] += units
                sums[*whose, f"amount {name}", day] += amount
    return Counter({key: number for key, number in sums.items() if number})


@settings(max_examples=300)
@given(happenings(20), st.randoms(use_true_random=False), st.integers(1, 30), CYCLES)
def test_the_journal_adds_up_by_day(
    happened: list[dict[str, Any]], chance: Random, chunk: int, cycle: tuple[int, int]
) -> None:
    """S6, S12: sums by product and day equal the recount's, in any order with duplicates.

    Days are those of sales and those of refunds.
    """
    arrival = happened + chance.choices(happened, k=5) if happened else []
    chance.shuffle(arrival)
    flow = Flow(Calendar(*cycle), lambda: chunk).take(arrival)
    assert _by_day_of_the_journal(flow) == _by_day_of_the_recount(happened)
    assert len({entry.id for entry in flow.entries}) == len(flow.entries)
    for state in flow.tables["product_totals"].values():
        assert all(sums.are_possible for sums in sales.decode(state).currencies.values())
