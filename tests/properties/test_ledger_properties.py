"""What is kept while an order's events are added is what deriving the whole order says, byte for byte: S1 to S13, R3 to R5."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import envelope, limits
from schemas.envelope import Received
from tables import order_stage, orders
from tables.cycles import Calendar
from tables.order_ledger import OrderLedger
from tables.order_stage import OrderStage
from tables.outcome import Outcome
from tests.flow import CYCLES, Record, Rows, binary, reading
from tests.properties.strategies import events, happenings

SHORT_CYCLES = Calendar(2)


@contextmanager
def _bounds(few: int, most_bytes: int = limits.ORDER_BYTES) -> Iterator[None]:
    """Orders with more than so many events or bytes have a ledger; -1: all of them."""
    with (
        patch.object(order_stage, "FEW_EVENTS", few),
        patch.object(order_stage, "FEW_BYTES", few),
        patch.object(limits, "ORDER_BYTES", most_bytes),
    ):
        yield


def _outcomes(calendar: Calendar, log: list[dict[str, Any]], cuts: list[int]) -> tuple[list[Outcome], dict[bytes, bytes | None]]:
    """The log folded in chunks that end at the cuts; and the orders in the end."""
    stage, rows, progress, outcomes = OrderStage(calendar, 1000), Rows(), None, []
    records = [Record("orders", 0, offset, 0, *binary(event)) for offset, event in enumerate(log)]
    for begin, end in zip([0, *cuts], [*cuts, len(log)], strict=True):
        outcome = stage.fold("orders-0", reading(stage, records[begin:end]), {"orders": rows}, progress)
        progress = outcome.progress
        rows.update(outcome.writes["orders"])
        outcomes.append(outcome)
    return outcomes, dict(rows)


logs = st.one_of(happenings(25), happenings(60), st.lists(events(ids=200), min_size=10, max_size=80))


@settings(max_examples=500)
@given(logs, st.data(), st.sampled_from([CYCLES, SHORT_CYCLES]))
def test_a_ledger_says_what_deriving_all_says(log: list[dict[str, Any]], data: st.DataObject, calendar: Calendar) -> None:
    """The same outcome of each chunk, wherever the log is cut: journal, shops' records, orders, what is refused, and counts."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(log)), max_size=4)))
    with _bounds(10**9):
        plain = _outcomes(calendar, log, cuts)
    with _bounds(-1):
        assert _outcomes(calendar, log, cuts) == plain
    with _bounds(data.draw(st.sampled_from([0, 2, 5]))):
        assert _outcomes(calendar, log, cuts) == plain


@settings(max_examples=300)
@given(logs, st.data())
def test_what_does_not_fit_is_refused_by_its_exact_size(log: list[dict[str, Any]], data: st.DataObject) -> None:
    """Decision 12: an event is refused if the order's bytes with it would be too many, wherever the log is cut."""
    most, kept, refused = data.draw(st.integers(300, 1500)), dict[str, orders.Order](), []
    for offset, event in enumerate(log):
        received = envelope.read(Record("orders", 0, offset, 0, *binary(event)))
        assert isinstance(received, Received)
        before = kept.get(received.order_id, orders.EMPTY)
        after = orders.absorb(before, received)
        if after is not before and (size := len(orders.encode(after))) > most:
            refused.append((offset, f"{size} bytes with this event, at most {most}"))
        else:
            kept[received.order_id] = after
    cuts = sorted(data.draw(st.lists(st.integers(0, len(log)), max_size=4)))
    with _bounds(data.draw(st.sampled_from([-1, 2, 10**9])), most):
        outcomes, states = _outcomes(CYCLES, log, cuts)
    assert [(offset, refusal.detail) for outcome in outcomes for offset, refusal in outcome.parked] == refused
    assert states == {key.encode(): orders.encode(order) for key, order in kept.items() if order != orders.EMPTY}


@given(logs)
def test_a_ledger_knows_its_size(log: list[dict[str, Any]]) -> None:
    """The bytes that are counted are those that are written, after each event."""
    ledger = OrderLedger(None, CYCLES)
    for event in log:
        received = envelope.read(Record("orders", 0, 0, 0, *binary(event)))
        assert isinstance(received, Received)
        ledger.add(received, limits.ORDER_BYTES)
        assert ledger.size == len(ledger.encode())
