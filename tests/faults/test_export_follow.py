"""`netsold export --follow` through kills, a broker that restarts, and a promotion."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from operations.exporting.places import place_of
from operations.exporting.views import complete_of
from streams import topics
from tests.commands import netsold
from tests.faults.brokers import READY_S
from tests.faults.runner import Run, made
from tests.faults.workers import Workers
from tests.two_versions import in_environment, point, register, weekly_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from operations.local.kafka import LocalKafka
    from streams.settings import Settings
    from tests.faults.workers import Worker

pytestmark = pytest.mark.faults

WITHIN_S = 60.0


class Exports:
    """Processes that follow into one directory and one Iceberg catalogue."""

    def __init__(self, run: Run, directory: Path) -> None:
        self._run, self.directory = run, str(directory)
        self._processes = Workers(run.settings, directory.parent)
        self._begun = 0

    def start(self) -> Worker:
        """Start another process."""
        self._begun += 1
        options = ("--follow", "--every", "1s", "--iceberg", "lake", "--json")
        return self._processes.command(
            f"follow-{self._begun}", "export", "--to", self.directory, *options
        )

    async def until(self, process: Worker, condition: Callable[[dict[str, Any]], bool]) -> None:
        """Wait for an export of a process that is as it should be."""

        async def found() -> bool:
            assert process.alive, process.log.read_text(encoding="utf-8")
            return any(condition(line) for line in process.lines())

        await self._run.until(found, WITHIN_S, restart=False)

    async def verified(self) -> None:
        """The proof of the files and of the tables."""
        arguments = ("export", "verify", self.directory, "--iceberg", "lake", "--json")
        code, output, errors = await netsold(self._run.settings, *arguments)
        assert code == 0, output + errors

    def end(self) -> None:
        """End what still runs."""
        self._processes.__exit__()


@pytest.fixture(autouse=True)
def _lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An Iceberg catalogue in SQLite, named by the environment."""
    (tmp_path / "lake").mkdir()
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__URI", f"sqlite:///{tmp_path}/lake.db")
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__WAREHOUSE", f"file://{tmp_path}/lake")


async def test_exports_that_go_on(settings: Settings, tmp_path: Path, kafka: LocalKafka) -> None:
    """Killed and started again, through a restart of the broker, the files are those of one export.

    Ctrl-C ends it in order. After a promotion it exports that version.
    """
    events = made(41, 1500)
    with Run(settings, tmp_path) as run:
        exports = Exports(run, tmp_path / "exports")
        try:
            await run.write(events[:500])
            run.workers.start("a")
            await run.progressed(300, restart=False)
            await killed(exports)
            follower = exports.start()
            await exports.until(follower, lambda _: True)
            await run.write(events[500:1000])
            await asyncio.to_thread(kafka.kill)
            await exports_fail(run, follower)
            await asyncio.to_thread(kafka.start, READY_S)
            await run.write(events[1000:])
            await run.end_time()
            await run.caught_up(restart=False)
            whole = await exported(settings, tmp_path / "whole")
            await exports.until(follower, lambda line: line["rows"] == whole["rows"])
            await promoted(exports, follower, settings, tmp_path)
            follower.signal(signal.SIGINT)
            assert await run.ends(follower) == 0
            await exports.verified()
        finally:
            await asyncio.to_thread(kafka.start, READY_S)
            exports.end()
        run.workers.stop()


async def killed(exports: Exports) -> None:
    """Kill a process within each of some exports."""
    for number in range(4):
        process = exports.start()
        if number:
            await exports.until(process, lambda _: True)
        process.signal(signal.SIGKILL)
        assert await asyncio.to_thread(process.ended, 10.0) == -signal.SIGKILL


async def exports_fail(run: Run, follower: Worker) -> None:
    """Wait until an export failed; the process continues."""

    async def failed() -> bool:
        return follower.logged("it is tried again")

    await run.until(failed, WITHIN_S, restart=False)
    assert follower.alive


async def exported(settings: Settings, directory: Path) -> dict[str, Any]:
    """One export to a new directory."""
    code, output, errors = await netsold(settings, "export", "--to", str(directory), "--json")
    assert code == 0, errors
    found: dict[str, Any] = json.loads(output)
    return found


async def promoted(exports: Exports, follower: Worker, settings: Settings, path: Path) -> None:
    """Compare the files with those of one export, then promote a version with other cycles."""
    both = [complete_of(place_of(str(path / name))) for name in ("exports", "whole")]
    assert both[0].datasets == both[1].datasets
    weekly = weekly_settings(settings)
    await topics.create(weekly)
    await register(settings)
    with Run(weekly, path, **in_environment(weekly, path)) as rebuild:
        rebuild.workers.start("weekly")
        await rebuild.caught_up(restart=False)
        await point(settings, weekly, settings)
        await exports.until(follower, lambda line: line["app"] == weekly.app)
        rebuild.workers.stop()
    complete = complete_of(place_of(exports.directory))
    assert complete.first == next(
        line["number"] for line in follower.lines() if line.get("app") == weekly.app
    )
    assert complete.first > 1


async def test_sql_without_an_export(settings: Settings, tmp_path: Path) -> None:
    """It reads Kafka, and leaves nothing behind; a wrong query is refused before that."""
    with Run(settings, tmp_path) as run:
        await run.write(made(42, 300))
        run.workers.start("a")
        await run.caught_up(restart=False)
        run.workers.stop()
    query = "SELECT sum(units_gross) AS units FROM cycles"
    code, output, errors = await netsold(settings, "sql", query, "--json")
    assert code == 0, errors
    await exported(settings, tmp_path / "exports")
    _, kept, _ = await netsold(
        settings, "sql", "--export", str(tmp_path / "exports"), query, "--json"
    )
    assert json.loads(output) == json.loads(kept)
    assert "read from Kafka, complete through 20" in errors
    assert not list(settings.data_dir.glob("sql-*"))
    code, _, errors = await netsold(settings, "sql", "DROP VIEW entries")
    assert (code, "write one SELECT" in errors) == (2, True)
    code, _, errors = await netsold(settings, "sql", "--export", "x", "--version", "r1", query)
    assert code == 2
