"""`netsold dead-letters` on a real Kafka, with workers that refuse what they should apply."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from operations.interrupts import INTERRUPTED
from schemas import decisions, envelope
from schemas.events import topic_of
from schemas.letters import ATTEMPT, REQUEUED_FROM, letter_of
from schemas.limits import REQUEUE_ATTEMPTS
from schemas.positions import Position, position_of
from schemas.refusals import Reason, Refusal
from streams import log, topics
from streams.dead_letters import parked_headers
from streams.letters import CLOCKS_APART_MS, LetterLog
from streams.log_writer import Writer
from streams.parked import DeadLetters
from streams.partitioning import partition_of
from tables.catalogue import (
    CHATS_TOPIC,
    DEAD_LETTERS_TOPIC,
    DECISIONS_TOPIC,
    ORDERS_TOPIC,
    SALES_TOPIC,
)
from tests.faults.runner import Run, made
from tests.faults.workers import environment
from tests.flow import Record
from tests.integration.test_partitions import placed, received, wrote

if TYPE_CHECKING:
    from pathlib import Path

    from schemas.letters import Letter
    from streams.settings import Settings

pytestmark = pytest.mark.kafka

EVENTS = 500
PER_SECOND = "20"
BUG = """
from schemas import envelope
from schemas.refusals import Reason, Refusal
plain = envelope.read
def read(record):
    refused = dict(record.headers).get("ce_type") == b"receipt_confirmed"
    return Refusal(Reason.UNKNOWN_TYPE, "a fault of this build") if refused else plain(record)
envelope.read = read
"""


@dataclass(frozen=True, slots=True)
class Done:
    """The result of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - any JSON
        """The object that it printed."""
        return json.loads(self.out)


async def command(settings: Settings, *arguments: str, **more: str) -> Done:
    """Run `netsold dead-letters`; `more` are settings."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "operations.cli", "dead-letters", *arguments],
        env=environment(settings, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return Done(done.returncode, done.stdout, done.stderr)


async def interrupted(settings: Settings, *arguments: str) -> Done:
    """Run it as `command` does, and end it by SIGINT once it has decided about some letters."""
    before = await decided(settings)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "operations.cli", "dead-letters", *arguments),
        env=environment(settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        while await decided(settings) == before:
            pass
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    return Done(process.returncode or 0, out.decode(), err.decode())


async def decided(settings: Settings) -> int:
    """How many decisions there are."""
    reading = log.records(settings, settings.topic(DECISIONS_TOPIC))
    return sum([len(some) async for some in reading])


async def letters(settings: Settings) -> list[Letter]:
    """All dead letters, by partition and offset."""
    found = [
        letter_of(record)
        async for some in log.records(settings, settings.topic(DEAD_LETTERS_TOPIC))
        for record in some
    ]
    return sorted(found, key=lambda letter: letter.position)


async def ids(settings: Settings, topic: str) -> Counter[str]:
    """How often each event id is in a topic."""
    found = [
        dict(record.headers)["ce_id"].decode()
        async for some in log.records(settings, settings.topic(topic))
        for record in some
    ]
    return Counter(found)


async def damaged(run: Run, events: list[dict[str, Any]]) -> None:
    """Write events; some orders' events without key, with a wrong one, or in a wrong partition."""
    settings = run.settings
    await topics.create(settings)
    async with Writer(settings) as writer:
        for number, event in enumerate(events):
            key, value, headers = envelope.encode(event)
            topic, right = topic_of(event["type"]), partition_of(key, settings.partitions)
            wrong, partition = key, right
            if topic == ORDERS_TOPIC:
                wrong = {0: b"", 1: b"elsewhere"}.get(number % 9, key)
                partition = 1 - right if number % 9 == 2 else right
            await writer.send(settings.topic(topic), wrong or None, value, headers, partition)
            run.events.append(event)


