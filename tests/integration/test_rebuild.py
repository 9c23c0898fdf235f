"""The whole story of a rebuild on real Kafka, with traffic all the time, by the commands alone.

The live worker has a wrong rule. The rebuild has the right one: the difference names exactly the
rows that the wrong rule hit, by two recounts.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from operations.recounting import recount_by
from operations.versions.comparison import compare_rows
from schemas import envelope
from schemas.events import CHAT_TYPES, topic_of
from streams import log, topics
from streams.log_writer import Writer
from streams.versions import read_versions
from tables.catalogue import REPORT_LISTS
from tests.commands import netsold
from tests.faults.runner import Run, made
from tests.faults.workers import Workers
from tests.wrong_rule import doubled_price

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from streams.settings import Settings

HISTORY_SEED = 95
WRONG_PRODUCT = "p-3"


def as_wrong(event: dict[str, Any]) -> dict[str, Any]:
    """An event as the wrong rule reads it."""
    if event["type"] != "order_placed":
        return event
    lines = [
        line | {"unit_price": 2 * line["unit_price"]}
        if line["product_id"] == WRONG_PRODUCT
        else line
        for line in event["lines"]
    ]
    return event | {"lines": lines}


async def until(condition: Callable[[], Awaitable[bool]], within_s: float = 300.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + within_s
    while not await condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.1)


@asynccontextmanager
async def traffic(settings: Settings) -> AsyncIterator[list[dict[str, Any]]]:
    """Writes events all the time, a few at once; yields those that are written."""
    written: list[dict[str, Any]] = []
    ending = asyncio.Event()

    async def write() -> None:
        async with Writer(settings) as writer:
            for event in later():
                if ending.is_set():
                    return
                written.append(event)
                await writer.send(settings.topic(topic_of(event["type"])), *envelope.encode(event))
                if len(written) % 5 == 0:
                    await writer.flush()
                    await asyncio.sleep(0.2)

    task = asyncio.create_task(write())
    try:
        yield written
        assert not task.done(), "the traffic has ended before the test"
    finally:
        ending.set()
        await asyncio.wait_for(task, 60)


def later() -> Iterator[dict[str, Any]]:
    """Events of other orders than those of history, without those that the wrong rule hits."""
    for seed in count(HISTORY_SEED + 1):
        events = [item for item in made(seed, 2000) if isinstance(item, dict)]
        hit = {
            event["order_id"]
            for event in events
            if event["type"] == "order_placed"
            and any(line["product_id"] == WRONG_PRODUCT for line in event["lines"])
        }
        yield from (
            event for event in events if event["type"] in CHAT_TYPES or event["order_id"] not in hit
        )


def rows_hit(settings: Settings, events: list[dict[str, Any]]) -> dict[str, list[dict[str, str]]]:
    """By list, the keys of the rows that the wrong rule changes, by two recounts."""
    right, wrong = (
        recount_by(settings.rules.values, some) for some in (events, map(as_wrong, events))
    )
    found = {}
    for name in REPORT_LISTS:
        differing = compare_rows(name, wrong[name], right[name]).different
        if differing:
            found[name] = [row.key for row in differing]
    return found


async def alert_values(settings: Settings) -> list[bytes]:
    """All alerts of a family."""
    return sorted(
        [
            record.value
            async for records in log.records(settings, settings.topic("alerts"))
            for record in records
        ]
    )


@pytest.mark.faults
async def test_a_rebuild_from_start_to_drop(settings: Settings, tmp_path: Path) -> None:
    """Started, compared, promoted, rolled back, promoted again, and the old one dropped."""
    history = [item for item in made(HISTORY_SEED, 2500) if isinstance(item, dict)]
    with Run(settings, tmp_path) as run, Workers(settings, tmp_path) as rebuilt:
        await run.write(list(history))
        run.workers.start("live", patch=doubled_price(WRONG_PRODUCT))
        async with traffic(settings) as written:
            await _story(settings, run, rebuilt, history, written)
        await _alerts_are_those_of_one_application(settings, tmp_path)
        await _compared_with_a_recount(settings, tmp_path, [*history, *written])


async def _story(
    settings: Settings,
    run: Run,
    rebuilt: Workers,
    history: list[dict[str, Any]],
    written: list[dict[str, Any]],
) -> None:
    app, r1 = settings.app, f"{settings.app}.r1"
    code, out, err = await netsold(settings, "rebuild", "start", "--no-input")
    assert (code, out) == (2, ""), err
    assert f"version {r1} would be registered: give --yes to do it" in err
    assert (await read_versions(settings)).registered == {}
    worker = rebuilt.command(
        "r1", "rebuild", "start", "--yes", "--by", "ann", "--why", "a fault", "--rate", "500"
    )

    async def has_caught_up() -> bool:
        assert worker.alive, rebuilt.tail()
        return worker.logged(f"{r1} has caught up, and goes on")

    await until(has_caught_up)
    await _shown_in_status(settings)
    await _named_in_diff(settings, history)
    code, out, err = await as_soon_as_ready(settings, "rebuild", "promote", "r1", "--yes")
    assert code == 3, (out, err)
    assert f"{r1} differs from {app}" in err
    assert (await read_versions(settings)).pointer is None
    await _there_and_back(settings, written)
    await _dropped(settings, run)
    worker.signal(signal.SIGINT)
    worker.ended(20.0)
    assert worker.logged(f"`netsold worker --version {r1}` goes on"), rebuilt.tail()


async def _shown_in_status(settings: Settings) -> None:
    """Both versions, their workers, and the act."""
    code, out, err = await netsold(settings, "rebuild", "status", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["answered"], found["former"]) == (settings.app, None)
    assert [one["app"] for one in found["versions"]] == [settings.app, f"{settings.app}.r1"]
    assert [one["place"] for one in found["versions"]] == ["answered", "beside"]
    assert all(len(one["workers"]) == 1 for one in found["versions"])
    assert [(act["act"], act["by"]) for act in found["acts"]] == [("start", "ann")]


async def _named_in_diff(settings: Settings, history: list[dict[str, Any]]) -> None:
    """The rows that the wrong rule hit, and no others."""
    code, out, err = await netsold(
        settings, "rebuild", "diff", "--json", "--limit", "1000", "--by", "ann"
    )
    assert code == 3, (out, err)
    found = json.loads(out)
    differing = {
        name: [row["key"] for row in one["rows"]]
        for name, one in found["lists"].items()
        if one["rows"]
    }
    assert differing == rows_hit(settings, history)
    assert (found["first"], found["second"]) == (settings.app, f"{settings.app}.r1")
    assert found["lists"]["products"]["same"] > 20
    assert found["left_out"] == {}
    await _recorded(settings, {name: len(keys) for name, keys in differing.items()})


async def _recorded(settings: Settings, differing: dict[str, int]) -> None:
    """The comparison as readers show it: how many rows differ, and some of them."""
    recorded = (await read_versions(settings)).diffs[f"{settings.app}.r1"]
    counts = {name: one.different for name, one in recorded.lists.items() if one.different}
    assert counts == differing
    assert (recorded.first, recorded.by) == (settings.app, "ann")
    assert recorded.vector.keys() == {f"orders-{number}" for number in range(settings.partitions)}
    assert {one.name for one in recorded.examples} == set(differing)
    assert all(one.fields or one.only_in for one in recorded.examples)


async def _there_and_back(settings: Settings, written: list[dict[str, Any]]) -> None:
    """Promoted, rolled back, and promoted again, with traffic in between."""
    r1 = f"{settings.app}.r1"
    forward = ["promote", "r1", "--accept-diff", "--yes"]
    steps = [
        ([*forward, "--why", "the rule was wrong"], r1),
        (["rollback", "--yes", "--why", "to try it"], settings.app),
        ([*forward, "--why", "forward again"], r1),
    ]
    for number, (command, pointed) in enumerate(steps):
        before = len(written)
        code, out, err = await as_soon_as_ready(settings, "rebuild", *command)
        assert code == 0, (out, err)
        versions = await read_versions(settings)
        assert (versions.pointed, len(versions.acts)) == (pointed, number + 2)
        last = versions.acts[-1]
        assert (last.act, last.accepted) == (command[0], command[0] == "promote")

        async def has_flowed(before: int = before) -> bool:
            return len(written) > before + 40

        await until(has_flowed)


async def as_soon_as_ready(settings: Settings, *command: str) -> tuple[int, str, str]:
    """The command's result; while the rebuild is behind (exit code 5), it is run again."""
    found = await netsold(settings, *command)
    for _ in range(10):
        if found[0] != 5:
            break
        found = await netsold(settings, *command)
    return found


