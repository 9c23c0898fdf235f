"""The tasks of a replay, step by step. Those of one step are independent of each other.

First the tables are read, then the events are folded, then the journal's rows; an audit compares
the topics of rows and the local stores as well. A task's result is a file, so a run that was
interrupted continues with the tasks that are left.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from operations.local.data_dir import write_whole
from operations.replaying.differences import TableResult
from operations.replaying.journal_check import JournalResult, check_journal
from operations.replaying.journal_fold import fold_journal
from operations.replaying.live_sums import load_sums
from operations.replaying.live_tables import load
from operations.replaying.plan import TableMark
from operations.replaying.published_check import TopicResult, check_published
from operations.replaying.row_files import rows_paths
from operations.replaying.row_fold import ImpossibleResult
from operations.replaying.source_fold import fold_source
from operations.replaying.store_check import StoreResult, check_reader, check_workers
from operations.replaying.work import Task
from schemas.positions import offset_after
from streams import topics
from tables.catalogue import (
    EVENT_TOPICS,
    ORDER_STAGE,
    PRODUCT_STAGE,
    SALES_TOPIC,
    STAGES,
    TABLES,
)

if TYPE_CHECKING:
    from pathlib import Path

    from operations.replaying.work import Report, Work

TABLE_RECORDS: Final = "records of tables"
PUBLISHED: Final = "published records"
EVENTS: Final = "events"
ROW_BYTES: Final = "bytes of journal rows"
WORKER_STORES: Final = "records behind workers' stores"
READER_STORE: Final = "records behind the reader's store"
"""The steps, by the unit of their progress."""

_PUBLISHED: Final = "published-"
_WORKERS: Final = "workers-"
_READER: Final = "reader-"
"""How the names of tasks that compare topics of rows, and stores, begin."""

LIVE: Final = "live-"
"""How the names of tasks that read a stage's tables begin; others have that of a stage."""


class LaneResult(msgspec.Struct):
    """The result of a task; `marks` of one that read tables."""

    marks: list[TableMark] = msgspec.field(default_factory=list)
    tables: list[TableResult] = msgspec.field(default_factory=list)
    journal: JournalResult | None = None
    published: TopicResult | None = None
    impossible: ImpossibleResult = msgspec.field(default_factory=ImpossibleResult)
    stores: list[StoreResult] = msgspec.field(default_factory=list)


def steps(work: Work) -> dict[str, list[Task]]:
    """The steps in order: the unit of their progress, and their tasks."""
    specs = STAGES if work.ends is None else (ORDER_STAGE, PRODUCT_STAGE)
    sources = [spec.name for spec in specs if spec.source in EVENT_TOPICS]
    journals = [spec.name for spec in specs if spec.source not in EVENT_TOPICS]
    live = [spec.name for spec in specs] if work.ends is None else journals
    numbers = range(work.settings.partitions)
    found = {TABLE_RECORDS: [Task(f"{LIVE}{name}", number) for name in live for number in numbers]}
    if work.compares_journal:
        publish = [spec.name for spec in specs if spec.publishes]
        found[PUBLISHED] = [
            Task(f"{_PUBLISHED}{name}", number) for name in publish for number in numbers
        ]
    found |= {
        EVENTS: [Task(name, number) for name in sources for number in numbers],
        ROW_BYTES: [Task(name, number) for name in journals for number in numbers],
    }
    if work.compares_stores:
        found[WORKER_STORES] = [
            Task(f"{_WORKERS}{name}", number) for name in live for number in numbers
        ]
        found[READER_STORE] = [Task(f"{_READER}{name}", 0) for name in live]
    return found


async def carry_out(work: Work, task: Task, report: Report) -> None:
    """Carry out a task and keep its result."""
    result = LaneResult()
    if task.name.startswith(LIVE) and work.ends is not None:
        result.marks, result.impossible = await load_sums(work, task.partition, report)
    elif task.name.startswith(LIVE):
        result.marks = await load(work, task.name.removeprefix(LIVE), task.partition, report)
    elif task.name.startswith(_PUBLISHED):
        name = task.name.removeprefix(_PUBLISHED)
        result.published = await check_published(work, name, task.partition, report)
    elif task.name.startswith(_WORKERS):
        name = task.name.removeprefix(_WORKERS)
        result.stores = await check_workers(work, name, task.partition, report)
    elif task.name.startswith(_READER):
        result.stores = await check_reader(work, task.name.removeprefix(_READER), report)
    elif any(spec.name == task.name and spec.source in EVENT_TOPICS for spec in STAGES):
        result.tables = await fold_source(work, task.name, task.partition, report)
    else:
        if task.name == PRODUCT_STAGE.name and work.compares_journal:
            result.journal = await check_journal(work, task.partition, report)
        result.tables, result.impossible = await asyncio.to_thread(
            fold_journal, work, task.name, task.partition, report
        )
    write_whole(_path(work, task), msgspec.json.encode(result))


def result_of(work: Work, task: Task) -> LaneResult | None:
    """The result of a task that was carried out."""
    path = _path(work, task)
    if not path.exists():
        return None
    return msgspec.json.decode(path.read_bytes(), type=LaneResult)


async def total_of(work: Work, step: str) -> int | None:
    """How much the tasks of a step report in all, about; None where that is not known."""
    if step in {PUBLISHED, WORKER_STORES, READER_STORE}:
        return None
    if step == TABLE_RECORDS:
        names = [topics.changelog(work.settings, table.name) for table in TABLES]
        if work.ends is not None:
            names = [work.settings.topic(SALES_TOPIC)]
        beginnings, ends = await work.log.bounds(names)
        return sum(ends.values()) - sum(beginnings.values())
    if step == EVENTS:
        plan, lasts = work.known_plan(), 0
        for task in steps(work)[EVENTS]:
            source = work.source(task.name, task.partition)
            last = max(plan.limits_of(str(task), source), default=-1)
            lasts += max(0, offset_after(last) - plan.beginnings[source])
        return lasts
    size = sum(path.stat().st_size for path in (work.directory / "rows").iterdir())
    sales = sum(path.stat().st_size for path in rows_paths(work.directory, SALES_TOPIC))
    return size + sales * work.compares_journal


def _path(work: Work, task: Task) -> Path:
    return work.directory / f"{task}.json"
