"""What a replay refuses, each with one sentence, and its rare branches."""

from __future__ import annotations

import multiprocessing
from itertools import islice
from typing import TYPE_CHECKING

import msgspec
import pytest

from operations.local.resuming import AlreadyAtWork, NothingToResume, directory_of
from operations.replaying.journal_check import earlier
from operations.replaying.live_tables import NoTables, WrongMark
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
from streams.cut_transactions import CutTransaction
from streams.marks import MARK_KEY, Mark, decode_mark, encode_mark
from tables import catalogue
from tests.faults.runner import made
from tests.replaying import AllChangelogs, ReplayedLogs, replayed, settings_of
from tests.terms import by_terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from streams.log import At
    from tests.flow import Record


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


class _LogWithoutItsLast(ReplayedLogs):
    """The last record of each partition is gone, and its offset is still before the end."""

    async def bounds(self, names: Iterable[str]) -> tuple[dict[At, int], dict[At, int]]:
        """See `ReplayedLogs`."""
        beginnings, ends = await super().bounds(names)
        return beginnings, {at: end + (at[0] == "orders") for at, end in ends.items()}


async def test_a_log_that_was_cut(tmp_path: Path) -> None:
    """The tables include events that the log no longer has."""
    flow = pipeline(tmp_path)
    last = flow.logs["orders", 0].pop()
    flow.logs["orders", 1].pop()
    work = Work(flow.settings, tmp_path / "r", _LogWithoutItsLast(flow))
    with pytest.raises(LogCut, match=f"orders-0@{last.offset} is no longer in the log"):
        await replay(work, 1, lambda _what, _total: lambda _done: None)


def mark_of(flow: AllChangelogs, table: catalogue.Table) -> tuple[list[Record], int, Mark]:
    """The changelog of a table's partition 0, where its last mark is, and that mark."""
    log = flow.changelogs[flow.topics[table.name], 0]
    at = max(at for at, record in enumerate(log) if record.key == MARK_KEY)
    return log, at, decode_mark(log[at].value or b"")


def ahead(mark: Mark, more: int) -> Mark:
    """The mark with later source offsets."""
    sources = {name: one._replace(offset=one.offset + more) for name, one in mark.sources.items()}
    return msgspec.structs.replace(mark, sources=sources)


@pytest.mark.parametrize(
    ("table", "change", "named"),
    [
        (catalogue.ORDERS, lambda mark: msgspec.structs.replace(mark, offset=mark.offset + 5),
         r"orders-0@\d+ is not in the log, which ends before offset \d+, .* table orders-0 "),
        (catalogue.PRODUCT_TOTALS, lambda mark: msgspec.structs.replace(mark, offset=10**9),
         r"sales-0@1000000000 is not in the log, .* table product_totals-0 "),
        (catalogue.PRODUCT_TOTALS, lambda mark: ahead(mark, 10**9),
         r"orders-[01]@10000\d+ is not in the log, .* table product_totals-0 "),
        (catalogue.SHOP_TOTALS, lambda mark: ahead(mark, 300),
         r"[a-z]+-[01]@\d+ is not in the log, .* table shop_totals-0 "),
    ],
)  # fmt: skip
async def test_a_mark_beyond_the_end_of_the_log(
    tmp_path: Path, table: catalogue.Table, change: Callable[[Mark], Mark], named: str
) -> None:
    """A topic that was made anew, or a mark that no worker wrote: nothing waits for what is not."""
    flow = pipeline(tmp_path)
    log, at, mark = mark_of(flow, table)
    log[at] = log[at]._replace(value=encode_mark(change(mark)))
    with pytest.raises(LogCut, match=f"{named}.*netsold rebuild") as raised:
        await replayed(flow, tmp_path / "r")
    assert raised.value.exit_code == 5


async def test_a_transaction_beyond_the_end_of_the_log(tmp_path: Path) -> None:
    """Its rows were read in part, and the events of it are gone."""
    flow = pipeline(tmp_path)

    class Cut(ReplayedLogs):
        async def cuts(self, at: At, offset: int) -> list[CutTransaction]:  # noqa: ARG002
            return [CutTransaction("orders-0", 10**6, [(b"p-1", b"{}"), (b"p-2", b"{}")], 1)]

    work = Work(flow.settings, tmp_path / "r", Cut(flow))
    with pytest.raises(LogCut, match="orders-0@1000000 is not in the log"):
        await replay(work, 1, lambda _what, _total: lambda _done: None)


async def test_a_mark_that_no_worker_wrote(tmp_path: Path) -> None:
    """Topic and offset are named, also where a worker's mark is behind it."""
    flow = pipeline(tmp_path)
    log, at, _ = mark_of(flow, catalogue.SHOP_TOTALS)
    right = log[at]
    for value in (b"garbage", b'"\xff"', b"{}", None):
        log[at:] = [right._replace(value=value), right._replace(offset=right.offset + 1)]
        name = flow.topics[catalogue.SHOP_TOTALS.name]
        sentence = f"^{name}-0@{right.offset} is no mark of a worker .*netsold rebuild"
        with pytest.raises(WrongMark, match=sentence) as raised:
            await replayed(flow, tmp_path / f"r-{value!r}".replace("/", ""))
        assert raised.value.exit_code == 5


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
