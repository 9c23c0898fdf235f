"""Shops' service as the recount counts it, with results computed by hand.

After-sales, proactive contact, reviews, buyers (R3 to R6), and the form.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from operations.oracle.recount import recount
from schemas.times import DAY_MS

CYCLE_MS = 30 * DAY_MS
A, B = "2026-06-06T00:00:00Z", "2026-07-06T00:00:00Z"
"""Starts of two cycles of 30 days from the epoch on."""


class Market:
    """Events of orders and messages, each with its own id; any field can be given."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def add(self, name: str, at: str, **fields: Any) -> Market:  # noqa: ANN401 - any field
        about = (
            {"shop_id": "s-7", "buyer_id": "b-9", "message_id": "m"}
            if name in {"buyer_messaged", "seller_replied"}
            else {}
        )
        order = {} if about else {"order_id": "o-1"}
        common = {"type": name, "id": f"e-{len(self.events)}", "source": "/s", "occurred_at": at}
        self.events.append({**common, **about, **order, **fields})
        return self

    def placed(self, *lines: tuple[str, str, int, int], **more: Any) -> Market:  # noqa: ANN401
        listed = [
            {"line_id": line, "product_id": product, "quantity": units, "unit_price": price}
            for line, product, units, price in lines
        ]
        fields = {"shop_id": "s-7", "buyer_id": "b-9", "currency": "CNY", "lines": listed} | more
        return self.add("order_placed", "2026-07-01T08:00:00Z", **fields)

    def received(self, at: str, *line_ids: str, **more: Any) -> Market:  # noqa: ANN401
        return self.add(
            "receipt_confirmed",
            at,
            by="logistics",
            **({"line_ids": list(line_ids)} if line_ids else {}),
            **more,
        )

    def refunded(
        self,
        at: str,
        refund_id: str,
        reason: str,
        *parts: tuple[str, int, int],
        **more: Any,  # noqa: ANN401
    ) -> Market:
        lines = [
            {"line_id": line, "quantity": units, "amount": amount} for line, units, amount in parts
        ]
        return self.add(
            "refund_succeeded",
            at,
            refund_id=refund_id,
            reason=reason,
            **({"lines": lines} if lines else {}),
            **more,
        )

    def inquired(self, at: str, **more: Any) -> Market:  # noqa: ANN401
        return self.add("buyer_messaged", at, **more)

    def wrote(self, at: str, **more: Any) -> Market:  # noqa: ANN401
        return self.add("seller_replied", at, **({"by": "person"} | more))

    def lists(self) -> dict[str, list[dict[str, Any]]]:
        return recount(self.events, CYCLE_MS, 0)

    def shop(self, part: str) -> dict[str, Any]:
        """A part of the shops' service by the start of its cycle, and of all time under `all`."""
        lists = self.lists()
        found = {row["cycle"]["start"]: row[part] for row in lists["shop_service"]}
        assert len(found) == len(lists["shop_service"])
        totals = [row[part] for row in lists["shop_service_totals"]]
        assert len(totals) == bool(found)
        return found | {"all": totals[0]} if totals else {}

    def products(self, part: str) -> dict[tuple[str, str], Any]:
        """A part of products' service by (product_id, start)."""
        return {
            (row["product_id"], row["cycle"]["start"]): row[part]
            for row in self.lists()["product_service"]
        }

    def proactive(self) -> dict[str, tuple[int, int]]:
        """(occasions, first) by cycle, and of all time."""
        return {
            start: (found["occasions"], found["first"])
            for start, found in self.shop("proactive_contact").items()
        }

    def buyers(self) -> dict[str, tuple[int, int]]:
        """(buyers, repeat) by cycle, and of all time, where there are any."""
        return {
            start: (found["count"], found["repeat"])
            for start, found in self.shop("buyers").items()
            if found["count"]
        }


TWO = (("1", "p-3", 2, 1000), ("2", "p-4", 1, 500))
NOTHING: dict[str, Any] = {"count": 0, "by_reason": {}}
NO_MONEY: dict[str, Any] = {"count": 0, "amounts": {}, "by_reason": {}}


# --- R3: after-sales


