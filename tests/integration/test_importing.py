"""`netsold import` into a real log.

Good lines are written, bad ones are named, and repeats are harmless.
"""

from __future__ import annotations

import asyncio
import bz2
import gzip
import json
import lzma
import os
import signal
import sys
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiokafka.errors import KafkaError

from operations.files import foodmart
from operations.oracle.recount import recount
from schemas import envelope
from schemas.times import DAY_MS, format_ms
from streams import log, topics
from streams.errors import KafkaUnreachable
from tables import catalogue
from tests.mapping import SAMPLES, made

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from operations.local.kafka import LocalKafka
    from streams.settings import Settings

EXCERPT = Path(__file__).parents[1] / "data" / "foodmart"
LONG_S = 60.0


def _event(number: int) -> bytes:
    return (
        f'{{"type":"receipt_confirmed","id":"e-{number}","source":"/s","occurred_at":"2026-07-02T10:00:00Z","order_id":"o-{number}",'
        f'"by":"buyer"}}\n'
    ).encode()


async def _start(
    settings: Settings,
    *arguments: str,
    stdin: bool = False,
    command: str = "import",
    more: Mapping[str, str] | None = None,
) -> asyncio.subprocess.Process:
    environment = {
        "NETSOLD_APP": settings.app,
        "NETSOLD_TOPIC_PREFIX": settings.topic_prefix,
        "NETSOLD_PARTITIONS": str(settings.partitions),
        "NETSOLD_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers or "",
        **(more or {}),
    }
    line = [sys.executable, "-m", "operations.cli", command, "--json", *arguments]
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *line, env=environment, stdout=pipe, stderr=pipe, stdin=pipe if stdin else None
    )


async def _end(
    process: asyncio.subprocess.Process, given: bytes | None = None
) -> tuple[int | None, dict[str, Any], str]:
    async with asyncio.timeout(LONG_S):
        out, err = await process.communicate(given)
    return process.returncode, json.loads(out or b"{}"), err.decode()


async def _run(settings: Settings, *arguments: str) -> tuple[int | None, dict[str, Any], str]:
    return await _end(await _start(settings, *arguments))


async def _repeat(settings: Settings, given: bytes) -> dict[str, Any]:
    """The summary of an import that is repeated, as its message says, while Kafka isn't ready.

    A broker that was frozen for longer than its session leads nothing until it has a new one.
    """
    async with asyncio.timeout(LONG_S):
        while True:
            code, summary, err = await _end(await _start(settings, "-", stdin=True), given)
            if not code:
                return summary
            assert not summary, err
            assert code in {1, 5}, err


async def _in_log(settings: Settings) -> list[dict[str, Any]]:
    """All events of the log in bare JSON form; every record must be an event."""
    found = []
    async with asyncio.timeout(LONG_S):
        async for records in log.records(settings, settings.topic(catalogue.ORDERS_TOPIC)):
            for record in records:
                received = envelope.read(record)
                assert isinstance(received, envelope.Received)
                body = msgspec.json.decode(msgspec.json.encode(received.body))
                common = {
                    "type": received.type,
                    "id": received.id,
                    "source": received.source,
                    "order_id": received.order_id,
                }
                found.append({**body, **common, "occurred_at": format_ms(received.occurred_at_ms)})
    return found


async def test_files_of_every_kind_are_imported(settings: Settings, tmp_path: Path) -> None:
    """Lines are counted, plain or compressed; each event is written once."""
    await topics.create(settings)
    lines = [b"\n".join(_event(100 * number + each) for each in range(100)) for number in range(4)]
    packed = {
        ".jsonl": lines[0],
        ".gz": gzip.compress(lines[1]),
        ".bz2": bz2.compress(lines[2]),
        ".xz": lzma.compress(lines[3]),
    }
    for suffix, content in packed.items():
        (tmp_path / f"events{suffix}").write_bytes(content)
    code, summary, err = await _run(
        settings, *(str(tmp_path / f"events{suffix}") for suffix in packed)
    )
    assert (code, err) == (0, "")
    assert (
        summary.items()
        >= {
            "topics": {settings.topic("orders"): 400},
            "lines": 400,
            "written": 400,
            "refused": 0,
        }.items()
    )
    assert sorted(event["id"] for event in await _in_log(settings)) == sorted(
        f"e-{number}" for number in range(400)
    )


