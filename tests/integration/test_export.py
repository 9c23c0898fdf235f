"""`netsold export`, `export verify` and `sql` on a real Kafka: under traffic, and killed."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from operations.commands.tables import from_changelogs
from operations.exporting.manifest import COMPLETE
from operations.exporting.places import place_of
from operations.oracle.recount import recount
from operations.recounting import recount_by
from schemas.times import DAY_MS
from tests.commands import netsold
from tests.exporting import content, cycle_sums, day_sums, queried, sums_of
from tests.faults.runner import Run, made
from tests.faults.workers import environment

if TYPE_CHECKING:
    from pathlib import Path

    from streams.settings import Settings

pytestmark = pytest.mark.kafka

KILLS = 6
SMALL_PARTS = """
import sys
from operations.exporting import journal_files
journal_files.FILE_ROWS = 25
from operations import cli
sys.argv = ["netsold", "export", "--to", sys.argv[1]]
cli.main()
"""
"""The command with parts of few rows, so that a kill may come between two of them."""


async def found(settings: Settings, *arguments: str) -> Any:  # noqa: ANN401 - a JSON object
    """The JSON object that a command prints."""
    code, output, errors = await netsold(settings, *arguments, "--json")
    assert code == 0, errors + output
    return json.loads(output)


def exporting(settings: Settings, directory: Path) -> subprocess.Popen[str]:
    """A running export with small parts."""
    return subprocess.Popen(
        [sys.executable, "-c", SMALL_PARTS, str(directory)],
        env=environment(settings),
        stderr=subprocess.PIPE,
        text=True,
    )


async def completed(settings: Settings, directory: Path) -> None:
    """Run an export with small parts to its end."""
    process = exporting(settings, directory)
    _, errors = await asyncio.to_thread(process.communicate)
    assert process.returncode == 0, errors


async def test_an_export_under_traffic_and_killed(settings: Settings, tmp_path: Path) -> None:
    """Exports under traffic are proven; at rest one is the tables, the recount, and a killed one.

    The last events restate an ended cycle.
    """
    under_traffic, killed, whole = (tmp_path / name for name in ("traffic", "killed", "whole"))
    events = made(22, 1500)
    with Run(settings, tmp_path) as run:
        await run.write(events[:600])
        run.workers.start("a")
        await run.progressed(300, restart=False)
        writing = asyncio.create_task(run.write(events[600:]))
        for _ in range(2):
            await found(settings, "export", "--to", str(under_traffic))
            verdict = await found(settings, "export", "verify", str(under_traffic))
            assert verdict["equal"]
        await writing
        await run.end_time()
        await run.caught_up(restart=False)
        began_s = time.monotonic()
        await completed(settings, whole)
        took_s = time.monotonic() - began_s
        rng, kills = Random(22), 0
        while kills < KILLS and not (killed / COMPLETE).exists():
            process = exporting(settings, killed)
            await asyncio.sleep(rng.uniform(0.3, 0.9) * took_s)  # a part of the random schedule
            process.kill()
            await asyncio.to_thread(process.communicate)
            kills += process.returncode == -9
            if not kills:  # it was faster than the one that was timed
                shutil.rmtree(killed)
                took_s /= 2
        assert kills
        # one more export of a complete one would merge its files
        if not (killed / COMPLETE).exists():
            await completed(settings, killed)
        last = await found(settings, "export", "--to", str(under_traffic))
        run.workers.stop()

    place = place_of(str(whole))
    contents = [content(place_of(str(path))) for path in (killed, whole)]
    numbers = [one.pop(COMPLETE) for one in contents]
    assert contents[0] == contents[1]
    assert numbers[0] == numbers[1]
    assert msgspec.to_builtins(numbers[1].datasets) == {
        name: {"rows": rows, "digest": numbers[0].datasets[name].digest}
        for name, rows in last["rows"].items()
    }
    assert (await found(settings, "export", "verify", str(whole)))["compared"] == [
        "product_cycles", "product_totals", "shop_cycles", "shop_totals", "product_service_cycles"
    ]  # fmt: skip

    tables = await from_changelogs(settings)
    counted = recount_by(settings.rules.values, run.events)
    daily = recount(run.events, DAY_MS, 0)
    for id_name, table, name in (
        ("product_id", "product_cycles", "products"),
        ("shop_id", "shop_cycles", "shops"),
    ):
        rows = cycle_sums(place, table, id_name)
        assert rows == sums_of(tables[name], id_name) == sums_of(counted[name], id_name)
        assert day_sums(place, id_name) == sums_of(daily[name], id_name)
    assert queried(place, "SELECT sum(entries) > 0 FROM restatements") == [(True,)]
    await bridges_alike(settings, whole)
    await refuses_what_differs(settings, whole)


async def bridges_alike(settings: Settings, directory: Path) -> None:
    """The bridge of an export is that of Kafka, and reconciles."""
    bridged = await found(settings, "bridge")
    assert bridged == await found(settings, "bridge", "--export", str(directory))
    assert bridged["reconciles"]
    assert any(row["amount"]["in_other_cycles"] for row in bridged["cycles"])


async def refuses_what_differs(settings: Settings, directory: Path) -> None:
    """Exit codes of verify and sql, and their output for people."""
    code, output, _ = await netsold(settings, "export", "verify", str(directory))
    assert code == 0
    assert ": equal; " in output
    query = "SELECT sum(amount_difference) AS difference FROM refund_bridge"
    sql = ("sql", "--export", str(directory))
    code, output, _ = await netsold(settings, *sql, query)
    assert (code, output.split()) == (0, ["difference", "0"])
    code, output, _ = await netsold(settings, *sql, "--json", "SELECT min(cycle_start) FROM cycles")
    assert json.loads(output)["min(cycle_start)"].endswith("T00:00:00Z")
    for refused, sentence in (
        ("COPY entries TO 'x.parquet'", "write one SELECT"),
        ("SELECT 1; SELECT 2", "write one SELECT"),
        ("SELECT * FROM read_text('/etc/hostname')", "disabled by configuration"),
    ):
        code, _, errors = await netsold(settings, *sql, refused)
        assert code == 2
        assert sentence in errors
    place = place_of(str(directory))
    path = next(iter(place.files("entries")))
    data = place.read(path) or b""
    place.write(path, data[:40] + bytes([data[40] ^ 1]) + data[41:])
    code, output, _ = await netsold(settings, "export", "verify", str(directory))
    assert code == 3
    assert path in output
    code, _, errors = await netsold(settings, "export", "verify", str(directory / "entries"))
    assert code == 4
    assert "has no _COMPLETE.json" in errors