def _money(reason: str, **amounts: int) -> dict[str, Any]:
    """One refund."""
    return {"count": 1, "amounts": amounts, "by_reason": {reason: {"count": 1, "amounts": amounts}}}


def test_refused_reissued_received() -> None:
    """There are one refusal and one reissue, each in its own cycle.

    The product has its refusal, also for two of its lines (example 5).
    """
    market = (
        Market()
        .placed(*TWO, ("3", "p-3", 1, 1))
        .add("delivery_refused", "2026-07-05T23:59:59.999Z", reason="damaged_in_transit")
    )
    market.add("reissue_shipped", "2026-07-06T00:00:00Z", reason="damaged_in_transit").received(
        "2026-07-07T00:00:00Z"
    )
    one = {"count": 1, "by_reason": {"damaged_in_transit": {"count": 1}}}
    empty = {"refusals": NOTHING, "reissues": NOTHING, "differences": NO_MONEY, "returns": NO_MONEY}
    expected = {
        A: empty | {"refusals": one},
        B: empty | {"reissues": one},
        "all": empty | {"refusals": one, "reissues": one},
    }
    assert market.shop("after_sales") == expected
    assert market.products("refusals") == {("p-3", A): one, ("p-4", A): one}
    assert market.products("differences") == {("p-3", A): NO_MONEY, ("p-4", A): NO_MONEY}


def test_a_refusal_of_some_lines() -> None:
    """It counts for the products of those lines.

    A refusal of an unknown line counts for the shop only.
    """
    market = (
        Market()
        .placed(*TWO)
        .add("delivery_refused", "2026-07-03T00:00:00Z", reason="quality", line_ids=["2", "9"])
    )
    market.add("delivery_refused", "2026-07-04T00:00:00Z", reason="other", line_ids=["9"])
    assert market.shop("after_sales")["all"]["refusals"] == {
        "count": 2,
        "by_reason": {"other": {"count": 1}, "quality": {"count": 1}},
    }
    assert market.products("refusals") == {
        ("p-4", A): {"count": 1, "by_reason": {"quality": {"count": 1}}}
    }
    assert market.lists()["anomalies"] == []


def test_the_same_refusal_again_is_one() -> None:
    """Source and id are the same (S11); another id is another refusal."""
    market = Market().placed(*TWO)
    for event_id in ("x", "x", "y"):
        market.add("delivery_refused", "2026-07-03T00:00:00Z", reason="quality", id=event_id)
    assert market.shop("after_sales")["all"]["refusals"]["count"] == 2


def test_a_difference_made_up_over_two_lines() -> None:
    """One refund is one difference for the shop, with the sum of its amounts.

    Each product has its own part.
    """
    market = Market().placed(*TWO).received("2026-07-02T00:00:00Z")
    market.refunded("2026-07-07T00:00:00Z", "r-1", "short_weight", ("1", 0, 300), ("2", 0, 50))
    shop = market.shop("after_sales")
    assert shop[B]["differences"] == shop["all"]["differences"] == _money("short_weight", CNY=350)
    assert {start: found["returns"] for start, found in shop.items()} == {
        A: NO_MONEY,
        B: NO_MONEY,
        "all": NO_MONEY,
    }
    assert market.products("differences") == {
        ("p-3", B): _money("short_weight", CNY=300),
        ("p-4", B): _money("short_weight", CNY=50),
    }


def test_units_make_it_a_return() -> None:
    """The refund has a unit of one line and money of another.

    It is one return for the shop with all of the money, and a difference for the other's product.
    """
    market = Market().placed(*TWO).received("2026-07-02T00:00:00Z")
    market.refunded("2026-07-03T00:00:00Z", "r-1", "quality", ("1", 1, 1000), ("2", 0, 50))
    assert market.shop("after_sales")["all"]["returns"] == _money("quality", CNY=1050)
    assert market.shop("after_sales")["all"]["differences"] == NO_MONEY
    assert market.products("differences") == {("p-4", A): _money("quality", CNY=50)}


def test_two_lines_of_one_product_count_together() -> None:
    """A returned unit of one line makes the refund no difference of the product."""
    market = (
        Market()
        .placed(("1", "p-3", 2, 1000), ("2", "p-3", 1, 500))
        .received("2026-07-02T00:00:00Z")
    )
    market.refunded("2026-07-03T00:00:00Z", "r-1", "quality", ("1", 1, 1000), ("2", 0, 50))
    assert market.products("differences") == {}
    assert market.shop("after_sales")["all"]["returns"] == _money("quality", CNY=1050)


