"""Service in the recount, by shop and by product (R1 to R6).

That is replies, after-sales, proactive contact, reviews and buyers. `operations/oracle/recount.py`
lists how the rules are read where they leave a choice.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from operations.oracle.cycles import Cycles
from operations.oracle.events import Event
from operations.oracle.order import Counted
from operations.oracle.replies import Terms, counted_inquiries, overdue_rows, units

Conversations = Mapping[tuple[str, str], list[Event]]
"""By (shop_id, buyer_id): the messages that count, in order."""

_OCCASIONS: Final = frozenset({"refund_requested", "refund_succeeded", "reissue_shipped"})
_OCCASION_REASONS: Final = frozenset({"wrong_goods", "late_delivery"})
_GOOD: Final = 4
_BIN: Final = 1.01 / 0.99
"""The ratio between a bin's upper and lower bound in the histogram of reply times."""


@dataclass(slots=True)
class Money:
    """How often something happened, and the amount of money, by reason."""

    counts: Counter[str] = field(default_factory=Counter)
    amounts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, reason: str, currency: str, amount: int) -> None:
        """Add one occurrence; the amount is in minor units."""
        self.counts[reason] += 1
        self.amounts[reason, currency] += amount


@dataclass(slots=True)
class Service:
    """The service of one id, in one cycle or of all time.

    It exists only where there is something to count.
    """

    inquiries: Counter[str] = field(default_factory=Counter)
    answered_by: Counter[str] = field(default_factory=Counter)
    reply_ms: list[int] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    reissues: Counter[str] = field(default_factory=Counter)
    differences: Money = field(default_factory=Money)
    returns: Money = field(default_factory=Money)
    contacts: list[bool] = field(default_factory=list)
    """For each occasion, whether the shop wrote first."""
    ratings: list[int] = field(default_factory=list)
    orders: Counter[str] = field(default_factory=Counter)
    """The number of orders with a sale, by buyer."""


@dataclass(slots=True)
class Services:
    """All rows: shops and products by (id, number of the cycle), and shops by id for all time."""

    cycles: Cycles
    shop_cycles: dict[tuple[str, int], Service] = field(
        default_factory=lambda: defaultdict(Service)
    )
    shop_totals: dict[str, Service] = field(default_factory=lambda: defaultdict(Service))
    product_cycles: dict[tuple[str, int], Service] = field(
        default_factory=lambda: defaultdict(Service)
    )

    def shop(self, shop_id: str, at_ms: int) -> tuple[Service, Service]:
        """The shop's two rows for an instant: of its cycle and of all time."""
        return self.shop_cycles[shop_id, self.cycles.number(at_ms)], self.shop_totals[shop_id]

    def product(self, product_id: str, at_ms: int) -> Service:
        """The product's row for the cycle of an instant."""
        return self.product_cycles[product_id, self.cycles.number(at_ms)]


def service_lists(
    orders: Iterable[Counted],
    conversations: Conversations,
    cycles: Cycles,
    terms: Terms,
    as_of_ms: int,
) -> dict[str, list[dict[str, Any]]]:
    """The lists `shop_service`, `shop_service_totals`, `product_service` and `overdue`.

    They are sorted by id and start.
    """
    services = Services(cycles)
    overdue = []
    for (shop_id, _), messages in sorted(conversations.items()):
        overdue += _replies(services, shop_id, messages, terms, as_of_ms)
    for counted in orders:
        if counted.placed is not None:
            _refusals_and_reissues(services, counted, counted.placed)
            _refunds(services, counted, counted.placed)
            _contact(services, counted, counted.placed, conversations)
            _reviews(services, counted, counted.placed)
            _buyer(services, counted, counted.placed)
    return {
        "shop_service": [
            {"shop_id": shop_id, "cycle": cycles.span(cycle), **_of_shop(row)}
            for (shop_id, cycle), row in sorted(
                services.shop_cycles.items(), key=lambda item: item[0]
            )
        ],
        "shop_service_totals": [
            {"shop_id": shop_id, **_of_shop(row)}
            for shop_id, row in sorted(services.shop_totals.items(), key=lambda item: item[0])
        ],
        "product_service": [
            {"product_id": product_id, "cycle": cycles.span(cycle), **_of_product(row)}
            for (product_id, cycle), row in sorted(
                services.product_cycles.items(), key=lambda item: item[0]
            )
        ],
        "overdue": overdue,
    }


