"""Planted mistakes: the checks must find each of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import TopicPartition

from schemas.positions import Position
from schemas.refusals import Reason, Refusal
from schemas.times import DAY_MS, parse_ms
from streams import topics
from streams.dead_letters import parked_headers
from streams.failpoints import Point
from tables import catalogue
from tests.faults.administration import put_back
from tests.faults.evidence import MARK, POSITION, SUMMED, Evidence, committed, last_values, problems
from tests.faults.runner import Run, made
from tests.flow import Record
from tests.reading import Changelogs, settings_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streams.settings import Settings
    from tests.faults.workers import Worker


SALES = catalogue.SALES_TOPIC
TOTALS = catalogue.PRODUCT_TOTALS.name


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    """What a run without mistakes leaves behind.

    The real stages make it, with one parked record.
    """
    settings = settings_in(tmp_path)
    flow = Changelogs(settings, chunk=lambda: 50)
    for table in catalogue.TABLES:
        flow.topics[table.name] = topics.changelog(settings, table.name)
        for partition in (0, 1):
            flow.changelogs.setdefault((flow.topics[table.name], partition), [])
    events = [item for item in made(81, 800) if isinstance(item, dict)]
    flow.take(events)
    flow.tick(max(parse_ms(event["occurred_at"]) for event in events) + DAY_MS)
    bad = Record("orders", 0, len(flow.logs["orders", 0]), 0, b"key", b"not json", [("own", b"1")])
    flow.send("orders", bad.key, b"not json", bad.headers, 0)
    flow.run()
    flow.logs["dead-letters", 0] = [
        bad._replace(
            headers=parked_headers(
                bad, Position("orders", 0, bad.offset), Refusal(Reason.NOT_JSON, ""), "app"
            )
        )
    ]
    found = Evidence(events, [(b"key", b"not json")])
    found.logs = {at: list(log) for at, log in flow.logs.items()}
    for (topic, partition), log in flow.changelogs.items():
        name = next(
            (table.name for table in catalogue.TABLES if flow.topics[table.name] == topic), None
        )
        if name is not None:
            found.changelogs[name, partition] = list(log)
            found.stores["a", name, partition] = last_values(found.changelogs[name, partition]) | {
                POSITION: b"%d" % len(log)
            }
    found.committed = {at: progress.offset + 1 for at, progress in flow.progress.items()}
    return found


def _rewritten(record: Record, **changes: object) -> Record:
    return record._replace(value=json.dumps(json.loads(record.value or b"") | changes).encode())


def _entry_at(evidence: Evidence, topic: str = SALES) -> tuple[list[Any], int]:
    log: list[Any] = evidence.logs[topic, 0]
    return log, next(number for number, record in enumerate(log) if record.key is not None)


def entry_doubled(evidence: Evidence) -> None:
    """The journal has an entry twice."""
    log, number = _entry_at(evidence)
    log.append(log[number])


def entry_lost(evidence: Evidence) -> None:
    """An entry is in shop-activity only."""
    log, number = _entry_at(evidence)
    del log[number]


def entry_lost_in_both(evidence: Evidence) -> None:
    """An entry is missing, and its shop's sums are without it."""
    log, number = _entry_at(evidence)
    entry = json.loads(log.pop(number).value)
    for partition in (0, 1):
        records: list[Any] = evidence.logs[catalogue.SHOP_ACTIVITY_TOPIC, partition]
        for at, record in enumerate(records):
            row = json.loads(record.value)
            if row["type"] == "shop_activity" and row["shop_id"] == entry["shop_id"]:
                less = [
                    entry["cycle"],
                    entry["currency"],
                    -int(entry["restates"]),
                    [-int(entry[column]) for column in SUMMED[1:]],
                ]
                bought = [
                    *row.get("bought", ()),
                    [entry["buyer_id"], entry["cycle"], -entry["orders"]],
                ]
                records[at] = _rewritten(record, sold=[*row.get("sold", ()), less], bought=bought)
                return


def entry_of_another_amount(evidence: Evidence) -> None:
    """An amount is off by one cent."""
    log, number = _entry_at(evidence)
    log[number] = _rewritten(
        log[number], amount_gross=json.loads(log[number].value)["amount_gross"] + 1
    )


def table_row_lost(evidence: Evidence) -> None:
    """A product isn't in its table, neither in the changelog nor in the store."""
    log = evidence.changelogs[TOTALS, 0]
    key = next(record.key for record in log if record.key != MARK)
    log[:] = [record for record in log if record.key != key]
    del evidence.stores["a", TOTALS, 0][key]


def chunk_applied_twice(evidence: Evidence) -> None:
    """A total counts one unit more."""
    log: list[Any] = evidence.changelogs[TOTALS, 0]
    number = max(number for number, record in enumerate(log) if record.key != MARK)
    state = json.loads(log[number].value)
    next(iter(state[-1].values()))[0] += 1
    log[number] = log[number]._replace(value=json.dumps(state, separators=(",", ":")).encode())
    evidence.stores["a", TOTALS, 0][log[number].key] = log[number].value


