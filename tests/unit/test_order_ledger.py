"""An order's ledger when facts are removed again, which is rare."""

from typing import Any

import pytest

from schemas import limits
from tests.flow import Flow
from tests.story import event

LINES = (
    "2026-07-01T08:00Z placed o-1 1:p-1:1x10 2:p-2:1x10",
    "2026-07-02T08:00Z received o-1",
    "2026-07-04T08:00Z received o-1",
    "2026-07-03T08:00Z received o-1 2",
)


def _events() -> list[dict[str, Any]]:
    """Two receipts of all lines, with one of a single line in between.

    Then the first one turns out to be a payment.
    """
    events = [event(line.split(), number) for number, line in enumerate(LINES)]
    other = event(["2026-07-01T09:00Z", "paid", "o-1", "5"], 9)
    return [*events, other | {"id": events[1]["id"], "source": events[1]["source"]}]


def test_a_removed_receipt_of_all_lines_leaves_those_by_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """S11, R6: the line with its own receipt is then the order's first sale."""
    plain = Flow().take(_events())
    monkeypatch.setattr(limits, "FEW_EVENTS", -1)
    ledger = Flow().take(_events())
    assert ledger.entries == plain.entries
    assert [
        (entry.line_id, entry.sold_at[:10], entry.units_gross, entry.orders)
        for entry in ledger.entries[-4:]
    ] == [
        ("1", "2026-07-02", -1, -1),
        ("1", "2026-07-04", 1, 0),
        ("2", "2026-07-02", -1, 0),
        ("2", "2026-07-03", 1, 1),
    ]
