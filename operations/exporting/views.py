"""An export as a database of DuckDB: a view for each dataset, and views that answer questions.

Only files that `_COMPLETE.json` names are read, so an export that runs meanwhile is not seen.
"""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Final, NamedTuple

from operations.exporting.files import add_view, readable
from operations.exporting.forms import DATASETS
from operations.exporting.libraries import arrow, bounded, quoted
from operations.exporting.manifest import COMPLETE, Complete, NoExport
from operations.exporting.places import ExportDamaged
from operations.local.data_dir import full_disk
from schemas.money import DECIMALS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

    from operations.exporting.places import Place

_SUMS: Final = ("units_gross", "units_reversed", "units_booked")
_ALL_SUMS: Final = (*_SUMS, *[name.replace("units", "amount") for name in _SUMS])
_SUMMED: Final = ", ".join(f"sum({name})::BIGINT AS {name}" for name in _ALL_SUMS)
_NETS: Final = (
    "sum(units_gross - units_reversed)::BIGINT AS units_net,"
    " sum(amount_gross - amount_reversed)::BIGINT AS amount_net"
)
_ANY: Final = " OR ".join(f"sum({name}) <> 0" for name in _ALL_SUMS)


class View(NamedTuple):
    """A view that answers a question: what it shows, and its query."""

    contents: str
    query: str


def _bridge(measure: str) -> str:
    """The columns of the bridge for units or amounts.

    What stays in the cycle is found twice, by the refund's time and by the sale's.
    """
    in_sale = f"sum({measure}_reversed) FILTER (cycle_of(refunded_at) = cycle_start)"
    in_refund = f"sum({measure}_booked) FILTER (cycle_of(sold_at) = cycle_start)"
    return (
        f"sum({measure}_gross)::BIGINT AS {measure}_gross,"
        f" sum({measure}_reversed)::BIGINT AS {measure}_reversed,"
        f" (sum({measure}_reversed) - coalesce({in_sale}, 0))::BIGINT AS {measure}_in_other_cycles,"
        f" (sum({measure}_booked) - coalesce({in_refund}, 0))::BIGINT AS {measure}_of_other_cycles,"
        f" sum({measure}_booked)::BIGINT AS {measure}_booked,"
        f" (coalesce({in_sale}, 0) - coalesce({in_refund}, 0))::BIGINT AS {measure}_difference"
    )


VIEWS: Final = {
    "sales_by_day": View(
        contents=(
            "sales by UTC day, product, shop and currency: gross and reversed on the sale's day,"
            " booked on the refund's"
        ),
        query=f"""
        SELECT day, product_id, shop_id, currency, {_SUMMED}, {_NETS}
        FROM (
            SELECT day_of(sold_at) AS day, product_id, shop_id, currency,
                units_gross, units_reversed, 0 AS units_booked,
                amount_gross, amount_reversed, 0 AS amount_booked
            FROM entries
            UNION ALL
            SELECT day_of(refunded_at), product_id, shop_id, currency,
                0, 0, units_booked, 0, 0, amount_booked
            FROM entries WHERE refunded_at IS NOT NULL
        )
        GROUP BY day, product_id, shop_id, currency HAVING {_ANY}
        """,
    ),
    "cycles": View(
        contents="sales of all products by cycle and currency, from the table of products",
        query=f"""
        SELECT cycle_start, cycle_end(cycle_start) AS cycle_end,
            cycle_end(cycle_start) <= any_value(about.complete_through) AS ended,
            currency, {_SUMMED}, {_NETS}
        FROM product_cycles, about WHERE currency IS NOT NULL
        GROUP BY cycle_start, currency
        """,
    ),
    "refund_bridge": View(
        contents=(
            "refunds by cycle and currency, from basis sale to basis refund: reversed minus"
            " in_other_cycles plus of_other_cycles is booked"
        ),
        query=f"""
        SELECT cycle_start, currency, {_bridge("units")}, {_bridge("amount")}
        FROM entries GROUP BY cycle_start, currency
        """,
    ),
    "restatements": View(
        contents="entries that changed a cycle after its end, by cycle and currency",
        query=f"""
        SELECT cycle_start, currency, count(*) AS entries, {_SUMMED}, {_NETS},
            min(written_at) AS first_written, max(written_at) AS last_written
        FROM entries WHERE restates GROUP BY cycle_start, currency
        """,
    ),
}
"""By name."""


