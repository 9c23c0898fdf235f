"""FoodMart as events: the recount equals plain SQL over the same files, which have no events."""

from __future__ import annotations

import os
import random
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from operations.files import foodmart
from operations.files.opening import EventFileUnreadable
from operations.oracle.events import accept
from operations.oracle.recount import recount

EXCERPT = Path(__file__).parents[1] / "data" / "foodmart"
DAY_MS = 86_400_000
CYCLE_MS = 30 * DAY_MS

# For one product in one store, with S(d) units sold and R(d) returned up to a day, and each return
# assigned to the earliest sales that are left: M(d) = min over s ≤ d of S(s) + R(d) - R(s), and
# R(d), are matched up to d. The first M units sold are reversed.
SQL = """
CREATE MACRO cycle_of(day) AS (day - DATE '1970-01-01') // 30;
CREATE TABLE sale AS
    SELECT strptime(t."transaction date", '%m/%d/%Y')::DATE AS day,
           t."store id" AS store, t."product id" AS product, t.quantity::INT AS units,
           round(p."product retail price"::DECIMAL(9, 2) * 100)::INT AS price, t.rowid AS n
    FROM transactions t JOIN products p USING ("product id");
CREATE TABLE refund AS
    SELECT strptime("return date", '%m/%d/%Y')::DATE AS day,
           "store id" AS store, "product id" AS product, sum(quantity::INT) AS units
    FROM returns GROUP BY ALL;
CREATE TABLE day_of AS
    SELECT store, product, day, sum(sold) AS sold, sum(returned) AS returned FROM (
        SELECT store, product, day, units AS sold, 0 AS returned FROM sale
        UNION ALL SELECT store, product, day, 0, units FROM refund
    ) GROUP BY ALL;
CREATE TABLE matched AS
    SELECT store, product, day,
           least(r, r + min(s - r) OVER (PARTITION BY store, product ORDER BY day)) AS up_to
    FROM (SELECT store, product, day, sum(sold) OVER w AS s, sum(returned) OVER w AS r
          FROM day_of WINDOW w AS (PARTITION BY store, product ORDER BY day));
CREATE TABLE booked AS
    SELECT store, product, day,
           up_to - coalesce(lag(up_to) OVER (PARTITION BY store, product ORDER BY day), 0) AS units
    FROM matched;
CREATE TABLE reversed AS
    SELECT day, store, product, price, units,
           greatest(0, least(units, coalesce(m.total, 0) - (
               sum(units) OVER (PARTITION BY store, product ORDER BY day, n) - units))) AS back
    FROM sale
    LEFT JOIN (SELECT store, product, max(up_to) AS total FROM matched GROUP BY ALL) m
        USING (store, product);
"""

ANSWER = """
SELECT {of}, cycle_of(day) AS cycle, sum(gross)::INT, sum(back)::INT, sum(late)::INT,
       sum(gross * price)::INT, sum(back * price)::INT, sum(late * price)::INT
FROM (SELECT day, store, product, price, units AS gross, back, 0 AS late FROM reversed
      UNION ALL
      SELECT b.day, b.store, b.product, p.price, 0, 0, b.units
      FROM booked b JOIN (SELECT DISTINCT product, price FROM sale) p USING (product))
GROUP BY ALL HAVING sum(gross) > 0 OR sum(back) > 0 OR sum(late) > 0
"""


def _by_sql(folder: Path) -> dict[str, dict[tuple[Any, ...], tuple[int, ...]]]:
    with duckdb.connect() as database:
        for table, name in (
            ("transactions", "transactions_1997"),
            ("returns", "returns"),
            ("products", "products"),
        ):
            (path,) = folder.glob(f"{name}.csv*")
            database.execute(
                f"CREATE TABLE {table} AS SELECT * FROM read_csv(?, all_varchar = true)",
                [str(path)],
            )
        database.execute(SQL)
        answers = {}
        for table, of in (("products", "product"), ("shops", "store")):
            rows = database.execute(ANSWER.format(of=of)).fetchall()
            answers[table] = {(name, cycle): tuple(numbers) for name, cycle, *numbers in rows}
        return answers


def _by_recount(events: list[dict[str, Any]]) -> dict[str, dict[tuple[Any, ...], tuple[int, ...]]]:
    tables = recount(events, CYCLE_MS, 0)
    assert tables["anomalies"] == []
    columns = ("gross", "reversed", "reversals_booked")
    answers: dict[str, dict[tuple[Any, ...], tuple[int, ...]]] = {}
    for table, name in (("products", "product_id"), ("shops", "shop_id")):
        answers[table] = {}
        for row in tables[table]:
            cycle = (date.fromisoformat(row["cycle"]["start"][:10]) - date(1970, 1, 1)).days // 30
            assert row["revenue"].keys() == {"USD"}
            numbers = [row["units"][column] for column in columns] + [
                row["revenue"]["USD"][column] for column in columns
            ]
            answers[table][row[name], cycle] = tuple(numbers)
    return answers