async def test_bad_lines_are_named_and_the_rest_is_written(
    settings: Settings, tmp_path: Path
) -> None:
    """Stderr has file, line and reason; the exit code is 1."""
    await topics.create(settings)
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        _event(1) + b"\n{\n" + _event(2).replace(b"buyer", b"robot") + _event(3).rstrip()
    )
    code, summary, err = await _run(settings, str(path))
    assert code == 1
    assert (summary["written"], summary["refused"], summary["lines"]) == (2, 2, 4)
    first, second = err.splitlines()
    assert first.startswith(f"{path}:3: not_json: ")
    assert second.startswith(f"{path}:4: invalid_field: by: ")
    assert {event["id"] for event in await _in_log(settings)} == {"e-1", "e-3"}


async def test_importing_again_changes_nothing(settings: Settings) -> None:
    """FoodMart's excerpt imported twice has the sales of one import (S11)."""
    await topics.create(settings)
    for _ in range(2):
        code, summary, _ = await _run(settings, "--format", "foodmart", str(EXCERPT))
        assert (code, summary["refused"]) == (0, 0)
    events = foodmart.events(EXCERPT)
    found = await _in_log(settings)
    assert len(found) == 2 * len(events)
    assert recount(found, 30 * DAY_MS, 0) == recount(events, 30 * DAY_MS, 0)


def _many_invoices(path: Path, times: int) -> None:
    """Enough that a kill finds it at work: the same invoices under other numbers.

    Only the first have rows that are refused: nobody reads what the process says of them.
    """
    invoices = EXCERPT.parent / "online-retail" / "invoices.csv"
    head, *rows = invoices.read_text(encoding="utf-8").splitlines()
    good = [row for row in rows if row.split(",")[-3] not in {"0.001", "-11062.06"}]
    many = [f"{number}-{row}" for number in range(times) for row in (good if number else rows)]
    path.write_text("\n".join([head, *many]), encoding="utf-8")


async def test_a_killed_import_by_a_mapping_is_resumed(settings: Settings, tmp_path: Path) -> None:
    """Killed while it reads and while it writes: what is confirmed isn't written again.

    The sales are those of the mapping's events, and nothing is left on disk at the end.
    """
    await topics.create(settings)
    mapping, path = SAMPLES / "online-retail" / "mapping.toml", tmp_path / "invoices.csv"
    _many_invoices(path, 60)
    expected = made(mapping, [path])
    arguments = ("--mapping", str(mapping), str(path))
    environment = {"NETSOLD_DATA_DIR": str(tmp_path / "data"), "TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    directory = tmp_path / "data" / settings.app / "import"
    process = await _start(settings, *arguments, more=environment)
    await _until(lambda: _size_of(directory / "spool") > 2**20)  # kept once
    await _kill(process)
    process = await _start(settings, *arguments, "--resume", more=environment)
    assert await _writes(process, settings)
    before = _kept_ns(directory / "spool")
    await _until(lambda: _kept_ns(directory / "spool") > before)  # some are confirmed, and kept so
    await _kill(process)
    code, summary, err = await _end(
        await _start(settings, *arguments, "--resume", more=environment)
    )
    assert code == 1
    refused = [line for line in err.splitlines() if ": not_mapped: " in line]
    assert len(refused) == summary["refused"] == 11
    assert summary["written_before"] > 0
    assert summary["written"] + summary["written_before"] == len(expected.events)
    found = await _in_log(settings)
    assert recount(found, 30 * DAY_MS, 0) == recount(expected.events, 30 * DAY_MS, 0)
    assert not directory.exists()
    assert list((tmp_path / "tmp").iterdir()) == []


async def test_an_import_of_other_files_is_not_resumed(settings: Settings, tmp_path: Path) -> None:
    """After Ctrl-C the sentence names the way on; a changed file or mapping is refused."""
    await topics.create(settings)
    mapping, path = tmp_path / "mapping.toml", tmp_path / "invoices.csv"
    text = (SAMPLES / "online-retail" / "mapping.toml").read_text(encoding="utf-8")
    mapping.write_text(text, encoding="utf-8")
    _many_invoices(path, 40)
    arguments = ("--mapping", str(mapping), str(path))
    data = {"NETSOLD_DATA_DIR": str(tmp_path / "data")}
    code, _, err = await _end(await _start(settings, *arguments, "--resume", more=data))
    assert code == 4
    assert err == "netsold: no interrupted import is there: run it without --resume\n"
    process = await _start(settings, *arguments, more=data)
    assert await _writes(process, settings)
    process.send_signal(signal.SIGINT)
    code, summary, err = await _end(process)
    assert code == 130
    assert err.endswith("; the same command with --resume continues\n")
    mapping.write_text(f"{text}# changed\n", encoding="utf-8")
    refusal = await _refusal(settings, *arguments, "--resume", more=data)
    assert refusal.endswith(" began with another text of the mapping: run it without --resume")
    mapping.write_text(text, encoding="utf-8")
    changed = path.stat()
    os.utime(path, ns=(changed.st_atime_ns, changed.st_mtime_ns + 1))
    refusal = await _refusal(settings, *arguments, "--resume", more=data)
    assert refusal.endswith(f" began before {path} was changed: run it without --resume")
    os.utime(path, ns=(changed.st_atime_ns, changed.st_mtime_ns))
    code, again, _ = await _end(await _start(settings, *arguments, "--resume", more=data))
    assert code == 1
    assert again["written_before"] == summary["written"] > 0


async def _kill(process: asyncio.subprocess.Process) -> None:
    process.kill()
    async with asyncio.timeout(LONG_S):
        await process.communicate()


async def _refusal(settings: Settings, *arguments: str, more: Mapping[str, str]) -> str:
    code, _, err = await _end(await _start(settings, *arguments, more=more))
    assert code == 4
    return err.rstrip()


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _kept_ns(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG_S):
        while not condition():  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.02)


