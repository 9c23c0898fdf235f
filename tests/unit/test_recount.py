"""Sales as the recount counts them: the examples of `docs/rules.md`, then each rule's edges."""

from __future__ import annotations

import random
from typing import Any

import pytest

from operations.oracle.recount import recount
from schemas.times import DAY_MS

CYCLE_MS = 30 * DAY_MS
A, B, C = "2026-06-06T00:00:00Z", "2026-07-06T00:00:00Z", "2026-08-05T00:00:00Z"
"""Starts of three cycles of 30 days from the epoch on."""


class Story:
    """Events of orders, each with its own id.

    `id`, `source` and any other field can be given.
    """

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def add(self, name: str, at: str, fields: dict[str, Any], **more: Any) -> Story:  # noqa: ANN401 - any field
        number = len(self.events)
        self.events.append(
            {
                "type": name,
                "id": f"e-{number}",
                "source": "/s",
                "occurred_at": at,
                "order_id": "o-1",
                **fields,
                **more,
            }
        )
        return self

    def placed(
        self,
        *lines: tuple[str, str, int, int],
        at: str = "2026-07-01T08:00:00Z",
        **more: Any,  # noqa: ANN401
    ) -> Story:
        listed = [
            {"line_id": line, "product_id": product, "quantity": units, "unit_price": price}
            for line, product, units, price in lines
        ]
        return self.add(
            "order_placed",
            at,
            {"shop_id": "s-7", "buyer_id": "b-9", "currency": "CNY", "lines": listed},
            **more,
        )

    def received(self, at: str, *line_ids: str, **more: Any) -> Story:  # noqa: ANN401
        return self.add(
            "receipt_confirmed",
            at,
            {"by": "logistics"} | ({"line_ids": list(line_ids)} if line_ids else {}),
            **more,
        )

    def cancelled(self, at: str, **more: Any) -> Story:  # noqa: ANN401
        return self.add("order_cancelled", at, {"reason": "buyer"}, **more)

    def refunded(self, at: str, refund_id: str, *parts: tuple[str, int, int], **more: Any) -> Story:  # noqa: ANN401
        lines = [
            {"line_id": line, "quantity": units, "amount": amount} for line, units, amount in parts
        ]
        fields = {"refund_id": refund_id, "reason": "quality"} | ({"lines": lines} if lines else {})
        return self.add("refund_succeeded", at, fields, **more)

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        lists = recount(self.events, CYCLE_MS, 0)
        return {name: lists[name] for name in ("products", "shops", "anomalies")}

    def rows(self, table: str = "products") -> dict[tuple[str, str], tuple[int, ...]]:
        """(id, start) → units gross, reversed, booked, then CNY gross, reversed, booked."""
        names = ("gross", "reversed", "reversals_booked")
        found = {}
        for row in self.tables()[table]:
            numbers = [
                *(row["units"][name] for name in names),
                *(row["revenue"].get("CNY", {}).get(name, 0) for name in names),
            ]
            found[row[f"{table[:-1]}_id"], row["cycle"]["start"]] = tuple(numbers)
        return found

    def anomalies(self) -> list[tuple[str, ...]]:
        return [
            (found["anomaly"], *([found["line_id"]] if "line_id" in found else []))
            for found in self.tables()["anomalies"]
        ]


TWO_AT_TEN = ("1", "p-3", 2, 1000)


# --- the examples


def test_example_1_paid_and_shipped_but_never_received() -> None:
    """Nothing is sold (S1)."""
    story = Story().placed(TWO_AT_TEN)
    story.add("order_paid", "2026-07-01T08:01:00Z", {"amount": 2000}).add(
        "order_shipped", "2026-07-01T12:00:00Z", {"parcel_id": "x"}
    )
    assert story.tables() == {"products": [], "shops": [], "anomalies": []}


