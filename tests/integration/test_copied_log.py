"""A rebuild with another number of partitions, on real Kafka with traffic, by the commands alone.

Its log is a copy, and the copier is killed again and again. Nothing that the two versions hold or
send differs.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter, defaultdict
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from operations.simulation.faults import Poison
from schemas import envelope
from streams import log, log_writer, topics
from streams.copied import read_copy
from streams.copier import Copier
from streams.partitioning import partition_of
from streams.versions import read_versions
from tables import catalogue
from tests.commands import netsold
from tests.faults.runner import Run, made
from tests.faults.workers import Workers
from tests.integration.test_rebuild import (
    alert_values,
    as_soon_as_ready,
    traffic,
    until,
)

if TYPE_CHECKING:
    from pathlib import Path

    from streams.settings import Settings
    from tests.faults.workers import Worker

HISTORY_SEED = 195
COPIES = 3
POISON = [
    Poison(None, b"no key"),
    Poison(b"o-bad", b"not json", (("own", b"1"),)),
    Poison(b"s/b", b"{}", topic="chats"),
]


class Copying:
    """A copier that can be killed at any time, and goes on."""

    def __init__(self, workers: Workers, version: Settings) -> None:
        self.workers, self.version, self.chance = workers, version, Random(HISTORY_SEED)
        self.started = 0
        self.process = self.start()

    def start(self) -> Worker:
        """Start it by its command."""
        self.started += 1
        self.process = self.workers.command(
            f"copier-{self.started}", "rebuild", "copy", "r1", "--rate", "2000"
        )
        return self.process

    async def read(self) -> int:
        """How many offsets of the log are copied or passed."""
        return sum((await read_copy(self.version)).vectors.positions.values())

    async def killed(self, times: int) -> None:
        """Kill it with -9 after some more records each time, and start it again."""
        for _ in range(times):
            wanted = await self.read() + self.chance.randrange(20, 300)

            async def has_read(wanted: int = wanted) -> bool:
                assert self.process.alive, self.workers.tail()
                return await self.read() >= wanted

            await until(has_read)
            self.process.signal(signal.SIGKILL)
            assert self.process.ended(20.0) == -signal.SIGKILL
            self.start()

    async def caught_up(self) -> None:
        """Wait until it has copied what the log has."""

        async def has_all() -> bool:
            assert self.process.alive, self.workers.tail()
            return (await read_copy(self.version)).left < 300

        await until(has_all)


@pytest.mark.faults
async def test_another_number_of_partitions(settings: Settings, tmp_path: Path) -> None:
    """Copied, compared, promoted, rolled back, promoted again, rolled back and dropped."""
    history = [item for item in made(HISTORY_SEED, 1500) if isinstance(item, dict)]
    with (
        Run(settings, tmp_path) as run,
        Workers(settings, tmp_path) as rebuilt,
        Workers(settings, tmp_path) as copiers,
    ):
        await run.write([*history, *POISON])
        run.workers.start("live")
        async with traffic(settings) as written:
            version = await _registered(settings)
            rebuilt.command("r1", "worker", "--version", "r1", "--name", "r1")
            copying = Copying(copiers, version)
            await copying.killed(3)
            await copying.caught_up()
            await _the_same(settings)
            await _shown(settings)
            await _there_and_back(settings, copying, written)
        await _is_a_copy(settings, version, copying)
        await _alerts_are_those_of_one_application(settings, run, tmp_path)
        await _dropped(settings, version, rebuilt, copying)


@pytest.mark.kafka
async def test_a_copier_far_behind_copies_by_time(settings: Settings) -> None:
    """Not a fetch of one partition after the other: event time would pass what is copied later."""
    await topics.create(settings)
    chats, count = settings.topic("chats"), 6000
    async with log_writer.Writer(settings) as writer:
        for number in range(count):
            partition = number * 2 // count if number % 3 else 1
            key = b"k-%d" % (number % 97)
            await writer.send(chats, key, bytes(1000), partition=partition, timestamp_ms=number)
    version = await _registered(settings)
    stop = asyncio.Event()

    async def pause(_records: int) -> None:
        if copier.copied > count // 2:
            stop.set()

    async with Copier(version) as copier:
        await copier.run(stop, pause)
    found: defaultdict[int, list[int]] = defaultdict(list)
    async for some in log.records(version, version.topic("chats")):
        for record in some:
            found[record.partition].append(record.timestamp)
    assert sum(map(len, found.values())) > count // 2
    assert all(times == sorted(times) for times in found.values())


async def _registered(settings: Settings) -> Settings:
    """The settings of the rebuild, which is registered and has its topics."""
    arguments = ("rebuild", "start", "--partitions", str(COPIES), "--no-worker", "--yes")
    code, out, err = await netsold(settings, *arguments)
    assert code == 0, err
    assert "`netsold rebuild copy netsold" in err.replace(settings.app, "netsold")
    version = (await read_versions(settings)).settings_of("r1", settings)
    assert (version.partitions, version.copied_partitions) == (COPIES, settings.partitions)
    assert f"{settings.app}.r1 is registered" in out
    return version


async def _the_same(settings: Settings) -> None:
    """No row differs while traffic flows, and some are compared."""
    code, out, err = await as_soon_as_ready(settings, "rebuild", "diff", "--json")
    assert code == 0, (out, err)
    found = json.loads(out)
    assert {name: one["different"] for name, one in found["lists"].items() if one["rows"]} == {}
    assert found["lists"]["products"]["same"] > 20
    assert found["lists"]["shop_service"]["same"] > 5
    assert found["left_out"] == {}


async def _shown(settings: Settings) -> None:
    """The copier's lag is in the status."""
    code, out, err = await netsold(settings, "rebuild", "status", "--json")
    assert code == 0, err
    base, r1 = json.loads(out)["versions"]
    assert base["copy"] is None
    assert r1["copy"]["records_left"] < 200
    assert r1["registered"]["copied"]["partitions"] == settings.partitions


