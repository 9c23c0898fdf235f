"""A shop's service by an order's facts (R3 to R5), by examples computed by hand.

And the records that the order stage sends for it.
"""

import time
from typing import Any

import msgspec
import pytest

from schemas import envelope, journal, times
from schemas.columns import RULES
from schemas.envelope import Received
from tables import aftersales, counting, orders, service
from tables.aftersales import ContactReason
from tables.counting import Anomaly, LineAnomaly
from tables.order_stage import OrderStage
from tables.orders import Order
from tests.flow import CYCLES, TERMS, Flow, Record, Rows, binary, reading
from tests.story import event

PLACED = "2026-07-01T08:00Z placed o-1 1:p-3:2x1000 2:p-4:1x500 3:p-3:1x100"
RECEIVED = "2026-07-02T08:00Z received o-1"
A, B = "2026-06-06", "2026-07-06"


def events_of(*lines: str) -> list[Received]:
    """The events of a story's lines, as the decoder reads them."""
    found = []
    for number, line in enumerate(lines, 1):
        reading = envelope.read(
            Record("orders", 0, number, 0, *binary(event(line.split(), number)))
        )
        assert isinstance(reading, Received)
        found.append(reading)
    return found


def order_of(*lines: str) -> Order:
    """The order after these events."""
    order = orders.EMPTY
    for one in events_of(*lines):
        order = orders.absorb(order, one)
    return order


def named(rows: service.Rows) -> dict[tuple[str | None, str], dict[str, int]]:
    """Rows by product (None for the shop) and the day on which the cycle starts."""
    return {
        (product_id, CYCLES.iso(start_ms)[:10]): columns
        for (product_id, start_ms), columns in rows.items()
    }


def served(*lines: str) -> dict[tuple[str | None, str], dict[str, int]]:
    """The rows of the order after these events."""
    order = order_of(*lines)
    return named(aftersales.rows(order, counting.derive(order), CYCLES))


def since(*lines: str) -> str | None:
    """Since when the shop has reason to write about the order after these events."""
    found = aftersales.contact(order_of(*lines))
    return None if found is None else times.format_short(found.since_ms)


# --- R3: refusals and reissues


def test_an_order_without_any_has_no_rows() -> None:
    """An order that is placed, paid, shipped and received has no service columns."""
    assert (
        served(PLACED, "2026-07-01T08:01Z paid o-1 2600", "2026-07-01T09:00Z shipped o-1", RECEIVED)
        == {}
    )
    assert served() == {}


def test_a_refusal_counts_once_for_the_shop_and_once_for_each_product() -> None:
    """R3: two lines of p-3 are one product.

    A refusal that names no line is about all of them.
    """
    one = {"refusal.quality": 1}
    assert served(PLACED, "2026-07-02T08:00Z refused o-1 quality") == {
        (None, A): one,
        ("p-3", A): one,
        ("p-4", A): one,
    }


def test_a_refusal_of_some_lines_is_about_their_products() -> None:
    """R3: a line that the order doesn't have counts for no product.

    A refusal of only such lines still counts for the shop.
    """
    one, two = {"refusal.other": 1}, {"refusal.other": 2}
    assert served(PLACED, "2026-07-02T08:00Z refused o-1 other 2 9") == {
        (None, A): one,
        ("p-4", A): one,
    }
    assert served(PLACED, "2026-07-02T08:00Z refused o-1 other 9") == {(None, A): one}
    assert served(
        PLACED, "2026-07-02T08:00Z refused o-1 other 1", "2026-07-02T09:00Z refused o-1 other 3"
    ) == {
        (None, A): two,
        ("p-3", A): two,
    }