def test_example_2_a_difference_made_up() -> None:
    """Two units at ¥10 with ¥3 refunded are two units and ¥17 (S9)."""
    story = (
        Story()
        .placed(TWO_AT_TEN)
        .received("2026-07-02T10:00:00+08:00")
        .refunded("2026-07-05T09:00:00Z", "r-1", ("1", 0, 300))
    )
    row = {
        "cycle": {"start": "2026-06-06T00:00:00Z", "end": "2026-07-06T00:00:00Z"},
        "units": {"gross": 2, "reversed": 0, "net": 2, "reversals_booked": 0},
        "units_by_currency": {"CNY": {"gross": 2, "reversed": 0, "net": 2, "reversals_booked": 0}},
        "revenue": {"CNY": {"gross": 2000, "reversed": 300, "net": 1700, "reversals_booked": 300}},
        "sold_monthly": 2,
        "successfully_traded": 2,
    }
    assert story.tables() == {
        "products": [{"product_id": "p-3", **row}],
        "shops": [{"shop_id": "s-7", **row}],
        "anomalies": [],
    }


def test_example_3_refunded_in_the_next_cycle() -> None:
    """Basis sale subtracts from the sale's cycle, basis refund from the refund's (S6).

    All time subtracts once.
    """
    story = (
        Story()
        .placed(("1", "p-3", 1, 1000))
        .received("2026-07-02T00:00:00Z")
        .refunded("2026-07-09T00:00:00Z", "r-1")
    )
    assert story.rows() == {("p-3", A): (1, 1, 0, 1000, 1000, 0), ("p-3", B): (0, 0, 1, 0, 0, 1000)}
    assert [row["successfully_traded"] for row in story.tables()["products"]] == [0, 0]
    assert [row["sold_monthly"] for row in story.tables()["products"]] == [0, 0]


def test_example_4_the_refund_arrives_before_the_receipt() -> None:
    """The order of arrival doesn't matter (S12)."""
    early = (
        Story()
        .placed(TWO_AT_TEN)
        .refunded("2026-07-05T00:00:00Z", "r-1", ("1", 1, 1000))
        .received("2026-07-02T00:00:00Z")
    )
    late = (
        Story()
        .placed(TWO_AT_TEN)
        .received("2026-07-02T00:00:00Z")
        .refunded("2026-07-05T00:00:00Z", "r-1", ("1", 1, 1000))
    )
    assert early.tables() == late.tables()
    assert late.rows() == {("p-3", A): (2, 1, 1, 2000, 1000, 1000)}


def test_example_5_refused_reissued_received() -> None:
    """There is one sale, at the second parcel's receipt (S10)."""
    story = (
        Story()
        .placed(TWO_AT_TEN)
        .add("order_shipped", "2026-07-02T00:00:00Z", {"parcel_id": "x-1"})
    )
    story.add("delivery_refused", "2026-07-03T00:00:00Z", {"reason": "damaged_in_transit"})
    story.add(
        "reissue_shipped",
        "2026-07-04T00:00:00Z",
        {"reason": "damaged_in_transit", "parcel_id": "x-2"},
    )
    story.received("2026-07-07T00:00:00Z", parcel_id="x-2")
    assert story.rows() == {("p-3", B): (2, 0, 0, 2000, 0, 0)}


def test_example_6_the_last_millisecond_and_the_next_first() -> None:
    """A cycle is half-open: its end belongs to the next one (S2, C1)."""
    story = Story().placed(("1", "p-3", 2, 1000), ("2", "p-3", 5, 10))
    story.received("2026-07-05T23:59:59.999999Z", "1").received("2026-07-06T00:00:00Z", "2")
    assert story.rows() == {("p-3", A): (2, 0, 0, 2000, 0, 0), ("p-3", B): (5, 0, 0, 50, 0, 0)}


def test_example_7_the_group_is_not_filled() -> None:
    """A refund without a receipt is neither sale nor reversal (S4, S7)."""
    story = (
        Story()
        .placed(TWO_AT_TEN, group_id="g-1")
        .add("order_paid", "2026-07-01T08:01:00Z", {"amount": 2000})
    )
    story.add("order_cancelled", "2026-07-02T08:00:00Z", {"reason": "group_not_filled"}).refunded(
        "2026-07-02T08:00:01Z", "r-1"
    )
    assert story.tables() == {"products": [], "shops": [], "anomalies": []}