def offset_ahead_of_mark(evidence: Evidence) -> None:
    """The group's offset was committed without its transaction."""
    at = evidence.committed["orders", 1]
    assert at is not None
    evidence.committed["orders", 1] = at + 1


def work_left(evidence: Evidence) -> None:
    """The last record isn't applied."""
    evidence.logs["orders", 1].append(evidence.logs["orders", 1][-1]._replace(offset=10**6))


def store_ahead(evidence: Evidence) -> None:
    """A store was written before its transaction was committed."""
    evidence.stores["a", TOTALS, 0][b"p-of-nowhere"] = b"[1]"


def store_lost(evidence: Evidence) -> None:
    """No worker has a table's partition."""
    del evidence.stores["a", TOTALS, 1]


def parked_twice(evidence: Evidence) -> None:
    """A record is parked by two transactions."""
    evidence.logs["dead-letters", 0] *= 2


def parked_nowhere(evidence: Evidence) -> None:
    """A bad record was skipped."""
    evidence.logs["dead-letters", 0] = []


def parked_without_headers(evidence: Evidence) -> None:
    """A parked record lost a header."""
    log: list[Any] = evidence.logs["dead-letters", 0]
    log[0] = log[0]._replace(headers=log[0].headers[1:])


def transaction_open(evidence: Evidence) -> None:
    """A dead worker's transaction blocks readers."""
    evidence.unstable["sales-0"] = (4, 9)


MISTAKES: dict[Callable[[Evidence], None], str] = {
    entry_doubled: "I2",
    entry_lost: "I2",
    entry_lost_in_both: "I2",
    entry_of_another_amount: "I2",
    table_row_lost: "I1",
    chunk_applied_twice: "I1",
    offset_ahead_of_mark: "I3",
    work_left: "I5",
    store_ahead: "I3",
    store_lost: "I3",
    parked_twice: "I4",
    parked_nowhere: "I4",
    parked_without_headers: "I4",
    transaction_open: "I6",
}


def test_a_run_without_mistakes_has_no_problems(evidence: Evidence, tmp_path: Path) -> None:
    """The checks find nothing."""
    assert problems(evidence, settings_in(tmp_path)) == []


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_a_planted_mistake_is_found(
    evidence: Evidence, tmp_path: Path, mistake: Callable[[Evidence], None]
) -> None:
    """The check of the violated invariant finds it."""
    mistake(evidence)
    found = problems(evidence, settings_in(tmp_path))
    assert any(problem.startswith(MISTAKES[mistake]) for problem in found), found


# --- in real workers

READS_UNCOMMITTED = """
from streams.chunks import ChunkThread
made = ChunkThread._create_worker_consumer
def uncommitted(self, transport):
    consumer = made(self, transport)
    consumer._isolation_level = "read_uncommitted"
    return consumer
ChunkThread._create_worker_consumer = uncommitted
"""

CHECKS_NOTHING = """
from streams.recovery import Opener
from tables.watermarks import Progress
def trusting(self, lane, opening):
    lane.position = opening.committed
    lane.progress = Progress(opening.committed - 1, None, 0, {})
Opener._check = trusting
"""


async def found_out(run: Run, worker: Worker) -> bool:
    """Whether the worker stopped at an impossible sum, or its tables differ from the recount."""

    async def is_over() -> bool:
        return not worker.alive or await run.is_caught_up()

    await run.until(is_over, 60.0, restart=False)
    if worker.alive:
        return any(
            problem.startswith("I1: tables'")
            for problem in problems(await run.evidence(), run.settings)
        )
    return worker.logged("ImpossibleTallyError")


@pytest.mark.faults
@pytest.mark.long
async def test_a_worker_that_reads_uncommitted_is_found(settings: Settings, tmp_path: Path) -> None:
    """It is killed before it commits.

    The next worker then counts uncommitted records.
    """
    with Run(settings, tmp_path) as run:
        await run.write(made(82, 4000))
        for _ in range(3):
            worker = run.workers.start(
                "a", patch=READS_UNCOMMITTED, FAILPOINT=f"{Point.AFTER_OFFSETS}:5"
            )
            if await run.ends(worker) != -9:
                break  # the worker has found an impossible sum already
        else:
            worker = run.workers.start("a", patch=READS_UNCOMMITTED)
        assert await found_out(run, worker), run.workers.tail()


@pytest.mark.faults
@pytest.mark.long
async def test_a_worker_that_does_not_check_its_mark_is_found(
    settings: Settings, tmp_path: Path
) -> None:
    """With offsets set back, it counts records twice."""
    with Run(settings, tmp_path) as run:
        await run.write(made(83, 1500))
        run.workers.start("a")
        await run.caught_up(restart=False)
        run.workers.stop()
        at = (await committed(settings))[SALES, 0]
        assert at is not None
        await put_back(settings, {TopicPartition(settings.topic(SALES), 0): at - 200})
        assert await found_out(run, run.workers.start("a", patch=CHECKS_NOTHING)), (
            run.workers.tail()
        )