async def test_after_a_fix_and_a_requeue_the_tables_are_those_of_a_run_without_faults(
    settings: Settings, tmp_path: Path
) -> None:
    """Keys and partitions were wrong and a decoder was faulty; the command is killed twice.

    Every event is then in the log once more, and the tables are the recount of all events.
    """
    with Run(settings, tmp_path, REFUSALS_IN_A_ROW="100000") as run:
        await damaged(run, [one for one in made(7, EVENTS) if isinstance(one, dict)])
        worker = run.workers.start("a", patch=BUG)
        await run.caught_up(restart=False)
        await asyncio.to_thread(run.workers.stop_one, worker)
        parked = await letters(settings)
        run.poison = [(letter.key, letter.value) for letter in parked]
        reasons = Counter(letter.reason for letter in parked)
        assert reasons.keys() == {
            "unknown_type", "missing_key", "key_mismatch", "wrong_partition"
        }  # fmt: skip
        before = await ids(settings, ORDERS_TOPIC)

        shown = await command(settings, "requeue", "--all", "--dry-run", "--json")
        assert (shown.code, shown.json["chosen"], shown.json["left"]) == (0, len(parked), 0)
        assert await ids(settings, ORDERS_TOPIC) == before

        again = ("requeue", "--all", "--yes", "--json", "--rate", PER_SECOND)
        for point in ("after_first_send:2", "after_commit:1"):
            killed = await command(settings, *again, FAILPOINT=point)
            assert killed.code == -signal.SIGKILL, killed.err
        stopped = await interrupted(settings, *again)
        assert stopped.code == INTERRUPTED
        assert "put back, run the same command again to go on" in stopped.err
        done = await command(settings, *again)
        two = 2 * int(PER_SECOND)
        assert done.code == 0
        assert done.json["requeued"] == len(parked) - two - stopped.json["requeued"] > 0
        assert (await command(settings, *again)).json["requeued"] == 0

        refused = Counter(event_id(letter) for letter in parked)
        assert await ids(settings, ORDERS_TOPIC) == before + refused
        run.workers.start("a")
        await run.verdict()


def event_id(letter: Letter) -> str:
    """The id of the event in a letter."""
    return dict(letter.headers)["ce_id"].decode()


async def park(settings: Settings) -> list[str]:
    """Write dead letters of every kind, as workers and a foreign program do; their positions."""
    orders, chats, dead = (
        settings.topic(name) for name in (ORDERS_TOPIC, CHATS_TOPIC, DEAD_LETTERS_TOPIC)
    )
    order, message = placed("o-1"), wrote("b-1", "m-1", "2026-07-01T09:00:00+08:00")
    records: list[tuple[str, bytes | None, tuple[bytes, bytes, Any], Reason, int]] = [
        (orders, None, envelope.encode(order), Reason.MISSING_KEY, 0),
        (chats, None, envelope.encode(message), Reason.MISSING_KEY, 0),
        (orders, b"o-2", (b"", b"\xff?", [("trace", b"t")]), Reason.NOT_JSON, 0),
        (orders, b"?", envelope.encode(received("o-1")), Reason.KEY_MISMATCH, REQUEUE_ATTEMPTS),
        (settings.topic(SALES_TOPIC), b"p", (b"", b"{}", []), Reason.NOT_JSON, 0),
    ]
    async with Writer(settings) as writer:
        for offset, (topic, key, (_, value, own), reason, attempt) in enumerate(records):
            more = [(REQUEUED_FROM, b"x-0@1"), (ATTEMPT, b"%d" % attempt)] if attempt else []
            record = Record(topic, 0, offset, 0, key, value, [*own, *more])
            fault = Refusal(reason, "for now")
            place = Position(topic, 0, offset)
            headers = parked_headers(record, place, fault, settings.app)
            await writer.send(dead, key, value, headers, 0)
        await writer.send(dead, b"k", b"v", [], 0)
    return [f"{dead}-0@{offset}" for offset in range(len(records) + 1)]


