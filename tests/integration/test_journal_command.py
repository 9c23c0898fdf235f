"""`netsold journal` on a real log: what changed since an instant, and by which build and rules."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from operations.commands.tables import from_changelogs
from schemas import times
from schemas.columns import RULES
from schemas.journal import ProgressMark, Service, encode
from streams import topics
from streams.log_writer import Writer
from tables import catalogue
from tests.faults.runner import Run, made
from tests.faults.workers import environment

if TYPE_CHECKING:
    from pathlib import Path

    from streams.settings import Settings

pytestmark = pytest.mark.kafka

FIRST = """\
from streams import build
build.this_build = lambda: build.Build("1.0", "")
"""
SECOND = """\
from streams import build
build.this_build = lambda: build.Build("1.1", "")
from tables import entries
entries.RULES += 1
"""
"""Workers of other builds; the second one's entries name other rules."""

SUMS = ("units", "units_by_currency", "revenue")


async def journal(settings: Settings, *options: str) -> list[dict[str, Any]]:
    """The JSON objects that the command prints."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "operations.cli", "journal", "--json", *options],
        env=environment(settings),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


async def test_a_change_has_its_build_and_its_rules(settings: Settings, tmp_path: Path) -> None:
    """Two workers, one after the other: the command parts what they wrote by instants and by build.

    All sums together are the tables of products.
    """
    events = made(7, 600)
    with Run(settings, tmp_path) as run:
        await run.write(events[:300])
        first = run.workers.start("a", patch=FIRST)
        await run.caught_up(restart=False)
        run.workers.stop_one(first)
        between = times.format_ms(time.time_ns() // 1_000_000)
        await run.write(events[300:])
        run.workers.start("b", patch=SECOND)
        await run.caught_up(restart=False)
        run.workers.stop()

    (all_,) = await journal(settings, "--since", "2026-01-01T00:00:00Z", "--limit", "100000")
    writers = [(one["build"], one["rules"]) for one in all_["writers"]]
    # service rows name the rules of their own module, which the second worker did not change
    assert writers[0] == ("1.0", RULES)
    assert set(writers) == {("1.0", RULES), ("1.1", RULES + 1), ("1.1", RULES)}
    assert all_["complete"]
    assert all_["groups_left_out"] == 0
    tables = await from_changelogs(settings)
    counted = {
        (row["product_id"], row["cycle"]["start"]): [row[name] for name in SUMS]
        for row in tables["products"]
    }
    changed = {
        (group["product"], group["cycle"]): [group[name] for name in SUMS]
        for group in all_["groups"]
    }
    assert {key: sums for key, sums in changed.items() if any(sums[1:])} == counted

    (since,) = await journal(settings, "--since", between, "--by", "build,rules")
    (until,) = await journal(
        settings, "--since", "2026-01-01T00:00:00Z", "--until", between, "--by", "build"
    )
    assert {group["build"] for group in since["groups"]} == {"1.1"}
    assert [group["build"] for group in until["groups"]] == ["1.0"]
    rows = all_["total"]["entries"] + all_["total"]["service_rows"]
    parts = [one["total"] for one in (since, until)]
    assert sum(one["entries"] + one["service_rows"] for one in parts) == rows

    each = await journal(settings, "--since", between, "--each")
    assert len(each) == since["total"]["entries"] + since["total"]["service_rows"]
    assert {row["build"] for row in each} == {"1.1"}
    assert {row["rules"] for row in each if row["type"] == "entry"} == {RULES + 1}
    assert len({row["position"] for row in each}) == len(each)


async def test_a_span_that_ends_within_a_transaction(settings: Settings) -> None:
    """The row before its end has its build from the mark behind it; later rows do not count."""
    await topics.create(settings)
    topic = settings.topic(catalogue.SALES_TOPIC)
    row = Service(
        id="orders-0@5#s0", event_type="review_posted", event_id="e-1", event_source="/shop",
        occurred_at="2026-07-09T08:00:00.000Z", shop_id="s-1", product_id="p-1", rules=7,
        cycle="2026-07-06T00:00:00Z", columns={"reviews": 1}, restates=False,
    )  # fmt: skip
    later = msgspec.structs.replace(row, id="orders-0@9#s0")
    written: list[tuple[int, Service | ProgressMark]] = [
        (1000, row),
        (3000, ProgressMark("orders", 0, 5, None, build="1.0")),
        (4000, later),
        (4000, ProgressMark("orders", 0, 9, None, build="1.1")),
    ]
    async with Writer(settings) as writer:
        for at_ms, what in written:
            key = b"p-1" if isinstance(what, Service) else None
            value = encode(what)
            await writer.send(topic, key, value, partition=0, timestamp_ms=at_ms)
    whole, part, neither = [
        (await journal(settings, "--since", since, *until, "--by", "build,product"))[0]
        for since, until in (
            ("1970-01-01T00:00:00Z", ()),
            ("1970-01-01T00:00:01Z", ("--until", "1970-01-01T00:00:02Z")),
            ("1970-01-01T00:00:02Z", ("--until", "1970-01-01T00:00:03Z")),
        )
    ]
    assert [group["build"] for group in whole["groups"]] == ["1.0", "1.1"]
    ((group),) = part["groups"]
    assert (group["build"], group["product"], group["service"]) == ("1.0", "p-1", {"reviews": 1})
    assert part["positions"][f"{topic}-0"] == {"from": 0, "to": 4}, "what was read"
    assert neither["groups"] == neither["writers"] == []


async def test_rows_count_by_their_own_times(settings: Settings) -> None:
    """Behind the first row of a span stand some that were written before it, and of its time."""
    await topics.create(settings)
    topic = settings.topic(catalogue.SALES_TOPIC)
    async with Writer(settings) as writer:
        for number, at_ms in enumerate((1000, 2000, 1976, 3000, 2500)):
            row = Service(
                id=f"orders-0@{number}#s0", event_type="review_posted", event_id=str(number),
                event_source="/shop", occurred_at="2026-07-09T08:00:00.000Z", shop_id="s-1",
                product_id=f"p-{number}", rules=7, cycle="2026-07-06T00:00:00Z",
                columns={"reviews": 1}, restates=False,
            )  # fmt: skip
            await writer.send(topic, b"p-1", encode(row), partition=0, timestamp_ms=at_ms)
    span = ("--since", "1970-01-01T00:00:02Z", "--until", "1970-01-01T00:00:03Z")
    rows = await journal(settings, *span, "--each")
    assert [row["product_id"] for row in rows] == ["p-1", "p-4"]
    (one,) = await journal(settings, *span, "--each", "--product", "p-4", "--shop", "s-1")
    assert one["product_id"] == "p-4"
    assert await journal(settings, *span, "--each", "--order", "o-1") == []