def test_refusals_and_reissues_count_in_the_cycle_of_their_time() -> None:
    """R3, C1: cycles are half-open to the millisecond.

    Whether anything was ever received doesn't matter.
    """
    assert served(
        "2026-07-01T08:00Z placed o-1 1:p-3:2x1000",
        "2026-07-05T23:59:59.999Z refused o-1 damaged_in_transit",
        "2026-07-06T00:00:00.000Z refused o-1 late_delivery",
        "2026-07-05T23:59:59.999Z reissued o-1 damaged_in_transit 1",
        "2026-07-06T00:00:00.000Z reissued o-1 damaged_in_transit",
    ) == {
        (None, A): {"refusal.damaged_in_transit": 1, "reissue.damaged_in_transit": 1},
        (None, B): {"refusal.late_delivery": 1, "reissue.damaged_in_transit": 1},
        ("p-3", A): {"refusal.damaged_in_transit": 1},
        ("p-3", B): {"refusal.late_delivery": 1},
    }


def test_the_same_event_again_is_one() -> None:
    """S11: the same source and id count once.

    With other content the earlier event is valid. Another id is another refusal.
    """
    refused = "2026-07-02T08:00Z refused o-1 quality 2 id=x"
    assert served(PLACED, refused, refused)[None, A] == {"refusal.quality": 1}
    assert served(PLACED, refused, "2026-07-02T07:00Z refused o-1 other 2 id=x")[None, A] == {
        "refusal.other": 1
    }
    assert served(PLACED, refused, "2026-07-02T08:00Z refused o-1 quality 2 id=y")[None, A] == {
        "refusal.quality": 2
    }


def test_what_was_never_placed_has_no_rows_and_no_reason_to_write() -> None:
    """R3 to R5: the shop of an order is unknown before the order is placed."""
    lines = (
        RECEIVED,
        "2026-07-03T08:00Z refused o-1 wrong_goods",
        "2026-07-03T08:00Z reissued o-1 wrong_goods",
        "2026-07-03T09:00Z refunded o-1 r-1 wrong_goods 1:1:100",
        "2026-07-04T08:00Z reviewed o-1 p-3 5",
    )
    order = order_of(*lines)
    assert served(*lines) == {}
    assert (
        aftersales.contact(order),
        aftersales.owner(order),
        aftersales.review_anomalies(order),
    ) == (
        None,
        None,
        frozenset(),
    )


def test_a_cancelled_order_keeps_its_refusals() -> None:
    """R3, S4: the order was placed, and the goods were refused.

    What isn't sold can't be refunded.
    """
    found = served(
        "2026-07-01T08:00Z placed o-1 1:p-3:2x1000",
        "2026-07-01T09:00Z cancelled o-1 buyer",
        "2026-07-02T08:00Z refused o-1 changed_mind",
        "2026-07-02T09:00Z received o-1",
        "2026-07-03T08:00Z refunded o-1 r-1 changed_mind 1:1:1000",
    )
    assert found == {
        (None, A): {"refusal.changed_mind": 1},
        ("p-3", A): {"refusal.changed_mind": 1},
    }


# --- R3: differences and returns


def test_a_difference_is_one_for_the_shop_and_one_for_each_product() -> None:
    """R3, S9: a refund of 0 units of three lines is one difference for each.

    Both lines of p-3 are one part.
    """
    assert served(
        PLACED, RECEIVED, "2026-07-07T08:00Z refunded o-1 r-1 short_weight 1:0:300 2:0:50 3:0:20"
    ) == {
        (None, B): {"difference.short_weight": 1, "difference.short_weight.CNY": 370},
        ("p-3", B): {"difference.short_weight": 1, "difference.short_weight.CNY": 320},
        ("p-4", B): {"difference.short_weight": 1, "difference.short_weight.CNY": 50},
    }


def test_units_make_a_refund_a_return() -> None:
    """R3: any returned unit makes the whole refund a return of the shop.

    Products have no returns, but each has its own difference of the refund.
    """
    assert served(
        PLACED, RECEIVED, "2026-07-07T08:00Z refunded o-1 r-1 quality 1:1:1000 2:0:50 3:0:20"
    ) == {
        (None, B): {"return.quality": 1, "return.quality.CNY": 1070},
        ("p-4", B): {"difference.quality": 1, "difference.quality.CNY": 50},
    }