def _agree(folder: Path) -> None:
    events = foodmart.events(folder)
    expected = _by_sql(folder)
    assert len(expected["products"]) > 100
    assert sum(row[1] for row in expected["products"].values()) > 100
    assert any(row[1] != row[2] for row in expected["products"].values())
    assert _by_recount(events) == expected
    random.Random(1).shuffle(events)
    assert _by_recount(events) == expected


def test_the_excerpt_counts_as_by_sql() -> None:
    """Units and revenue are equal for every product, store and cycle.

    They are gross, reversed by basis sale and booked by basis refund, also with shuffled events.
    """
    _agree(EXCERPT)


@pytest.mark.skipif(
    "FOODMART" not in os.environ, reason="name the folder of the whole sample in FOODMART"
)
def test_the_whole_sample_counts_as_by_sql() -> None:
    """Units and revenue of 86,837 transactions and 7,087 returns are equal."""
    _agree(Path(os.environ["FOODMART"]))


def test_every_row_is_an_event() -> None:
    """Orders are by date, customer and store, and no unit is missing.

    Every event is acceptable and unique.
    """
    events = foodmart.events(EXCERPT)
    assert all(accept(event) for event in events)
    assert len({(event["source"], event["id"]) for event in events}) == len(events)
    assert [event["occurred_at"] for event in events] == sorted(
        event["occurred_at"] for event in events
    )
    placed = {event["order_id"]: event for event in events if event["type"] == "order_placed"}
    received = {
        event["order_id"]: event for event in events if event["type"] == "receipt_confirmed"
    }
    assert placed.keys() == received.keys()
    assert all(placed[order]["occurred_at"] <= received[order]["occurred_at"] for order in placed)
    assert (
        sum(len(event["lines"]) for event in placed.values())
        == len((EXCERPT / "transactions_1997.csv").read_text().splitlines()) - 1
    )
    returned = [event for event in events if event["type"] == "refund_succeeded"]
    in_file = sum(
        int(line.rpartition(",")[2])
        for line in (EXCERPT / "returns.csv").read_text().splitlines()[1:]
    )
    assert sum(line["quantity"] for event in returned for line in event["lines"]) == in_file


def test_returns_go_to_the_earliest_sale_or_an_unknown_order(tmp_path: Path) -> None:
    """Each unit is returned once, and not before its sale.

    One return may cover several orders.
    """
    (tmp_path / "products.csv").write_text("product id,product retail price\n1,2.85\n")
    (tmp_path / "transactions.csv").write_text(
        "transaction date,stock date,product id,customer id,store id,quantity\n"
        "2/10/1997,2/1/1997,1,77,6,1\n"
        "1/5/1997,12/30/1996,1,78,6,1\n"
        "1/5/1997,12/29/1996,1,78,6,2\n"
    )
    (tmp_path / "returns.csv").write_text(
        "return date,product id,store id,quantity\n"
        "3/1/1997,1,6,2\n1/1/1997,1,6,1\n1/5/1997,1,6,2\n3/1/1997,1,7,1\n"
    )
    events = foodmart.events(tmp_path)
    first = next(event for event in events if event["type"] == "order_placed")
    assert (first["order_id"], first["occurred_at"], len(first["lines"])) == (
        "1997-01-05-78-6",
        "1996-12-29T12:00:00Z",
        2,
    )
    assert first["lines"][0]["unit_price"] == 285
    refunds = [
        (
            event["id"],
            event["order_id"],
            [(line["line_id"], line["quantity"], line["amount"]) for line in event["lines"]],
        )
        for event in events
        if event["type"] == "refund_succeeded"
    ]
    assert refunds == [
        ("return-2-1", "unknown-2", [("1", 1, 285)]),
        ("return-3-1", "1997-01-05-78-6", [("1", 1, 285), ("2", 1, 285)]),
        ("return-1-1", "1997-01-05-78-6", [("2", 1, 285)]),
        ("return-1-2", "1997-02-10-77-6", [("1", 1, 285)]),
        ("return-4-1", "unknown-4", [("1", 1, 285)]),
    ]


def test_a_folder_that_lacks_a_file_is_named(tmp_path: Path) -> None:
    """The sentence names the missing file."""
    shutil.copy(EXCERPT / "products.csv", tmp_path)
    with pytest.raises(EventFileUnreadable, match=r"no transactions\*\.csv"):
        foodmart.events(tmp_path)
