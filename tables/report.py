"""Tables in the form of `netsold recount`: the lists of the catalogue's `REPORT_LISTS`.

A reader answers single rows in the same forms.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from schemas import times
from tables import aftersales, catalogue, counting, figures, orders, overdue_rows, sales, service
from tables.catalogue import REPORT_LISTS, Table
from tables.cycles import Calendar
from tables.sales import Tally
from tables.terms import Terms

StoredRows = Iterable[tuple[bytes, bytes]]
"""(key, state's bytes) of a table's rows, in any order."""

ReportRow = dict[str, Any]
"""A row of a report, as JSON has it."""


def report(terms: Terms, tables: Mapping[str, StoredRows]) -> dict[str, list[ReportRow]]:
    """All lists of a report, each sorted; `tables` has the states by the tables' names."""
    found = {}
    for name, table in REPORT_LISTS.items():
        if table.form == "sales":
            rows = _sales_rows(terms, table, tables)
        else:
            rows = (
                row
                for key, state in tables[table.name]
                for row in rows_of(terms.calendar, table, *_split(table, key), state)
            )
        found[name] = sorted(rows, key=sort_key(name))
    return found


def sort_key(name: str) -> Callable[[ReportRow], tuple[str, ...]]:
    """What the rows of a report's list are sorted by."""
    table = REPORT_LISTS[name]
    fields = {
        "order": ("order_id", "anomaly", "line_id"),
        "overdue": ("shop_id", "buyer_id"),
    }.get(table.form, (table.keyed_by,))

    def key(row: ReportRow) -> tuple[str, ...]:
        # without the Z, as ".001Z" sorts before "Z" and is later
        cycle = (row["cycle"]["start"].removesuffix("Z"),) if "cycle" in row else ()
        return *(row.get(field, "") for field in fields), *cycle

    return key


def _split(table: Table, key: bytes) -> tuple[str, int | None]:
    return catalogue.split_cycle_key(key) if table.windowed else (key.decode(), None)


def rows_of(
    calendar: Calendar, table: Table, subject: str, start_ms: int | None, state: bytes
) -> list[ReportRow]:
    """The report's rows of one row of a table, for all forms but sales.

    `subject` is its id, or its conversation; `start_ms` the start of its cycle if it has one.
    """
    match table.form:
        case "order":
            return anomalies(subject, state)
        case "overdue":
            return [overdue(subject.encode(), state)]
        case "service":
            columns = service.decode(state).columns
            cycle = {} if start_ms is None else {"cycle": span(calendar, start_ms)}
            row = {table.keyed_by: subject} | cycle
            return [row | figures.FIGURES[table.keyed_by](columns)] if columns else []
        case form:
            raise NotImplementedError(f"no report has rows of the form {form}")


def _sales_rows(
    terms: Terms, table: Table, tables: Mapping[str, StoredRows]
) -> Iterator[ReportRow]:
    cycles: defaultdict[str, dict[int, Tally]] = defaultdict(dict)
    for key, state in tables[table.name]:
        subject, start_ms = catalogue.split_cycle_key(key)
        cycles[subject][start_ms] = sales.decode(state)
    totals = catalogue.find_table(table.keyed_by, "sales", windowed=False)
    sums = (
        {subject: all_time(tallies) for subject, tallies in cycles.items()}
        if totals is None
        else {key.decode(): sales.decode(state).net for key, state in tables[totals.name]}
    )
    for subject, tallies in cycles.items():
        yield from sales_rows(terms, table, subject, tallies, sums.get(subject, 0))


def sales_rows(
    terms: Terms, table: Table, subject: str, cycles: Mapping[int, Tally], total: int
) -> Iterator[ReportRow]:
    """The report's rows of one id in a table of sales, by cycle; cycles without sums have none.

    `total` is the net units of all time (C4).
    """
    for start_ms, tally in cycles.items():
        if tally.holds_anything:
            yield {table.keyed_by: subject} | sold(terms, start_ms, tally, total)


def all_time(cycles: Mapping[int, Tally]) -> int:
    """The net units of all time, from the sums of all cycles (C4)."""
    return sum(tally.net for tally in cycles.values())


def sold(terms: Terms, start_ms: int, tally: Tally, total: int) -> ReportRow:
    """The sales of an id in a cycle, without the id; `total` is its net units of all time (C4)."""
    return {
        "cycle": span(terms.calendar, start_ms),
        **tally.of_cycle(),
        "sold_monthly": tally.sold_monthly(terms.sold_monthly_basis),
        "successfully_traded": total,
    }


def span(calendar: Calendar, start_ms: int) -> dict[str, str]:
    """A cycle as it is answered."""
    return {"start": calendar.iso(start_ms), "end": calendar.iso(calendar.end_of(start_ms))}


def overdue(key: bytes, state: bytes) -> ReportRow:
    """An overdue inquiry (R2) as it is answered, from the key and state of its row."""
    shop_id, buyer_id = catalogue.split_conversation_key(key)
    row = overdue_rows.decode(state)
    return {
        "shop_id": shop_id,
        "buyer_id": buyer_id,
        "message_id": row.message_id,
        "order_id": row.order_id,
        "opened_at": times.format_ms(row.opened_ms),
        "due_at": times.format_ms(row.due_ms),
    }


def anomalies(order_id: str, state: bytes) -> list[ReportRow]:
    """The anomalies of an order, and of its lines where an anomaly concerns one."""
    order = orders.decode(state)
    found = counting.derive(order).anomalies | aftersales.review_anomalies(order)
    return [
        {"order_id": order_id, "anomaly": one.anomaly.value}
        | ({"line_id": one.line_id} if one.line_id else {})
        for one in sorted(found)
    ]
