"""How a row that differs is shown: by its fields, or from where the two texts part."""

from __future__ import annotations

from operations.commands.row_changes import CELL_CHARS, changes, named_row


def test_fields_with_names_are_shown_with_both_values() -> None:
    """Of sums; a bound keeps a row in one line."""
    live = '[1,{"buyers":1,"inquiries":1005,"reply.robot":5},0]'
    assert changes(live, '[1,{"buyers":1,"inquiries":3,"late":1},0]') == [
        "live → replayed: inquiries 1,005 → 3, reply.robot 5 → none, late none → 1"
    ]
    entry = '{"currency":"CNY","amount_gross":9000,"units_gross":1}'
    assert changes(entry, entry.replace("9000", "4500")) == [
        "live → replayed: amount_gross CNY 90.00 → CNY 45.00"
    ]
    many = "{" + ",".join(f'"n{number:02}":1' for number in range(12)) + "}"
    (line,) = changes(many, "{}")
    assert line.endswith("n07 1 → none and 4 more")


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
