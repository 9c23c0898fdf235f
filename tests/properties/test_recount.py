"""The core against the independent recount: two routes from the same events to the same tables."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from operations.recount import recount
from operations.recount_events import time_ms
from operations.recount_replies import Terms
from tables.cycles import Calendar
from tables.service_hours import ServiceRules
from tests.flow import Flow
from tests.properties.strategies import EDGE_MS, happenings, market

CYCLES = st.sampled_from([(30 * 86_400_000, 0), (1, 0), (7_919, -3), (86_400_000, EDGE_MS + 1)])
RULES = [
    (ServiceRules(), Terms()),
    (ServiceRules(count_per="inquiry"), Terms(each_inquiry=True)),
    (ServiceRules(60_000, "23:00-08:00"), Terms(60_000, 23 * 60, 8 * 60)),
    (ServiceRules(1000, "00:00-24:00", "Europe/Berlin"), Terms(1000, 0, 24 * 60, "Europe/Berlin")),
    (ServiceRules(3_600_000, "02:30-02:30", "America/New_York"), Terms(3_600_000, 150, 150, "America/New_York")),
]


@settings(max_examples=300)
@given(happenings(20), CYCLES)
def test_core_agrees_with_recount(events: list[dict[str, Any]], cycle: tuple[int, int]) -> None:
    """Rows of products and shops, their service, and anomalies, are the same for any events, length of cycle and anchor."""
    length_ms, anchor_ms = cycle
    assert Flow(Calendar(length_ms, anchor_ms)).take(events).report() == recount(events, cycle_ms=length_ms, anchor_ms=anchor_ms)


@settings(max_examples=400)
@given(market(), CYCLES, st.sampled_from(RULES), st.integers(1, 30), st.integers(0, 400 * 86_400_000) | st.integers(0, 4_000_000))
def test_core_agrees_with_recount_on_service(
    events: list[dict[str, Any]], cycle: tuple[int, int], rules: tuple[ServiceRules, Terms], chunk: int, after_ms: int
) -> None:
    """The same with messages among the events, once event time has come to one instant everywhere; under any rules and chunks."""
    length_ms, anchor_ms = cycle
    as_of_ms = max((time_ms(event["occurred_at"]) for event in events), default=EDGE_MS) + after_ms
    flow = Flow(Calendar(length_ms, anchor_ms), lambda: chunk, rules[0]).take(events).tick(as_of_ms)
    assert flow.report() == recount(events, cycle_ms=length_ms, anchor_ms=anchor_ms, terms=rules[1], as_of_ms=as_of_ms)
    assert not flow.parked
