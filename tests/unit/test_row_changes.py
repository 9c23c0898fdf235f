"""How a row that differs is shown: by its fields, or from where the two texts part."""

from __future__ import annotations

import msgspec

from operations.commands.row_changes import CELL_CHARS, changes, named_row
from tables import orders, sales
from tables.cycle_ends import share_key
from tables.orders import Line, Order, Other, Placed
from tables.sales import CurrencySums, Tally


def test_fields_with_names_are_shown_with_both_values() -> None:
    """Of sums; a bound keeps a row in one line."""
    live = '[1,{"buyers":1,"inquiries":1005,"reply.robot":5},0]'
    other = '[1,{"buyers":1,"inquiries":3,"late":1},2]'
    assert changes(live, other, table="shop_service_totals") == [
        (
            "live → replayed: restatements 0 → 2, inquiries 1,005 → 3, reply.robot 5 → none, "
            "late none → 1"
        )
    ]
    entry = '{"currency":"CNY","amount_gross":9000,"units_gross":1}'
    assert changes(entry, entry.replace("9000", "4500")) == [
        "live → replayed: amount_gross CNY 90.00 → CNY 45.00"
    ]
    many = "{" + ",".join(f'"n{number:02}":1' for number in range(12)) + "}"
    (line,) = changes(many, "{}")
    assert line.endswith("n07 1 → none and 4 more")


def test_money_is_shown_in_its_currency() -> None:
    """Of sums by currency, and of an order's facts: no minor units."""
    tally = Tally(currencies={"CNY": CurrencySums(units_gross=10, amount_gross=54000)})
    live = sales.encode(tally).decode()
    tally.currencies["JPY"] = CurrencySums(units_gross=1, amount_gross=300)
    replayed = sales.encode(tally).decode().replace("54000", "45000")
    (line,) = changes(live, replayed, table="product_cycles")
    assert line.startswith(
        "live → replayed: amount_gross.CNY 540.00 → 450.00, units_gross.JPY none → 1, "
    )
    assert "amount_gross.JPY none → 300, " in line
    placed = Placed(0, "e-1", "/app", "s-1", "b-1", "CNY", None, (Line("1", "p-1", 2, 4500, None),))
    paid = Other(1, "e-2", "/app", "order_paid", msgspec.Raw(b'{"amount":9000}'))
    order = orders.encode(Order(placed=(placed,), others=(paid,))).decode()
    other = order.replace("4500", "9000").replace("9000}", "18000}")
    assert changes(order, other, table="orders") == [
        (
            "live → replayed: order_placed e-1.lines.1.unit_price CNY 45.00 → CNY 90.00, "
            "order_paid e-2.amount CNY 90.00 → CNY 180.00"
        )
    ]
    assert changes(order, order + " ", table="orders")[0].startswith("live:")
    assert changes(order[:-9], order, table="orders")[0].startswith("live:")


def test_other_rows_are_shown_from_where_they_part() -> None:
    """An order's facts have no names, and a long row is kept in part."""
    same = "x" * 500
    live, replayed = changes(f'[1,"{same}",4500]', f'[1,"{same}",9000]')
    assert live == f'live:     …{"x" * 38}",4500]'
    assert replayed == f'replayed: …{"x" * 38}",9000]'
    live, replayed = changes("[1]", None)
    assert (live, replayed) == ("live:     [1]", "replayed: none")
    live, _ = changes("y" * 2000, "z")
    assert len(live) == len("live:     ") + CELL_CHARS + 1


def test_rows_are_named_by_ids_and_cycle() -> None:
    """Not by the form of their keys."""
    assert named_row("shop_cycles", "s-1@1785888000000") == "s-1 2026-08-05T00:00:00Z"
    assert named_row("chats", "s-1\x1fb-7") == "s-1 b-7"
    assert named_row("shop_totals", "s-1") == "s-1"
    share = share_key(1785888000000).decode()
    assert named_row("marketplace_shares", share) == "2026-08-05T00:00:00Z"