def test_a_return_without_money_is_one() -> None:
    """It has no currency."""
    market = (
        Market()
        .placed(*TWO)
        .received("2026-07-02T00:00:00Z")
        .refunded("2026-07-03T00:00:00Z", "r-1", "other", ("1", 1, 0))
    )
    assert market.shop("after_sales")["all"]["returns"] == _money("other")


def test_reasons_and_currencies_are_separate() -> None:
    """Reasons are by name; money of two currencies is never added."""
    market = (
        Market()
        .placed(*TWO)
        .received("2026-07-02T00:00:00Z")
        .refunded("2026-07-03T00:00:00Z", "r-1", "short_weight", ("1", 0, 1))
    )
    market.refunded("2026-07-04T00:00:00Z", "r-2", "quality", ("1", 0, 20)).placed(
        *TWO, order_id="o-2", currency="USD"
    )
    market.received("2026-07-02T00:00:00Z", order_id="o-2")
    market.refunded("2026-07-03T00:00:00Z", "r-1", "short_weight", ("2", 0, 300), order_id="o-2")
    found = market.shop("after_sales")["all"]["differences"]
    assert found == {
        "count": 3,
        "amounts": {"CNY": 21, "USD": 300},
        "by_reason": {
            "quality": {"count": 1, "amounts": {"CNY": 20}},
            "short_weight": {"count": 2, "amounts": {"CNY": 1, "USD": 300}},
        },
    }
    assert list(found["by_reason"]) == ["quality", "short_weight"]


@pytest.mark.parametrize(
    ("refunded", "returns"),
    [("2026-07-01T23:59:59.999Z", NO_MONEY), ("2026-07-02T00:00:00Z", _money("quality", CNY=1000))],
)
def test_a_refund_before_the_receipt_is_no_after_sales(
    refunded: str, returns: dict[str, Any]
) -> None:
    """`occurred_at` decides, line by line (S7).

    Line 2 is received too late for either refund.
    """
    market = (
        Market()
        .placed(*TWO)
        .received("2026-07-02T00:00:00Z", "1")
        .received("2026-07-05T00:00:00Z", "2")
    )
    market.refunded(refunded, "r-1", "quality", ("1", 1, 1000), ("2", 1, 500))
    assert market.shop("after_sales")["all"]["returns"] == returns


def test_the_excess_is_no_after_sales() -> None:
    """Only the rest of the line counts.

    If nothing is left, nothing counts (S8).
    """
    market = (
        Market()
        .placed(("1", "p-3", 1, 1000))
        .received("2026-07-02T00:00:00Z")
        .refunded("2026-07-03T00:00:00Z", "r-1", "quality")
    )
    market.refunded("2026-07-04T00:00:00Z", "r-2", "other", ("1", 1, 1000))
    assert market.shop("after_sales")["all"]["returns"] == _money("quality", CNY=1000)
    market.refunded("2026-07-02T12:00:00Z", "r-0", "short_weight", ("1", 0, 400))
    assert market.shop("after_sales")["all"]["returns"] == _money("quality", CNY=600)
    assert market.shop("after_sales")["all"]["differences"] == _money("short_weight", CNY=400)


def test_a_refund_of_nothing_is_no_after_sales() -> None:
    """It counts neither for the shop nor for a product."""
    market = (
        Market()
        .placed(*TWO)
        .received("2026-07-02T00:00:00Z")
        .refunded("2026-07-03T00:00:00Z", "r-1", "other", ("1", 0, 0))
    )
    assert market.shop("after_sales")["all"] == {
        "refusals": NOTHING,
        "reissues": NOTHING,
        "differences": NO_MONEY,
        "returns": NO_MONEY,
    }
    assert market.products("differences") == {}