# --- S1 to S4: what is a sale, and when


def test_s1_received_without_payment_is_a_sale() -> None:
    """Cash on delivery is an example."""
    assert Story().placed(TWO_AT_TEN).received("2026-07-02T00:00:00Z").rows() == {
        ("p-3", A): (2, 0, 0, 2000, 0, 0)
    }


def test_s1_received_without_placing_is_none() -> None:
    """The lines are unknown.

    It is no anomaly, because the placing may still arrive.
    """
    story = (
        Story()
        .received("2026-07-02T00:00:00Z", "9")
        .cancelled("2026-07-01T00:00:00Z")
        .refunded("2026-07-02T00:00:00Z", "r-1", ("8", 1, 1))
    )
    assert story.tables() == {"products": [], "shops": [], "anomalies": []}


def test_s2_the_earliest_receipt_decides() -> None:
    """Later receipts and the order of arrival don't matter.

    The receipt may be before the placing.
    """
    story = (
        Story()
        .received("2026-07-09T00:00:00Z")
        .placed(TWO_AT_TEN)
        .received("2026-06-07T00:00:00Z", "1")
        .received("2026-07-08T00:00:00Z")
    )
    assert story.rows() == {("p-3", A): (2, 0, 0, 2000, 0, 0)}


def test_s2_split_parcels_are_received_line_by_line() -> None:
    """A receipt that names lines confirms only those."""
    story = (
        Story()
        .placed(("1", "p-3", 2, 1000), ("2", "p-4", 1, 500), ("3", "p-4", 1, 7))
        .received("2026-07-02T00:00:00Z", "1")
    )
    story.received("2026-07-07T00:00:00Z", "1", "2")
    assert story.rows() == {("p-3", A): (2, 0, 0, 2000, 0, 0), ("p-4", B): (1, 0, 0, 500, 0, 0)}
    assert story.rows("shops") == {
        ("s-7", A): (2, 0, 0, 2000, 0, 0),
        ("s-7", B): (1, 0, 0, 500, 0, 0),
    }


def test_s3_revenue_is_less_the_discount() -> None:
    """The discount is of the whole line, not of a unit."""
    story = Story().placed(TWO_AT_TEN).received("2026-07-02T00:00:00Z")
    story.events[0]["lines"][0]["discount"] = 150
    assert story.rows() == {("p-3", A): (2, 0, 0, 1850, 0, 0)}


def test_s3_currencies_are_separate() -> None:
    """Money is by currency; units are in all and by currency."""
    story = Story().placed(TWO_AT_TEN).received("2026-07-02T00:00:00Z")
    story.placed(("1", "p-3", 1, 200), order_id="o-2", currency="USD").received(
        "2026-07-02T00:00:00Z", order_id="o-2"
    )
    (row,) = story.tables()["products"]
    assert row["units"]["gross"] == 3
    gross = [
        {currency: sums["gross"] for currency, sums in row[measure].items()}
        for measure in ("units_by_currency", "revenue")
    ]
    assert gross == [{"CNY": 2, "USD": 1}, {"CNY": 2000, "USD": 200}]


def test_s3_a_line_without_price_is_sold() -> None:
    """Units without revenue are a row whose revenue has no currency."""
    story = Story().placed(("1", "p-3", 3, 0)).received("2026-07-02T00:00:00Z")
    (row,) = story.tables()["products"]
    assert (row["units_by_currency"]["CNY"]["gross"], row["revenue"]) == (3, {})


@pytest.mark.parametrize(
    ("received", "sold", "anomalies"),
    [
        ("2026-07-02T11:59:59.999Z", True, [("cancelled_after_receipt", "1")]),
        ("2026-07-02T12:00:00Z", True, []),
        ("2026-07-02T12:00:00.001Z", False, [("received_after_cancel", "1")]),
    ],
)
def test_s4_the_earlier_of_receipt_and_cancellation_decides(
    received: str,
    sold: bool,  # noqa: FBT001
    anomalies: list[tuple[str, ...]],
) -> None:
    """At the same millisecond the receipt decides, without an anomaly."""
    story = (
        Story()
        .placed(TWO_AT_TEN)
        .cancelled("2026-07-20T00:00:00Z")
        .cancelled("2026-07-02T12:00:00Z")
        .received(received)
    )
    assert bool(story.rows()) is sold
    assert story.anomalies() == anomalies