def test_units_without_money_are_a_return_without_an_amount() -> None:
    """R3: the goods cost nothing, or nothing was paid back for them."""
    assert served(PLACED, RECEIVED, "2026-07-03T08:00Z refunded o-1 r-1 other 1:1:0") == {
        (None, A): {"return.other": 1}
    }


def test_one_line_named_twice_is_summed() -> None:
    """S8: both parts are cut to the rest of the line, and are one refund."""
    assert served(PLACED, RECEIVED, "2026-07-03T08:00Z refunded o-1 r-1 other 2:0:300 2:0:300") == {
        (None, A): {"difference.other": 1, "difference.other.CNY": 500},
        ("p-4", A): {"difference.other": 1, "difference.other.CNY": 500},
    }


def test_what_is_cut_away_is_no_after_sales() -> None:
    """S8: if the units are refunded already, the rest is a difference.

    If nothing is left, nothing counts.
    """
    assert served(
        "2026-07-01T08:00Z placed o-1 1:p-3:2x1000",
        RECEIVED,
        "2026-07-03T08:00Z refunded o-1 r-1 quality 1:2:1500",
        "2026-07-07T08:00Z refunded o-1 r-2 quality 1:2:2000",
        "2026-07-08T08:00Z refunded o-1 r-3 other 1:1:1",
    ) == {
        (None, A): {"return.quality": 1, "return.quality.CNY": 1500},
        (None, B): {"difference.quality": 1, "difference.quality.CNY": 500},
        ("p-3", B): {"difference.quality": 1, "difference.quality.CNY": 500},
    }


def test_refunds_of_one_reason_add_up_by_currency() -> None:
    """S3: an order has one currency, and its columns are named by it."""
    rows = served(
        "2026-07-01T08:00Z placed o-1 1:p-3:2x1000 currency=USD",
        RECEIVED,
        "2026-07-03T08:00Z refunded o-1 r-1 quality 1:0:10",
        "2026-07-04T08:00Z refunded o-1 r-2 quality 1:0:20",
        "2026-07-04T08:00Z refunded o-1 r-3 other 1:0:5",
    )
    assert rows[None, A] == {
        "difference.quality": 2,
        "difference.quality.USD": 30,
        "difference.other": 1,
        "difference.other.USD": 5,
    }


def test_only_reversals_of_a_sale_are_after_sales() -> None:
    """S7: by `occurred_at`; at the receipt's millisecond it is one.

    Refunds of a line that was never received are not.
    """
    placed = "2026-07-01T08:00Z placed o-1 1:p-3:2x1000"
    before = "2026-07-02T07:59:59.999Z refunded o-1 r-1 changed_mind 1:0:100"
    at_once = "2026-07-02T08:00:00.000Z refunded o-1 r-1 changed_mind 1:0:100"
    assert served(placed, RECEIVED, before) == {}
    assert served(placed, at_once) == {}
    assert served(placed, RECEIVED, at_once)[None, A] == {
        "difference.changed_mind": 1,
        "difference.changed_mind.CNY": 100,
    }


def test_of_a_refund_between_two_parcels_only_the_received_line_counts() -> None:
    """S7: line 2 is received later, so its refund reduces its sale.

    The units of line 1 make the refund no return of p-4.
    """
    assert served(
        PLACED,
        "2026-07-02T08:00Z received o-1 1",
        "2026-07-03T08:00Z refunded o-1 r-1 quality 1:0:7 2:1:500",
        "2026-07-04T08:00Z received o-1 2",
    ) == {
        (None, A): {"difference.quality": 1, "difference.quality.CNY": 7},
        ("p-3", A): {"difference.quality": 1, "difference.quality.CNY": 7},
    }


def test_a_whole_refund_is_one_return() -> None:
    """S8: without lines it covers all lines that are left."""
    assert served(PLACED, RECEIVED, "2026-07-03T08:00Z refunded o-1 r-1 wrong_goods") == {
        (None, A): {"return.wrong_goods": 1, "return.wrong_goods.CNY": 2600}
    }