def test_a_reversed_refund_is_no_after_sales() -> None:
    """It doesn't count (S5)."""
    market = (
        Market()
        .placed(*TWO)
        .received("2026-07-02T00:00:00Z")
        .refunded("2026-07-03T00:00:00Z", "r-1", "quality")
    )
    market.add("refund_reversed", "2026-07-09T00:00:00Z", refund_id="r-1")
    assert market.shop("after_sales")["all"]["returns"] == NO_MONEY


def test_the_same_refund_again_is_one() -> None:
    """It is identified by its refund id; the earlier one's reason and cycle count (S11)."""
    market = (
        Market()
        .placed(*TWO)
        .received("2026-07-02T00:00:00Z")
        .refunded("2026-07-08T00:00:00Z", "r-1", "other", ("1", 0, 10))
    )
    market.refunded("2026-07-03T00:00:00Z", "r-1", "quality", ("1", 0, 10), source="/bank")
    assert (
        market.shop("after_sales")[A]["differences"]
        == market.shop("after_sales")["all"]["differences"]
        == _money("quality", CNY=10)
    )


def test_without_a_placing_nothing_counts() -> None:
    """Shop and products are unknown."""
    market = (
        Market()
        .add("delivery_refused", "2026-07-03T00:00:00Z", reason="quality")
        .received("2026-07-02T00:00:00Z")
    )
    market.add("review_posted", "2026-07-03T00:00:00Z", product_id="p-3", rating=5)
    market.add("reissue_shipped", "2026-07-03T00:00:00Z", reason="quality")
    assert not any(market.lists().values())


# --- R4: proactive contact


REFUSED = "2026-07-03T10:00:00Z"


def _refused() -> Market:
    return Market().placed(*TWO).add("delivery_refused", REFUSED, reason="other")


@pytest.mark.parametrize(
    ("wrote", "inquired", "first"),
    [
        ("2026-07-03T10:05:00Z", "2026-07-03T10:06:00Z", 1),
        ("2026-07-03T10:06:00Z", "2026-07-03T10:05:00Z", 0),
        ("2026-07-03T10:05:00Z", "2026-07-03T10:05:00Z", 0),
        (REFUSED, "2026-07-03T10:05:00Z", 1),
        ("2026-07-03T09:59:59.999Z", "2026-07-03T10:05:00Z", 0),
        ("2026-07-03T10:05:00Z", "2026-07-03T09:59:59.999Z", 1),
    ],
    ids=[
        "the shop first",
        "the buyer first",
        "both at once",
        "at its very instant",
        "the shop before it",
        "the buyer before it",
    ],
)
def test_who_wrote_first_after_a_refusal(wrote: str, inquired: str, first: int) -> None:
    """Earlier messages don't matter; at the same millisecond the buyer is first."""
    assert _refused().wrote(wrote).inquired(inquired).proactive() == {
        A: (1, first),
        "all": (1, first),
    }


def test_nobody_wrote() -> None:
    """Without messages the shop didn't write first."""
    assert _refused().proactive()["all"] == (1, 0)


def test_a_robot_writes_for_the_shop() -> None:
    """Its message is the shop's message."""
    assert _refused().wrote("2026-07-03T10:05:00Z", by="robot").proactive()["all"] == (1, 1)


def test_messages_about_another_order_do_not_matter() -> None:
    """Nor do those of another buyer or in another shop."""
    inquired = {"at": "2026-07-03T10:01:00Z"}
    market = (
        _refused()
        .inquired(**inquired, order_id="o-2")
        .inquired(**inquired, buyer_id="b-8")
        .inquired(**inquired, shop_id="s-8")
    )
    market.wrote("2026-07-03T10:02:00Z", order_id="o-2")
    assert market.proactive()["all"] == (1, 0)
    market.wrote("2026-07-03T10:03:00Z", order_id="o-1")
    assert market.proactive()["all"] == (1, 1)
    market.inquired("2026-07-03T10:02:30Z")
    assert market.proactive()["all"] == (1, 0)


@pytest.mark.parametrize("name", ["refund_requested", "refund_succeeded", "reissue_shipped"])
@pytest.mark.parametrize(
    ("reason", "occasions"),
    [("wrong_goods", 1), ("late_delivery", 1), ("quality", 0), ("damaged_in_transit", 0)],
)
def test_what_is_an_occasion(name: str, reason: str, occasions: int) -> None:
    """A wrong or late delivery is the reason of a refund or of a reissue.

    The refund may be requested or made, and the order received or not.
    """
    market = (
        Market()
        .placed(*TWO)
        .add(
            name,
            "2026-07-03T10:00:00Z",
            reason=reason,
            **({"refund_id": "r"} if "refund" in name else {}),
        )
    )
    assert market.proactive().get("all", (0, 0)) == (occasions, 0)