# --- counting


def _replies(
    services: Services, shop_id: str, messages: list[Event], terms: Terms, as_of_ms: int
) -> list[dict[str, Any]]:
    """Count a conversation (R1, R2); returns its overdue inquiries."""
    inquiries = counted_inquiries(messages, terms)
    for at_ms, verdict in units(inquiries, terms, as_of_ms):
        for row in services.shop(shop_id, at_ms):
            row.inquiries[verdict] += 1
    for inquiry in inquiries:
        if inquiry.answer is not None and inquiry.reply_ms is not None:
            for row in services.shop(shop_id, inquiry.opened_ms):
                row.answered_by[inquiry.answer["by"]] += 1
                row.reply_ms.append(inquiry.reply_ms)
    return list(overdue_rows(inquiries, terms, as_of_ms))


def _refusals_and_reissues(services: Services, counted: Counted, placed: Event) -> None:
    """Count each in the cycle of its `occurred_at`, a refusal also for its products (R3)."""
    for fact in counted.facts:
        if fact["type"] == "delivery_refused":
            for row in services.shop(placed["shop_id"], fact["occurred_at"]):
                row.refusals[fact["reason"]] += 1
            refused = [
                line
                for line in placed["lines"]
                if "line_ids" not in fact or line["line_id"] in fact["line_ids"]
            ]
            for product_id in {line["product_id"] for line in refused}:
                services.product(product_id, fact["occurred_at"]).refusals[fact["reason"]] += 1
        elif fact["type"] == "reissue_shipped":
            for row in services.shop(placed["shop_id"], fact["occurred_at"]):
                row.reissues[fact["reason"]] += 1


def _refunds(services: Services, counted: Counted, placed: Event) -> None:
    """Count what each refund really refunded (R3, S5 to S9).

    A refund of units is a return, a refund of money alone a difference.
    """
    for refund in [fact for fact in counted.facts if fact["type"] == "refund_succeeded"]:
        at_ms, reason, currency = refund["occurred_at"], refund["reason"], placed["currency"]
        parts = [
            (sale.product_id, reversal.units, reversal.amount)
            for sale in counted.sales
            for reversal in sale.reversals
            if reversal.refund_id == refund["refund_id"]
        ]
        units, amount = sum(part[1] for part in parts), sum(part[2] for part in parts)
        if units > 0 or amount > 0:
            for row in services.shop(placed["shop_id"], at_ms):
                (row.returns if units > 0 else row.differences).add(reason, currency, amount)
        for product_id in {part[0] for part in parts}:
            own = [part for part in parts if part[0] == product_id]
            own_amount = sum(part[2] for part in own)
            if own_amount > 0 and not any(part[1] for part in own):
                services.product(product_id, at_ms).differences.add(reason, currency, own_amount)


def _contact(
    services: Services, counted: Counted, placed: Event, conversations: Conversations
) -> None:
    """Count whether the shop wrote first after a refusal, a wrong or a late delivery (R4)."""
    occasions = [
        fact["occurred_at"]
        for fact in counted.facts
        if fact["type"] == "delivery_refused"
        or (fact["type"] in _OCCASIONS and fact["reason"] in _OCCASION_REASONS)
    ]
    if not occasions:
        return
    at_ms = min(occasions)
    messages = conversations.get((placed["shop_id"], placed["buyer_id"]), [])
    about = [
        message
        for message in messages
        if message["occurred_at"] >= at_ms and message.get("order_id") in {None, placed["order_id"]}
    ]
    for row in services.shop(placed["shop_id"], at_ms):
        row.contacts.append(bool(about) and about[0]["type"] == "seller_replied")