def test_s4_each_line_by_its_own_receipt() -> None:
    """The first parcel of a cancelled order counts, and the second doesn't."""
    story = Story().placed(TWO_AT_TEN, ("2", "p-4", 1, 5)).cancelled("2026-07-03T00:00:00Z")
    story.received("2026-07-02T00:00:00Z", "1").received("2026-07-04T00:00:00Z", "2")
    assert story.rows() == {("p-3", A): (2, 0, 0, 2000, 0, 0)}
    assert story.anomalies() == [("cancelled_after_receipt", "1"), ("received_after_cancel", "2")]


# --- S5 to S9: refunds


def test_s5_only_succeeded_refunds_count() -> None:
    """Refunds that are requested, failed or withdrawn change nothing."""
    story = Story().placed(TWO_AT_TEN).received("2026-07-02T00:00:00Z")
    story.add("refund_requested", "2026-07-03T00:00:00Z", {"refund_id": "r-1", "reason": "other"})
    story.add("refund_failed", "2026-07-04T00:00:00Z", {"refund_id": "r-1", "cause": "withdrawn"})
    assert story.rows() == {("p-3", A): (2, 0, 0, 2000, 0, 0)}


@pytest.mark.parametrize(
    "reversed_at", ["2026-07-04T00:00:00Z", "2026-06-10T00:00:00Z", "2026-09-01T00:00:00Z"]
)
def test_s5_a_reversed_refund_does_not_count(reversed_at: str) -> None:
    """The time of the reversal and anomalies of the refund don't matter."""
    story = (
        Story()
        .placed(TWO_AT_TEN)
        .add("refund_reversed", reversed_at, {"refund_id": "r-1"})
        .received("2026-07-02T00:00:00Z")
    )
    story.refunded("2026-07-03T00:00:00Z", "r-1", ("1", 9, 99_999), ("nowhere", 1, 1)).refunded(
        "2026-07-04T00:00:00Z", "r-2", ("1", 1, 900)
    )
    assert story.rows() == {("p-3", A): (2, 1, 1, 2000, 900, 900)}
    assert story.anomalies() == []


@pytest.mark.parametrize(
    ("refunded", "row"),
    [
        ("2026-07-01T23:59:59.999Z", (1, 0, 0, 1500, 0, 0)),
        ("2026-07-02T00:00:00Z", (2, 1, 1, 2000, 500, 500)),
        ("2026-07-02T00:00:00.001Z", (2, 1, 1, 2000, 500, 500)),
    ],
)
def test_s7_a_refund_before_the_receipt_reduces_gross(refunded: str, row: tuple[int, ...]) -> None:
    """At the receipt's millisecond or later it is a reversal."""
    story = (
        Story()
        .placed(TWO_AT_TEN)
        .received("2026-07-02T00:00:00Z")
        .refunded(refunded, "r-1", ("1", 1, 500))
    )
    assert story.rows() == {("p-3", A): row}


def test_s7_each_line_by_its_own_receipt() -> None:
    """One refund of an order is before one line's receipt and after another's.

    A third line is never received.
    """
    story = (
        Story()
        .placed(TWO_AT_TEN, ("2", "p-4", 1, 5), ("3", "p-5", 1, 6))
        .refunded("2026-07-03T00:00:00Z", "r-1")
    )
    story.received("2026-07-02T00:00:00Z", "1").received("2026-07-04T00:00:00Z", "2")
    assert story.rows() == {("p-3", A): (2, 2, 2, 2000, 2000, 2000)}
    assert story.anomalies() == []


