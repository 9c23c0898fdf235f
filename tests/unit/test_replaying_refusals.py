"""What a replay refuses, each with one sentence, and its rare branches."""

from __future__ import annotations

import multiprocessing
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from operations.local.resuming import AlreadyAtWork, NothingToResume, directory_of
from operations.replaying.journal_check import earlier
from operations.replaying.live_tables import NoTables
from operations.replaying.plan import Cut
from operations.replaying.processes import Processes, TaskFailed
from operations.replaying.row_fold import RowRefused
from operations.replaying.running import (
    OtherTerms,
    replay,
    replay_terms,
)
from operations.replaying.source_fold import LogCut
from operations.replaying.source_log import KafkaLog
from operations.replaying.work import Task, Work
from tests.faults.runner import made
from tests.replaying import AllChangelogs, ReplayedLogs, replayed, settings_of
from tests.terms import by_terms

if TYPE_CHECKING:
    from pathlib import Path


def pipeline(directory: Path) -> AllChangelogs:
    """A pipeline that has applied a few events."""
    flow = AllChangelogs(settings_of(directory)).begin()
    written = (item for item in made(5, 120) if isinstance(item, dict))
    flow.take(islice(written, 120))
    return flow


async def test_tables_that_no_worker_has_made(tmp_path: Path) -> None:
    """There is nothing to compare, of tables as of sums of the journal."""
    flow = AllChangelogs(settings_of(tmp_path))
    with pytest.raises(NoTables, match=r"orders-changelog-0 has no mark.*start `netsold worker`"):
        await replayed(flow, tmp_path / "tables")
    with pytest.raises(NoTables, match="sales-0 has no progress mark: start `netsold worker`"):
        await replayed(flow, tmp_path / "sums", ends={"orders-0": 1, "orders-1": 1})


async def test_tables_of_other_terms(tmp_path: Path) -> None:
    """An audit names the table, both terms and the remedy; `--to` names the refused row."""
    flow = pipeline(tmp_path)
    other = by_terms(flow.settings, cycle_days=7)
    work = Work(other, tmp_path / "audit", ReplayedLogs(flow), same_terms=True)
    with pytest.raises(OtherTerms, match=r"was made by .*cycles of 7 days .* use the rules file"):
        await replay(work, 1, lambda _what, _total: lambda _done: None)
    with pytest.raises(RowRefused, match=r"a row of sales is refused \(cycle: .* use the settings"):
        await replayed(flow, tmp_path / "sums", other, ends={"orders-0": 500, "orders-1": 500})


async def test_a_log_that_was_cut(tmp_path: Path) -> None:
    """The tables include events that the log no longer has."""
    flow = pipeline(tmp_path)
    last = flow.logs["orders", 0].pop()
    with pytest.raises(LogCut, match=f"orders-0@{last.offset} is no longer in the log"):
        await replayed(flow, tmp_path / "r")


def test_two_replays_in_one_directory(tmp_path: Path) -> None:
    """The second one is refused while the first one works; an error leaves what can be resumed."""
    work = Work(settings_of(tmp_path), tmp_path / "replay", KafkaLog(settings_of(tmp_path)))
    terms = replay_terms(work, "audit", [])
    with (
        pytest.raises(NothingToResume, match="run it without --resume"),
        directory_of(work.directory, "a replay", terms, resume=True),
    ):
        pass
    with (
        directory_of(work.directory, "a replay", terms, resume=False),
        pytest.raises(AlreadyAtWork, match="wait until it has ended"),
        directory_of(work.directory, "a replay", terms, resume=False),
    ):
        pass
    assert not work.directory.exists()
    with (
        pytest.raises(InterruptedError),
        directory_of(work.directory, "a replay", terms, resume=False),
    ):
        raise InterruptedError
    with (
        pytest.raises(NothingToResume, match="has other terms"),
        directory_of(work.directory, "a replay", replay_terms(work, "replay", []), resume=True),
    ):
        pass
    with directory_of(work.directory, "a replay", terms, resume=True) as path:
        assert path.exists()


async def test_a_process_that_ends(tmp_path: Path) -> None:
    """Whether it ends before or while it has a task: what can be done is in the sentence."""
    settings = settings_of(tmp_path)
    work, before = Work(settings, tmp_path, KafkaLog(settings)), multiprocessing.active_children()
    running = Processes(2)
    try:
        for child in multiprocessing.active_children():
            if child not in before:
                child.kill()
                child.join()
        with pytest.raises(TaskFailed, match="run it again with --resume"):
            await running.run(work, [Task("order", 0), Task("order", 1)], lambda _done: None)
    finally:
        running.stop()


def test_the_earlier_cause_is_kept_of_one_partition() -> None:
    """Of two partitions the one that is known stays, as is what is no position."""
    firsts: dict[str, str] = {}
    for cause in ("orders-0@9", "orders-0@3", "orders-1@1", "nothing", "orders-0@5"):
        earlier(firsts, "product_id/p-1", cause)
    assert firsts == {"product_id/p-1": "orders-0@3"}


def test_a_transaction_that_was_read_in_part_with_other_rows() -> None:
    """Rows of the same key and event belong to the part, and those of earlier events."""
    cut = Cut(0, 9, [(b"p-1", 3), (b"p-2", 5), (b"p-3", 7)], included=2)
    same = [(b"p-1", b"{}"), (b"p-2", b"{}"), (b"p-3", b"{}")]
    assert cut.chosen(same) == [0, 1]

    def row(key: bytes, offset: int) -> tuple[bytes, bytes]:
        return key, b'{"id":"orders-0@%d#0"}' % offset

    assert cut.chosen([row(b"p-9", 4), row(b"p-2", 5), row(b"p-9", 5), row(b"p-3", 7)]) == [0, 1]