def _reviews(services: Services, counted: Counted, placed: Event) -> None:
    """Count the latest review of each product of the order (R5)."""
    for product_id in {line["product_id"] for line in placed["lines"]}:
        reviews = [
            fact
            for fact in counted.facts
            if fact["type"] == "review_posted" and fact["product_id"] == product_id
        ]
        if reviews:
            review = max(
                reviews, key=lambda fact: (fact["occurred_at"], fact["id"], fact["source"])
            )
            for row in (
                *services.shop(placed["shop_id"], review["occurred_at"]),
                services.product(product_id, review["occurred_at"]),
            ):
                row.ratings.append(review["rating"])


def _buyer(services: Services, counted: Counted, placed: Event) -> None:
    """Count the order for its buyer, at the receipt of its first line with units left (R6)."""
    received = [(sale.received_ms, sale.line_id) for sale in counted.sales if sale.left[0] > 0]
    if received:
        for row in services.shop(placed["shop_id"], min(received)[0]):
            row.orders[placed["buyer_id"]] += 1


# --- printing


def _of_shop(row: Service) -> dict[str, Any]:
    counted = row.inquiries.total()
    buyers, repeat = len(row.orders), sum(orders >= 2 for orders in row.orders.values())  # noqa: PLR2004 - two sales make it repeat (R6)
    occasions, first = len(row.contacts), sum(row.contacts)
    return {
        "inquiries": {
            "counted": counted,
            **{name: row.inquiries[name] for name in ("timely", "late", "overdue")},
            "response_rate": _share(row.inquiries["timely"], counted),
            "answered_by": {name: row.answered_by[name] for name in ("person", "robot")},
            "reply_ms": {"p50": _percentile(row.reply_ms, 50), "p90": _percentile(row.reply_ms, 90)}
            if row.reply_ms
            else None,
        },
        "after_sales": {
            "refusals": _counts(row.refusals),
            "reissues": _counts(row.reissues),
            "differences": _money(row.differences),
            "returns": _money(row.returns),
        },
        "proactive_contact": {
            "occasions": occasions,
            "first": first,
            "share": _share(first, occasions),
        },
        "reviews": _ratings(row),
        "buyers": {"count": buyers, "repeat": repeat, "repeat_share": _share(repeat, buyers)},
    }


def _of_product(row: Service) -> dict[str, Any]:
    return {
        "reviews": _ratings(row),
        "differences": _money(row.differences),
        "refusals": _counts(row.refusals),
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _percentile(reply_ms: list[int], percent: int) -> int:
    """A percentile as the tables have it, so that `diff` can compare them.

    It is the middle of its bin, which is 2 % wide.
    """
    exact = sorted(reply_ms)[percent * (len(reply_ms) - 1) // 100]
    upper = _BIN ** math.ceil(math.log(max(exact, 1), _BIN))
    return round(2 * upper / (1 + _BIN))


def _counts(counts: Counter[str]) -> dict[str, Any]:
    return {
        "count": counts.total(),
        "by_reason": {reason: {"count": count} for reason, count in sorted(counts.items())},
    }


def _money(money: Money) -> dict[str, Any]:
    def amounts(of: set[str]) -> dict[str, int]:
        summed: Counter[str] = Counter()
        for (reason, currency), amount in money.amounts.items():
            if reason in of:
                summed[currency] += amount
        return {currency: amount for currency, amount in sorted(summed.items()) if amount}

    by_reason = {
        reason: {"count": count, "amounts": amounts({reason})}
        for reason, count in sorted(money.counts.items())
    }
    return {
        "count": money.counts.total(),
        "amounts": amounts(set(money.counts)),
        "by_reason": by_reason,
    }


def _ratings(row: Service) -> dict[str, Any]:
    count, good = len(row.ratings), sum(rating >= _GOOD for rating in row.ratings)
    return {"count": count, "good": good, "good_share": _share(good, count)}
