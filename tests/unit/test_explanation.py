"""An order explained, story by story: the rules that each event met, and the last sentence."""

from __future__ import annotations

import pytest

from schemas import envelope
from schemas.positions import Position
from tables import orders
from tables.conclusion import Conclusion, conclude
from tables.explanation import Explanation, LoggedReading, explain
from tests.flow import CYCLES, TERMS, Flow
from tests.story import parse


def explained(text: str) -> tuple[Explanation, Conclusion]:
    """The explanation of the order o-1 after the events of a story."""
    flow = Flow().take(next(parse(f"== of the tests\n{text}")).events)
    (records,) = (some for (topic, _), some in flow.logs.items() if topic == "orders")
    logged = []
    for record in records:
        reading = envelope.read(record)
        assert isinstance(reading, envelope.Received)
        logged.append(LoggedReading(Position("orders", 0, record.offset), 0, reading))
    order = orders.decode(flow.tables["orders"][b"o-1"])
    explanation = explain(order, logged, TERMS)
    return explanation, conclude(order, explanation.counted, CYCLES)


@pytest.mark.parametrize(
    ("events", "rules"),
    [
        pytest.param(
            """
            2026-07-01T08:00Z  received  o-1
            2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
            2026-06-30T08:00Z  received  o-1
            2026-07-02T08:00Z  received  o-1  1 2
            """,
            ["S1", "S1 S2 S3", "S2", "S8"],
            id="placing and receipts",
        ),
        pytest.param(
            """
            2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
            2026-07-01T09:00Z  paid      o-1  2000
            2026-07-01T09:00Z  shipped   o-1
            2026-07-02T08:00Z  refused   o-1  quality
            2026-07-03T08:00Z  reissued  o-1  quality
            2026-07-04T08:00Z  received  o-1
            2026-07-04T09:00Z  received  o-1
            2026-07-05T09:00Z  reviewed  o-1  p-3 5
            """,
            ["S1", "S1", "S1", "S4", "S10", "S1 S2 S3", "S2", "R5"],
            id="what is no sale",
        ),
        pytest.param(
            """
            2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
            2026-07-02T08:00Z  received  o-1
            2026-07-01T09:00Z  cancelled o-1  buyer
            2026-07-01T08:30Z  received  o-1
            2026-07-01T07:30Z  cancelled o-1  buyer
            """,
            ["S1", "S1 S2 S3", "S4", "S1 S2 S3 S4", "S4"],
            id="cancellations",
        ),
        pytest.param(
            """
            2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
            2026-07-02T08:00Z  refund-requested o-1 r-1 quality 1:1:1000
            2026-07-02T08:00Z  refunded  o-1  r-1 quality 1:1:1000
            2026-07-03T08:00Z  received  o-1
            2026-07-04T08:00Z  refunded  o-1  r-2 short_weight 1:0:100
            2026-07-05T08:00Z  refunded  o-1  r-3 quality 1:9:9000
            2026-07-06T08:00Z  refunded  o-1  r-4 quality
            2026-07-07T08:00Z  refund-returned o-1 r-3
            2026-07-08T08:00Z  refunded  o-1  r-3 quality 1:9:9000
            2026-07-08T08:00Z  refund-failed o-1 r-5 bank
            2026-07-09T08:00Z  refund-returned o-1 r-6
            2026-07-09T08:00Z  refunded  o-1  r-6 quality
            2026-07-01T08:01Z  received  o-1
            2026-07-09T08:00Z  refunded  o-1  r-7 quality 8:1:1
            """,
            [
                *("S1", "S5", "S7", "S1 S2 S3 S7", "S6 S9", "S6 S8", "S8", "S5 S6", "S11"),
                *("S5", "S5", "S5", "S2 S6 S7", "S8"),
            ],
            id="refunds",
        ),
        pytest.param(
            """
            2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
            2026-07-01T08:00Z  refunded  o-1  r-1 quality
            2026-07-02T08:00Z  received  o-1
            2026-07-02T09:00Z  refund-returned o-1 r-1
            2026-07-01T07:00Z  refunded  o-1  r-2 quality
            """,
            ["S1", "S7", "S7", "S5", "S7"],
            id="refunded before the receipt",
        ),
        pytest.param(
            """
            2026-07-02T08:00Z  refunded  o-1  r-1 quality 1:1:1
            2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
            2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
            2026-07-02T08:00Z  received  o-1
            2026-07-01T07:00Z  placed    o-1  1:p-3:3x1000 currency=USD
            2026-07-01T06:00Z  placed    o-1  2:p-3:3x1000
            """,
            ["S1", "S1", "S11", "S1 S2 S3 S6", "S3 S11", "S1 S2 S3 S8 S11"],
            id="placed again",
        ),
    ],
)
def test_each_event_has_the_rules_that_it_met(events: str, rules: list[str]) -> None:
    """Those by which it changed what counts; else the one by which it didn't."""
    explanation, _ = explained(events)
    assert [" ".join(step.rules) for step in explanation.steps] == rules


