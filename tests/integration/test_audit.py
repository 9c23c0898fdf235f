"""`netsold audit` and `netsold replay --dry-run` on a real Kafka, while traffic goes on."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import signal
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from aiokafka.admin import AIOKafkaAdminClient
from rocksdict import Options, Rdict

from schemas.journal import Entry, decode
from streams import log, topics
from streams.audits import last_audit
from streams.local_stores import stored_rows
from streams.log_writer import Writer
from streams.marks import MARK_KEY, decode_mark, encode_mark
from tables import catalogue
from tables.reader_rows import space, table_key
from tests.faults.runner import Run, made
from tests.faults.workers import environment
from tests.reading import running
from tests.terms import rules_file

if TYPE_CHECKING:
    from pathlib import Path

    from serving.reader import Reader
    from streams.settings import Settings

COMMAND_S = 240.0

HALF_PRICE = """
from tables import entries
from schemas.journal import Entry
from msgspec.structs import replace
before = entries.difference
def difference(was, now, cause, calendar):
    for entry in before(was, now, cause, calendar):
        if entry.product_id == "p-7":
            entry = replace(entry, amount_gross=entry.amount_gross // 2)
        yield entry
entries.difference = difference
"""
"""A wrong rule: one product's gross is half of what it is."""


async def netsold(settings: Settings, directory: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "operations.cli", *arguments,
        env=environment(settings), cwd=directory, stdin=subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await asyncio.wait_for(process.communicate(), COMMAND_S)
    return process.returncode or 0, output.decode(), errors.decode()


async def found_by(settings: Settings, directory: Path, *command: str) -> dict[str, Any]:
    """What an audit or a replay found; its exit code fits."""
    code, output, errors = await netsold(settings, directory, *command, "--json")
    assert code in {0, 3}, errors
    found: dict[str, Any] = json.loads(output)
    assert (code == 0) == found["equal"]
    return found


async def untouched(settings: Settings) -> str:
    """A digest of all that a replay must not change: ends, committed offsets, local stores."""
    names = [topic.name for topic in topics.declared(settings)]
    ends = await log.ends(settings, names)
    admin = AIOKafkaAdminClient(bootstrap_servers=str(settings.kafka.bootstrap_servers))
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(settings.app)
    finally:
        await admin.close()
    digest = hashlib.sha256(repr(sorted(ends.items())).encode())
    digest.update(repr(sorted(offsets.items())).encode())
    for path in sorted(settings.data_dir.rglob("*")):
        if path.is_file() and "worker-" in str(path):
            digest.update(str(path).encode() + path.read_bytes())
    return digest.hexdigest()


async def test_tables_are_equal_while_traffic_goes_on(settings: Settings, tmp_path: Path) -> None:
    """Every table and the journal follow from the log, though their marks are at other offsets.

    An audit that was interrupted continues.
    """
    with Run(settings, tmp_path) as run:
        items = made(31, 6000)
        await run.write(items[:1500])
        run.workers.start("a")
        await run.progressed(1000, restart=False)
        writing = asyncio.create_task(run.write(items[1500:]))
        found = await found_by(settings, tmp_path, "audit", "--processes", "2")
        assert found["equal"], found["rows"]
        assert found["journal"]["rows"] > 100
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "operations.cli", "audit",
            env=environment(settings), cwd=tmp_path, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        plan = settings.data_dir / settings.app / "replay" / "plan.json"
        while not plan.exists():
            assert process.returncode is None, await process.communicate()
            await asyncio.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = await process.communicate()
        if process.returncode:  # else it was quicker
            assert process.returncode == 130, errors
            assert b"`netsold audit --resume` continues" in errors
            found = await found_by(settings, tmp_path, "audit", "--resume")
            assert found["equal"], found["rows"]
        assert not plan.exists()
        await writing


async def test_a_replay_shows_what_would_change(settings: Settings, tmp_path: Path) -> None:
    """A worker with a wrong rule: exactly the rows that the rule hit, and nothing is touched.

    A wrong record of a changelog is named by the audit.
    """
    code, _, errors = await netsold(settings, tmp_path, "replay")
    assert code == 2
    assert "netsold rebuild" in errors
    code, _, errors = await netsold(settings, tmp_path, "audit")
    assert code == 5, errors
    with Run(settings, tmp_path) as run:
        await run.write(made(32, 3000))
        await run.end_time()
        run.workers.start("a", patch=HALF_PRICE)
        await run.caught_up(restart=False)
        await asyncio.to_thread(run.workers.stop)
        shops = set()
        async for records in log.records(settings, settings.topic("sales")):
            for record in records:
                row = decode(record.value)
                if isinstance(row, Entry) and row.product_id == "p-7" and row.amount_gross:
                    shops.add(row.shop_id)
        assert shops
        before = await untouched(settings)
        found = await found_by(
            settings, tmp_path, "replay", "--dry-run", "--explain", "product:p-7"
        )
        assert await untouched(settings) == before
        hit: dict[str, set[str]] = {}
        for row in found["rows"]:
            hit.setdefault(row["table"], set()).add(row["key"].rpartition("@")[0] or row["key"])
        assert hit == {
            "product_cycles": {"p-7"},
            "product_totals": {"p-7"},
            "shop_cycles": shops,
            "shop_totals": shops,
        }
        assert [one["id"] for one in found["movers"]["products"]] == ["p-7"]
        assert found["movers"]["products"][0]["units"] == 0
        assert found["explained"]["orders"]
        changed = [one for one in found["cycles"] if one["live"] != one["replayed"]]
        assert changed
        more = sum(one["replayed"]["amount_gross"] - one["live"]["amount_gross"] for one in changed)
        assert more == sum(found["movers"]["products"][0]["money"].values()) > 0
        await up_to_a_time(settings, tmp_path)
        found = await found_by(settings, tmp_path, "audit")
        assert {row["id"].partition("@")[0] for row in found["journal_rows"]} <= {
            f"{settings.topic('orders')}-{number}" for number in (0, 1)
        }
        assert all('"product_id":"p-7"' in row["live"] for row in found["journal_rows"])
        causes = {row["id"].partition("#")[0] for row in found["journal_rows"]}
        assert {row["first"] for row in found["rows"] if row["table"] == "product_totals"} <= causes


async def up_to_a_time(settings: Settings, directory: Path) -> None:
    """`--to` compares the sums of products, and refuses what cannot be compared."""
    to = ("replay", "--dry-run", "--to")
    found = await found_by(settings, directory, *to, "2100-01-01T00:00:00Z")
    assert {row["table"] for row in found["rows"]} == {"product_cycles", "product_totals"}
    assert {row["key"].partition("@")[0] for row in found["rows"]} == {"p-7"}
    assert {table["table"] for table in found["tables"] if table["rows"]} == {
        "product_cycles",
        "product_totals",
        "product_service_cycles",
    }
    chats = f"{settings.topic('chats')}-0@5"
    weekly = rules_file(directory / "weekly.toml", cycle_days=7)
    for arguments, refusal in (
        (("2000-01-01T00:00:00Z",), "no event lies before"),
        ((chats,), "is in none of the topics"),
        (("2100-01-01T00:00:00Z", "--rules", str(weekly)), "its workers: leave out"),
    ):
        code, _, errors = await netsold(settings, directory, *to, *arguments)
        assert code == 2, errors
        assert refusal in " ".join(errors.split()), errors


async def test_a_wrong_changelog_record_is_named(settings: Settings, tmp_path: Path) -> None:
    """Whoever wrote it: the table, the key, both rows, and the first event that an order lacks."""
    with Run(settings, tmp_path) as run:
        await run.write(made(33, 1500))
        run.workers.start("a")
        await run.caught_up(restart=False)
        await asyncio.to_thread(run.workers.stop)
        name = topics.changelog(settings, catalogue.SHOP_TOTALS.name)
        rows: dict[bytes, bytes] = {}
        async for records in log.records(settings, name):
            rows |= {one.key: one.value for one in records if one.partition == 0}
        key = next(key for key in rows if key != MARK_KEY)
        async with Writer(settings) as writer:
            await writer.send(name, key, b"[2,0,{}]", [], 0)
            await writer.send(name, MARK_KEY, rows[MARK_KEY], [], 0)
        found = await found_by(settings, tmp_path, "audit")
        (row,) = found["rows"]
        assert (row["table"], row["partition"], row["key"]) == ("shop_totals", 0, key.decode())
        assert row["live"] == "[2,0,{}]"
        assert row["replayed"] == rows[key].decode()
        code, output, _ = await netsold(settings, tmp_path, "audit")
        assert code == 3
        assert f"shop_totals-0 {key.decode()} differs" in output
        assert re.search(r"^stores of workers +[\d,]+ rows ", output, re.MULTILINE)
        assert f"no store of its reader in {settings.data_dir / 'reader'}" in output
        mark = decode_mark(rows[MARK_KEY])
        source, one = next(iter(mark.sources.items()))
        sources = mark.sources | {source: one._replace(offset=one.offset + 5000)}
        beyond = encode_mark(msgspec.structs.replace(mark, sources=sources))
        for wrong, sentence in (
            (beyond, f"{source}@{one.offset + 5000} is not in the log, which ends before offset "),
            (b"garbage", " is no mark of a worker "),
        ):
            async with Writer(settings) as writer:
                await writer.send(name, MARK_KEY, wrong, [], 0)
            code, _, errors = await netsold(settings, tmp_path, "audit", "--processes", "2")
            assert code == 5, errors
            assert sentence in errors
            assert "Traceback" not in errors


def flip(path: Path, prefix: bytes) -> bytes:
    """Change one digit of the first row that begins with `prefix` in a store; its key."""
    db = Rdict(str(path), Options(raw_mode=True))
    try:
        rows = stored_rows(db, prefix)
        key, value = next(row for row in rows if re.search(rb"[1-8]", row[1]))
        db[key] = re.sub(rb"[1-8]", lambda digit: b"%d" % (int(digit[0]) + 1), value, count=1)
        db.flush()
    finally:
        db.close()
    return key


async def test_a_flipped_byte_in_a_store_is_named(settings: Settings, tmp_path: Path) -> None:
    """In a worker's store and in a reader's: table and key, and the tables themselves are equal."""
    with Run(settings, tmp_path) as run:
        await run.write(made(34, 1500))
        run.workers.start("a")
        await run.caught_up(restart=False)
        async with running(settings) as reader:
            await run.until(partial(_is_complete, reader), 60.0, restart=False)
        await asyncio.to_thread(run.workers.stop)
        assert (await found_by(settings, tmp_path, "audit"))["equal"]
        (path,) = [path for path in run.stores() if path.parts[-2:] == ("product_totals", "0")]
        key = flip(path, b"p-")
        row = flip(settings.data_dir / "reader" / "store-1", space(catalogue.SHOP_CYCLES))
        found = await found_by(settings, tmp_path, "audit")
        assert not found["rows"]
        assert not found["journal_rows"]
        assert not any(table["differing"] for table in found["tables"])
        wrong = {one["table"]: one for one in found["stores"] if one["differing"]}
        assert wrong.keys() == {"product_totals", "shop_cycles"}
        assert [one["key"] for one in wrong["product_totals"]["shown"]] == [key.decode()]
        in_reader = table_key(catalogue.SHOP_CYCLES, row).decode()
        assert [one["key"] for one in wrong["shop_cycles"]["shown"]] == [in_reader]
        recorded = await last_audit(settings)
        assert recorded is not None
        assert recorded.mismatches == 2
        assert recorded.succeeded_at is not None
        assert recorded.succeeded_at < recorded.at


async def _is_complete(reader: Reader) -> bool:
    return reader.progress.complete