def test_a_returned_refund_is_none() -> None:
    """S5: the other refunds then have more left to reverse."""
    before = (
        "2026-07-01T08:00Z placed o-1 1:p-3:1x1000",
        RECEIVED,
        "2026-07-03T08:00Z refunded o-1 r-1 quality 1:1:900",
        "2026-07-04T08:00Z refunded o-1 r-2 other 1:1:900",
    )
    assert served(*before)[None, A] == {
        "return.quality": 1,
        "return.quality.CNY": 900,
        "difference.other": 1,
        "difference.other.CNY": 100,
    }
    assert served(*before, "2026-07-09T08:00Z refund-returned o-1 r-1") == {
        (None, A): {"return.other": 1, "return.other.CNY": 900}
    }


def test_of_one_refund_sent_twice_the_first_is_valid() -> None:
    """S11: with its own reason and lines, whichever arrives first."""
    first, second = (
        "2026-07-03T08:00Z refunded o-1 r-1 quality 1:0:10",
        "2026-07-07T08:00Z refunded o-1 r-1 other 1:1:20",
    )
    for arrival in ((first, second), (second, first)):
        assert served(PLACED, RECEIVED, *arrival) == {
            (None, A): {"difference.quality": 1, "difference.quality.CNY": 10},
            ("p-3", A): {"difference.quality": 1, "difference.quality.CNY": 10},
        }


def test_refunds_that_are_only_requested_or_failed_are_no_after_sales() -> None:
    """S5: they have no rows."""
    requested = "2026-07-03T08:00Z refund-requested o-1 r-1 wrong_goods 1:1:10"
    assert (
        served(PLACED, RECEIVED, requested, "2026-07-04T08:00Z refund-failed o-1 r-1 rejected")
        == {}
    )


def test_the_valid_placing_has_the_owner() -> None:
    """S11: shop, buyer, currency and products are those of the earliest placing."""
    lines = (
        "2026-07-01T09:00Z placed o-1 1:p-3:2x1000 shop=s-7 buyer=b-1",
        RECEIVED,
        "2026-07-02T09:00Z refunded o-1 r-1 late_delivery 1:0:10",
        "2026-07-03T08:00Z refused o-1 quality",
        "2026-07-01T08:00Z placed o-1 1:p-4:2x1000 shop=s-8 buyer=b-2 currency=USD",
    )
    assert served(*lines) == {
        (None, A): {
            "difference.late_delivery": 1,
            "difference.late_delivery.USD": 10,
            "refusal.quality": 1,
        },
        ("p-4", A): {
            "difference.late_delivery": 1,
            "difference.late_delivery.USD": 10,
            "refusal.quality": 1,
        },
    }
    assert aftersales.owner(order_of(*lines)) == ("s-8", "b-2")
    assert aftersales.contact(order_of(*lines)) == ContactReason(
        "s-8", "b-2", times.parse_ms("2026-07-02T09:00:00Z")
    )
    assert aftersales.owner(order_of(*lines[:4])) == ("s-7", "b-1")


# --- R4: reasons to write


@pytest.mark.parametrize(
    "reason",
    [
        "short_weight",
        "damaged_in_transit",
        "wrong_goods",
        "late_delivery",
        "quality",
        "changed_mind",
        "other",
    ],
)
def test_a_refusal_is_always_a_reason_to_write_the_rest_only_if_wrong_or_late(reason: str) -> None:
    """R4: this holds for each reason of a complaint."""
    assert since(PLACED, f"2026-07-02T08:00Z refused o-1 {reason}") == "2026-07-02T08:00:00Z"
    expected = "2026-07-02T08:00:00Z" if reason in {"wrong_goods", "late_delivery"} else None
    for line in (
        f"reissued o-1 {reason}",
        f"refunded o-1 r-1 {reason} 1:0:10",
        f"refund-requested o-1 r-1 {reason}",
    ):
        assert since(PLACED, f"2026-07-02T08:00Z {line}") == expected


