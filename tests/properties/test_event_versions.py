"""A log of events of several versions gives the tables of the same events in one version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from operations.oracle.recount import recount
from schemas import envelope, event_versions
from schemas.envelope import Received
from tests.flow import CYCLES, Flow, Record, bare, binary
from tests.properties.strategies import events, happenings

Form = Callable[[Mapping[str, Any]], Any]


@settings(max_examples=200)
@given(happenings(20), st.randoms(use_true_random=False))
def test_a_mixed_log_gives_the_tables_of_its_newest_form(
    happened: list[dict[str, Any]], chance: Random
) -> None:
    """Rows, journal and reports are the same bytes; the recount agrees on the mixed log."""
    mixed = [chance.choice([event, event_versions.as_newest(event)]) for event in happened]
    newest = [event_versions.as_newest(event) for event in happened]
    flow, other = Flow(CYCLES).take(mixed), Flow(CYCLES).take(newest)
    assert not flow.parked
    assert not other.parked
    assert flow.tables == other.tables
    assert flow.entries == other.entries
    assert flow.report() == recount(mixed, cycle_ms=CYCLES.length_ms, anchor_ms=CYCLES.anchor_ms)


@settings(max_examples=200)
@given(happenings())
def test_an_event_that_is_sent_again_in_another_version_is_a_duplicate(
    happened: list[dict[str, Any]],
) -> None:
    """S11: the content is the same, so a producer may be upgraded between two tries."""
    again = [event_versions.as_newest(event) for event in happened]
    once, twice = Flow(CYCLES).take(happened), Flow(CYCLES).take(happened + again)
    assert twice.tables == once.tables


@given(events(), st.sampled_from([binary, bare]))
def test_both_versions_take_the_fast_path(event: dict[str, Any], form: Form) -> None:
    """And are read as the same event."""
    newest = Record("orders", 0, 0, 0, *form(event_versions.as_newest(event)))
    assert envelope._read_fast(newest) == envelope.read(Record("orders", 0, 0, 0, *form(event)))
    assert isinstance(envelope.read(newest), Received)


@given(events())
def test_what_a_version_accepts_the_next_one_accepts_upcast(event: dict[str, Any]) -> None:
    """And upcasting changes no event that it is given."""
    name, before = event["type"], dict(event)
    first = event_versions.class_of(name, 1).model_validate(event)
    newest = event_versions.newest_class(name).model_validate(event_versions.upcast(name, 1, event))
    assert newest.model_dump() == first.model_dump()
    assert event == before
