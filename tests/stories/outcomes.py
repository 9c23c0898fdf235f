"""The contents of tables in the words of stories, for comparison at every level of tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tables import catalogue, service
from tables.report import report
from tests.flow import CYCLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.story import Row, Story

LISTS = (("products", "product_id"), ("shops", "shop_id"))
COLUMNS = ("gross", "reversed", "reversals_booked")


@dataclass(frozen=True)
class Sold:
    """The sales of a report: rows of products and of shops, units of all cycles, anomalies."""

    products: list[Row]
    shops: list[Row]
    traded: dict[str, int]
    anomalies: list[tuple[str, ...]]

    def differences(self, story: Story) -> list[str]:
        """The differences from the story. Rows of shops are optional in a story."""
        products = [row for row in story.rows if not row[0].startswith("s-")]
        shops = [row for row in story.rows if row[0].startswith("s-")]
        traded = {subject: self.traded.get(subject) for subject in story.traded}
        return [
            *_different("products", self.products, products),
            *(_different("shops", self.shops, shops) if shops else ()),
            *_different("traded", traded, story.traded),
            *_different("anomalies", self.anomalies, story.anomalies),
        ]


@dataclass(frozen=True)
class Served:
    """The service of tables: columns of shops and products by cycle, and overdue conversations."""

    columns: dict[tuple[str, str], dict[str, int]]
    overdue: list[tuple[str, str]]

    def differences(self, story: Story) -> list[str]:
        """The differences from the story. Columns are optional in a story."""
        has_any = story.served or story.overdue
        return [
            *(_different("served", self.columns, story.served) if has_any else ()),
            *_different("overdue", self.overdue, sorted(story.overdue)),
        ]


def _different(what: str, found: object, expected: object) -> list[str]:
    return [] if found == expected else [f"{what}: found {found!r}, expected {expected!r}"]


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
    return Sold(products, shops, traded, anomalies)


def _row(row: dict[str, Any], field: str) -> Row:
    amounts = {
        currency: tuple(columns[column] for column in COLUMNS)
        for currency, columns in row["revenue"].items()
    }
    units = tuple(row["units"][column] for column in COLUMNS)
    return row[field], row["cycle"]["start"], units, amounts


def served(
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
                columns[subject.removeprefix(prefix), CYCLES.iso(start_ms)] = {
                    name: n for name, n in counted.items() if not name.startswith(service.REPLY_MS)
                }
    overdue = [
        (row["shop_id"].removeprefix(prefix), row["buyer_id"].removeprefix(prefix))
        for row in lists["overdue"]
        if row["shop_id"].startswith(prefix)
    ]
    return Served(columns, sorted(overdue))


def differences(
    story: Story, tables: Mapping[str, Mapping[bytes, bytes]], prefix: str = ""
) -> list[str]:
    """The differences from the story, in tables of a 30-day calendar, for ids with a prefix."""
    lists = report(CYCLES, {name: rows.items() for name, rows in tables.items()})
    return [
        *sold(lists, prefix).differences(story),
        *served(tables, lists, prefix).differences(story),
    ]