def test_the_earliest_reason_to_write_counts() -> None:
    """R4: an order has one, by `occurred_at`, in any order of arrival.

    A complaint about quality isn't one.
    """
    lines = (
        PLACED,
        "2026-07-03T08:00Z refund-requested o-1 r-1 quality",
        "2026-07-06T08:00Z refused o-1 quality",
        "2026-07-05T08:00Z refunded o-1 r-2 late_delivery",
        "2026-07-04T08:00Z reissued o-1 wrong_goods",
        "2026-07-04T09:00Z refund-requested o-1 r-3 wrong_goods",
    )
    for at in range(len(lines)):
        assert since(*lines[at:], *lines[:at]) == "2026-07-04T08:00:00Z"
    assert [since(*lines[:upto]) for upto in range(1, 5)] == [
        None,
        None,
        "2026-07-06T08:00:00Z",
        "2026-07-05T08:00:00Z",
    ]


def test_a_returned_refund_is_still_a_reason_to_write() -> None:
    """R4: so is a refund before the receipt, or one with nothing left to refund."""
    refunded = "2026-07-03T08:00Z refunded o-1 r-1 wrong_goods 9:1:10"
    assert (
        since(PLACED, refunded, "2026-07-04T08:00Z refund-returned o-1 r-1")
        == "2026-07-03T08:00:00Z"
    )
    assert served(PLACED, refunded) == {}


def test_of_one_refund_sent_twice_the_first_is_the_reason_to_write() -> None:
    """S11: the second event of a refund_id has no effect.

    Neither its reason nor its time counts.
    """
    quality, wrong = (
        "2026-07-03T08:00Z refunded o-1 r-1 quality",
        "2026-07-04T08:00Z refunded o-1 r-1 wrong_goods",
    )
    assert since(PLACED, quality, wrong) is None
    assert (
        since(PLACED, wrong, "2026-07-05T08:00Z refunded o-1 r-1 quality") == "2026-07-04T08:00:00Z"
    )


# --- R5: reviews


def test_ratings_of_four_and_five_are_good() -> None:
    """R5: for the product as for the shop; no receipt is needed."""
    for rating in range(1, 6):
        expected = {"reviews": 1} | ({"reviews.good": 1} if rating >= 4 else {})
        assert served(PLACED, f"2026-07-03T08:00Z reviewed o-1 p-3 {rating}") == {
            (None, A): expected,
            ("p-3", A): expected,
        }


def test_of_one_product_the_latest_review_counts() -> None:
    """R5: it counts in its own cycle.

    A shop has one review per product of an order, also if the product has two lines.
    """
    lines = (
        PLACED,
        "2026-07-03T08:00Z reviewed o-1 p-3 5",
        "2026-07-06T08:00Z reviewed o-1 p-3 2",
        "2026-07-04T08:00Z reviewed o-1 p-4 4",
    )
    for arrival in (lines, lines[::-1]):
        assert served(*arrival) == {
            (None, A): {"reviews": 1, "reviews.good": 1},
            ("p-4", A): {"reviews": 1, "reviews.good": 1},
            (None, B): {"reviews": 1},
            ("p-3", B): {"reviews": 1},
        }


def test_reviews_of_one_millisecond_go_by_id_and_then_by_source() -> None:
    """R5: the greatest is valid, from one source or from two.

    Content doesn't decide.
    """
    at = "2026-07-03T08:00Z reviewed o-1 p-3"
    for good, poor in (
        ("id=b", "id=a"),
        ("id=b source=/a", "id=a source=/z"),
        ("id=a source=/z", "id=a source=/b"),
    ):
        for high, low in ((5, 1), (1, 5)):
            for arrival in (
                (f"{at} {high} {good}", f"{at} {low} {poor}"),
                (f"{at} {low} {poor}", f"{at} {high} {good}"),
            ):
                assert served(PLACED, *arrival)[None, A] == {"reviews": 1} | (
                    {"reviews.good": 1} if high == 5 else {}
                )


