"""The core against the independent recount by any terms that a rules file may have."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from operations.oracle.events import time_ms
from operations.recounting import recount_by
from operations.stories.flow import Flow
from schemas import times
from streams.rules import TermValues
from tables.terms import in_words
from tests.properties.strategies import EDGE_MS, market

ZONES = st.sampled_from(
    ["UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]
)
CLOCK = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
DAYS = st.integers(1, 60) | st.integers(1, 3660)
SECONDS = st.sampled_from([1, 60, 300, 3600]) | st.integers(1, 30 * 86_400)


@st.composite
def terms(draw: st.DrawFn) -> TermValues:
    """Terms as a rules file has them."""
    anchor_ms = draw(st.integers(-(10**12), 2 * 10**12) | st.just(EDGE_MS))
    return TermValues.model_validate(
        {
            "cycle_days": draw(DAYS),
            "cycle_anchor": times.format_ms(anchor_ms),
            "sold_monthly_basis": draw(st.sampled_from(["sale", "refund"])),
            "reply_within_seconds": draw(SECONDS),
            "service_hours": f"{draw(CLOCK)}-{draw(CLOCK | st.just('24:00'))}",
            "service_zone": draw(ZONES),
            "count_inquiries_per": draw(st.sampled_from(["buyer_day", "inquiry"])),
        }
    )


@settings(max_examples=300)
@given(terms(), market(), st.integers(1, 30), st.integers(0, 40 * 86_400_000))
def test_core_agrees_with_recount_by_any_terms(
    values: TermValues, happened: list[dict[str, Any]], chunk: int, after_ms: int
) -> None:
    """All lists are equal: cycles, `sold_monthly` by its basis, and service."""
    latest_ms = max((time_ms(event["occurred_at"]) for event in happened), default=EDGE_MS)
    as_of_ms = latest_ms + after_ms
    flow = Flow(values.terms(), lambda: chunk).take(happened).tick(as_of_ms)
    assert flow.report() == recount_by(values, happened, as_of_ms=as_of_ms)
    assert not flow.parked


@given(terms(), terms())
def test_other_terms_read_otherwise(one: TermValues, other: TermValues) -> None:
    """What people read of terms is as exact as the terms are."""
    first, second = one.terms(), other.terms()
    assert (first == second) == (in_words(first.text) == in_words(second.text))