async def _dropped(settings: Settings, run: Run) -> None:
    """The former version, once nothing needs it; what the family shares is left."""
    app, r1 = settings.app, f"{settings.app}.r1"
    for name, why in ((r1, f"readers answer from {r1}"), (app, "stop its workers first")):
        code, out, err = await netsold(settings, "rebuild", "drop", name, "--yes")
        assert (code, out) == (1, ""), err
        assert why in err
    run.workers.stop()
    async with asyncio.timeout(60):  # a stopped worker stays a member until its session ends
        while True:
            code, out, err = await netsold(
                settings, "rebuild", "drop", app, "--yes", "--why", "done"
            )
            if code == 0:
                break
            assert "stop its workers first" in err, (out, err)
    names = await topics.topic_ids(settings)
    shared = ("orders", "chats", "alerts", "names", "control")
    assert sorted(names) == sorted(map(settings.topic, shared))
    assert not (settings.data_dir / app).exists()
    versions = await read_versions(settings)
    assert (list(versions.registered), versions.pointed) == ([r1], r1)


async def _alerts_are_those_of_one_application(settings: Settings, tmp_path: Path) -> None:
    """Another family on the same log, which passes over these handovers, sends the same alerts."""
    versions = await read_versions(settings)
    now = versions.settings_of("r1", settings)
    alone = settings.model_copy(
        update={
            "app": f"{settings.app}x",
            "topic_prefix": f"{settings.app}x.",
            "orders_topic": settings.topic("orders"),
            "chats_topic": settings.topic("chats"),
        }
    )
    directory = tmp_path / "alone"
    directory.mkdir()
    given = {"ORDERS_TOPIC": settings.topic("orders"), "CHATS_TOPIC": settings.topic("chats")}
    with (
        Run(alone, directory, **given) as one,
        Run(now, tmp_path) as rest,
        Workers(settings, tmp_path) as workers,
    ):
        await topics.create(alone)
        one.workers.start("a")
        await one.caught_up(restart=False)
        last = workers.command("last", "worker", "--version", "r1", "--name", "last")
        await rest.caught_up(restart=False)
        assert last.alive, workers.tail()
    sent, expected = await alert_values(now), await alert_values(alone)
    assert len(expected) > 20
    assert sent == expected


async def _compared_with_a_recount(
    settings: Settings, tmp_path: Path, events: list[dict[str, Any]]
) -> None:
    """The rebuild is what the events give; a row that is changed in the file is named."""
    counted = recount_by(settings.rules.values, events)
    report = {name: counted[name] for name in ("products", "shops", "product_service", "anomalies")}
    file = tmp_path / "counted.json"
    file.write_text(json.dumps(report), encoding="utf-8")
    code, out, err = await netsold(settings, "compare", "r1", str(file))
    assert code == 0, (out, err)
    assert "overdue: not compared" in out
    row = report["products"][0]
    row["successfully_traded"] += 1
    file.write_text(json.dumps(report), encoding="utf-8")
    code, out, err = await netsold(settings, "compare", "r1", str(file))
    assert code == 3, (out, err)
    assert f"  {row['product_id']} {row['cycle']['start']}: successfully_traded" in out
    file.write_text("[1]", encoding="utf-8")
    code, out, err = await netsold(settings, "compare", "r1", str(file))
    assert code == 2, (out, err)
    assert "is no output of `netsold recount`" in err
