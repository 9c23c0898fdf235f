from tables.report import sort_key


def test_rows_of_one_id_are_sorted_by_the_start_of_their_cycle() -> None:
    """Also where one start has milliseconds and another has none."""
    rows = [
        {"shop_id": "s-1", "cycle": {"start": start}}
        for start in ("2026-07-06T00:00:00.001Z", "2026-07-06T00:00:00Z", "2026-07-05T23:59:59Z")
    ]
    assert sorted(rows, key=sort_key("shops")) == rows[::-1]
