"""The topics of rows against the tables: equal, other, lost and surplus rows, and later ones."""

from __future__ import annotations

from itertools import islice
from random import Random
from typing import TYPE_CHECKING

from operations.replaying.findings import findings_of
from operations.replaying.published_check import check_published
from operations.replaying.work import Work
from schemas.published import COMPLETE_KEY
from tables.catalogue import PRODUCT_SALES_TOPIC, PRODUCT_STAGE, SHOP_SALES_TOPIC
from tests.faults.runner import made
from tests.flow import PARTITIONS
from tests.replaying import AllChangelogs, ReplayedLogs, replayed, settings_of

if TYPE_CHECKING:
    from pathlib import Path

    from operations.replaying.published_check import TopicResult
    from tests.flow import Record


def pipeline(directory: Path, events: int = 300) -> AllChangelogs:
    """A pipeline that has applied all of its events, in chunks of random sizes."""
    chance = Random(events)
    flow = AllChangelogs(settings_of(directory), lambda: chance.randint(1, 60)).begin()
    return flow.take(item for item in made(3, events) if isinstance(item, dict))


async def topics_of(flow: AllChangelogs, directory: Path) -> dict[str, list[TopicResult]]:
    """The comparisons of an audit, by topic."""
    found: dict[str, list[TopicResult]] = {}
    for one in findings_of((await replayed(flow, directory)).values()).published:
        found.setdefault(one.topic, []).append(one)
    return found


def rows(log: list[Record]) -> list[Record]:
    """The rows of a topic, without how far they are complete."""
    return [record for record in log if record.key != COMPLETE_KEY]


async def test_topics_have_the_rows_of_the_tables(tmp_path: Path) -> None:
    """Each partition of both, with as many rows as the tables of sales."""
    flow = pipeline(tmp_path)
    found = await topics_of(flow, tmp_path / "r")
    assert found.keys() == {PRODUCT_SALES_TOPIC, SHOP_SALES_TOPIC}
    for topic, tables in (
        (PRODUCT_SALES_TOPIC, ("product_cycles", "product_totals")),
        (SHOP_SALES_TOPIC, ("shop_cycles", "shop_totals")),
    ):
        assert [one.partition for one in found[topic]] == list(range(PARTITIONS))
        for one in found[topic]:
            counts = [len(flow.rows[table, one.partition]) for table in tables]
            assert one.rows == sum(counts) > 5
            assert (one.differing, one.left_out) == (0, 0)


async def test_rows_that_differ_are_named(tmp_path: Path) -> None:
    """One is another, one is lost, and one is of no product."""
    flow = pipeline(tmp_path)
    log = flow.logs[PRODUCT_SALES_TOPIC, 0]
    lost, other = rows(log)[-1].key, rows(log)[0].key
    assert lost != other
    last = max(at for at, record in enumerate(log) if record.key == other)
    was = log[last].value or b""
    log[last] = log[last]._replace(value=was.replace(b'"gross":', b'"gross":1', 1))
    log.append(log[-1]._replace(key=b"p-of-nowhere@all", value=was))
    log[:] = [one._replace(offset=at) for at, one in enumerate(log) if one.key != lost]
    found = findings_of((await replayed(flow, tmp_path / "r")).values())
    (result,) = (one for one in found.published if one.differing)
    assert {row.key.encode(): (row.live is None, row.replayed is None) for row in result.shown} == {
        other: (False, False),
        lost: (True, False),
        b"p-of-nowhere@all": (False, True),
    }
    assert found.differing == result.differing == 3


async def test_rows_of_another_form_are_the_same(tmp_path: Path) -> None:
    """An older build may have written the same content with other spaces, or without a field."""
    flow = pipeline(tmp_path)
    log = flow.logs[PRODUCT_SALES_TOPIC, 0]
    log[:] = [
        record
        if record.key == COMPLETE_KEY
        else record._replace(value=(record.value or b"").replace(b",", b", "))
        for record in log
    ]
    assert not any(one.differing for one in (await topics_of(flow, tmp_path / "r"))[log[0].topic])


async def test_rows_that_were_written_meanwhile_are_left_out(tmp_path: Path) -> None:
    """They are in the topic, and not in the tables as they were read; all others are compared."""
    flow = pipeline(tmp_path)
    await replayed(flow, tmp_path / "r")
    later = (item for item in made(3, 340) if isinstance(item, dict))
    flow.take(islice(later, 300, None))
    work = Work(flow.settings, tmp_path / "r", ReplayedLogs(flow))
    results = [
        await check_published(work, PRODUCT_STAGE.name, number, lambda _more: None)
        for number in range(PARTITIONS)
    ]
    assert all(one.left_out and one.rows for one in results)
    assert not any(one.differing for one in results)