def test_a_review_of_another_product_is_an_anomaly_and_counts_nothing() -> None:
    """R5: the order has the anomaly once.

    It also has it if the valid placing no longer contains the product.
    """
    review = "2026-07-03T08:00Z reviewed o-1 p-9 5"
    unknown = frozenset({LineAnomaly(Anomaly.UNKNOWN_PRODUCT)})
    assert served(PLACED, review) == {}
    assert (
        aftersales.review_anomalies(
            order_of(
                PLACED,
                review,
                "2026-07-04T08:00Z reviewed o-1 p-8 1",
                "2026-07-04T08:00Z reviewed o-1 p-3 1",
            )
        )
        == unknown
    )
    assert (
        aftersales.review_anomalies(order_of(PLACED, "2026-07-03T08:00Z reviewed o-1 p-3 5"))
        == frozenset()
    )
    moved = (
        PLACED,
        "2026-07-03T08:00Z reviewed o-1 p-4 5",
        "2026-07-01T07:00Z placed o-1 1:p-3:1x10",
    )
    assert served(*moved) == {}
    assert aftersales.review_anomalies(order_of(*moved)) == unknown


# --- what the order stage hands out


def records_of(*lines: str) -> list[tuple[str, bytes, dict[str, Any]]]:
    """(topic, key, record) of service and contacts that the order stage sends, in order."""
    stage = OrderStage(TERMS, 1000)
    records = [
        Record("orders", 0, number, 0, *binary(event(line.split(), number)))
        for number, line in enumerate(lines, 1)
    ]
    sends = stage.fold("orders-0", reading(stage, records), {"orders": Rows()}, None).sends
    found = [
        (topic, key, msgspec.json.decode(value))
        for topic, sent in sends.items()
        for key, value in sent
    ]
    return [
        one
        for topic, key, record in found
        if record["type"] != "entry"
        for one in _rows(topic, key, record)
    ]


def _rows(
    topic: str, key: bytes, record: dict[str, Any]
) -> list[tuple[str, bytes, dict[str, Any]]]:
    """The rows of a record."""
    if record["type"] == "service":
        return [(topic, key, record)]
    of = {"shop_id": record["shop_id"]}
    served = [
        dict(zip(journal.Served.__struct_fields__, row, strict=True))
        for row in record.get("served", ())
    ]
    contacts = [
        dict(zip(journal.Contact.__struct_fields__, row, strict=True))
        for row in record.get("contacts", ())
    ]
    return [
        (topic, key, {"type": kind} | of | row)
        for kind, rows in (("service", served), ("contact", contacts))
        for row in rows
    ]


def test_a_row_of_the_shop_and_rows_of_products_go_each_to_their_own() -> None:
    """R3: shop rows are sent to shop-activity by shop.

    Product rows are sent to sales by product.
    """
    behind = {
        "type": "service",
        "shop_id": "s-7",
        "cycle": "2026-06-06T00:00:00Z",
        "columns": {"refusal.quality": 1},
        "restates": False,
        "event_type": "delivery_refused",
        "event_id": "e-2",
        "event_source": "/story",
        "occurred_at": "2026-07-02T08:00:00.000Z",
    }
    since_ms = times.parse_ms("2026-07-02T08:00:00Z")
    assert records_of(
        "2026-07-01T08:00Z placed o-1 1:p-3:2x1000", "2026-07-02T08:00Z refused o-1 quality"
    ) == [
        (
            "sales",
            b"p-3",
            behind
            | {"id": "orders-0@2#s1", "product_id": "p-3", "rules": RULES, "terms": TERMS.name},
        ),
        ("shop-activity", b"s-7", behind | {"id": "orders-0@2#s0"}),
        (
            "shop-activity",
            b"s-7",
            {
                "type": "contact",
                "shop_id": "s-7",
                "buyer_id": "b-9",
                "order_id": "o-1",
                "at_ms": since_ms,
            },
        ),
    ]


