"""Exports that continue: what is tried again, what ends them, and a version that is promoted."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.errors import TopicAuthorizationFailedError

from operations.exporting import following
from operations.exporting.following import Follower, Source
from operations.exporting.running import export
from operations.exporting.scratch import scratch
from operations.exporting.threads import in_thread
from operations.exporting.verifying import verify
from operations.exporting.views import complete_of
from streams.errors import KafkaUnreachable
from streams.rules import built_in
from tests.exporting import ExportedFlow
from tests.replaying import ReplayedLogs
from tests.terms import changed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from operations.exporting.running import Exported
    from operations.exporting.table_rows import TableRows


class Following:
    """A follower of a pipeline in memory: `steps` are what happens before each of its exports.

    A step that is an error is what finding the source raises. After the last one it is ended.
    """

    def __init__(self, flow: ExportedFlow, *steps: Callable[[], object] | Exception) -> None:
        self.flow, self._steps = flow, list(steps)
        self.stop = asyncio.Event()
        self.exports: list[Exported] = []
        self.errors: list[Exception] = []
        self.rows: list[TableRows] = []

    async def _source(self) -> Source:
        step = self._steps.pop(0)
        if not self._steps:
            self.stop.set()
        if isinstance(step, Exception):
            raise step
        step()
        family = {"netsold", "netsold.r1"}
        return Source(self.flow.settings, ReplayedLogs(self.flow.flow), family)

    async def _export(self, rows: TableRows, source: Source) -> None:
        self.rows.append(rows)
        begin = lambda *_: lambda _: None  # noqa: E731 - as a command without progress
        self.exports.append(await export(rows, source.log, self.flow.place, begin, source.family))

    async def run(self, give_up_s: float = 60.0) -> None:
        """Follow until the steps are done."""
        follower = Follower(self._source, self._export, 0.001, give_up_s, self.stop)
        await asyncio.wait_for(follower.run(self.errors.append), 60)


async def test_each_export_reads_on(tmp_path: Path) -> None:
    """The rows of tables are those that were read before, and what came since."""
    flow = ExportedFlow(tmp_path)
    one = Following(flow, *[lambda: flow.take(100)] * 3, flow.take, lambda: None)
    await one.run()
    assert [each.complete.number for each in one.exports] == [1, 2, 3, 4, 5]
    assert len(set(map(id, one.rows))) == 1
    assert verify(flow.place, lambda _: None).equal
    assert not one.exports[-1].new, "nothing is new"
    assert not list(flow.settings.data_dir.glob("export-*")), "what was kept is removed"


async def test_a_broker_that_is_away_is_tried_again(tmp_path: Path) -> None:
    """The tables are read from their beginning then."""
    flow = ExportedFlow(tmp_path)
    away = KafkaUnreachable("no Kafka answers")
    one = Following(flow, lambda: flow.take(200), away, away, flow.take)
    await one.run()
    assert one.errors == [away, away]
    assert len(one.exports) == 2
    assert one.rows[0] is not one.rows[1]
    assert verify(flow.place, lambda _: None).equal


async def test_what_ends_it(tmp_path: Path) -> None:
    """An error before the first export, a right that is missing, and no export for too long."""
    away = KafkaUnreachable("no Kafka answers")
    flow = ExportedFlow(tmp_path).take(50)
    with pytest.raises(KafkaUnreachable):
        await Following(flow, away, lambda: None).run()
    with pytest.raises(TopicAuthorizationFailedError):
        await Following(flow, lambda: None, TopicAuthorizationFailedError(), lambda: None).run()
    one = Following(flow, lambda: None, away, away, lambda: None)
    with pytest.raises(KafkaUnreachable):
        await one.run(give_up_s=0.0)
    assert len(one.exports) == 1


async def test_a_signal_ends_the_wait(tmp_path: Path) -> None:
    """However long it is until the next export."""
    flow = ExportedFlow(tmp_path).take(50)
    one = Following(flow, lambda: None, lambda: None)

    async def exported(rows: TableRows, source: Source) -> None:
        await one._export(rows, source)
        asyncio.get_running_loop().call_later(0.01, one.stop.set)

    follower = Follower(one._source, exported, 3600.0, 60.0, one.stop)
    await asyncio.wait_for(follower.run(one.errors.append), 20)
    assert len(one.exports) == 1


async def test_a_version_that_is_promoted_meanwhile(tmp_path: Path) -> None:
    """The next export is of that version, and replaces all files."""
    flow = ExportedFlow(tmp_path / "a").take()
    rules = changed(built_in(), cycle_days=7)
    weekly = ExportedFlow(tmp_path / "b", app="netsold.r1", rules=rules).take()
    weekly.place = flow.place

    def promoted() -> None:
        one.flow = weekly

    one = Following(flow, lambda: None, lambda: None, promoted, lambda: None)
    await one.run()
    firsts = [each.complete.first for each in one.exports]
    assert firsts == [1, 1, 3, 3]
    complete = complete_of(flow.place)
    assert (complete.terms.app, complete.terms.cycle_ms) == ("netsold.r1", 7 * 86_400_000)
    assert set(flow.place.files()) == {
        "_COMPLETE.json", "_lock", *[file.path for file in complete.files]
    }  # fmt: skip
    assert verify(flow.place, lambda _: None).equal


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    """What a running one uses is not."""
    left = tmp_path / "export-killed"
    left.mkdir()
    (left / "_lock").touch()
    (left / "rows").mkdir()
    other = tmp_path / "sql-killed"
    other.mkdir()
    with scratch(tmp_path, "export") as first:
        assert not left.exists()
        with scratch(tmp_path, "export") as second:
            assert first.exists()
            assert first != second
        assert not second.exists()
    assert list(tmp_path.iterdir()) == [other]


async def test_a_cancelled_thread_is_waited_for() -> None:
    """What it uses is closed only then, also at a second signal."""
    begun, end = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    ended = []

    def work() -> None:
        loop.call_soon_threadsafe(begun.set)
        end.wait(10)
        ended.append(True)

    async def user() -> Any:  # noqa: ANN401 - never returns
        try:
            return await in_thread(work)
        finally:
            assert ended == [True]

    task = asyncio.ensure_future(user())
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    end.set()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_the_wait_after_an_error_is_short() -> None:
    """Much shorter than the usual interval."""
    assert following.RETRY_S < 60