async def test_an_interrupted_import_names_the_way_to_continue(settings: Settings) -> None:
    """At the first Ctrl-C the lines read are written, and the exit code is 130."""
    await topics.create(settings)
    process = await _start(settings, "-", stdin=True)
    assert process.stdin is not None
    process.stdin.write(b"".join(_event(number) for number in range(1000)))
    await process.stdin.drain()
    for _ in range(100):  # until it handles signals itself
        await asyncio.sleep(0.1)
        if (
            any((await log.ends(settings, [settings.topic("orders")])).values())
            or process.returncode is not None
        ):
            break
        process.stdin.write(_event(1) * 2000)
        await process.stdin.drain()
    process.send_signal(signal.SIGINT)
    process.stdin.write(_event(1) * 1000)
    code, summary, err = await _end(process)
    assert code == 130
    assert "run it again" in err
    assert f"after {summary['at']};" in err
    assert len(await _in_log(settings)) == summary["written"]


async def test_a_file_that_is_not_there_is_named(settings: Settings) -> None:
    """The error is one sentence, with exit code 1."""
    await topics.create(settings)
    code, _, err = await _run(settings, "nowhere.jsonl")
    assert code == 1
    assert err.splitlines() == ["netsold: nowhere.jsonl: No such file or directory"]


@asynccontextmanager
async def _frozen(kafka: LocalKafka, settings: Settings) -> AsyncIterator[None]:
    """A broker that keeps connections open and answers nothing; at the end it answers again."""
    pid = kafka.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
        await _until_answered(partial(log.ends, settings, [settings.topic("orders")]))


async def _until_answered(request: Callable[[], Awaitable[object]]) -> None:
    """A broker that was frozen may leave the cluster for a moment when it works again."""
    async with asyncio.timeout(LONG_S):
        while True:
            with suppress(KafkaUnreachable, KafkaError):
                await request()
                return
            await asyncio.sleep(0.2)


async def _until_in_log(settings: Settings, number: int) -> None:
    async with asyncio.timeout(LONG_S):
        while sum((await log.ends(settings, [settings.topic("orders")])).values()) < number:  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.05)


async def _writes(process: asyncio.subprocess.Process, settings: Settings) -> bool:
    """Wait until a process has written an event; False if it ends before."""
    written = asyncio.create_task(_until_in_log(settings, 1))
    ended = asyncio.create_task(process.wait())
    await asyncio.wait([written, ended], return_when=asyncio.FIRST_COMPLETED)
    if written.done():
        ended.cancel()
        await written
        return True
    written.cancel()
    return False


async def _line(process: asyncio.subprocess.Process) -> str:
    """The next line on stderr."""
    assert process.stderr is not None
    async with asyncio.timeout(LONG_S):
        return (await process.stderr.readline()).decode()