def test_s7_a_line_refunded_wholly_before_receipt_is_no_sale() -> None:
    """Nothing is left, so there is no row."""
    story = (
        Story()
        .placed(TWO_AT_TEN)
        .refunded("2026-07-01T09:00:00Z", "r-1", ("1", 2, 2000))
        .received("2026-07-02T00:00:00Z")
    )
    assert story.tables() == {"products": [], "shops": [], "anomalies": []}


def test_s8_refunds_are_cut_in_their_order() -> None:
    """They apply by time, then by refund id.

    Units and amount are cut separately, with one anomaly per line.
    """
    story = Story().placed(("1", "p-3", 3, 1000)).received("2026-07-02T00:00:00Z")
    story.refunded("2026-07-09T00:00:00Z", "r-a", ("1", 2, 100)).refunded(
        "2026-07-04T00:00:00Z", "r-c", ("1", 1, 2500)
    )
    story.refunded("2026-07-04T00:00:00Z", "r-b", ("1", 1, 400)).refunded(
        "2026-07-04T00:00:00Z", "r-d", ("1", 0, 200)
    )
    # r-b reverses 1 unit and 400, r-c 1 and 2500, r-d 100 of its 200, r-a 1 unit of 2 and none of
    # its 100.
    assert story.rows() == {("p-3", A): (3, 3, 2, 3000, 3000, 3000), ("p-3", B): (0, 0, 1, 0, 0, 0)}
    assert story.anomalies() == [("refund_exceeds_sale", "1")]


def test_s8_a_refund_before_receipt_is_cut_to_the_whole_line() -> None:
    """The excess is cut before the receipt, too."""
    story = (
        Story()
        .placed(TWO_AT_TEN)
        .refunded("2026-07-01T09:00:00Z", "r-1", ("1", 1, 9000))
        .received("2026-07-02T00:00:00Z")
    )
    assert story.rows() == {("p-3", A): (1, 0, 0, 0, 0, 0)}
    assert story.anomalies() == [("refund_exceeds_sale", "1")]


def test_s8_the_rest_of_an_order_is_not_too_much() -> None:
    """A refund without lines covers the rest of each line.

    It has no anomaly.
    """
    story = (
        Story()
        .placed(TWO_AT_TEN)
        .received("2026-07-02T00:00:00Z")
        .refunded("2026-07-03T00:00:00Z", "r-1", ("1", 1, 300))
    )
    story.refunded("2026-07-07T00:00:00Z", "r-2")
    assert story.rows() == {
        ("p-3", A): (2, 2, 1, 2000, 2000, 300),
        ("p-3", B): (0, 0, 1, 0, 0, 1700),
    }
    assert story.anomalies() == []


def test_s8_one_line_twice_in_a_refund() -> None:
    """Both parts apply, one after the other."""
    story = (
        Story()
        .placed(TWO_AT_TEN)
        .received("2026-07-02T00:00:00Z")
        .refunded("2026-07-03T00:00:00Z", "r-1", ("1", 1, 300), ("1", 1, 400))
    )
    assert story.rows() == {("p-3", A): (2, 2, 2, 2000, 700, 700)}
    assert story.anomalies() == []


def test_s8_unknown_lines_are_anomalies() -> None:
    """A receipt or a refund may name them, also in an order that is never received.

    Their refunds exceed nothing.
    """
    story = (
        Story()
        .placed(TWO_AT_TEN)
        .received("2026-07-02T00:00:00Z", "7")
        .refunded("2026-07-03T00:00:00Z", "r-1", ("8", 1, 1), ("1", 9, 9))
    )
    story.add("order_shipped", "2026-07-01T09:00:00Z", {"line_ids": ["9"]})
    assert story.rows() == {}
    assert story.anomalies() == [("unknown_line", "7"), ("unknown_line", "8")]


def test_s8_a_line_that_does_not_count_is_not_exceeded() -> None:
    """The receipt after the cancellation is its only anomaly."""
    story = (
        Story()
        .placed(TWO_AT_TEN)
        .cancelled("2026-07-02T00:00:00Z")
        .received("2026-07-03T00:00:00Z")
    )
    story.refunded("2026-07-04T00:00:00Z", "r-1", ("1", 9, 9))
    assert story.anomalies() == [("received_after_cancel", "1")]


