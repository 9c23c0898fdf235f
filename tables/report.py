"""Tables in the form of `netsold recount`.

Rows per product, shop and cycle, the orders' anomalies, and what is overdue.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from schemas import times
from tables import aftersales, catalogue, counting, figures, orders, sales, service
from tables.cycles import Calendar
from tables.sales import Tally

States = Iterable[tuple[bytes, bytes]]
"""(key, state's bytes) of a table's rows, in any order."""


def report(calendar: Calendar, tables: Mapping[str, States]) -> dict[str, list[dict[str, Any]]]:
    """Products, shops, anomalies; service by shop and cycle, by shop, by product and cycle.

    What is overdue. Each list sorted.

    `tables` has the states by the tables' names.
    """
    return {
        "products": _rows(
            calendar,
            tables[catalogue.PRODUCT_CYCLES.name],
            tables[catalogue.PRODUCT_TOTALS.name],
            "product_id",
        ),
        "shops": _rows(
            calendar,
            tables[catalogue.SHOP_CYCLES.name],
            tables[catalogue.SHOP_TOTALS.name],
            "shop_id",
        ),
        "anomalies": anomalies(tables[catalogue.ORDERS.name]),
        "shop_service": _service_cycles(
            calendar, tables[catalogue.SHOP_SERVICE_CYCLES.name], "shop_id", figures.of_shop
        ),
        "shop_service_totals": [
            {"shop_id": key.decode()} | figures.of_shop(columns)
            for key, state in sorted(tables[catalogue.SHOP_SERVICE_TOTALS.name])
            if (columns := service.decode(state).columns)
        ],
        "product_service": _service_cycles(
            calendar,
            tables[catalogue.PRODUCT_SERVICE_CYCLES.name],
            "product_id",
            figures.of_product,
        ),
        "overdue": [overdue(key, state) for key, state in sorted(tables[catalogue.OVERDUE.name])],
    }


def _service_cycles(
    calendar: Calendar,
    states: States,
    id_name: str,
    figures_of: Callable[[Mapping[str, int]], dict[str, Any]],
) -> list[dict[str, Any]]:
    found = sorted(
        (*catalogue.split_cycle_key(key), service.decode(state).columns) for key, state in states
    )
    return [
        {id_name: subject, "cycle": span(calendar, start_ms)} | figures_of(columns)
        for subject, start_ms, columns in found
        if columns
    ]


def span(calendar: Calendar, start_ms: int) -> dict[str, str]:
    """A cycle as it is answered."""
    return {"start": calendar.iso(start_ms), "end": calendar.iso(calendar.end_of(start_ms))}


def overdue(key: bytes, state: bytes) -> dict[str, Any]:
    """An overdue inquiry as it is answered (R2), from its row."""
    shop_id, buyer_id = catalogue.split_conversation_key(key)
    _version, opened_ms, due_ms, message_id, order_id = msgspec.json.decode(state)
    return {
        "shop_id": shop_id,
        "buyer_id": buyer_id,
        "message_id": message_id,
        "order_id": order_id,
        "opened_at": times.format_ms(opened_ms),
        "due_at": times.format_ms(due_ms),
    }


def _rows(calendar: Calendar, cycles: States, totals: States, id_name: str) -> list[dict[str, Any]]:
    traded = {key.decode(): sales.decode(state).net for key, state in totals}
    states = dict(cycles)
    found = sorted((*catalogue.split_cycle_key(key), key) for key in states)
    rows = []
    for subject, start_ms, key in found:
        tally = sales.decode(states[key])
        if tally.holds_anything:
            rows.append(
                {id_name: subject} | sold(calendar, start_ms, tally, traded.get(subject, 0))
            )
    return rows


def sold(calendar: Calendar, start_ms: int, tally: Tally, traded: int) -> dict[str, Any]:
    """A product's or shop's cycle as it is answered, but for its id.

    `traded` is its net units of all time (C4).
    """
    return {
        "cycle": span(calendar, start_ms),
        "units": tally.answer(),
        "revenue": {
            currency: amounts.answer() for currency, amounts in sorted(tally.amounts.items())
        },
        "sold_monthly": tally.net,
        "successfully_traded": traded,
    }


def anomalies(states: States) -> list[dict[str, str]]:
    """What is odd about which order, and about which of its lines where it concerns one; sorted."""
    found = []
    for key, state in states:
        order_id = key.decode()
        order = orders.decode(state)
        found += [
            (order_id, odd.anomaly.value, odd.line_id)
            for odd in counting.derive(order).anomalies | aftersales.review_anomalies(order)
        ]
    return [
        {"order_id": order_id, "anomaly": name} | ({"line_id": line_id} if line_id else {})
        for order_id, name, line_id in sorted(found)
    ]
