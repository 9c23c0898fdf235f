"""The pages of topics are true: facts of the code, programs that run, examples that fit."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from jsonschema_rs import Draft202012Validator

from docs import topic_pages
from operations.contract import forms
from schemas.envelope import Unkeyed, read_without_key
from schemas.times import parse_ms
from tests.pages import program

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("page", topic_pages.PAGES, ids=lambda page: page.stem)
def test_every_topic_has_a_page_with_its_facts(page: Path) -> None:
    """Facts are those of the code: `make docs` was run."""
    text = page.read_text(encoding="utf-8")
    assert text == topic_pages.with_facts(text, page.stem)
    assert topic_pages.facts(page.stem) in text
    assert f"({page.name})" in (page.parent / "README.md").read_text(encoding="utf-8")


def test_complete_through_in_twenty_lines() -> None:
    """It is unknown until each partition has a mark of each, and then the least of the last."""
    page = topic_pages.FOLDER / "sales.md"
    journal = program(page)["Completeness"](2)
    code = page.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    at_ms = parse_ms("2026-07-01T00:00:00Z")

    def mark(partition: int, source: int, after_ms: int) -> None:
        row = {"type": "mark", "partition": source, "watermark_ms": at_ms + after_ms}
        journal.add(partition, row)

    for place in ((0, 0), (0, 1), (1, 0)):
        mark(*place, 1000)
        journal.add(1, {"type": "entry", "partition": 1})
        assert journal.through() is None
    mark(1, 1, 0)
    assert journal.through() == datetime(2026, 7, 1, tzinfo=UTC)
    mark(1, 1, 5000)
    assert journal.through() == datetime(2026, 7, 1, 0, 0, 1, tzinfo=UTC)
    journal.add(0, {"type": "mark", "partition": 1, "watermark_ms": None})
    assert journal.through() is None


def test_the_journal_that_is_answered() -> None:
    """The base's without a pointer, else that of the version which the pointer names."""
    journal = program(topic_pages.FOLDER / "control.md")["journal"]
    assert journal({}, "shop.") == "shop.sales"
    control = {
        "pointer": {"app": "netsold.r1"},
        "version/netsold.r1": {"app": "netsold.r1", "topic_prefix": "shop.netsold.r1."},
    }
    assert journal(control, "shop.") == "shop.netsold.r1.sales"


def test_a_table_of_rows() -> None:
    """It has the last row of each key, and is complete through the least of all partitions."""
    table = program(topic_pages.FOLDER / "product-sales.md")["Table"](2)
    first, last = ({"type": "product_sales", "restatements": number} for number in (0, 1))
    for row in (first, last):
        table.add(0, b"p-1@all", row)
    table.add(0, b"complete_through", {"type": "complete_through", "as_of": "2026-07-02"})
    table.add(1, b"x", {"type": "another"})
    assert table.rows == {b"p-1@all": last}
    assert table.through() is None
    table.add(1, b"complete_through", {"type": "complete_through", "as_of": None})
    assert table.through() is None
    table.add(1, b"complete_through", {"type": "complete_through", "as_of": "2026-07-01"})
    assert table.through() == "2026-07-01"


@pytest.mark.parametrize("page", ["sales", "product-sales", "shop-sales", "cycles", "alerts"])
def test_examples_fit_their_schemas(page: str) -> None:
    """Each line of JSON in a page is such a record."""
    text = (topic_pages.FOLDER / f"{page}.md").read_text(encoding="utf-8")
    examples = [json.loads(line) for line in text.splitlines() if line.startswith('{"')]
    assert examples
    schemas = {form.name: forms.schema_of(form) for form in forms.FORMS}
    for one in examples:
        name = "alert" if page == "alerts" else one["type"]
        Draft202012Validator(schemas[name]).validate(one)
        assert set(one) <= set(schemas[name]["properties"])


def test_examples_of_events_are_accepted() -> None:
    """What the page of orders imports."""
    text = (topic_pages.FOLDER / "orders.md").read_text(encoding="utf-8")
    lines = re.findall(r'\{"type".*\}(?=$|\')', text, re.MULTILINE)
    read = [read_without_key(line.encode()) for line in lines]
    assert [one.topic for one in read if isinstance(one, Unkeyed)] == ["orders"] * 2