# --- S11, S12, S13


def test_s11_the_same_event_again_changes_nothing() -> None:
    """Id, source and content are the same.

    Time finer than milliseconds is not content.
    """
    story = (
        Story()
        .placed(TWO_AT_TEN, id="a")
        .placed(TWO_AT_TEN, id="a", at="2026-07-01T10:00:00.000999+02:00")
    )
    story.received("2026-07-02T00:00:00Z", id="b").received(
        "2026-07-02T00:00:00Z", id="b", parcel_id=None
    )
    assert story.rows() == {("p-3", A): (2, 0, 0, 2000, 0, 0)}
    assert story.anomalies() == []


def test_s11_the_same_id_from_another_source_is_another_event() -> None:
    """An id identifies an event within its source only."""
    story = (
        Story().placed(TWO_AT_TEN, ("2", "p-4", 1, 5)).received("2026-07-02T00:00:00Z", "1", id="x")
    )
    story.received("2026-07-03T00:00:00Z", "2", id="x", source="/other")
    assert len(story.rows()) == 2
    assert story.anomalies() == []


def test_s11_of_one_id_with_other_content_the_earlier_counts() -> None:
    """The later event has no effect."""
    story = (
        Story()
        .placed(TWO_AT_TEN)
        .received("2026-07-07T00:00:00Z", id="x")
        .received("2026-07-02T00:00:00Z", id="x")
    )
    assert story.rows() == {("p-3", A): (2, 0, 0, 2000, 0, 0)}
    assert story.anomalies() == [("conflicting_event",)]


def test_s11_of_one_id_and_time_the_first_by_content_counts() -> None:
    """The choice is always the same: the first by canonical JSON."""
    story = (
        Story()
        .placed(("1", "p-3", 2, 1000), id="x")
        .placed(("1", "p-3", 1, 1000), id="x")
        .received("2026-07-02T00:00:00Z")
    )
    assert story.rows() == {("p-3", A): (1, 0, 0, 1000, 0, 0)}
    assert story.anomalies() == [("conflicting_event",)]


def test_s11_the_same_refund_again_changes_nothing() -> None:
    """It has another event id; the earliest counts."""
    story = (
        Story()
        .placed(TWO_AT_TEN)
        .received("2026-07-02T00:00:00Z")
        .refunded("2026-07-07T00:00:00Z", "r-1", ("1", 1, 300))
    )
    story.refunded("2026-07-03T00:00:00Z", "r-1", ("1", 1, 300), source="/bank")
    assert story.rows() == {("p-3", A): (2, 1, 1, 2000, 300, 300)}
    assert story.anomalies() == []


def test_s11_the_same_refund_with_other_content_conflicts() -> None:
    """The earlier one counts, and the order has the anomaly."""
    story = (
        Story()
        .placed(TWO_AT_TEN)
        .received("2026-07-02T00:00:00Z")
        .refunded("2026-07-07T00:00:00Z", "r-1", ("1", 2, 300))
    )
    story.refunded("2026-07-03T00:00:00Z", "r-1", ("1", 1, 300))
    assert story.rows() == {("p-3", A): (2, 1, 1, 2000, 300, 300)}
    assert story.anomalies() == [("conflicting_event",)]


def test_s11_of_two_placements_the_earlier_counts() -> None:
    """They conflict if lines, buyer or shop differ.

    Id and time may differ.
    """
    story = (
        Story()
        .placed(TWO_AT_TEN)
        .placed(TWO_AT_TEN, at="2026-07-01T09:00:00Z")
        .received("2026-07-02T00:00:00Z")
    )
    assert story.anomalies() == []
    story.placed(("1", "p-9", 7, 7), at="2026-07-01T07:00:00Z")
    assert story.rows() == {("p-9", A): (7, 0, 0, 49, 0, 0)}
    assert story.anomalies() == [("conflicting_event",)]


