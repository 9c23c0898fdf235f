"""The datasets of an export: their columns, types, order and digest.

A row of a table of sales has one currency; a row of service has one figure. Money is in minor units
of its currency, times are UTC in milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from operations.exporting.libraries import arrow
from schemas.columns import SALE_COLUMNS, SUMMED
from schemas.errors import NetsoldError
from schemas.times import format_short, parse_ms
from tables import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tables.catalogue import Table

Kind = Literal["text", "int", "time", "flag"]

SQL_TYPES: Final[dict[Kind, str]] = {
    "text": "VARCHAR",
    "int": "BIGINT",
    "time": "TIMESTAMP WITH TIME ZONE",
    "flag": "BOOLEAN",
}


class NumberTooLarge(NetsoldError):
    """A sum that no integer of 64 bits is large enough for."""


class Column(NamedTuple):
    """A column of a dataset."""

    name: str
    kind: Kind
    contents: str


class Dataset(NamedTuple):
    """A set of files with the same columns; `by_cycle`: with a directory for each cycle.

    Rows of a file are sorted by `sorted_by`. `table` is the table that it shows, None for the rows
    of the journal.
    """

    name: str
    contents: str
    columns: tuple[Column, ...]
    sorted_by: tuple[str, ...]
    by_cycle: bool
    table: Table | None = None

    def schema(self) -> Any:  # noqa: ANN401 - a pyarrow.Schema
        """The types of its files."""
        pa = arrow()
        types = {
            "text": pa.string(),
            "int": pa.int64(),
            "time": pa.timestamp("ms", tz="UTC"),
            "flag": pa.bool_(),
        }
        return pa.schema([(one.name, types[one.kind]) for one in self.columns])

    def filled(self, rows: Sequence[tuple[Any, ...]]) -> Any:  # noqa: ANN401 - a pyarrow.Table
        """Rows as a table of Arrow; times are epoch milliseconds, or ISO 8601 with `Z`.

        Raises NumberTooLarge.
        """
        pa, schema = arrow(), self.schema()
        found = zip(*rows, strict=True) if rows else [()] * len(schema)
        arrays = []
        for field, values in zip(schema, found, strict=True):
            first = next((value for value in values if value is not None), None)
            written = isinstance(first, str)
            try:
                array = pa.array(values, pa.string() if written else field.type)
            except OverflowError as error:
                raise NumberTooLarge(
                    f"{self.name}: a number in {field.name} has more than 64 bits: {max(values)}"
                ) from error
            arrays.append(array.cast(field.type) if written else array)
        return pa.Table.from_arrays(arrays, schema=schema)

    def digest_sql(self, relation: str) -> str:
        """The query of the number of rows of a relation, and of their digest.

        The digest is the sum of 64 bits of each row's MD5, so their order does not matter, and
        digests of files add up.
        """
        texts = [
            f"coalesce({f'epoch_ms({name})' if kind == 'time' else name}::VARCHAR, '~')"
            for name, kind, _ in self.columns
        ]
        row = f"md5_number_lower(concat_ws(chr(31), {', '.join(texts)}))"
        return f"SELECT count(*), coalesce(sum({row}), 0)::VARCHAR FROM {relation}"


_SUBJECTS: Final = {
    "product_id": Column("product_id", "text", "the product"),
    "shop_id": Column("shop_id", "text", "the shop"),
}
_CYCLE: Final = Column("cycle_start", "time", "the start of the cycle")
_CURRENCY: Final = Column("currency", "text", "ISO 4217; amounts are in its minor units")
_MEASURES: Final = {"units": "units", "amount": "minor units of money", "orders": "orders"}
_SUMS: Final = {
    "gross": "sold, by the instant of the sale",
    "reversed": "taken off by refunds, by the instant of the sale (basis sale)",
    "booked": "taken off by refunds, by the instant of the refund (basis refund)",
    "orders": "that count for the buyer (R6)",
}


_CAUSE: Final = (
    Column("event_type", "text", "the type of the event"),
    Column("event_id", "text", "the id of the event"),
    Column("event_source", "text", "the source of the event"),
    Column("occurred_at", "time", "when the event happened"),
    Column("rules", "int", "the version of the rules"),
    Column("terms", "text", "the name of the terms; `netsold rules show` prints it"),
)
_PLACE: Final = (
    Column("journal_partition", "int", "the partition of the journal's row"),
    Column("journal_offset", "int", "its offset; unique in the partition"),
    Column("written_at", "time", "when it was written (log time)"),
)


def _summed(columns: Iterable[str]) -> tuple[Column, ...]:
    return tuple(
        Column(
            name,
            "int",
            f"{_MEASURES[name.partition('_')[0]]}: {_SUMS[name.rpartition('_')[2]]}",
        )
        for name in columns
    )


ENTRIES: Final = Dataset(
    "entries",
    "the entries of the sales journal: signed changes of sums, one row an entry",
    (
        *_summed(SALE_COLUMNS),
        _SUBJECTS["product_id"],
        _CURRENCY,
        _CYCLE,
        Column("restates", "flag", "whether the cycle had ended (S13)"),
        Column("entry_id", "text", "the event's position, and the entry's index; unique"),
        _SUBJECTS["shop_id"],
        Column("buyer_id", "text", "the buyer"),
        Column("order_id", "text", "the order"),
        Column("line_id", "text", "the line of the order"),
        Column("sold_at", "time", "the receipt by which the line is a sale (S2)"),
        *_CAUSE,
        Column("refund_id", "text", "the refund that the entry is about; null for a sale"),
        Column("refunded_at", "time", "when that refund succeeded"),
        Column("source", "text", "the partition of the event, such as orders-3"),
        Column("source_offset", "int", "the offset of the event"),
        *_PLACE,
    ),
    ("cycle_start", "product_id", "sold_at", "journal_partition", "journal_offset"),
    by_cycle=True,
)

SERVICE_CHANGES: Final = Dataset(
    "service_changes",
    "the service rows of the sales journal: signed changes of products' figures, one row a figure",
    (
        _SUBJECTS["product_id"],
        _CYCLE,
        Column("figure", "text", "a column of service, such as reviews"),
        Column("change", "int", "how much it changes"),
        Column("restates", "flag", "whether the cycle had ended (S13)"),
        Column("row_id", "text", "the event's position, and the row's index"),
        _SUBJECTS["shop_id"],
        *_CAUSE,
        *_PLACE,
    ),
    ("cycle_start", "product_id", "journal_partition", "journal_offset", "figure"),
    by_cycle=True,
)

RESTATEMENTS: Final = "restatements"
"""The figure of service that counts restatements; the column of sales that does."""

_SALES_COLUMNS: Final = (
    _CURRENCY,
    *_summed(SUMMED),
    Column(
        RESTATEMENTS,
        "int",
        "entries that restate, of all currencies: in the row of the first currency, else 0",
    ),
)
_SERVICE_COLUMNS: Final = (
    Column("figure", "text", f"a column of service, such as reviews, or `{RESTATEMENTS}`"),
    Column("value", "int", "the sum of its changes"),
)


def _of_table(table: Table) -> Dataset:
    subject = _SUBJECTS[table.keyed_by]
    cycle = (_CYCLE,) if table.windowed else ()
    own = _SALES_COLUMNS if table.form == "sales" else _SERVICE_COLUMNS
    keys = (*[one.name for one in cycle], subject.name, own[0].name)
    columns = (subject, *cycle, *own)
    return Dataset(table.name, table.contents, columns, keys, table.windowed, table)


TABLE_DATASETS: Final = tuple(
    _of_table(table) for table in catalogue.TABLES if table.form in {"sales", "service"}
)
DATASETS: Final = {one.name: one for one in (ENTRIES, SERVICE_CHANGES, *TABLE_DATASETS)}
"""By name, such as `entries` or `product_cycles`."""


def cycle_name(start_ms: int) -> str:
    """The name of a cycle in directories: its first day, with the time of day if it has one."""
    return format_short(start_ms).removesuffix("T00:00:00Z").replace(":", "-")


def start_of_name(name: str) -> int:
    """The start of the cycle of such a name, in epoch milliseconds."""
    day, _, time = name.partition("T")
    return parse_ms(f"{day}T{time.replace('-', ':') or '00:00:00Z'}")
