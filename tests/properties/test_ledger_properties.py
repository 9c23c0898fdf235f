"""A ledger gives the same bytes as deriving the whole order: S1 to S13, R3 to R5."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import envelope, limits
from schemas.envelope import Received, Tick, Written
from tables import catalogue, conversations, orders, watermarks
from tables.chat_stage import ChatStage
from tables.conversations import Conversation
from tables.cycles import Calendar
from tables.order_ledger import OrderLedger
from tables.order_stage import OrderStage
from tables.outcome import Outcome
from tables.service_hours import ServiceRules
from tables.terms import Terms
from tables.watermarks import Progress
from tests.flow import CYCLES, RULES, TERMS, Record, Rows, binary, reading
from tests.properties.strategies import events, happenings, messages

SHORT_CYCLES = Calendar(2)


@contextmanager
def _bounds(few: int, most_bytes: int = limits.ORDER_BYTES) -> Iterator[None]:
    """Orders with more than this many events or bytes have a ledger; with -1, all of them."""
    with (
        patch.object(limits, "FEW_EVENTS", few),
        patch.object(limits, "SMALL_STATE_BYTES", few),
        patch.object(limits, "ORDER_BYTES", most_bytes),
    ):
        yield


def _outcomes(
    calendar: Calendar, log: list[dict[str, Any]], cuts: list[int]
) -> tuple[list[Outcome], dict[bytes, bytes | None]]:
    """The outcomes of the log in chunks that end at the cuts, and the orders at the end."""
    stage, rows, progress, outcomes = OrderStage(Terms(calendar), 1000), Rows(), None, []
    records = [Record("orders", 0, offset, 0, *binary(event)) for offset, event in enumerate(log)]
    for begin, end in zip([0, *cuts], [*cuts, len(log)], strict=True):
        outcome = stage.fold(
            "orders-0", reading(stage, records[begin:end]), {"orders": rows}, progress
        )
        progress = outcome.progress
        rows.update(outcome.writes["orders"])
        outcomes.append(outcome)
    return outcomes, dict(rows)


logs = st.one_of(
    happenings(25), happenings(60), st.lists(events(ids=200), min_size=10, max_size=80)
)


@settings(max_examples=200)
@given(logs, st.data(), st.sampled_from([CYCLES, SHORT_CYCLES]))
def test_a_ledger_gives_what_deriving_all_gives(
    log: list[dict[str, Any]], data: st.DataObject, calendar: Calendar
) -> None:
    """The outcome of each chunk is the same, wherever the log is cut.

    It is the journal, shops' records, orders, refusals, and counts.
    """
    cuts = sorted(data.draw(st.lists(st.integers(0, len(log)), max_size=4)))
    with _bounds(10**9):
        plain = _outcomes(calendar, log, cuts)
    with _bounds(-1):
        assert _outcomes(calendar, log, cuts) == plain
    with _bounds(data.draw(st.sampled_from([0, 2, 5]))):
        assert _outcomes(calendar, log, cuts) == plain


@settings(max_examples=100)
@given(logs, st.data())
def test_what_does_not_fit_is_refused_by_its_exact_size(
    log: list[dict[str, Any]], data: st.DataObject
) -> None:
    """Decision 12: an event is refused if its order would be too large, for any chunks."""
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
    assert [
        (offset, refusal.detail) for outcome in outcomes for offset, refusal in outcome.parked
    ] == refused
    assert states == {
        key.encode(): orders.encode(order) for key, order in kept.items() if order != orders.EMPTY
    }


@given(logs)
def test_a_ledger_knows_its_size(log: list[dict[str, Any]]) -> None:
    """After each event the counted bytes are the bytes that are written."""
    ledger = OrderLedger(None, CYCLES)
    for event in log:
        received = envelope.read(Record("orders", 0, 0, 0, *binary(event)))
        assert isinstance(received, Received)
        ledger.add(received, limits.ORDER_BYTES)
        assert ledger.size == len(ledger.encode())


def _fold_chats(
    stage: ChatStage,
    records: list[Record],
    tables: dict[str, Rows],
    progress: Progress | None,
    few: int,
) -> Outcome:
    """One chunk; conversations with more than `few` messages or bytes have a ledger."""
    with (
        patch.object(limits, "FEW_MESSAGES", few),
        patch.object(limits, "SMALL_STATE_BYTES", few),
    ):
        outcome = stage.fold("chats-0", reading(stage, records), tables, progress)
    for name, writes in outcome.writes.items():
        tables[name].update(writes)
    return outcome


def _chat_outcomes(
    calendar: Calendar, rules: ServiceRules, log: list[dict[str, Any]], cuts: list[int], few: int
) -> list[Outcome]:
    """The outcomes of messages in chunks that end at the cuts."""
    stage, progress, outcomes = ChatStage(Terms(calendar, rules), 1000), None, []
    tables = {table.name: Rows() for table in stage.spec.tables}
    records = [Record("chats", 0, offset, 0, *binary(event)) for offset, event in enumerate(log)]
    for begin, end in zip([0, *cuts], [*cuts, len(log)], strict=True):
        outcome = _fold_chats(stage, records[begin:end], tables, progress, few)
        progress = outcome.progress
        outcomes.append(outcome)
    return outcomes


def _in_order(outcomes: list[Outcome]) -> list[str]:
    """All records that are written and sent, in their order."""
    return [repr((outcome.writes, outcome.sends)) for outcome in outcomes]


@settings(max_examples=200)
@given(
    st.lists(messages(ids=200), max_size=60)
    | st.lists(messages(), max_size=40)
    | st.lists(messages(ids=3), max_size=12),
    st.data(),
    st.sampled_from([CYCLES, Calendar(3_600_000), SHORT_CYCLES]),
    st.sampled_from(
        [
            RULES,
            ServiceRules(count_per="inquiry"),
            ServiceRules(reply_within_ms=1000, hours="00:00-24:00"),
        ]
    ),
)
def test_a_ledger_of_a_conversation_equals_the_plain_fold(
    log: list[dict[str, Any]], data: st.DataObject, calendar: Calendar, rules: ServiceRules
) -> None:
    """The outcome of each chunk is the same, wherever the log is cut.

    It is shops' records, conversations, timers, overdue rows, and alerts.
    """
    log = (
        [event | {"shop_id": "s-1", "buyer_id": "b-1"} for event in log]
        if data.draw(st.booleans())
        else log
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(log)), max_size=4)))
    plain = _chat_outcomes(calendar, rules, log, cuts, 10**9)
    for few in (-1, 3):
        found = _chat_outcomes(calendar, rules, log, cuts, few)
        assert found == plain
        assert _in_order(found) == _in_order(plain)


@settings(max_examples=200)
@given(st.lists(messages(), max_size=40), st.data())
def test_a_message_is_refused_if_its_conversation_would_outgrow_a_record(
    log: list[dict[str, Any]], data: st.DataObject
) -> None:
    """Decision 12: the conversation's bytes with the message decide.

    They are those of the plain fold, message by message, wherever the log is cut.
    """
    most, refused = data.draw(st.integers(150, 900)), []
    stage, progress = ChatStage(TERMS, 1000), watermarks.START
    tables = {table.name: Rows() for table in stage.spec.tables}
    for offset, event in enumerate(log):
        record = Record("chats", 0, offset, 0, *binary(event))
        ((_, message),) = reading(stage, [record])
        at_ms = watermarks.latest(message.occurred_at_ms, progress.watermark_ms)
        assert at_ms is not None
        expired = stage.fold("chats-0", [(offset, Tick(at_ms))], tables, progress)
        key = catalogue.conversation_key(message.shop_id, message.buyer_id)
        state = (tables["chats"] | expired.writes["chats"]).get(key)
        size = _bytes_with(state, message.message)
        if size > most:
            refused.append((offset, f"{size} bytes with this message, at most {most}"))
            record = Record("chats", 0, offset, 0, None, *envelope.tick(at_ms))
        progress = _fold_chats(stage, [record], tables, progress, 10**9).progress
    cuts = sorted(data.draw(st.lists(st.integers(0, len(log)), max_size=4)))
    with patch.object(limits, "ORDER_BYTES", most):
        outcomes = _chat_outcomes(CYCLES, RULES, log, cuts, -1)
    assert [
        (offset, refusal.detail) for outcome in outcomes for offset, refusal in outcome.parked
    ] == refused


def _bytes_with(state: bytes | None, new: Written) -> int:
    """The bytes of a conversation with one more message; 0 if it is a duplicate (S11)."""
    conversation = Conversation() if state is None else conversations.decode(state)
    ids = {message.id for message in conversation.written}
    if conversations.add_message(conversation.written, ids, new) is None:
        return 0
    return len(conversations.encode(conversation))
