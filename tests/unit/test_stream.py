"""The stream of server-sent events over a reader in memory."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from httpx import ASGITransport, AsyncClient

from schemas import http_limits
from schemas.answers import Problem
from schemas.tokens import Scope
from serving import hub, metrics, sending, stream, stream_routes
from serving.api import make_app, renew_hub
from serving.channels import CHANNELS, channel_of
from serving.problems import Kind
from serving.reader import NotReady
from serving.requests import MIN_POSITION_WAIT_S
from tests.events import Client, query
from tests.reading import Changelogs, FedReader, settings_in
from tests.served_story import fed
from tests.story import parse
from tests.unit.test_api import EVENTS, NOW_MS, TICK_MS, UNUSUAL_IDS, problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fastapi import FastAPI

    from serving.answers import Answers

DAY_MS = 86_400_000
MORE = """== of the tests
2026-07-10T08:00Z  placed    o-7  1:p-3:4x1000
2026-07-10T12:00Z  received  o-7
2026-07-10T13:00Z  placed    o-8  1:p-9:1x700 shop=s-8
2026-07-10T14:00Z  received  o-8
2026-07-10T15:00Z  refunded  o-7  r-7 quality  1:1:1000
"""
MORE_EVENTS = next(parse(MORE)).events
ALL = (
    ("product", "p-3"),
    ("product", "p-4"),
    ("product", "p-9"),
    ("shop", "s-7"),
    ("shop", "s-8"),
    ("top", "products:units"),
    ("top", "products:revenue:CNY"),
    ("top", "shops:units"),
    ("top", "shops:response-rate"),
    ("top", "shops:good-reviews"),
    ("overdue", ""),
    ("overdue", "s-7"),
    ("marketplace", ""),
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "TICK_S", 0.0)
    monkeypatch.setattr("serving.reader.now_ms", lambda: NOW_MS)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[FedReader]:
    """A reader that has applied the story of the API's tests."""
    with fed(tmp_path, EVENTS, TICK_MS) as one:
        yield one


@pytest.fixture
def logs(reader: FedReader) -> Changelogs:
    """Its pipeline."""
    return reader.logs


@pytest.fixture
def app(reader: FedReader) -> FastAPI:
    """The reader's API."""
    return make_app(reader)


async def step(reader: FedReader) -> None:
    """Apply what the logs have, and notify those who wait, as a running reader does."""
    while reader.feed():
        pass
    async with reader.changed:
        reader.changed.notify_all()


def address(subject: tuple[str, str]) -> str:
    """The address whose answer a subject's events repeat."""
    event, name = subject
    match event:
        case "top":
            kind, by, currency = [*name.split(":"), ""][:3]
            return f"/v1/top/{kind}?by={by}" + (f"&currency={currency}" if currency else "")
        case "marketplace":
            return "/v1/marketplace"
        case "overdue":
            return f"/v1/shops/{quote(name, safe='')}/overdue" if name else "/v1/overdue"
        case _:
            return f"/v1/{event}s/{quote(name, safe='')}"


async def answers(app: FastAPI, subjects: Any) -> dict[tuple[str, str], str]:  # noqa: ANN401 - pairs
    """The data of events about subjects, from what the API answers at their addresses."""
    found = {}
    async with AsyncClient(transport=ASGITransport(app), base_url="http://reader") as client:
        for subject in subjects:
            response = await client.get(address(subject))
            text = response.text if response.status_code == 200 else "null"
            found[subject] = (
                f'{{"subject":{json.dumps(subject[1], ensure_ascii=False)},"answer":{text}'
            )
    return found


async def shows(client: Client, expected: dict[tuple[str, str], str]) -> None:
    """Wait until the last event of each subject has the expected answer, byte for byte.

    `applied` of an answer that didn't change since may be older.
    """

    def is_shown() -> bool:
        newest = client.newest()
        return all(
            subject in newest and _lasting(newest[subject].text) == _lasting(text)
            for subject, text in expected.items()
        )

    await client.until(is_shown)


