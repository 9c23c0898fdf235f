"""The core against the independent recount: two routes from the same events to the same tables."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from operations.oracle.events import time_ms
from operations.oracle.recount import recount
from operations.oracle.replies import Terms
from schemas import times
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
# So long after the latest event is event time: also just at, and just past, the time of a reply to
# it.
AFTER_MS = st.sampled_from([0, 1000, 1001, 60_000, 60_001, 300_000, 300_001]) | st.integers(
    0, 400 * 86_400_000
)
_AROUND = st.sampled_from(
    [EDGE_MS + by for by in (-300_001, -1, 0, 1, 60_000, 300_000, 3_600_000, 86_400_000)]
).map(times.format_ms)


@st.composite
def busy_shop(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Orders of two buyers in one shop, placed and mostly received, with what happened to them and was said, close to each other."""
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
    said = draw(st.lists(messages(), max_size=8))
    found += [message | {"shop_id": "s-1", "occurred_at": draw(_AROUND)} for message in said]
    return [
        event | {"id": f"e-{number}", "source": "/s"}
        for number, event in enumerate(draw(st.permutations(found)))
    ]


@settings(max_examples=300)
@given(happenings(20), CYCLES)
def test_core_agrees_with_recount(happened: list[dict[str, Any]], cycle: tuple[int, int]) -> None:
    """Rows of products and shops, their service, and anomalies, are the same for any events, length of cycle and anchor."""
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
    """The same with messages among the events, once event time has come to one instant everywhere.

    Under any rules and chunks.
    """
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
    """The same where all happens to orders that count, so that the rules of service meet each other."""
    _agree_on_service(happened, cycle, rules, chunk, after_ms)
