"""What the streams of one hub have together: reads, revoked tokens, damage, and an end."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from schemas.tokens import Scope, line_of
from serving import channels, hub
from serving import entries as reading
from serving.api import make_app
from tests.access import TOKENS
from tests.events import Client
from tests.reading import settings_in
from tests.served_story import SOLD, events_of, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.reading import FedReader

CLIENTS = 1000


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FedReader]:
    """A reader of the story, whose streams tick at once."""
    monkeypatch.setattr(hub, "TICK_S", 0.0)
    with served(tmp_path, monkeypatch) as one:
        yield one


async def sell(reader: FedReader, number: int) -> None:
    """One sale more of p-3, applied as by a running reader."""
    events = events_of(SOLD, f"{number}-")
    reader.logs.take([one | {"order_id": f"n-{number}"} for one in events])
    reader.feed()
    async with reader.changed:
        reader.changed.notify_all()


def entered(client: Client) -> list[dict[str, Any]]:
    """The entries that a client received."""
    return [event.data["entry"] for event in client.events if event.name == "entry"]


def has_entered(client: Client, count: int) -> bool:
    """Whether a client received so many."""
    return len(entered(client)) >= count


async def test_clients_of_one_journal_read_the_store_once(
    reader: FedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand of them: what one of them read and made serves the others."""
    app = make_app(reader)
    clients = [Client(app, [("entries", "p-3")]) for _ in range(CLIENTS)]
    for client in clients:
        await client.until(partial(getattr, client, "events"))
    walks, made = [], []
    walk, make = reading._of_product, channels.entry_event

    def counted(*of: Any) -> Any:  # noqa: ANN401 - as it is
        walks.append(of[1:])
        return walk(*of)

    def counted_event(*of: Any) -> Any:  # noqa: ANN401 - as it is
        made.append(of)
        return make(*of)

    monkeypatch.setattr(reading, "_of_product", counted)
    monkeypatch.setattr(reading, "entry_event", counted_event)
    sales = 5
    for number in range(sales):
        await sell(reader, number)
        for client in clients:
            await client.until(partial(has_entered, client, number + 1))
    assert len(walks) < 10 * sales
    assert len(made) < 10 * sales
    assert all(entered(client) == entered(clients[0]) for client in clients)
    for client in clients:
        await client.leave()


async def test_a_stream_ends_when_its_token_is_revoked(
    reader: FedReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also an idle one, as soon as the file is read again; those of other tokens go on."""
    monkeypatch.setattr("serving.tokens_file.REREAD_EVERY_S", 0.0)
    monkeypatch.setattr(hub, "IDLE_S", 0.01)
    file = tmp_path / "tokens"
    lines = {scope: line_of(scope, scope.value, TOKENS[scope]) for scope in Scope}
    file.write_text("\n".join(lines.values()))
    reader.settings = settings_in(tmp_path).model_copy(update={"reader_tokens_file": file})
    app = make_app(reader)
    clients = {scope: Client(app, [("product", "p-3")], token=TOKENS[scope]) for scope in Scope}
    for client in clients.values():
        await client.until(partial(getattr, client, "events"))
    (tmp_path / "new").write_text(lines[Scope.OPERATE])
    (tmp_path / "new").replace(file)
    async with asyncio.timeout(10):  # less than a heartbeat
        await clients[Scope.READ].task
    assert not clients[Scope.OPERATE].task.done()
    refused = Client(app, [("product", "p-3")], token=TOKENS[Scope.READ])
    await refused.task
    assert refused.status == 401
    await clients[Scope.OPERATE].leave()


async def test_what_changed_is_sent_although_a_tick_met_damage(
    reader: FedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change was noted before the snapshot was taken, and is still to be sent."""
    app = make_app(reader)
    client = Client(app, [("product", "p-3"), ("entries", "p-3")])
    await client.until(lambda: len(client.events) == 2)
    monkeypatch.setattr(hub, "IDLE_S", 0.01)
    snapshot = reader.snapshot
    damaged: list[bool] = []

    def broken() -> Any:  # noqa: ANN401 - in place of a snapshot
        if damaged:
            return snapshot()
        damaged.append(True)
        raise RuntimeError("Corruption: block checksum mismatch")

    monkeypatch.setattr(reader, "report_damage", lambda _: None)
    monkeypatch.setattr(reader, "snapshot", broken)
    await sell(reader, 0)
    await client.until(lambda: [one.name for one in client.events].count("product") == 2)
    await client.until(lambda: bool(entered(client)))
    assert damaged
    assert client.newest()["product", "p-3"].data["answer"]["units"]["net"] == 7
    assert len(entered(client)) == 1
    await client.leave()


async def test_no_stream_outlives_the_end(reader: FedReader) -> None:
    """Those that are open end, and one that is opened later, by a request under way, as well."""
    app = make_app(reader)
    client = Client(app, [("product", "p-3")])
    await client.until(lambda: client.events)
    app.state.hub.end()
    await client.until(client.task.done)
    late = Client(app, [("product", "p-3")])
    await late.until(late.task.done)
    assert late.status == 200
    assert app.state.hub.count == 0