def test_a_review_that_a_later_one_replaces_leaves_its_cycle() -> None:
    """R5, S13: the row subtracts the columns, and restates the ended cycle."""
    rows = records_of(
        "2026-07-01T08:00Z placed o-1 1:p-3:2x1000",
        "2026-07-03T08:00Z reviewed o-1 p-3 5",
        "2026-07-06T08:00Z reviewed o-1 p-3 1",
    )
    assert [
        (row["product_id"], row["cycle"][:10], row["columns"], row["restates"])
        for topic, _, row in rows
        if topic == "sales"
    ] == [
        ("p-3", A, {"reviews": 1, "reviews.good": 1}, False),
        ("p-3", A, {"reviews": -1, "reviews.good": -1}, True),
        ("p-3", B, {"reviews": 1}, False),
    ]


def test_another_placing_moves_rows_and_contact_to_another_shop() -> None:
    """S11: the old shop's rows are subtracted under its key before the new one gets them."""
    rows = records_of(
        "2026-07-01T09:00Z placed o-1 1:p-3:2x1000 buyer=b-1",
        "2026-07-02T08:00Z refused o-1 quality",
        "2026-07-01T08:00Z placed o-1 1:p-3:1x500 shop=s-8 buyer=b-2",
    )
    assert [
        (key, row["shop_id"], row["columns"]) for topic, key, row in rows if topic == "sales"
    ] == [
        (b"p-3", "s-7", {"refusal.quality": 1}),
        (b"p-3", "s-7", {"refusal.quality": -1}),
        (b"p-3", "s-8", {"refusal.quality": 1}),
    ]
    since_ms = times.parse_ms("2026-07-02T08:00:00Z")
    assert [
        (key, row.get("columns") or (row["buyer_id"], row["at_ms"]))
        for topic, key, row in rows
        if topic == "shop-activity"
    ] == [
        (b"s-7", {"refusal.quality": 1}),
        (b"s-7", {"refusal.quality": -1}),
        (b"s-7", ("b-1", since_ms)),
        (b"s-7", ("b-1", None)),
        (b"s-8", {"refusal.quality": 1}),
        (b"s-8", ("b-2", since_ms)),
    ]


def test_what_changes_no_column_makes_no_row() -> None:
    """A refusal of another id in the same cycle changes no contact.

    A receipt changes no service, and a refund request for quality changes nothing.
    """
    rows = records_of(
        "2026-07-01T08:00Z placed o-1 1:p-3:2x1000",
        "2026-07-02T08:00Z refused o-1 quality",
        "2026-07-02T09:00Z refused o-1 quality",
        "2026-07-03T08:00Z received o-1",
        "2026-07-03T09:00Z refund-requested o-1 r-1 quality",
        "2026-07-03T10:00Z paid o-1 2000",
    )
    assert [row["event_id"] for _, _, row in rows if row["type"] == "service"] == [
        "e-2",
        "e-3",
        "e-2",
        "e-3",
    ]
    assert len([row for _, _, row in rows if row["type"] == "contact"]) == 1


def test_an_order_whose_placing_is_replaced_has_no_owner() -> None:
    """S11: an earlier payment of the same id is valid instead of the placing.

    Rows and contact are withdrawn.
    """
    lines = (
        "2026-07-01T08:00Z placed o-1 1:p-3:2x1000 id=x",
        "2026-07-02T08:00Z refused o-1 quality",
        "2026-07-01T07:00Z paid o-1 2000 id=x",
    )
    assert [
        row.get("columns") or row["at_ms"]
        for topic, _, row in records_of(*lines)
        if topic == "shop-activity"
    ] == [
        {"refusal.quality": 1},
        {"refusal.quality": -1},
        times.parse_ms("2026-07-02T08:00:00Z"),
        None,
    ]
    report = (
        Flow().take([event(line.split(), number) for number, line in enumerate(lines, 1)]).report()
    )
    assert (report["shop_service"], report["shop_service_totals"], report["product_service"]) == (
        [],
        [],
        [],
    )


# --- bounds