async def begun(client: Client) -> None:
    """Wait until a client has its first events."""
    await client.until(lambda: client.events)


def _lasting(text: str) -> str:
    return text.partition(',"freshness"')[0]


async def test_first_each_subjects_state_as_the_api_answers_it(app: FastAPI) -> None:
    """One event for each subject: the bytes of the API's answer; null where it answers 404."""
    client = Client(app, ALL)
    await client.until(lambda: len(client.events) > len(ALL))
    assert (client.status, client.headers["content-type"]) == (
        200,
        "text/event-stream; charset=utf-8",
    )
    assert client.headers["cache-control"] == "no-cache"
    assert client.parser.retry == str(stream.RETRY_MS)
    states = [event for event in client.events if event.name != "freshness"]
    assert [event.subject for event in states] == list(ALL)
    for event, text in zip(states, (await answers(app, ALL)).values(), strict=True):
        if event.data["answer"] is None:
            assert event.subject == ("product", "p-9")
            assert text == '{"subject":"p-9","answer":null'
            assert event.data["freshness"]["state"] == "live"
        else:
            assert event.text == text + "}"
    assert [event.data.keys() for event in client.events if event.name == "freshness"] == [
        {"freshness"}
    ]
    await client.leave()


async def test_then_only_what_changed(app: FastAPI, reader: FedReader, logs: Changelogs) -> None:
    """A step sends events of the subjects whose answers differ, and of no others."""
    client = Client(app, ALL)
    await client.until(lambda: len(client.events) > len(ALL))
    before = len(client.events)
    logs.take(MORE_EVENTS)
    await step(reader)
    expected = await answers(app, ALL)
    await shows(client, expected)
    changed = {event.subject for event in client.events[before:]} - {("freshness", "")}
    assert changed == {
        ("product", "p-3"),
        ("product", "p-9"),
        ("shop", "s-7"),
        ("shop", "s-8"),
        ("marketplace", ""),
        ("top", "products:units"),
        ("top", "products:revenue:CNY"),
        ("top", "shops:units"),
    }
    for event in client.events[before:]:
        if event.name == "product":
            assert event.text == expected[event.subject] + "}"
    await client.leave()


async def test_an_id_is_null_until_an_order_names_it(
    app: FastAPI, reader: FedReader, logs: Changelogs
) -> None:
    """Then its zeros come, and then its sales."""
    client = Client(app, [("product", "p-9")])
    await client.until(lambda: len(client.events) == 2)
    for events in MORE_EVENTS[2:3], MORE_EVENTS[3:4]:
        logs.take(events)
        await step(reader)
        expected = await answers(app, [("product", "p-9")])
        await shows(client, expected)
    nets = [
        event.data["answer"] and event.data["answer"]["units"]["net"]
        for event in client.events
        if event.name == "product"
    ]
    assert nets == [None, 0, 1]
    await client.leave()