def test_one_occasion_an_order_the_earliest() -> None:
    """It counts in its cycle.

    Later ones change nothing, also after a reversal.
    """
    market = (
        Market()
        .placed(*TWO)
        .wrote("2026-07-07T00:00:00Z")
        .refunded("2026-07-04T00:00:00Z", "r-1", "wrong_goods")
    )
    market.add("refund_reversed", "2026-07-05T00:00:00Z", refund_id="r-1").add(
        "delivery_refused", "2026-07-08T00:00:00Z", reason="other"
    )
    assert market.proactive() == {A: (1, 1), B: (0, 0), "all": (1, 1)}
    market.inquired("2026-07-04T00:00:00Z")
    assert market.proactive()["all"] == (1, 0)


def test_the_share_is_of_occasions() -> None:
    """It has four decimals."""
    market = Market()
    for number in range(3):
        market.placed(*TWO, order_id=f"o-{number}").add(
            "delivery_refused", REFUSED, reason="other", order_id=f"o-{number}"
        )
    market.wrote("2026-07-03T10:05:00Z", order_id="o-0").wrote(
        "2026-07-03T10:05:00Z", order_id="o-2"
    )
    assert market.shop("proactive_contact")["all"] == {"occasions": 3, "first": 2, "share": 0.6667}


# --- R5: reviews


def test_good_is_four_or_five() -> None:
    """It counts per product and per shop, in the review's cycle, without a receipt."""
    market = (
        Market()
        .placed(*TWO, ("3", "p-5", 1, 1))
        .add("review_posted", "2026-07-03T00:00:00Z", product_id="p-3", rating=4)
    )
    market.add("review_posted", "2026-07-03T00:00:00Z", product_id="p-4", rating=3)
    market.add("review_posted", "2026-07-07T00:00:00Z", product_id="p-5", rating=5)
    assert market.shop("reviews") == {
        A: {"count": 2, "good": 1, "good_share": 0.5},
        B: {"count": 1, "good": 1, "good_share": 1.0},
        "all": {"count": 3, "good": 2, "good_share": 0.6667},
    }
    good, bad = (
        {"count": 1, "good": 1, "good_share": 1.0},
        {"count": 1, "good": 0, "good_share": 0.0},
    )
    assert market.products("reviews") == {("p-3", A): good, ("p-4", A): bad, ("p-5", B): good}


def test_the_latest_review_of_a_product_counts() -> None:
    """It counts in its own cycle, in any order of arrival.

    At the same millisecond the one with the larger id counts.
    """
    market = (
        Market()
        .placed(*TWO)
        .add("review_posted", "2026-07-07T00:00:00Z", product_id="p-3", rating=2, id="b")
    )
    market.add("review_posted", "2026-07-03T00:00:00Z", product_id="p-3", rating=5, id="z")
    assert market.products("reviews") == {("p-3", B): {"count": 1, "good": 0, "good_share": 0.0}}
    market.add("review_posted", "2026-07-07T00:00:00Z", product_id="p-3", rating=5, id="c")
    assert market.products("reviews") == {("p-3", B): {"count": 1, "good": 1, "good_share": 1.0}}
    market.add(
        "review_posted", "2026-07-07T00:00:00Z", product_id="p-3", rating=1, id="c", source="/t"
    )
    assert market.products("reviews") == {("p-3", B): {"count": 1, "good": 0, "good_share": 0.0}}
    market.add(
        "review_posted", "2026-07-07T00:00:00Z", product_id="p-3", rating=5, id="d", source="/a"
    )
    assert market.products("reviews") == {("p-3", B): {"count": 1, "good": 1, "good_share": 1.0}}


def test_each_order_has_its_own_review() -> None:
    """The reviews are of one product by one buyer."""
    market = Market()
    for order_id in ("o-1", "o-2"):
        market.placed(*TWO, order_id=order_id).add(
            "review_posted", REFUSED, product_id="p-3", rating=5, order_id=order_id
        )
    assert market.products("reviews")["p-3", A]["count"] == 2