@pytest.mark.parametrize(
    ("events", "sentence"),
    [
        ("2026-07-01T08:00Z paid o-1 5", "counts nothing, because the order was not placed (S1)"),
        (
            "2026-07-01T08:00Z placed o-1 1:p-3:2x1000 2:p-4:1x5",
            "counts nothing of 3 units, because lines 1, 2 were not received (S1)",
        ),
        (
            """
            2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
            2026-07-02T08:00Z  refunded  o-1  r-1 quality
            2026-07-03T08:00Z  received  o-1
            """,
            (
                "counts nothing of 2 units, because line 1 was refunded in full before the"
                " receipt (S7)"
            ),
        ),
        (
            """
            2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
            2026-07-01T09:00Z  cancelled o-1  unpaid
            """,
            (
                "counts nothing of 2 units, because line 1 was not received (S1); the order was"
                " cancelled on 2026-07-01T09:00:00.000Z (unpaid)"
            ),
        ),
        (
            """
            2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
            2026-07-02T08:00Z  refused   o-1  quality
            2026-07-03T08:00Z  refunded  o-1  r-1 quality
            """,
            (
                "counts nothing of 2 units, because line 1 was not received (S1); the delivery was"
                " refused on 2026-07-02T08:00:00.000Z (quality); refund r-1 gave the money back"
                " before any receipt (S7)"
            ),
        ),
        (
            """
            2026-07-01T08:00Z  placed    o-1  1:p-3:3x1000
            2026-07-02T08:00Z  received  o-1
            2026-07-03T08:00Z  refunded  o-1  r-1 quality 1:1:1000
            2026-07-03T09:00Z  refund-returned o-1 r-1
            2026-07-04T08:00Z  refunded  o-1  r-2 quality 8:1:1
            2026-07-05T08:00Z  refunded  o-1  r-3 quality 1:5:5000
            2026-07-06T08:00Z  refunded  o-1  r-4 quality 1:1:1000
            2026-07-07T08:00Z  refund-failed o-1 r-5 rejected
            2026-07-08T08:00Z  refund-requested o-1 r-6 quality
            """,
            (
                "counts 0 of 3 units, CNY 0.00, in the cycle from 2026-06-06T00:00:00Z, because"
                " line 1 was received (S2) and a refund took 3 units and CNY 30.00 off (S6);"
                " refund r-1 was returned by the bank (S5);"
                " refund r-2 names line 8, which the order does not have (S8);"
                " refund r-3 took 3 units and CNY 30.00 off line 1: of 5 units and CNY 50.00"
                " claimed, no more was left (S8);"
                " refund r-4 took nothing: nothing of line 1 was left (S8);"
                " refund r-5 did not succeed (rejected) (S5); and 1 more refund"
            ),
        ),
        (
            """
            2026-07-01T08:00Z  placed    o-1  1:p-3:3x1000
            2026-07-02T08:00Z  refunded  o-1  r-1 quality 1:1:1000
            2026-07-03T08:00Z  received  o-1
            2026-07-04T08:00Z  refunded  o-1  r-2 quality 1:1:1000
            2026-07-05T08:00Z  refunded  o-1  r-3 quality 1:1:900
            2026-07-06T08:00Z  refunded  o-1  r-4 short_weight 1:0:50
            """,
            (
                "counts 0 of 3 units, CNY 0.50, in the cycle from 2026-06-06T00:00:00Z, because"
                " line 1 was received (S2) and refunds before the receipt took 1 unit and"
                " CNY 10.00 off (S7) and 2 refunds took 2 units and CNY 19.00 off (S6) and a"
                " refund made up CNY 0.50 (S6, S9)"
            ),
        ),
        (
            """
            2026-07-01T08:00Z  placed    o-1  1:p-3:1x1000 2:p-4:2x10 currency=JPY
            2026-07-03T08:00Z  received  o-1 1
            2026-07-13T08:00Z  received  o-1 2
            2026-07-14T08:00Z  refunded  o-1  r-1 short_weight 2:0:7
            """,
            (
                "counts 3 of 3 units, JPY 1,013: 1 unit and JPY 1,000 in the cycle from"
                " 2026-06-06T00:00:00Z, 2 units and JPY 13 in the cycle from"
                " 2026-07-06T00:00:00Z, because line 1 was received (S2); line 2 was received"
                " (S2) and a refund made up JPY 7 (S6, S9)"
            ),
        ),
        (
            "2026-07-01T08:00Z placed o-1 "
            + " ".join(f"{number}:p-3:{number}x10" for number in range(1, 9))
            + "\n2026-07-02T08:00Z received o-1\n"
            + "\n".join(
                f"2026-07-03T08:00Z refunded o-1 r-{number} quality {number}:{number}:1"
                for number in range(1, 9)
            ),
            (
                "counts 0 of 36 units, CNY 3.52, in the cycle from 2026-06-06T00:00:00Z, because"
                + ";".join(
                    f" line {n} was received (S2) and a refund took {n} unit{'s' * (n > 1)} and"
                    " CNY 0.01 off (S6)"
                    for n in range(1, 6)
                )
                + "; and 3 more lines"
            ),
        ),
    ],
)
def test_the_sentence_has_what_counts_and_why(events: str, sentence: str) -> None:
    """Net of what was ordered, in which cycles; the reasons line by line, a few of many."""
    _, conclusion = explained(events)
    assert conclusion.sentence == sentence


def test_a_refund_of_the_whole_order_is_in_the_sentence() -> None:
    """Its units and money are those of the lines; many equal lines are counted."""
    lines = " ".join(f"{number}:p-3:1x0" for number in range(1, 9))
    _, conclusion = explained(
        f"""
        2026-07-01T08:00Z  placed    o-1  {lines}
        2026-07-03T08:00Z  received  o-1
        2026-07-04T08:00Z  refunded  o-1  r-1 quality
        """
    )
    assert conclusion.sentence.endswith(
        "because lines 1, 2, 3, 4, 5 and 3 more were received (S2) and a refund took 1 unit off"
        " (S6)"
    )


def test_a_replay_that_differs_from_the_table_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """An explanation never disagrees with the table, whatever fault we make."""
    monkeypatch.setattr("tables.explanation.orders.absorb", lambda order, _: order)
    with pytest.raises(AssertionError, match="differs from the table"):
        explained("2026-07-01T08:00Z placed o-1 1:p-3:2x1000")