async def test_a_step_that_is_being_applied_when_a_stream_is_opened_is_not_missed(
    app: FastAPI, reader: FedReader, logs: Changelogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It notes what was watched before; its changes reach the store after the first tick."""
    logs.take(MORE_EVENTS)
    noted, written = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    write = reader.store.write

    def late(*args: Any, **named: Any) -> None:  # noqa: ANN401 - as the store's
        loop.call_soon_threadsafe(noted.set)
        written.wait(10)
        write(*args, **named)

    monkeypatch.setattr(reader.store, "write", late)
    applying = asyncio.create_task(asyncio.to_thread(reader.feed))
    await noted.wait()
    client = Client(app, [("product", "p-3"), ("entries", "p-3")])
    await client.until(lambda: client.status)
    await asyncio.sleep(0.05)  # ticks of a stream that didn't wait
    written.set()
    await applying
    await step(reader)
    await shows(client, await answers(app, [("product", "p-3")]))
    await client.leave()


async def test_the_same_point_moves_without_any_sale(
    app: FastAPI, reader: FedReader, logs: Changelogs
) -> None:
    """Event time alone changes an answer: the last event has the same point of the API's answer."""
    watched = [("product", "p-3"), ("shop", "s-7"), ("top", "shops:units"), ("marketplace", "")]
    client = Client(app, watched)
    await client.until(lambda: len(client.events) > len(watched))
    logs.tick(TICK_MS + 3_600_000)
    await step(reader)
    await shows(client, await answers(app, watched))
    await client.leave()


async def test_steps_between_two_ticks_are_one_event(
    app: FastAPI, reader: FedReader, logs: Changelogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each subject has one event, whose state is the last one."""
    client = Client(app, [("product", "p-3")])
    await client.until(lambda: len(client.events) == 2)
    monkeypatch.setattr(hub, "IDLE_S", 60.0)
    for event in MORE_EVENTS:
        logs.take([event])
        while reader.feed():
            pass
    await step(reader)
    expected = await answers(app, [("product", "p-3")])
    await shows(client, expected)
    assert [event.name for event in client.events].count("product") == 2
    await client.leave()


async def test_a_slow_client_gets_the_newest_state(
    app: FastAPI, reader: FedReader, logs: Changelogs
) -> None:
    """While it does not read, one event of each subject waits, and the older ones are dropped."""
    slow, quick = (Client(app, [("product", "p-3"), ("entries", "p-3")]) for _ in range(2))
    for client in slow, quick:
        await begun(client)
    slow.reads.clear()
    dropped = metrics.SUPERSEDED._value.get()
    placed, received = (
        MORE_EVENTS[0],
        MORE_EVENTS[1],
    )
    expected: dict[tuple[str, str], str] = {}
    for number in range(20):
        order = {"order_id": f"n-{number}"}
        logs.take([placed | order | {"id": f"a{number}"}, received | order | {"id": f"b{number}"}])
        await step(reader)
        expected = await answers(app, [("product", "p-3")])
        await shows(quick, expected)
    assert metrics.SUPERSEDED._value.get() - dropped >= 18
    before = len(slow.events)
    slow.reads.set()
    await shows(slow, expected)
    states = [event for event in slow.events[before:] if event.name == "product"]
    assert len(states) <= 2  # the one that was being sent, and the newest
    for client in slow, quick:
        await entered(client, 20)
        await client.leave()
    assert [event.data["entry"] for event in slow.events if event.name == "entry"] == [
        event.data["entry"] for event in quick.events if event.name == "entry"
    ]


async def entered(client: Client, count: int) -> None:
    """Wait until a client has so many entries."""
    await client.until(lambda: len(entries(client)) >= count)
    assert len(entries(client)) == count


def entries(client: Client) -> list[dict[str, Any]]:
    """The entries received so far."""
    return [event.data["entry"] for event in client.events if event.name == "entry"]


async def test_entries_are_the_journal_behind_the_first_states(
    app: FastAPI, reader: FedReader, logs: Changelogs
) -> None:
    """Each new entry comes once, in the log's order; the first state and they make the last one."""
    products = "p-3", "p-4", "p-5", "p-9"
    client = Client(app, [(name, id_) for name in ("product", "entries") for id_ in products])
    await client.until(lambda: len(client.events) == 5)
    first = client.newest()
    for event in MORE_EVENTS:
        logs.take([event])
        await step(reader)
    await entered(client, 3)
    expected = await answers(app, [("product", id_) for id_ in products])
    await shows(client, expected)
    for id_ in products:
        mine = [one for one in entries(client) if one["product_id"] == id_]
        journal = [
            json.loads(record.value or b"")
            for partition in (0, 1)
            for record in logs.changelogs[logs.topics["journal"], partition]
            if record.key == id_.encode()
        ]
        assert mine == journal[len(journal) - len(mine) :]
        before, after = (
            (events["product", id_].data["answer"] or {"successfully_traded": 0})[
                "successfully_traded"
            ]
            for events in (first, client.newest())
        )
        assert before + sum(one["units_gross"] - one["units_reversed"] for one in mine) == after
    assert all(event.data["freshness"]["state"] == "live" for event in client.events[5:6])
    await client.leave()


@pytest.mark.parametrize("by", ["header", "parameter"])
async def test_a_client_resumes_at_another_reader(
    app: FastAPI, reader: FedReader, logs: Changelogs, tmp_path: Path, by: str
) -> None:
    """It gets the entries behind its last event, each once, and the states as they are now."""
    watched = [("product", "p-3"), ("entries", "p-3"), ("entries", "p-9")]
    client = Client(app, watched)
    await client.until(lambda: len(client.events) == 2)
    logs.take(MORE_EVENTS[:2])
    await step(reader)
    await entered(client, 1)
    await client.leave()
    assert client.last_id is not None
    logs.take(MORE_EVENTS[2:])
    other = FedReader(settings_in(tmp_path / "other"), logs)
    other.feed()
    other_app = make_app(other)
    named = watched if by == "header" else [*watched, ("last_event_id", client.last_id)]
    again = Client(other_app, named, client.last_id if by == "header" else None)
    await entered(again, 2)
    expected = await answers(other_app, [("product", "p-3")])
    await shows(again, expected)
    await again.leave()
    assert [one["product_id"] for one in entries(client) + entries(again)] == ["p-3", "p-9", "p-3"]
    other.close()


async def test_an_id_of_another_version_begins_anew(
    app: FastAPI, reader: FedReader, logs: Changelogs
) -> None:
    """The full state, though its positions are of no partition here; entries follow from there."""
    watched = [("product", "p-3"), ("entries", "p-3")]
    client = Client(app, watched)
    await begun(client)
    await client.leave()
    assert client.last_id is not None
    assert client.last_id.rpartition("@")[2].startswith("netsold:")
    again = Client(app, watched, "carts-7:1000000,sales-9:1000000@netsold.r1:0123456789")
    await shows(again, await answers(app, [("product", "p-3")]))
    logs.take(MORE_EVENTS)
    await step(reader)
    await entered(again, 2)
    await again.leave()


async def test_streams_end_when_another_reader_answers(
    app: FastAPI, reader: FedReader, tmp_path: Path
) -> None:
    """Those that are still being opened, too; the next ones are over the other reader."""
    former = app.state.hub
    client = Client(app, [("product", "p-3")])
    await begun(client)
    named = {"app": "netsold.r1", "data_dir": tmp_path / "r1"}
    settings = reader.settings.model_copy(update=named)
    other = FedReader(settings, Changelogs(settings))
    app.state.versions.answering = other
    renew_hub(app)  # type: ignore[arg-type] # it is a ReaderApp
    await client.task
    with former.stream([channel_of("product", "p-3", Scope.READ)], {}, lambda: True) as late:
        assert [chunk async for chunk in late.chunks()][1:] == []
    assert app.state.hub is not former
    assert former.count == 0
    other.close()


async def test_a_stream_of_an_empty_log_is_resumed(tmp_path: Path) -> None:
    """It has everything that comes, from the first entry on."""
    logs = Changelogs(settings_in(tmp_path))
    reader = FedReader(settings_in(tmp_path), logs)
    reader.feed()
    app = make_app(reader)
    watched = [("entries", "p-3"), ("entries", "p-9"), ("product", "p-3")]
    client = Client(app, watched)
    await begun(client)
    await client.leave()
    logs.take([*EVENTS, *MORE_EVENTS])
    await step(reader)
    again = Client(app, watched, client.last_id)
    await shows(again, await answers(app, [("product", "p-3")]))
    written = [
        json.loads(record.value or b"")
        for partition in (0, 1)
        for record in logs.changelogs[logs.topics["journal"], partition]
        if record.key in {b"p-3", b"p-9"}
    ]
    await entered(again, len(written))
    assert sorted(map(str, entries(again))) == sorted(map(str, written))
    await again.leave()
    reader.close()


async def test_many_entries_come_in_bounded_batches(
    app: FastAPI, reader: FedReader, logs: Changelogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that was away for long gets all entries of all products, by partition in order."""
    client = Client(app, [("entries", f"p-{number}") for number in range(8)])
    await client.until(lambda: len(client.events) == 1)
    await client.leave()
    placed, received = MORE_EVENTS[:2]
    events = []
    for number in range(60):
        mine = {"order_id": f"n-{number}"}
        lines = [placed["lines"][0] | {"product_id": f"p-{number % 8}"}]
        events += [
            placed | mine | {"id": f"a{number}", "lines": lines},
            received | mine | {"id": f"b{number}"},
        ]
    logs.take(events)
    await step(reader)
    monkeypatch.setattr(http_limits, "STREAM_ENTRIES", 7)
    again = Client(app, [("entries", f"p-{number}") for number in range(8)], client.last_id)
    await entered(again, 60)
    await again.leave()
    by_partition: dict[int, list[str]] = {}
    for partition in (0, 1):
        records = logs.changelogs[logs.topics["journal"], partition]
        by_partition[partition] = [
            one["id"]
            for record in records
            if (one := json.loads(record.value or b""))["type"] == "entry"
            and one["order_id"].startswith("n-")
        ]
    ids = [one["id"] for one in entries(again)]
    assert sorted(ids) == sorted(by_partition[0] + by_partition[1])
    for some in by_partition.values():
        assert [one for one in ids if one in set(some)] == some


@pytest.mark.parametrize(
    ("named", "where"),
    [
        ((), None),
        ((("product", ""),), "product"),
        ((("top", "products:clicks"),), "top"),
        ((("top", "products:revenue"),), "top"),
        ((("top", "products:revenue:cny"),), "top"),
        ((("top", "products:units:CNY"),), "top"),
        ((("top", "products:units:"),), "top"),
        ((("top", "products:growth"),), "top"),
        ((("top", "products"),), "top"),
        ((("product", "a\x01"),), "product"),
        ((("entries", "\n"),), "entries"),
        ((("shop", "a\x00"),), "shop"),
        ((("price", "p-3"),), "price"),
        ((("marketplace", "p-3"),), "marketplace"),
        ((("product", "p-3"), ("last_event_id", "orders-0:1")), "last_event_id"),
        ((("product", "p-3"), ("last_event_id", "what@")), "last_event_id"),
        ((("product", "p-3"), ("last_event_id", "orders-0:1@../x")), "last_event_id"),
        (tuple(("product", f"p-{number}") for number in range(101)), None),
    ],
)
def test_what_a_stream_cannot_show_is_refused(
    app: FastAPI, named: tuple[tuple[str, str], ...], where: str | None
) -> None:
    """A sentence says what is wrong with it."""
    client = TestClient(app, raise_server_exceptions=False)
    found = problem(client.get(query(named)), 422, Kind.INVALID_REQUEST)
    assert found.detail
    assert [one.where for one in found.errors or []] == ([] if where is None else [where])


async def test_a_stream_waits_for_the_tables_of_a_reader_that_starts(
    app: FastAPI, reader: FedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A browser would never open it again after a 503."""
    answers, ready = reader.answers, asyncio.Event()

    async def until_progress(_: object, wait_s: float) -> bool:
        assert wait_s == MIN_POSITION_WAIT_S
        ready.set()
        return True

    def answers_once_ready() -> Answers:
        if not ready.is_set():
            raise NotReady("no tables yet")
        return answers()

    monkeypatch.setattr(reader, "until_progress", until_progress)
    monkeypatch.setattr(reader, "answers", answers_once_ready)
    client = Client(app, [("product", "p-3")])
    await client.until(lambda: client.events)
    await client.leave()
    assert ready.is_set()


async def test_ids_that_are_no_position_of_this_log_are_refused(
    app: FastAPI, reader: FedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Malformed, of another log, of an unknown partition; one that is not reached is a 503."""
    monkeypatch.setattr(stream_routes, "MIN_POSITION_WAIT_S", 0.01)
    client = Client(app, [("product", "p-3"), ("entries", "p-3")])
    await client.until(lambda: client.events)
    await client.leave()
    id_ = client.last_id or ""
    positions, _, tag = id_.partition("@")
    for wrong, status, kind in (
        (f"{positions}@netsold:0000000000", 422, Kind.OTHER_LOG),
        (f"{positions}@0000000000", 422, Kind.INVALID_REQUEST),
        (f"orders-0@{tag}", 422, Kind.INVALID_REQUEST),
        (f"carts-0:1@{tag}", 422, Kind.INVALID_REQUEST),
        (f"orders-0:1000000@{tag}", 503, Kind.NOT_APPLIED),
        (f"sales-0:1000000@{tag}", 503, Kind.NOT_APPLIED),
        (f"sales-1:1000000@{tag}", 503, Kind.NOT_APPLIED),
    ):
        async with AsyncClient(transport=ASGITransport(app), base_url="http://reader") as test:
            response = await test.get("/v1/stream?product=p-3", headers={"Last-Event-ID": wrong})
        assert problem(response, status, kind).detail
    assert app.state.hub.count == 0
    assert reader.changes.watched == {}


async def test_ids_may_contain_anything_printable(
    app: FastAPI, reader: FedReader, logs: Changelogs
) -> None:
    """Each id is watched as product, shop and journal, and its events name it as it is."""
    ids = [*UNUSUAL_IDS, "a,b", "ü,😀", '"quoted"', "\u2028"]
    watched = [(name, id_) for id_ in ids for name in ("product", "shop", "entries")]
    client = Client(app, watched)
    await client.until(lambda: len(client.newest()) == 2 * len(ids) + 1)
    events = []
    for number, id_ in enumerate(ids):
        placed, received = MORE_EVENTS[:2]
        mine = {"order_id": f"n-{number}"}
        lines = [placed["lines"][0] | {"product_id": id_}]
        events += [
            placed | mine | {"id": f"a{number}", "shop_id": id_, "lines": lines},
            received | mine | {"id": f"b{number}"},
        ]
    logs.take(events)
    await step(reader)
    subjects = [(name, id_) for id_ in ids for name in ("product", "shop")]
    expected = await answers(app, subjects)
    await shows(client, expected)
    await entered(client, len(ids))
    assert {one["product_id"] for one in entries(client)} == set(ids)
    assert all(
        event.data["answer"]["units"]["net"] == 4
        for event in client.newest().values()
        if event.name in {"product", "shop"}
    )
    await client.leave()


async def test_heartbeats_keep_an_idle_stream_open(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A comment comes where nothing else does."""
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.005)
    client = Client(app, [("product", "p-3")])
    await client.until(lambda: client.parser.comments >= 3)
    await client.leave()


async def test_a_reader_that_restores_reports_it(
    app: FastAPI, reader: FedReader, logs: Changelogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream stays open, its freshness is restoring, and then the newest states come."""
    monkeypatch.setattr(hub, "IDLE_S", 0.01)
    client = Client(app, [("product", "p-3"), ("entries", "p-3")])
    await client.until(lambda: len(client.events) == 2)
    reader.store.set_aside("the test does it")
    await client.until(lambda: client.events[-1].name == "freshness")
    assert client.events[-1].data["freshness"]["state"] == "restoring"
    assert client.events[-1].id == client.events[-2].id
    logs.take(MORE_EVENTS)
    reader.reopen()
    for _ in range(3):
        reader.feed(most=3)
        await asyncio.sleep(0)
    await step(reader)
    expected = await answers(app, [("product", "p-3")])
    await shows(client, expected)
    await entered(client, 2)
    await client.leave()


async def test_streams_end_with_their_log(
    app: FastAPI, reader: FedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the log was created anew the reader ends the streams, whose positions are void."""
    monkeypatch.setattr(hub, "IDLE_S", 0.01)
    client = Client(app, [("product", "p-3")])
    await client.until(lambda: len(client.events) == 2)
    monkeypatch.setattr(hub, "log_tag", lambda _: "another")
    await client.until(client.task.done)
    assert app.state.hub.count == 0
    assert reader.changes.watched == {}


async def test_the_next_cycle_changes_answers_without_any_row(
    app: FastAPI, reader: FedReader, logs: Changelogs
) -> None:
    """When event time enters a cycle the states of that cycle come."""
    watched = [("product", "p-3"), ("product", "p-9"), ("top", "products:units")]
    client = Client(app, watched)
    await client.until(lambda: len(client.events) == 4)
    logs.tick(TICK_MS + 60 * DAY_MS)
    await step(reader)
    expected = await answers(app, watched)
    await shows(client, expected)
    starts = [
        event.data["answer"]["cycle"]["start"]
        for event in client.events
        if event.subject == ("product", "p-3")
    ]
    assert starts == ["2026-07-06T00:00:00Z", "2026-09-04T00:00:00Z"]
    await client.leave()


async def test_many_answers_take_turns(
    app: FastAPI, reader: FedReader, logs: Changelogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tick makes a bounded number of answers, and the next ticks the others."""
    monkeypatch.setattr(http_limits, "STREAM_ANSWERS", 2)
    made: list[int] = []
    states = sending._states

    def counted(channels: Any, answers: Any, access: Any) -> Any:  # noqa: ANN401 - as it is
        made.append(len(channels))
        return states(channels, answers, access)

    monkeypatch.setattr(sending, "_states", counted)
    clients = [Client(app, ALL[:4]), Client(app, ALL[4:]), Client(app, ALL[:5])]
    for client in clients:
        await begun(client)
    assert max(made) <= len(ALL)
    made.clear()
    logs.take(MORE_EVENTS)
    await step(reader)
    expected = await answers(app, ALL)
    for client, subjects in zip(clients, (ALL[:4], ALL[4:], ALL[:5]), strict=True):
        mine = {subject: expected[subject] for subject in subjects}
        await shows(client, mine)
        await client.leave()
    assert max(made) == 2
    assert sum(made) <= len(ALL)  # each once for all clients


async def test_streams_are_bounded(app: FastAPI, reader: FedReader) -> None:
    """One more than may be is a 503; when one ends, another may begin."""
    app.state.hub.most = 2
    clients = [Client(app, [("product", "p-3")]) for _ in range(2)]
    for client in clients:
        await begun(client)
    one_more = Client(app, [("product", "p-3")])
    await one_more.task
    assert one_more.status == Kind.BUSY.status
    assert Problem.model_validate_json(one_more.body).type == Kind.BUSY.type
    assert metrics.STREAMS._value.get() == 2
    await clients[0].leave()
    again = Client(app, [("product", "p-3")])
    await again.until(lambda: again.events)
    await again.leave()
    await clients[1].leave()
    assert app.state.hub.count == metrics.STREAMS._value.get() == 0
    assert reader.changes.watched == {}


def test_head_answers_as_get(app: FastAPI) -> None:
    """It has the headers, no body, and an end."""
    response = TestClient(app).head("/v1/stream?product=p-3")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    assert not response.content
    assert app.state.hub.count == 0


def test_each_parameter_names_a_channel(app: FastAPI) -> None:
    """The contract has a parameter for each channel, and the header."""
    parameters = app.openapi()["paths"]["/v1/stream"]["get"]["parameters"]
    assert {one["name"] for one in parameters} == {*CHANNELS, "last_event_id", "Last-Event-ID"}
