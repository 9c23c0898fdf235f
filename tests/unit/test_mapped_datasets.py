"""Two public data sets by mapping alone: the tables equal plain SQL over the raw files."""

from __future__ import annotations

import os
import random
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from operations.oracle.recount import recount
from tests.mapping import CYCLE_MS, SAMPLES, made

if TYPE_CHECKING:
    from tests.mapping import Made

DATA = Path(__file__).parents[1] / "data"

# Of one key (what returns are assigned by), with S(t) units sold and R(t) returned up to an
# instant: M(t) = min over s ≤ t of S(s) + R(t) - R(s), and R(t), are matched up to t. The first M
# units sold are reversed. Tables sale (at, key, product, shop, price, units, n), refund (at, key,
# product, shop, price, units) are made by each data set.
MATCHED = """
CREATE MACRO cycle_of(moment) AS epoch_ms(moment) // 2592000000;
CREATE TABLE step AS
    SELECT key, moment, sum(sold) AS sold, sum(returned) AS returned FROM (
        SELECT key, moment, units AS sold, 0 AS returned FROM sale
        UNION ALL SELECT key, moment, 0, units FROM refund
    ) GROUP BY ALL;
CREATE TABLE matched AS
    SELECT key, moment, least(r, r + min(s - r) OVER (PARTITION BY key ORDER BY moment)) AS up_to
    FROM (SELECT key, moment, sum(sold) OVER w AS s, sum(returned) OVER w AS r
          FROM step WINDOW w AS (PARTITION BY key ORDER BY moment));
CREATE TABLE booked AS
    SELECT key, moment,
           up_to - coalesce(lag(up_to) OVER (PARTITION BY key ORDER BY moment), 0) AS units
    FROM matched;
CREATE TABLE reversed AS
    SELECT moment, shop, product, price, units,
           greatest(0, least(units, coalesce(m.total, 0) - (
               sum(units) OVER (PARTITION BY key ORDER BY moment, n) - units))) AS back
    FROM sale LEFT JOIN (SELECT key, max(up_to) AS total FROM matched GROUP BY ALL) m USING (key);
CREATE TABLE of_key AS SELECT DISTINCT key, product, shop, price FROM sale;
"""
ANSWER = """
SELECT {of}, cycle_of(moment), sum(gross)::BIGINT, sum(back)::BIGINT, sum(late)::BIGINT,
       sum(gross * price)::BIGINT, sum(back * price)::BIGINT, sum(late * price)::BIGINT
FROM (SELECT moment, shop, product, price, units AS gross, back, 0 AS late FROM reversed
      UNION ALL SELECT b.moment, k.shop, k.product, k.price, 0, 0, b.units
      FROM booked b JOIN of_key k USING (key))
GROUP BY ALL
HAVING bool_or(gross <> 0 OR back <> 0 OR late <> 0)
"""

FOODMART = """
CREATE TABLE sale AS
    SELECT strptime(t."transaction date", '%m/%d/%Y') + INTERVAL 12 HOURS AS moment,
           t."store id" || '/' || t."product id" AS key, t."product id" AS product,
           t."store id" AS shop, t.quantity::INT AS units, t.rowid AS n,
           round(p."product retail price"::DECIMAL(9, 2) * 100)::INT AS price
    FROM transactions t JOIN products p USING ("product id");
CREATE TABLE refund AS
    SELECT strptime("return date", '%m/%d/%Y') + INTERVAL 12 HOURS AS moment,
           "store id" || '/' || "product id" AS key, quantity::INT AS units
    FROM returns;
"""

# Rows that are no amounts of pounds and pence are refused, and with them their invoices; a guest's
# return has nothing that names its sale.
RETAIL = """
CREATE TABLE row AS
    SELECT *, quantity::INT AS units, UnitPrice::DECIMAL(18, 6) * 100 AS pence,
           timezone('UTC', timezone('Europe/London', InvoiceDate::TIMESTAMP)) AS moment,
           CustomerID || '/' || StockCode || '/' || UnitPrice AS of_buyer
    FROM invoices;
CREATE TABLE odd AS
    SELECT * FROM row
    WHERE pence < 0 OR pence <> floor(pence) OR (units < 0 AND CustomerID IS NULL);
CREATE TABLE sale AS
    SELECT moment, coalesce(of_buyer, 'guest/' || n) AS key, StockCode AS product,
           'online-retail' AS shop, units, pence::INT AS price, n
    FROM row WHERE units > 0 AND InvoiceNo NOT IN (SELECT InvoiceNo FROM odd WHERE units > 0);
CREATE TABLE refund AS
    SELECT moment, of_buyer AS key, -units AS units FROM row
    WHERE units < 0 AND n NOT IN (SELECT n FROM odd);
"""