def test_s11_ids_are_unique_within_an_order_only() -> None:
    """Another order may use the same event and refund ids."""
    story = Story()
    for order_id in ("o-1", "o-2"):
        story.placed(TWO_AT_TEN, order_id=order_id, id="a").received(
            "2026-07-02T00:00:00Z", order_id=order_id, id="b"
        )
        story.refunded("2026-07-03T00:00:00Z", "r-1", ("1", 1, 300), order_id=order_id, id="c")
    assert story.rows() == {("p-3", A): (4, 2, 2, 4000, 600, 600)}
    assert story.anomalies() == []


@pytest.mark.parametrize("seed", range(20))
def test_s12_any_order_of_arrival_with_duplicates(seed: int) -> None:
    """A story with every kind of event has the same result in any permutation."""
    story = (
        Story()
        .placed(TWO_AT_TEN, ("2", "p-4", 5, 7))
        .received("2026-07-02T00:00:00Z", "1")
        .received("2026-07-07T00:00:00Z", id="x")
    )
    story.received("2026-07-06T00:00:00Z", "2", id="x").refunded(
        "2026-07-01T09:00:00Z", "r-1", ("2", 1, 3), ("9", 0, 1)
    )
    story.refunded("2026-07-08T00:00:00Z", "r-2").refunded(
        "2026-07-08T00:00:00Z", "r-0", ("1", 5, 5)
    ).cancelled("2026-07-20T00:00:00Z")
    story.refunded("2026-07-03T00:00:00Z", "r-3").add(
        "refund_reversed", "2026-07-04T00:00:00Z", {"refund_id": "r-3"}
    )
    expected = story.tables()
    assert len(expected["anomalies"]) == 5
    rng = random.Random(seed)
    story.events += rng.choices(story.events, k=10)
    rng.shuffle(story.events)
    assert story.tables() == expected


def test_s13_a_late_event_counts_in_its_own_cycle() -> None:
    """A sale of years ago is added to its cycle of years ago, also before the anchor."""
    story = (
        Story()
        .placed(TWO_AT_TEN, at="1969-12-01T00:00:00Z")
        .received("1969-12-31T23:59:59.999Z")
        .refunded("2026-08-06T00:00:00Z", "r-1")
    )
    assert story.rows() == {
        ("p-3", "1969-12-02T00:00:00Z"): (2, 2, 0, 2000, 2000, 0),
        ("p-3", C): (0, 0, 2, 0, 0, 2000),
    }


# --- cycles and rows


def test_cycles_have_any_length_and_anchor() -> None:
    """They are counted from the anchor, to the millisecond."""
    story = Story().placed(TWO_AT_TEN).received("2026-07-02T00:00:00.500Z")
    (row,) = recount(story.events, 7 * DAY_MS, 500)["products"]
    assert row["cycle"] == {"start": "2026-07-02T00:00:00.500Z", "end": "2026-07-09T00:00:00.500Z"}


def test_rows_are_sorted_by_id_and_start() -> None:
    """`sold_monthly` is the row's own net, `successfully_traded` that of all time."""
    story = Story()
    for order, product, units, received in (
        ("1", "p-b", 2, B),
        ("2", "p-a", 3, A),
        ("3", "p-b", 4, A),
        ("4", "p-b", 1, C),
    ):
        story.placed(("1", product, units, 100), order_id=order).received(received, order_id=order)
    story.refunded("2026-08-06T00:00:00Z", "r-1", ("1", 1, 100), order_id="1")
    rows = [
        (r["product_id"], r["cycle"]["start"], r["sold_monthly"], r["successfully_traded"])
        for r in story.tables()["products"]
    ]
    assert rows == [("p-a", A, 3, 3), ("p-b", A, 4, 6), ("p-b", B, 1, 6), ("p-b", C, 1, 6)]
    assert [
        (r["shop_id"], r["cycle"]["start"], r["successfully_traded"])
        for r in story.tables()["shops"]
    ] == [
        ("s-7", A, 9),
        ("s-7", B, 9),
        ("s-7", C, 9),
    ]
