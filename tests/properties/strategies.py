"""Events of orders and messages, drawn by hypothesis.

Few ids and few instants, so that events meet, contradict and repeat each other.
"""

from typing import Any

from hypothesis import strategies as st

from schemas import times
from schemas.event_versions import as_newest
from tests.flow import CYCLES

EDGE_MS = 1_783_296_000_000  # 2026-07-06T00:00Z, where a cycle begins
REASONS = ("short_weight", "quality", "wrong_goods", "late_delivery")

instants = st.one_of(
    st.sampled_from([EDGE_MS + by for by in (-2, -1, 0, 1, 2)]),
    st.sampled_from(
        [EDGE_MS - CYCLES.length_ms, EDGE_MS + CYCLES.length_ms - 1, EDGE_MS + 3 * CYCLES.length_ms]
    ),
    st.sampled_from([0, -1, -CYCLES.length_ms - 1]),
)
order_ids = st.sampled_from(["o-1", "o-2"])
line_ids = st.sampled_from(["1", "2", "3", "9"])
some_line_ids = st.one_of(st.none(), st.lists(line_ids, min_size=1, max_size=3))
refund_ids = st.sampled_from(["r-1", "r-2", "r-3"])
units = st.integers(0, 4)
amounts = st.sampled_from([0, 1, 100, 999, 1000, 5000])


@st.composite
def lines(draw: st.DrawFn) -> list[dict[str, Any]]:
    """The lines of an order."""
    found = []
    for line_id in draw(
        st.lists(st.sampled_from(["1", "2", "3"]), min_size=1, max_size=3, unique=True)
    ):
        line: dict[str, Any] = {
            "line_id": line_id,
            "product_id": draw(st.sampled_from(["p-1", "p-2"])),
            "quantity": draw(st.integers(1, 3)),
            "unit_price": draw(st.sampled_from([0, 1, 1000])),
        }
        discount = draw(st.one_of(st.none(), st.integers(1, 1000)))
        if discount and discount <= line["quantity"] * line["unit_price"]:
            line["discount"] = discount
        found.append(line)
    return found


refund_lines = st.one_of(
    st.none(),
    st.lists(
        st.fixed_dictionaries({"line_id": line_ids, "quantity": units, "amount": amounts}),
        min_size=1,
        max_size=3,
    ),
)
_OWN: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "order_placed": st.fixed_dictionaries(
        {
            "shop_id": st.sampled_from(["s-1", "s-2"]),
            "buyer_id": st.sampled_from(["b-1", "b-2"]),
            "currency": st.sampled_from(["CNY", "USD"]),
            "group_id": st.sampled_from([None, "g-1"]),
            "lines": lines(),
        }
    ),
    "order_paid": st.fixed_dictionaries({"amount": amounts}),
    "order_shipped": st.fixed_dictionaries(
        {"line_ids": some_line_ids, "carrier": st.sampled_from([None, "顺丰"])}
    ),
    "receipt_confirmed": st.fixed_dictionaries(
        {"line_ids": some_line_ids, "by": st.sampled_from(["logistics", "buyer", "timeout"])}
    ),
    "order_cancelled": st.fixed_dictionaries({"reason": st.sampled_from(["unpaid", "buyer"])}),
    "delivery_refused": st.fixed_dictionaries(
        {"line_ids": some_line_ids, "reason": st.sampled_from(REASONS)}
    ),
    "refund_requested": st.fixed_dictionaries(
        {"refund_id": refund_ids, "reason": st.sampled_from(REASONS), "lines": refund_lines}
    ),
    "refund_succeeded": st.fixed_dictionaries(
        {"refund_id": refund_ids, "reason": st.sampled_from(REASONS), "lines": refund_lines}
    ),
    "refund_failed": st.fixed_dictionaries(
        {"refund_id": refund_ids, "cause": st.sampled_from(["rejected", "bank"])}
    ),
    "refund_reversed": st.fixed_dictionaries({"refund_id": refund_ids}),
    "reissue_shipped": st.fixed_dictionaries(
        {"line_ids": some_line_ids, "reason": st.sampled_from(REASONS)}
    ),
    "review_posted": st.fixed_dictionaries(
        {"product_id": st.sampled_from(["p-1", "p-2", "p-9"]), "rating": st.integers(1, 5)}
    ),
}
_LIKELY = [
    "order_placed",
    "receipt_confirmed",
    "refund_succeeded",
    "refund_succeeded",
    "receipt_confirmed",
    "refund_reversed",
    *_OWN,
]


@st.composite
def events(draw: st.DrawFn, ids: int = 30, kind: str | None = None) -> dict[str, Any]:
    """One event, under one of `ids` ids at two sources; absent fields are absent."""
    kind = kind or draw(st.sampled_from(_LIKELY))
    own = {name: value for name, value in draw(_OWN[kind]).items() if value is not None}
    common = {
        "type": kind,
        "id": f"e-{draw(st.integers(1, ids))}",
        "source": draw(st.sampled_from(["/a", "/b"])),
        "occurred_at": times.format_ms(draw(instants)),
        "order_id": draw(order_ids),
    }
    return common | own


def any_version() -> st.SearchStrategy[dict[str, Any]]:
    """One event as `events`, of the first or of the newest version of its type."""
    return st.one_of(events(), events().map(as_newest))


def happenings(most: int = 14) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Events of an order's life that may contradict each other.

    Sometimes fewer events that hardly do anything but contradict each other.
    """
    return st.one_of(
        st.lists(events(), max_size=most), st.lists(events(ids=2), max_size=min(most, 7))
    )


WITHIN_MS = 300_000
# Around midnight in Shanghai, the opening at 08:00 (where with the usual anchor a cycle begins) and
# the closing at 23:00.
_CHAT_INSTANTS = [
    base + by
    for base in (EDGE_MS, EDGE_MS - 8 * 3_600_000, EDGE_MS - 9 * 3_600_000, EDGE_MS + 5 * 3_600_000)
    for by in (-WITHIN_MS - 1, -WITHIN_MS, -1, 0, 1, 60_000, WITHIN_MS, WITHIN_MS + 1)
]


@st.composite
def messages(draw: st.DrawFn, ids: int = 30) -> dict[str, Any]:
    """One message between few shops and buyers, under one of `ids` ids at two sources."""
    by = draw(st.sampled_from([None, None, "person", "robot"]))
    about = draw(st.sampled_from([None, "o-1", "o-2"]))
    return (
        {
            "type": "seller_replied" if by else "buyer_messaged",
            "id": f"e-{draw(st.integers(1, ids))}",
            "source": draw(st.sampled_from(["/a", "/b"])),
            "occurred_at": times.format_ms(
                draw(st.one_of(st.sampled_from(_CHAT_INSTANTS), instants))
            ),
            "shop_id": draw(st.sampled_from(["s-1", "s-2"])),
            "buyer_id": draw(st.sampled_from(["b-1", "b-2"])),
            "message_id": f"m-{draw(st.integers(1, 3))}",
        }
        | ({"by": by} if by else {})
        | ({"order_id": about} if about else {})
    )


def market(most: int = 20) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Events of orders and messages, in any order."""
    return st.one_of(
        st.lists(st.one_of(events(), messages()), max_size=most),
        st.lists(messages(), max_size=most),
        st.lists(messages(ids=3), max_size=min(most, 9)),
    )
