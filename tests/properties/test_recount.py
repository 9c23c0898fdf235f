"""The core against the independent recount: two routes from the same events to the same tables."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from operations.recount import recount
from tables.cycles import Calendar
from tests.flow import Flow
from tests.properties.strategies import EDGE_MS, happenings


@settings(max_examples=400)
@given(happenings(20), st.sampled_from([(30 * 86_400_000, 0), (1, 0), (7_919, -3), (86_400_000, EDGE_MS + 1)]))
def test_core_agrees_with_recount(events: list[dict[str, Any]], cycle: tuple[int, int]) -> None:
    """Rows of products and shops, and anomalies, are the same for any events, length of cycle and anchor."""
    length_ms, anchor_ms = cycle
    assert Flow(Calendar(length_ms, anchor_ms)).take(events).report() == recount(events, cycle_ms=length_ms, anchor_ms=anchor_ms)
