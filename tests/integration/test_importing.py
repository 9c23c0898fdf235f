"""`netsold import` into a real log: everything good arrives, everything bad is named, and again changes nothing."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import json
import lzma
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from operations import foodmart
from operations.recount import DAY_MS, recount
from schemas import envelope
from schemas.times import format_ms
from streams import log, topics

if TYPE_CHECKING:
    from streams.settings import Settings

EXCERPT = Path(__file__).parents[1] / "data" / "foodmart"
LONG_S = 60.0


def _event(number: int) -> bytes:
    return (
        f'{{"type":"receipt_confirmed","id":"e-{number}","source":"/s","occurred_at":"2026-07-02T10:00:00Z","order_id":"o-{number}",'
        f'"by":"buyer"}}\n'
    ).encode()


async def _start(settings: Settings, *arguments: str, stdin: bool = False) -> asyncio.subprocess.Process:
    environment = {
        "NETSOLD_APP": settings.app,
        "NETSOLD_TOPIC_PREFIX": settings.topic_prefix,
        "NETSOLD_PARTITIONS": str(settings.partitions),
        "NETSOLD_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers or "",
    }
    command = [sys.executable, "-m", "operations.cli", "import", "--json", *arguments]
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=pipe, stdin=pipe if stdin else None)


async def _end(process: asyncio.subprocess.Process, given: bytes | None = None) -> tuple[int | None, dict[str, Any], str]:
    async with asyncio.timeout(LONG_S):
        out, err = await process.communicate(given)
    return process.returncode, json.loads(out or b"{}"), err.decode()


async def _run(settings: Settings, *arguments: str) -> tuple[int | None, dict[str, Any], str]:
    return await _end(await _start(settings, *arguments))


async def _in_log(settings: Settings) -> list[dict[str, Any]]:
    """All events of the log in their bare JSON form; every record must be one."""
    found = []
    async with asyncio.timeout(LONG_S):
        async for records in log.read(settings, settings.topic(topics.ORDERS)):
            for record in records:
                received = envelope.read(record)
                assert isinstance(received, envelope.Received)
                body = msgspec.json.decode(msgspec.json.encode(received.body))
                common = {"type": received.type, "id": received.id, "source": received.source, "order_id": received.order_id}
                found.append({**body, **common, "occurred_at": format_ms(received.occurred_at_ms)})
    return found


async def test_files_of_every_kind_are_imported(settings: Settings, tmp_path: Path) -> None:
    """Plain and compressed; the counts are told, and each event arrives once."""
    await topics.create(settings)
    lines = [b"\n".join(_event(100 * number + each) for each in range(100)) for number in range(4)]
    packed = {".jsonl": lines[0], ".gz": gzip.compress(lines[1]), ".bz2": bz2.compress(lines[2]), ".xz": lzma.compress(lines[3])}
    for suffix, content in packed.items():
        (tmp_path / f"events{suffix}").write_bytes(content)
    code, summary, err = await _run(settings, *(str(tmp_path / f"events{suffix}") for suffix in packed))
    assert (code, err) == (0, "")
    assert summary.items() >= {"topics": {settings.topic("orders"): 400}, "lines": 400, "written": 400, "refused": 0}.items()
    assert sorted(event["id"] for event in await _in_log(settings)) == sorted(f"e-{number}" for number in range(400))


async def test_bad_lines_are_named_and_the_rest_goes_on(settings: Settings, tmp_path: Path) -> None:
    """File, line and reason on stderr, exit code 1 at the end."""
    await topics.create(settings)
    path = tmp_path / "a.jsonl"
    path.write_bytes(_event(1) + b"\n{\n" + _event(2).replace(b"buyer", b"robot") + _event(3).rstrip())
    code, summary, err = await _run(settings, str(path))
    assert code == 1
    assert (summary["written"], summary["refused"], summary["lines"]) == (2, 2, 4)
    first, second = err.splitlines()
    assert first.startswith(f"{path}:3: not_json: ")
    assert second.startswith(f"{path}:4: invalid_field: by: ")
    assert {event["id"] for event in await _in_log(settings)} == {"e-1", "e-3"}


async def test_importing_again_changes_nothing(settings: Settings) -> None:
    """FoodMart's excerpt twice: what sold is what its events say once (S11)."""
    await topics.create(settings)
    for _ in range(2):
        code, summary, _ = await _run(settings, "--format", "foodmart", str(EXCERPT))
        assert (code, summary["refused"]) == (0, 0)
    events = foodmart.events(EXCERPT)
    found = await _in_log(settings)
    assert len(found) == 2 * len(events)
    assert recount(found, 30 * DAY_MS, 0) == recount(events, 30 * DAY_MS, 0)


async def test_an_interrupted_import_says_how_to_go_on(settings: Settings) -> None:
    """At the first Ctrl-C: what is read is written, and the exit code is 130."""
    await topics.create(settings)
    process = await _start(settings, "-", stdin=True)
    assert process.stdin is not None
    process.stdin.write(b"".join(_event(number) for number in range(1000)))
    await process.stdin.drain()
    for _ in range(100):  # until it has come so far that signals are its own
        await asyncio.sleep(0.1)
        if any((await log.ends(settings, [settings.topic("orders")])).values()) or process.returncode is not None:
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
    """In one sentence, with exit code 1."""
    await topics.create(settings)
    code, _, err = await _run(settings, "nowhere.jsonl")
    assert code == 1
    assert err.splitlines() == ["netsold: nowhere.jsonl: No such file or directory"]