def test_a_review_of_a_product_that_the_order_does_not_have() -> None:
    """It counts nothing.

    It is one anomaly of the order, without a line.
    """
    market = Market().placed(*TWO).add("review_posted", REFUSED, product_id="p-9", rating=5)
    market.add("review_posted", REFUSED, product_id="p-8", rating=5)
    lists = market.lists()
    assert lists["anomalies"] == [{"order_id": "o-1", "anomaly": "unknown_product"}]
    assert (lists["shop_service"], lists["shop_service_totals"], lists["product_service"]) == (
        [],
        [],
        [],
    )


# --- R6: buyers


def test_an_order_is_one_sale_to_its_buyer() -> None:
    """It counts once for all lines, in the cycle of the earliest."""
    market = (
        Market()
        .placed(*TWO)
        .received("2026-07-07T00:00:00Z", "2")
        .received("2026-07-05T00:00:00Z", "1")
    )
    assert market.buyers() == {A: (1, 0), "all": (1, 0)}
    market.placed(*TWO, order_id="o-2").received("2026-07-04T00:00:00Z", order_id="o-2")
    market.placed(*TWO, order_id="o-3", buyer_id="b-8").received(
        "2026-07-04T00:00:00Z", order_id="o-3"
    )
    assert market.buyers() == {A: (2, 1), "all": (2, 1)}
    assert market.shop("buyers")["all"] == {"count": 2, "repeat": 1, "repeat_share": 0.5}


def test_buyers_of_all_time_are_not_the_sum_of_the_cycles() -> None:
    """One order in each of two cycles is a buyer in each.

    The buyer is a repeat buyer of all time.
    """
    market = Market().placed(*TWO).received("2026-07-05T00:00:00Z")
    market.placed(*TWO, order_id="o-2").received("2026-07-07T00:00:00Z", order_id="o-2")
    assert market.buyers() == {A: (1, 0), B: (1, 0), "all": (1, 1)}


def test_a_buyer_is_one_of_a_shop() -> None:
    """Orders in two shops don't make a repeat buyer."""
    market = Market().placed(*TWO).received("2026-07-05T00:00:00Z")
    market.placed(*TWO, order_id="o-2", shop_id="s-8").received(
        "2026-07-05T00:00:00Z", order_id="o-2"
    )
    assert [row["buyers"]["count"] for row in market.lists()["shop_service_totals"]] == [1, 1]
    assert [row["buyers"]["repeat"] for row in market.lists()["shop_service_totals"]] == [0, 0]


def test_a_full_refund_makes_it_no_sale() -> None:
    """While units are left it is a sale, in the cycle of the remaining units.

    Refunds of money alone and reversed refunds change nothing.
    """
    market = (
        Market()
        .placed(*TWO)
        .received("2026-07-05T00:00:00Z", "1")
        .received("2026-07-07T00:00:00Z", "2")
    )
    market.refunded("2026-07-08T00:00:00Z", "r-1", "short_weight", ("1", 0, 2000))
    assert market.buyers() == {A: (1, 0), "all": (1, 0)}
    market.refunded("2026-07-09T00:00:00Z", "r-2", "quality", ("1", 2, 0))
    assert market.buyers() == {B: (1, 0), "all": (1, 0)}
    market.refunded("2026-07-10T00:00:00Z", "r-3", "quality")
    assert market.buyers() == {}
    market.add("refund_reversed", "2026-07-11T00:00:00Z", refund_id="r-2")
    market.add("refund_reversed", "2026-07-11T00:00:00Z", refund_id="r-3")
    assert market.buyers() == {A: (1, 0), "all": (1, 0)}


# --- the form


