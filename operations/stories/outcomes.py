"""The rows of tables in the words of stories, compared with those that a story expects."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tables import catalogue, service
from tables.report import report

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from operations.stories.parsing import Row, Story
    from tables.terms import Terms

LISTS = (("products", "product_id"), ("shops", "shop_id"))
COLUMNS = ("gross", "reversed", "reversals_booked")


@dataclass(frozen=True)
class Sold:
    """The sales of a report: rows of products and of shops, units of all cycles, anomalies.

    `shown` has `sold_monthly` by product and cycle.
    """

    products: list[Row]
    shops: list[Row]
    traded: dict[str, int]
    anomalies: list[tuple[str, ...]]
    shown: dict[tuple[str, str], int] = field(default_factory=dict)

    def differences(self, story: Story) -> list[str]:
        """The differences from the story. Rows of shops are optional in a story."""
        products = [row for row in story.rows if not row[0].startswith("s-")]
        shops = [row for row in story.rows if row[0].startswith("s-")]
        traded = {name: units for name, units in self.traded.items() if name in story.traded}
        found: list[str] = []
        if products or not story.shown:
            found += _different(map(_in_words, self.products), map(_in_words, products))
        if shops:
            found += _different(map(_in_words, self.shops), map(_in_words, shops))
        if story.shown:
            found += _different(_of_cycles("shows", self.shown), _of_cycles("shows", story.shown))
        return [
            *found,
            *_different(_of_ids("traded", traded), _of_ids("traded", story.traded)),
            *_different(_lines("anomaly", self.anomalies), _lines("anomaly", story.anomalies)),
        ]


@dataclass(frozen=True)
class Served:
    """The service of tables: columns of shops and products by cycle, and overdue conversations."""

    columns: dict[tuple[str, str], dict[str, int]]
    overdue: list[tuple[str, str]]

    def differences(self, story: Story) -> list[str]:
        """The differences from the story. Columns are optional in a story."""
        columns = _different(_served(self.columns), _served(story.served)) if story.serves else []
        overdue = _lines("overdue", self.overdue), _lines("overdue", story.overdue)
        return [*columns, *_different(*overdue)]


def _different(found: Iterable[str], expected: Iterable[str]) -> list[str]:
    """The lines that only one of the two has."""
    ours, theirs = Counter(found), Counter(expected)
    return [
        *(f"expected  {line}" for line in sorted((theirs - ours).elements())),
        *(f"found     {line}" for line in sorted((ours - theirs).elements())),
    ]


def _in_words(row: Row) -> str:
    id_, cycle, units, amounts = row
    money = "".join(
        f"  {currency} {' '.join(map(str, numbers))}" for currency, numbers in amounts.items()
    )
    return f"{id_}  {_short(cycle)}  {' '.join(map(str, units))}{money}"


def _short(cycle: str) -> str:
    return cycle.removesuffix("T00:00:00Z")


def _of_cycles(word: str, numbers: Mapping[tuple[str, str], int]) -> list[str]:
    return [f"{word} {id_}  {_short(cycle)}  {n}" for (id_, cycle), n in numbers.items()]


def _of_ids(word: str, numbers: Mapping[str, int]) -> list[str]:
    return [f"{word} {id_} {number}" for id_, number in numbers.items()]


def _lines(word: str, rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [" ".join((word, *row)) for row in rows]


def _served(columns: Mapping[tuple[str, str], Mapping[str, int]]) -> list[str]:
    return [
        f"served {id_}  {_short(cycle)}  "
        + " ".join(f"{name}={number}" for name, number in sorted(counted.items()))
        for (id_, cycle), counted in columns.items()
    ]


def sold(lists: Mapping[str, list[dict[str, Any]]], prefix: str = "") -> Sold:
    """The sales of a report, of the ids with a prefix, which the result omits."""

    def own(name: str, field: str) -> list[dict[str, Any]]:
        return [
            row | {field: row[field].removeprefix(prefix)}
            for row in lists[name]
            if row[field].startswith(prefix)
        ]

    products, shops = ([_row(row, field) for row in own(name, field)] for name, field in LISTS)
    traded = {
        row[field]: row["successfully_traded"] for name, field in LISTS for row in own(name, field)
    }
    anomalies = [tuple(row.values()) for row in own("anomalies", "order_id")]
    shown = {
        (row["product_id"], row["cycle"]["start"]): row["sold_monthly"]
        for row in own("products", "product_id")
    }
    return Sold(products, shops, traded, anomalies, shown)


def _row(row: dict[str, Any], field: str) -> Row:
    amounts = {
        currency: tuple(columns[column] for column in COLUMNS)
        for currency, columns in row["revenue"].items()
    }
    units = tuple(row["units"][column] for column in COLUMNS)
    return row[field], row["cycle"]["start"], units, amounts


def served(
    terms: Terms,
    tables: Mapping[str, Mapping[bytes, bytes]],
    lists: Mapping[str, list[dict[str, Any]]],
    prefix: str = "",
) -> Served:
    """The service of tables and of their report, in the same way, without bins of reply times."""
    columns = {}
    for table in (catalogue.SHOP_SERVICE_CYCLES, catalogue.PRODUCT_SERVICE_CYCLES):
        for key, state in tables[table.name].items():
            subject, start_ms = catalogue.split_cycle_key(key)
            counted = service.decode(state).columns
            if counted and subject.startswith(prefix):
                cycle = terms.calendar.iso(start_ms)
                columns[subject.removeprefix(prefix), cycle] = {
                    name: n for name, n in counted.items() if not name.startswith(service.REPLY_MS)
                }
    overdue = [
        (row["shop_id"].removeprefix(prefix), row["buyer_id"].removeprefix(prefix))
        for row in lists["overdue"]
        if row["shop_id"].startswith(prefix)
    ]
    return Served(columns, sorted(overdue))


def differences(
    story: Story, terms: Terms, tables: Mapping[str, Mapping[bytes, bytes]], prefix: str = ""
) -> list[str]:
    """The differences from the story, in tables made by some terms, for ids with a prefix."""
    lists = report(terms, {name: rows.items() for name, rows in tables.items()})
    return [
        *sold(lists, prefix).differences(story),
        *served(terms, tables, lists, prefix).differences(story),
    ]
