"""A replay up to an offset of events: its sums are compared with those of the journal."""

from __future__ import annotations

from functools import partial
from itertools import islice
from random import Random
from typing import TYPE_CHECKING

import msgspec
import pytest

from operations.replaying import tasks
from operations.replaying.contributions import Subject, contributions
from operations.replaying.findings import findings_of
from operations.replaying.plan import Plan, cause_of, id_of
from operations.replaying.work import Task, Work
from schemas import journal
from tables import catalogue
from tests.faults.runner import made
from tests.flow import PARTITIONS
from tests.replaying import (
    AllChangelogs,
    ReplayedLogs,
    differences_of,
    replayed,
    settings_of,
    tables_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.flow import Record


def pipeline(directory: Path, seed: int, events: int, *, behind: bool = False) -> AllChangelogs:
    """A pipeline that has applied its events; `behind`: each lane only some of them."""
    chance = Random(seed)
    flow = AllChangelogs(
        settings_of(directory), partial(chance.randint, 1, 40), chance if behind else None
    ).begin()
    written = [item for item in made(seed, events) if isinstance(item, dict)]
    for part in range(0, len(written), 80):
        flow.take(islice(written, part, part + 80))
    return flow


def all_ends(flow: AllChangelogs) -> dict[str, int]:
    """The offset behind the last event of each partition of orders."""
    return {f"orders-{number}": len(flow.logs["orders", number]) for number in range(PARTITIONS)}


async def test_sums_at_an_earlier_offset_follow_from_the_log(tmp_path: Path) -> None:
    """Wherever it ends: nothing differs, and only what the journal has is compared."""
    rows = 0
    for seed in range(3):
        chance, directory = Random(seed), tmp_path / str(seed)
        flow = pipeline(directory, seed, 300)
        ends = {source: chance.randint(0, end) for source, end in all_ends(flow).items()}
        results = await replayed(flow, directory / "r", ends=ends)
        assert not differences_of(results), seed
        found = findings_of(results.values())
        assert {source: (end - 1, end - 1) for source, end in ends.items()} == found.vector
        assert found.tables.keys() == {
            catalogue.PRODUCT_CYCLES.name,
            catalogue.PRODUCT_TOTALS.name,
            catalogue.PRODUCT_SERVICE_CYCLES.name,
        }
        rows += sum(one.rows for one in tables_of(results))
    assert rows > 100


async def test_what_no_worker_has_folded_yet_is_left_out(tmp_path: Path) -> None:
    """Workers are behind the end: it is compared up to where the journal is."""
    behind = 0
    for seed in range(3):
        flow = pipeline(tmp_path / str(seed), seed, 300, behind=True)
        ends = all_ends(flow)
        results = await replayed(flow, tmp_path / str(seed) / "r", ends=ends)
        assert not differences_of(results), seed
        behind += any(
            last < ends[source] - 1
            for source, (_, last) in findings_of(results.values()).vector.items()
        )
    assert behind


async def test_a_fault_shows_from_its_event_on(tmp_path: Path) -> None:
    """A journal row of another amount: no difference before its event, its product after it."""
    flow = pipeline(tmp_path, 7, 300)
    log: list[Record] = flow.logs["sales", 0]
    entries = [record for record in log if record.key is not None]
    wrong = next(
        one for one in entries[len(entries) // 2 :] if b'"amount_gross"' in (one.value or b"")
    )
    entry = journal.decode(wrong.value or b"")
    assert isinstance(entry, journal.Entry)
    more = msgspec.structs.replace(entry, amount_gross=entry.amount_gross + 1)
    log[wrong.offset] = wrong._replace(value=journal.encode(more))
    source, offset = id_of(wrong.value or b"").rpartition("@")[0], cause_of(wrong.value or b"")
    ends = all_ends(flow)
    before = await replayed(flow, tmp_path / "before", ends=ends | {source: offset})
    assert not findings_of(before.values()).differing
    after = await replayed(flow, tmp_path / "after", ends=ends | {source: offset + 1})
    assert {row.key.partition("@")[0] for row in differences_of(after)} == {entry.product_id}
    plan = msgspec.json.decode((tmp_path / "after" / "plan.json").read_bytes(), type=Plan)
    work = Work(flow.settings, tmp_path / "after", ReplayedLogs(flow), plan, ends=ends)
    product = Subject("product", entry.product_id)
    found = await contributions(work, product, lambda _more: None)
    (order,) = found.shown
    assert found.orders == 1
    assert found.found >= 1
    unknown = await contributions(work, Subject("product", "unknown"), lambda _more: None)
    assert not unknown.found
    assert order.order_id == entry.order_id


async def test_a_task_that_was_interrupted_adds_nothing_twice(tmp_path: Path) -> None:
    """Its rows are on disk, and its result is not: the next run begins it anew."""
    flow = pipeline(tmp_path, 3, 200)
    ends = all_ends(flow)
    for name, to in (("tables", None), ("sums", ends)):
        results = await replayed(flow, tmp_path / name, ends=to)
        assert not differences_of(results)
        for result in (tmp_path / name).glob("*product-*.json"):
            result.unlink()
        results = await replayed(flow, tmp_path / name, ends=to)
        assert not differences_of(results), name
        assert tasks.result_of(
            Work(flow.settings, tmp_path / name, ReplayedLogs(flow)), Task("product", 0)
        )


@pytest.mark.parametrize("value", [b'{"id":"\xffp-1"}', b"p-1" + b"[" * 100_000, b"p-1"])
async def test_rows_of_the_journal_that_no_worker_wrote(tmp_path: Path, value: bytes) -> None:
    """Rows, and marks, of any bytes differ from the replay; up to an end they are in no sum."""
    flow = pipeline(tmp_path, 7, 300)
    log = flow.logs["sales", 0]
    at = next(at for at, record in enumerate(log) if record.key is not None)
    log[at] = log[at]._replace(value=value)
    mark = next(at for at, record in enumerate(log) if record.key is None)
    log[mark] = log[mark]._replace(value=value)
    await replayed(flow, tmp_path / "sums", ends=all_ends(flow))
    found = findings_of((await replayed(flow, tmp_path / "audit")).values())
    assert found.journal_rows[0].live == value.decode(errors="backslashreplace")[:20_000]
    plan = msgspec.json.decode((tmp_path / "audit" / "plan.json").read_bytes(), type=Plan)
    work = Work(flow.settings, tmp_path / "audit", ReplayedLogs(flow), plan)
    assert await contributions(work, Subject("product", "p-1"), lambda _more: None)