def test_a_whole_row() -> None:
    """The parts are in order in rows of a shop's cycle, a shop, and a product's cycle."""
    market = (
        Market()
        .placed(*TWO)
        .add("delivery_refused", "2026-07-03T10:00:00Z", reason="quality", line_ids=["1"])
    )
    market.wrote("2026-07-03T11:00:00Z", by="robot").inquired("2026-07-03T12:00:00Z").wrote(
        "2026-07-03T12:06:00.250Z"
    )
    market.received("2026-07-04T00:00:00Z").refunded(
        "2026-07-05T00:00:00Z", "r-1", "short_weight", ("1", 0, 300)
    )
    market.add("review_posted", "2026-07-05T00:00:00Z", product_id="p-3", rating=5)
    refusals = {"count": 1, "by_reason": {"quality": {"count": 1}}}
    figures = {
        "inquiries": {
            "counted": 1,
            "timely": 0,
            "late": 1,
            "overdue": 0,
            "response_rate": 0.0,
            "answered_by": {"person": 1, "robot": 0},
            "reply_ms": {"p50": 358_748, "p90": 358_748},
        },
        "after_sales": {
            "refusals": refusals,
            "reissues": NOTHING,
            "differences": _money("short_weight", CNY=300),
            "returns": NO_MONEY,
        },
        "proactive_contact": {"occasions": 1, "first": 1, "share": 1.0},
        "reviews": {"count": 1, "good": 1, "good_share": 1.0},
        "buyers": {"count": 1, "repeat": 0, "repeat_share": 0.0},
    }
    cycle = {"start": A, "end": B}
    lists = market.lists()
    assert lists["shop_service"] == [{"shop_id": "s-7", "cycle": cycle, **figures}]
    assert lists["shop_service_totals"] == [{"shop_id": "s-7", **figures}]
    product = {
        "reviews": figures["reviews"],
        "differences": _money("short_weight", CNY=300),
        "refusals": refusals,
    }
    assert lists["product_service"] == [{"product_id": "p-3", "cycle": cycle, **product}]
    assert list(lists["shop_service"][0]) == ["shop_id", "cycle", *figures]
    assert list(lists["product_service"][0]) == ["product_id", "cycle", *product]


def test_rows_are_sorted_by_id_and_start() -> None:
    """Shops and products may arrive in any order."""
    market = Market()
    for number, (shop_id, at) in enumerate((("s-b", B), ("s-a", B), ("s-b", A))):
        market.placed(("1", f"p-{shop_id}", 1, 1), order_id=f"o-{number}", shop_id=shop_id)
        market.add("review_posted", at, product_id=f"p-{shop_id}", rating=1, order_id=f"o-{number}")
    lists = market.lists()
    assert [(row["shop_id"], row["cycle"]["start"]) for row in lists["shop_service"]] == [
        ("s-a", B),
        ("s-b", A),
        ("s-b", B),
    ]
    assert [(row["product_id"], row["cycle"]["start"]) for row in lists["product_service"]] == [
        ("p-s-a", B),
        ("p-s-b", A),
        ("p-s-b", B),
    ]
    assert [row["shop_id"] for row in lists["shop_service_totals"]] == ["s-a", "s-b"]


@pytest.mark.parametrize("seed", range(10))
def test_any_order_of_arrival_with_duplicates(seed: int) -> None:
    """A story with every kind of event has the same result in any permutation (S12)."""
    market = (
        _refused()
        .inquired("2026-07-03T12:00:00Z")
        .wrote("2026-07-03T12:06:00Z")
        .inquired("2026-07-03T12:07:00Z", id="x")
    )
    market.wrote("2026-07-03T11:59:00Z", id="x").inquired(
        "2026-07-07T03:00:00Z", order_id="o-1"
    ).received("2026-07-04T00:00:00Z")
    market.refunded("2026-07-05T00:00:00Z", "r-1", "wrong_goods", ("1", 1, 300)).refunded(
        "2026-07-06T00:00:00Z", "r-2", "other"
    )
    market.add("review_posted", "2026-07-05T00:00:00Z", product_id="p-3", rating=5)
    market.add("review_posted", "2026-07-05T00:00:00Z", product_id="p-3", rating=1)
    market.add("reissue_shipped", "2026-07-07T05:00:00Z", reason="quality", id="x")
    expected = market.lists()
    assert all(
        expected[name]
        for name in ("shop_service", "shop_service_totals", "product_service", "overdue")
    )
    rng = random.Random(seed)
    market.events += rng.choices(market.events, k=8)
    rng.shuffle(market.events)
    assert market.lists() == expected