async def test_letters_are_decided_about_once_and_none_is_deleted(settings: Settings) -> None:
    """What cannot be applied, or was put back too often, stays open until it is forced.

    What is discarded is recorded with who and why.
    """
    await topics.create(settings)
    no_key, message, broken, often, journal, foreign = await park(settings)
    counted = DeadLetters(settings)
    await counted.read_on()
    assert [one.open for one in counted.counts()] == [1, 1, 1, 1, 1, 1]

    for refused in (("requeue",), ("requeue", "--all"), ("discard", "--all", "--why", " ")):
        assert (await command(settings, *refused)).code == 2
    absent = f"{settings.topic(ORDERS_TOPIC)}-0@77"
    for unknown in (("show", absent), ("requeue", "--at", absent, "--yes")):
        done = await command(settings, *unknown)
        assert (done.code, f"there is no dead letter {absent}" in done.err) == (4, True)

    done = await command(settings, "requeue", "--all", "--yes", "--json")
    outcomes = {one["outcome"]: one["count"] for one in done.json["outcomes"]}
    assert outcomes == {"accepted": 2, "refused": 1, "attempts": 1, "no_events": 2}
    assert (done.code, done.json["requeued"], done.json["left"]) == (1, 2, 4)
    done = await command(settings, "requeue", "--at", often, "--yes", "--json", "--force")
    assert (done.code, done.json["requeued"]) == (0, 1)
    (again,) = [
        record
        async for some in log.records(settings, settings.topic(ORDERS_TOPIC))
        for record in some
        if dict(record.headers)["ce_id"] == b"r-o-1"
    ]
    assert (again.key, again.partition) == (b"o-1", partition_of(b"o-1", settings.partitions))
    assert again.headers[-3:][:2] == (
        (REQUEUED_FROM, often.encode()),
        (ATTEMPT, b"%d" % (REQUEUE_ATTEMPTS + 1)),
    )

    why = ("--why", "sent again", "--by", "ann", "--yes", "--json")
    done = await command(settings, "discard", "--at", broken, *why)
    assert (done.code, done.json["discarded"]) == (0, 1)
    done = await command(settings, "discard", "--all", *why)
    assert (done.code, done.json["discarded"]) == (0, 2)
    found = [
        decision
        async for some in log.records(settings, settings.topic(DECISIONS_TOPIC))
        for record in some
        if (decision := decisions.decode(record.value))
    ]
    assert {str(one.letter): (one.decision, one.by, one.why) for one in found} == {
        **dict.fromkeys((no_key, message, often), ("requeued", found[0].by, "")),
        **dict.fromkeys((broken, journal, foreign), ("discarded", "ann", "sent again")),
    }
    assert len(found) == len(await letters(settings)) == 6

    (shown,) = (await command(settings, "show", broken, "--reveal", "--json")).json["letters"]
    assert (shown["state"], shown["decisions"][0]["by"]) == ("discarded", "ann")
    assert base64.b64decode(shown["value_base64"]) == b"\xff?"
    await counted.read_on()
    states = Counter[str]()
    for one in counted.counts():
        states.update(open=one.open, requeued=one.requeued, discarded=one.discarded)
    assert states == {"open": 0, "requeued": 3, "discarded": 3}


async def test_decisions_about_letters_that_are_gone_are_not_read(settings: Settings) -> None:
    """They are kept for ever; the others are found, also by a clock that is behind."""
    await topics.create(settings)
    at = await park(settings)
    (first, *_) = await letters(settings)
    old_ms = first.parked_at_ms - 2 * CLOCKS_APART_MS
    opened = LetterLog(settings)
    await opened.open()
    async with Writer(settings) as writer:
        for position, written_ms in (
            (at[2], old_ms),
            (at[0], first.parked_at_ms - CLOCKS_APART_MS // 2),
            (at[1], first.parked_at_ms + 1000),
        ):
            decision = decisions.Decision(
                position_of(position), opened.topic_id, "discarded", "orders", "", None, 0,
                "ann", "", "",
            )  # fmt: skip
            key, value = decisions.encode(decision)
            topic = settings.topic(DECISIONS_TOPIC)
            await writer.send(topic, key, value, (), 0, written_ms)
            await writer.flush()
    again = LetterLog(settings)
    await again.open()
    states = [again.state_of(position_of(position)) for position in at]
    assert states == ["discarded", "discarded", "open", "open", "open", "open"]
    assert again.read == 2


async def test_an_application_without_a_topic_of_decisions_has_open_letters(
    settings: Settings,
) -> None:
    """Readers count them; the commands name what to create."""
    await topics.create(settings)
    await park(settings)
    admin = AIOKafkaAdminClient(**settings.client_options())
    await admin.start()
    await admin.delete_topics([settings.topic(DECISIONS_TOPIC)])
    await admin.close()
    async with asyncio.timeout(60):
        while settings.topic(DECISIONS_TOPIC) in await topics.topic_ids(settings):
            pass
    counted = DeadLetters(settings)
    await counted.read_on()
    assert sum(one.open for one in counted.counts()) == 6
    done = await command(settings, "list")
    sentence = f"topic {settings.topic(DECISIONS_TOPIC)} is missing: run `netsold topics create`"
    assert (done.code, sentence in done.err) == (1, True)
