"""What a chunk of messages changes.

Timers and the rows of what is overdue, at the very instants.
"""

from typing import Any

from schemas import times
from tests.flow import Flow

ASKED_MS = times.parse_ms("2026-07-01T04:00:00Z")
"""At noon in Shanghai."""


def asked(at_ms: int, number: int) -> dict[str, Any]:
    """A question."""
    event = {
        "type": "buyer_messaged",
        "id": f"e-{number}",
        "source": "/s",
        "message_id": f"m-{number}",
    }
    return event | {"shop_id": "s-7", "buyer_id": "b-9", "occurred_at": times.format_ms(at_ms)}


def test_a_question_that_comes_late_is_due_earlier() -> None:
    """An inquiry is overdue by its first question, though that was heard of after the second one."""
    flow = Flow().take([asked(ASKED_MS + 60_000, 1), asked(ASKED_MS, 2)])
    assert not flow.tick(ASKED_MS + 300_000).tables["overdue"]
    assert flow.tick(ASKED_MS + 300_001).tables["overdue"]
    assert [alert["message_id"] for alert in flow.alerts] == ["m-2"]


def test_what_is_asked_too_late_is_overdue_at_once() -> None:
    """Event time has passed already when the question comes in, so there is nothing to wait for."""
    flow = Flow().tick(ASKED_MS + 300_001).take([asked(ASKED_MS, 1)])
    assert flow.tables["overdue"]
    assert len(flow.alerts) == 1
    assert not flow.tables["reply_timers"]