def complete_of(place: Place) -> Complete:
    """What an export records about itself. Raises NoExport and ExportDamaged."""
    found = place.read_json(COMPLETE, Complete)
    if found is None:
        raise NoExport(f"{place.root} has no {COMPLETE}: run `netsold export --to` first")
    return found


def database(place: Place, complete: Complete) -> DuckDBPyConnection:
    """A database with the views of an export. Raises ExtraMissing and ExportDamaged."""
    import duckdb

    connection = bounded()
    try:
        for name, files in readable(complete.files).items():
            add_view(connection, place, DATASETS[name], files)
    except duckdb.Error as error:
        connection.close()
        raise unreadable(error) from error
    _add_about(connection, complete)
    for name, view in VIEWS.items():
        connection.execute(f"CREATE VIEW {name} AS {view.query}")
    return connection


def unreadable(error: Exception) -> Exception:
    """DuckDB's error about a file, with the way to all that is damaged.

    It writes only temporary files: where their disk is full, an OSError.
    """
    full = full_disk(error)
    if full is not None:
        return OSError(full, os.strerror(full), tempfile.gettempdir())
    line = str(error).partition("\n")[0]
    return ExportDamaged(
        f"DuckDB cannot read the export ({line}): `netsold export verify` names what is damaged"
    )


def _add_about(connection: DuckDBPyConnection, complete: Complete) -> None:
    """What is known about the export, the currencies, and functions of cycles and days."""
    terms = complete.terms
    connection.execute(
        "CREATE TABLE about AS SELECT ?::BIGINT AS number, ?::TIMESTAMPTZ AS written_at,"
        " ?::TIMESTAMPTZ AS complete_through, ? AS app, ?::BIGINT AS rules,"
        " ?::BIGINT AS cycle_ms, ?::BIGINT AS anchor_ms",
        [
            complete.number,
            complete.written_at,
            complete.complete_through,
            terms.app,
            terms.rules,
            terms.cycle_ms,
            terms.anchor_ms,
        ],
    )
    fill(connection, "currencies", ("currency", "decimals"), list(DECIMALS.items()))
    length, anchor = terms.cycle_ms, terms.anchor_ms
    into = f"(((epoch_ms(t) - {anchor}) % {length} + {length}) % {length})"
    connection.execute(
        f"CREATE MACRO cycle_of(t) AS make_timestamptz(1000 * (epoch_ms(t) - {into}))"
    )
    connection.execute(
        f"CREATE MACRO cycle_end(t) AS make_timestamptz(1000 * (epoch_ms(t) + {length}))"
    )
    connection.execute("CREATE MACRO day_of(t) AS (t AT TIME ZONE 'UTC')::DATE")


def fill(
    connection: DuckDBPyConnection,
    name: str,
    columns: Sequence[str],
    rows: Sequence[tuple[str | int, ...]],
) -> None:
    """A table of texts and integers; the kinds are those of the first row, which there must be."""
    pa = arrow()
    values = {
        column: list(found) for column, found in zip(columns, zip(*rows, strict=True), strict=True)
    }
    connection.register("filled", pa.table(values))
    connection.execute(f"CREATE TABLE {name} AS FROM filled")
    connection.unregister("filled")


def close_in(connection: DuckDBPyConnection, place: Place, complete: Complete) -> None:
    """Let queries read the files of the export alone, and change no setting."""
    paths = ", ".join(f"'{quoted(place.full(one.path))}'" for one in complete.files)
    connection.execute(f"SET allowed_paths = [{paths}]")
    connection.execute("SET enable_external_access = false; SET lock_configuration = true")
