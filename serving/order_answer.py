"""The answer about one order: its facts, its sales and its anomalies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schemas import times
from schemas.answers import AnomalyAnswer, LineSums, OrderAnswer, ReversalAnswer, SaleAnswer
from serving import keys
from tables import aftersales, catalogue, counting, orders

if TYPE_CHECKING:
    from serving.answers import Answers
    from tables.orders import Order


def order_answer(answers: Answers, order_id: str) -> OrderAnswer | None:
    """An order: the events known of it, what counts of it, its anomalies; None if unknown."""
    state = answers.snapshot.get(keys.space(catalogue.ORDERS) + order_id.encode())
    if state is None:
        return None
    return OrderAnswer(
        **order_fields(answers, order_id, orders.decode(state)),
        freshness=answers.freshness_of(catalogue.ORDERS.name),
    )


def order_fields(answers: Answers, order_id: str, order: Order) -> dict[str, Any]:
    """The fields of an answer about these facts of an order, without its freshness."""
    counted = counting.derive(order)
    facts = sorted(
        (fact for kind in orders.KINDS for fact in getattr(order, kind)), key=orders.precedence
    )
    placed = order.placed[0] if order.placed else None
    return {
        "order_id": order_id,
        "shop_id": placed and placed.shop_id,
        "buyer_id": placed and placed.buyer_id,
        "currency": placed and placed.currency,
        "facts": [_fact(orders.content(fact), fact.occurred_at_ms) for fact in facts],
        "sales": [_sale(answers, sale) for sale in counted.sales],
        "anomalies": [
            AnomalyAnswer(anomaly=one.anomaly, line_id=one.line_id or None)
            for one in sorted(counted.anomalies | aftersales.review_anomalies(order))
        ],
    }


def _sale(answers: Answers, sale: counting.Sale) -> SaleAnswer:
    units = sum(reversal.units for reversal in sale.reversals)
    amount = sum(reversal.amount for reversal in sale.reversals)
    return SaleAnswer(
        line_id=sale.line_id,
        product_id=sale.product_id,
        cycle=answers.span(answers.calendar.start_of(sale.at_ms)),
        received_at=times.format_ms(sale.at_ms),
        units=LineSums(gross=sale.units, reversed=units, net=sale.units - units),
        amount=LineSums(gross=sale.amount, reversed=amount, net=sale.amount - amount),
        reversals=[
            ReversalAnswer(
                at=times.format_ms(reversal.at_ms), units=reversal.units, amount=reversal.amount
            )
            for reversal in sale.reversals
        ],
    )


def _fact(content: dict[str, Any], occurred_at_ms: int) -> dict[str, Any]:
    first = {name: content.pop(name) for name in ("type", "id", "source")}
    return first | {"occurred_at": times.format_ms(occurred_at_ms)} | content