async def _there_and_back(
    settings: Settings, copying: Copying, written: list[dict[str, Any]]
) -> None:
    """Each handover happens while the copier is killed; without it a promotion is refused."""
    r1 = f"{settings.app}.r1"
    copying.process.signal(signal.SIGINT)
    assert copying.process.ended(20.0) == 0
    assert copying.process.logged("`netsold rebuild copy"), copying.workers.tail()
    code, out, err = await netsold(settings, "rebuild", "promote", "r1", "--yes")
    assert (code, out) == (5, ""), err
    assert "are not copied for" in err
    copying.start()
    steps = [("promote", r1), ("rollback", settings.app)] * 2
    for act, pointed in steps:
        before = len(written)
        command = ["rebuild", act, *(["r1"] if act == "promote" else []), "--yes"]
        code, out, err = await as_soon_as_ready(settings, *command)
        assert code == 0, (out, err)
        assert (await read_versions(settings)).pointed == pointed
        await copying.killed(1)

        async def has_flowed(before: int = before) -> bool:
            return len(written) > before + 40

        await until(has_flowed)


async def _is_a_copy(settings: Settings, version: Settings, copying: Copying) -> None:
    """Every record once, in its key's order and partition; and handovers in all partitions."""
    await copying.caught_up()

    async def is_read() -> bool:
        return not (await read_copy(version)).left

    await until(is_read)
    for name in catalogue.EVENT_TOPICS:
        by_key: list[dict[bytes, list[tuple[object, ...]]]] = []
        for one in (settings, version):
            found: dict[bytes, list[tuple[object, ...]]] = {}
            async for some in log.records(one, one.topic(name)):
                for record in some:
                    if record.key is not None:
                        content = (record.value, tuple(record.headers), record.timestamp)
                        found.setdefault(record.key, []).append(content)
                        assert record.partition == partition_of(record.key, one.partitions)
            by_key.append(found)
        assert by_key[0] == by_key[1]
        assert len(by_key[0]) > 100
    handovers: Counter[int] = Counter()
    async for some in log.records(version, version.topic("chats")):
        for record in some:
            if isinstance(envelope.read_chat(record), envelope.Handover):
                handovers[record.partition] += 1
    assert handovers == dict.fromkeys(range(COPIES), 4)
    assert (
        await _parked(version)
        == await _parked(settings)
        == sorted(one.value or b"" for one in POISON)
    )


async def _parked(settings: Settings) -> list[bytes]:
    found: list[bytes] = []

    async def all_there() -> bool:
        found[:] = [
            record.value or b""
            async for some in log.records(settings, settings.topic("dead-letters"))
            for record in some
        ]
        return len(found) >= len(POISON)

    await until(all_there)
    return sorted(found)


async def _alerts_are_those_of_one_application(
    settings: Settings, run: Run, tmp_path: Path
) -> None:
    """Another family on the written log, which passes over these handovers, sends the same."""
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
    with Run(alone, directory, **given) as one:
        await topics.create(alone)
        one.workers.start("a")
        await one.caught_up(restart=False)
        await run.caught_up(restart=False)
    sent, expected = await alert_values(settings), await alert_values(alone)
    assert len(expected) > 20
    assert sent == expected


async def _dropped(
    settings: Settings, version: Settings, rebuilt: Workers, copying: Copying
) -> None:
    """The copy goes with its version, and a copier that still runs ends, idle as it is."""
    rebuilt.stop()

    async def is_dropped() -> bool:
        code, out, err = await netsold(settings, "rebuild", "drop", "r1", "--yes")
        assert code == 0 or "stop its workers first" in err, (out, err)
        return code == 0

    await until(is_dropped, 60)
    assert copying.process.ended(30.0) != 0, copying.workers.tail()
    why = ("another copier of this log runs now", "no version")  # fenced, or without its topics
    assert any(map(copying.process.logged, why)), copying.workers.tail()
    names = await topics.topic_ids(version)
    assert version.topic("orders") not in names
    assert version.topic("chats") not in names
    shared = {version.topic(name) for name in ("alerts", "names", "control")}
    assert names.keys() == shared
