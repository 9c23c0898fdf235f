"""The changes of a chunk of messages: timers and rows of `overdue`, to the millisecond.

And the largest conversation that is folded without counting its bytes.
"""

from itertools import pairwise
from typing import Any

from schemas import limits, times
from schemas.envelope import BUYER, Written
from tables import conversations
from tables.chat_stage import ChatStage
from tables.conversations import Alerted, Conversation
from tests.flow import TERMS, Flow, Record, Rows, binary, reading

QUESTION_MS = times.parse_ms("2026-07-01T04:00:00Z")
"""Noon in Shanghai."""


def question(at_ms: int, number: int) -> dict[str, Any]:
    """A question."""
    event = {
        "type": "buyer_messaged",
        "id": f"e-{number}",
        "source": "/s",
        "message_id": f"m-{number}",
    }
    return event | {"shop_id": "s-7", "buyer_id": "b-9", "occurred_at": times.format_ms(at_ms)}


def test_an_earlier_question_that_arrives_later_moves_the_due_time() -> None:
    """The first question in event time sets the due time.

    The first to arrive does not.
    """
    flow = Flow().take([question(QUESTION_MS + 60_000, 1), question(QUESTION_MS, 2)])
    assert not flow.tick(QUESTION_MS + 300_000).tables["overdue"]
    assert flow.tick(QUESTION_MS + 300_001).tables["overdue"]
    assert [alert["message_id"] for alert in flow.alerts] == ["m-2"]


def test_a_question_that_arrives_after_its_due_time_is_overdue_at_once() -> None:
    """Event time is past the due time on arrival, so no timer is set."""
    flow = Flow().tick(QUESTION_MS + 300_001).take([question(QUESTION_MS, 1)])
    assert flow.tables["overdue"]
    assert len(flow.alerts) == 1
    assert not flow.tables["reply_timers"]


def test_a_small_conversation_with_the_largest_messages_fits_in_a_record() -> None:
    """`ConversationFold` needs no refusal for it.

    It has the largest texts, all of them escaped, and all inquiries alerted.
    """
    text = "\x01" * limits.ID_CHARS  # six bytes a character in JSON
    source = "\x01" * limits.SOURCE_CHARS
    largest = Written(limits.OCCURRED_FIRST_MS, BUYER, text, source, text, text, "person")
    alerted = Alerted(source, text, late=False)
    count = limits.FEW_MESSAGES
    new = Conversation(written=[largest] * count, alerted=(alerted,) * count)
    size = len(conversations.encode(new)) + 2 * limits.SMALL_STATE_BYTES
    assert size < limits.ORDER_BYTES


def test_where_the_stage_folds_a_long_conversation_changes_nothing() -> None:
    """A message over the bound, in one chunk or in two, gives the same conversation."""
    events = [question(QUESTION_MS + number, number) for number in range(limits.FEW_MESSAGES + 1)]
    stage = ChatStage(TERMS, 1000)
    records = [Record("chats", 0, offset, 0, *binary(event)) for offset, event in enumerate(events)]
    found = []
    for cuts in ([0, len(events)], [0, 1, len(events)]):
        tables = {table.name: Rows() for table in stage.spec.tables}
        progress = None
        for begin, end in pairwise(cuts):
            outcome = stage.fold("chats-0", reading(stage, records[begin:end]), tables, progress)
            progress = outcome.progress
            for name, writes in outcome.writes.items():
                tables[name].update(writes)
        found.append(tables)
    assert found[0] == found[1]