async def test_a_line_of_an_open_pipe_is_written_at_once(settings: Settings) -> None:
    """Each line is written soon after its newline.

    Half a line waits for its end.
    """
    await topics.create(settings)
    process = await _start(settings, "-", stdin=True)
    assert process.stdin is not None
    for number in (1, 2):
        process.stdin.write(_event(number))
        await _until_in_log(settings, number)
    process.stdin.write(_event(3)[:40])
    process.stdin.write(_event(3)[40:].rstrip())
    code, summary, _ = await _end(process, b"")
    assert (code, summary["written"], summary["refused"]) == (0, 3, 0)
    assert {event["id"] for event in await _in_log(settings)} == {"e-1", "e-2", "e-3"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_silent_pipe_does_not_delay_a_signal(
    settings: Settings, number: signal.Signals
) -> None:
    """The import ends at the first signal, and the lines read are written."""
    await topics.create(settings)
    process = await _start(settings, "-", stdin=True)
    assert process.stdin is not None
    process.stdin.write(_event(1))
    await _until_in_log(settings, 1)
    process.send_signal(number)
    async with asyncio.timeout(LONG_S):
        assert await process.wait() == 130
    assert process.stderr is not None
    err = (await process.stderr.read()).decode()
    assert err == (
        "netsold: interrupted; stopped after standard input:1; run it again from the start,"
        " what is there already changes nothing\n"
    )


async def test_a_broker_that_does_not_answer_is_reported_and_a_signal_ends_it(
    settings: Settings, kafka: LocalKafka
) -> None:
    """It counts unconfirmed events.

    It also names the last confirmed line. A repeat completes the import.
    """
    await topics.create(settings)
    process = await _start(settings, "-", stdin=True)
    assert process.stdin is not None
    process.stdin.write(b"".join(_event(number) for number in range(1, 11)))
    await _until_in_log(settings, 10)
    async with _frozen(kafka, settings):
        process.stdin.write(b"".join(_event(number) for number in range(11, 31)))
        assert (await _line(process)).startswith(
            f"netsold: 20 events unconfirmed; Kafka at {settings.kafka.bootstrap_servers}"
            " has not answered for "
        )
        process.send_signal(signal.SIGTERM)
        code, summary, err = await _end(process)
    assert code == 130
    assert (summary["lines"], summary["written"], summary["unconfirmed"], summary["at"]) == (
        30,
        10,
        20,
        "standard input:10",
    )
    assert err.startswith(
        "netsold: interrupted; stopped after standard input:10; 20 events aren't confirmed;"
        " run it again"
    )
    summary = await _repeat(settings, b"".join(_event(number) for number in range(1, 31)))
    assert summary["written"] == 30
    assert {event["id"] for event in await _in_log(settings)} == {
        f"e-{number}" for number in range(1, 31)
    }
    ends = await log.ends(settings, [settings.topic("orders")])
    assert summary["positions"] == {
        f"{topic}-{partition}": end - 1 for (topic, partition), end in ends.items()
    }


@pytest.mark.parametrize("command", ["import", "simulate"])
async def test_a_broker_that_stays_away_is_given_up(
    settings: Settings, kafka: LocalKafka, command: str
) -> None:
    """The import ends after the bound, with exit code 5."""
    await _until_answered(partial(topics.create, settings))
    arguments = {"import": ("-",), "simulate": ("--rate", "200")}[command]
    arguments += ("--give-up-after", "3s")
    for _ in range(5):  # the broker of the test before elects leaders, maybe for longer than that
        process = await _start(settings, *arguments, stdin=True, command=command)
        assert process.stdin is not None
        if command == "import":
            process.stdin.write(_event(1))
        if await _writes(process, settings):
            break
    else:
        pytest.fail("nothing was written")
    async with _frozen(kafka, settings):
        if command == "import":
            process.stdin.write(_event(2))
        code, summary, err = await _end(process)
    *waiting, gave_up = err.splitlines()  # none where a busy machine meets both bounds at once
    assert code == 5
    for line in waiting:
        assert f"; Kafka at {settings.kafka.bootstrap_servers} has not answered for " in line
    assert gave_up.startswith(
        f"netsold: gave up: Kafka at {settings.kafka.bootstrap_servers} gave no answer for"
        " 3.0 s; stopped after "
    )
    assert summary["unconfirmed"] >= 1