def test_most_orders_are_skipped() -> None:
    """An order that is placed, paid, shipped, received or cancelled has no service.

    Nothing may differ, so nothing is derived.
    """
    lines = events_of(
        PLACED,
        "2026-07-01T08:01Z paid o-1 2600",
        "2026-07-01T09:00Z shipped o-1",
        RECEIVED,
        "2026-07-03T08:00Z cancelled o-1 shop",
    )
    order = orders.EMPTY
    for one in lines:
        order = orders.absorb(order, one)
        assert not aftersales.service_may_differ(order, one)
    for line in (
        "refund-requested o-1 r-1 quality",
        "refund-failed o-1 r-1 bank",
        "refund-returned o-1 r-1",
    ):
        one = events_of(f"2026-07-04T08:00Z {line} id=y")[0]
        assert not aftersales.service_may_differ(orders.absorb(order, one), one)


SOLD = (PLACED, RECEIVED)
REFUNDED = "2026-07-03T08:00Z refunded o-1 r-1 quality 1:0:300"


@pytest.mark.parametrize(
    ("known", "last"),
    [
        ((PLACED,), "2026-07-02T08:00Z refused o-1 quality"),
        ((PLACED,), "2026-07-02T08:00Z reissued o-1 quality"),
        ((PLACED,), "2026-07-02T08:00Z reviewed o-1 p-3 5"),
        ((PLACED,), "2026-07-02T08:00Z refund-requested o-1 r-1 late_delivery"),
        ((PLACED,), "2026-07-02T08:00Z refunded o-1 r-1 late_delivery"),
        (SOLD, REFUNDED),
        ((*SOLD, REFUNDED), "2026-07-04T08:00Z refund-returned o-1 r-1"),
        ((*SOLD, REFUNDED), "2026-07-02T07:00Z cancelled o-1 buyer"),
        ((PLACED, REFUNDED), RECEIVED),
        ((RECEIVED, REFUNDED), PLACED),
        (("2026-07-02T08:00Z refused o-1 quality",), PLACED),
        (("2026-07-02T08:00Z reissued o-1 quality",), PLACED),
        (("2026-07-02T08:00Z reviewed o-1 p-3 5",), PLACED),
        (("2026-07-02T08:00Z refund-requested o-1 r-1 late_delivery",), PLACED),
        (
            (PLACED, "2026-07-02T08:00Z refused o-1 quality id=x"),
            "2026-07-02T07:00Z paid o-1 5 id=x",
        ),
    ],
)
def test_whatever_changes_service_is_derived(known: tuple[str, ...], last: str) -> None:
    """S12: each type of event that can change rows or contact, arriving last, is detected."""
    before, event_at_last = order_of(*known), events_of(*known, last)[-1]
    after = orders.absorb(before, event_at_last)
    assert (served(*known), aftersales.contact(before)) != (
        served(*known, last),
        aftersales.contact(after),
    )
    assert aftersales.service_may_differ(after, event_at_last)


def test_service_of_a_huge_order_takes_linear_time() -> None:
    """A hundred refusals each name a thousand lines, last ones first.

    With a search for each line this takes some hundred times as long.
    """
    ids = [f"line-{number:04}" for number in range(1000)]
    placed = orders.Placed(
        0,
        "e",
        "/s",
        "s-7",
        "b-9",
        "CNY",
        None,
        tuple(orders.Line(one, "p-3", 1, 1, None) for one in ids),
    )
    refusal = msgspec.Raw(msgspec.json.encode({"reason": "quality", "line_ids": ids[::-1]}))
    refusals = tuple(
        orders.Other(at, f"r{at:04}", "/s", "delivery_refused", refusal) for at in range(100)
    )
    order = Order(placed=(placed,), others=refusals)
    began = time.process_time()
    rows = aftersales.rows(order, counting.derive(order), CYCLES)
    assert time.process_time() - began < 0.2  # a search for each line takes far longer
    assert (
        rows[None, CYCLES.start_of(0)]
        == rows["p-3", CYCLES.start_of(0)]
        == {"refusal.quality": 100}
    )