Answers = dict[str, dict[tuple[Any, ...], tuple[int, ...]]]


def _answers(database: duckdb.DuckDBPyConnection) -> Answers:
    database.execute(MATCHED)
    found: Answers = {}
    for table, of in (("products", "product"), ("shops", "shop")):
        rows = database.execute(ANSWER.format(of=of)).fetchall()
        found[table] = {(name, cycle): tuple(numbers) for name, cycle, *numbers in rows}
    return found


def _sums(tables: dict[str, list[dict[str, Any]]], currency: str) -> Answers:
    columns = ("gross", "reversed", "reversals_booked")
    found: Answers = {}
    for table, name in (("products", "product_id"), ("shops", "shop_id")):
        found[table] = {}
        for row in tables[table]:
            cycle = (date.fromisoformat(row["cycle"]["start"][:10]) - date(1970, 1, 1)).days // 30
            revenue = row["revenue"].get(currency, dict.fromkeys(columns, 0))
            assert row["revenue"].keys() <= {currency}
            found[table][row[name], cycle] = tuple(
                sums[column] for sums in (row["units"], revenue) for column in columns
            )
    return found


def _agree(found: Made, expected: Answers, currency: str) -> None:
    assert len(expected["products"]) > 60
    assert any(row[1] != row[2] for row in expected["products"].values())
    assert _sums(found.tables, currency) == expected
    random.Random(1).shuffle(found.events)
    counted = recount(found.events, CYCLE_MS, 0)
    assert counted["anomalies"] == []
    assert _sums(counted, currency) == expected


def _foodmart(folder: Path) -> None:
    files = [path for path in sorted(folder.glob("*.csv*")) if "stores" not in path.name]
    found = made(SAMPLES / "foodmart" / "mapping.toml", files)
    assert found.refused == {}
    with duckdb.connect() as database:
        for path in files:
            table = path.name.partition(".")[0].partition("_")[0]
            database.execute(
                f"CREATE TABLE {table} AS SELECT * FROM read_csv(?, all_varchar = true)",
                [str(path)],
            )
        rows = sum(
            database.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
            for table in ("transactions", "returns", "products")
        )
        assert found.counts.rows == rows
        database.execute(FOODMART)
        _agree(found, _answers(database), "USD")


def _retail(files: list[Path]) -> Made:
    found = made(SAMPLES / "online-retail" / "mapping.toml", files)
    with duckdb.connect() as database:
        database.execute(
            "SET threads = 1; CREATE TABLE invoices AS"
            " SELECT *, row_number() OVER () AS n FROM read_csv(?, all_varchar = true)",
            [[str(path) for path in files]],
        )
        database.execute(RETAIL)
        expected = _answers(database)
        _agree(found, expected, "GBP")
        left_out = "SELECT count(*), count(DISTINCT InvoiceNo) FILTER (units > 0) FROM odd"
        (odd, invoices) = database.execute(left_out).fetchall()[0]
    places = list(found.refused.values())
    assert sum("column" in why for why in places) == odd
    assert sum("order_placed" in why for why in places) <= invoices
    return found


def test_foodmart_counts_as_by_sql() -> None:
    """Orders of rows, prices of a list, and returns without an order: equal to the cent."""
    _foodmart(DATA / "foodmart")


def test_online_retail_counts_as_by_sql() -> None:
    """Negative quantities are returns of earlier invoices; odd rows are refused by their lines."""
    path = DATA / "online-retail" / "invoices.csv"
    found = _retail([path])
    lines = path.read_text(encoding="utf-8").splitlines()
    refused = {
        int(at.rpartition(":")[2]): why for at, why in found.refused.items() if "column" in why
    }
    assert {lines[number - 1].split(",")[-3] for number in refused} == {"0.001", "-11062.06"}
    assert all("UnitPrice" in why for why in refused.values())


@pytest.mark.skipif(
    "FOODMART" not in os.environ, reason="name the folder of the whole sample in FOODMART"
)
def test_the_whole_of_foodmart_counts_as_by_sql() -> None:
    """86,837 transactions and 7,087 returns are equal to the cent."""
    _foodmart(Path(os.environ["FOODMART"]))


@pytest.mark.skipif(
    "ONLINE_RETAIL" not in os.environ, reason="name the folder of the whole set in ONLINE_RETAIL"
)
def test_the_whole_of_online_retail_counts_as_by_sql() -> None:
    """541,909 rows of invoices are equal to the penny."""
    _retail(sorted(Path(os.environ["ONLINE_RETAIL"]).glob("*.csv")))
