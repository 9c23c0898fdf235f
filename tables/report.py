"""Tables in the form of `netsold recount`: rows per product, shop and cycle, and the orders' anomalies."""

from collections.abc import Iterable, Mapping
from typing import Any

from tables import catalogue, counting, orders, sales
from tables.cycles import Calendar
from tables.sales import Tally

States = Iterable[tuple[bytes, bytes]]
"""(key, state's bytes) of a table's rows, in any order."""


def report(calendar: Calendar, tables: Mapping[str, States]) -> dict[str, list[dict[str, Any]]]:
    """`{"products": […], "shops": […], "anomalies": […]}` of the tables given by their names, each list sorted."""
    return {
        "products": _rows(calendar, tables[catalogue.PRODUCT_CYCLES.name], tables[catalogue.PRODUCT_TOTALS.name], "product_id"),
        "shops": _rows(calendar, tables[catalogue.SHOP_CYCLES.name], tables[catalogue.SHOP_TOTALS.name], "shop_id"),
        "anomalies": anomalies(tables[catalogue.ORDERS.name]),
    }


def _rows(calendar: Calendar, cycles: States, totals: States, id_name: str) -> list[dict[str, Any]]:
    traded = {key.decode(): sales.decode(state).net for key, state in totals}
    states = dict(cycles)
    found = sorted((*catalogue.split_cycle_key(key), key) for key in states)
    rows = []
    for subject, start_ms, key in found:
        tally = sales.decode(states[key])
        if tally.holds_anything:
            rows.append({id_name: subject} | figures(calendar, start_ms, tally, traded.get(subject, 0)))
    return rows


def figures(calendar: Calendar, start_ms: int, tally: Tally, traded: int) -> dict[str, Any]:
    """A product's or shop's cycle as it is answered, but for its id; `traded` is its net units of all time (C4)."""
    return {
        "cycle": {"start": calendar.iso(start_ms), "end": calendar.iso(calendar.end_of(start_ms))},
        "units": {"gross": tally.gross, "reversed": tally.reversed, "net": tally.net, "reversals_booked": tally.booked},
        "revenue": {
            currency: {"gross": gross, "reversed": taken, "net": gross - taken, "reversals_booked": booked}
            for currency, (gross, taken, booked) in sorted(tally.amounts.items())
        },
        "sold_monthly": tally.net,
        "successfully_traded": traded,
    }


def anomalies(states: States) -> list[dict[str, str]]:
    """What is odd about which order, and about which of its lines where it concerns one; sorted."""
    found = []
    for key, state in states:
        order_id = key.decode()
        found += [(order_id, odd.anomaly.value, odd.line_id) for odd in counting.derive(orders.decode(state)).oddities]
    return [
        {"order_id": order_id, "anomaly": name} | ({"line_id": line_id} if line_id else {}) for order_id, name, line_id in sorted(found)
    ]
