"""Connections for single records: which one is closed, and that none is used after silence."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streams import single_records
from streams.settings import Settings
from streams.single_records import SingleRecords

AT = ("orders", 0)


class Client:
    """A client of a broker; `silent` never answers, else it fails once it is closed."""

    def __init__(self, *, silent: bool) -> None:
        self.silent = silent
        self.is_closed = asyncio.Event()

    async def close(self) -> None:
        self.is_closed.set()

    async def answer(self) -> dict[int, Any]:
        if self.silent:
            await self.is_closed.wait()
            raise ConnectionError("closed")
        return {}


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[Client]:
    """The clients that were made; the first one is silent."""
    made: list[Client] = []

    async def connect(self: SingleRecords) -> Client:
        if self._client is None:
            made.append(Client(silent=not made))
            self._client = made[-1]
        return self._client

    async def of_partition(client: Client, *_: object) -> dict[int, Any]:
        return await client.answer()

    monkeypatch.setattr(SingleRecords, "connect", connect)
    monkeypatch.setattr(single_records, "_of_partition", of_partition)
    return made


async def test_one_silent_connection_is_replaced_once_for_all(clients: list[Client]) -> None:
    """One request gives up on it; the others continue over the next one, and nobody closes that."""
    log = SingleRecords(Settings(_env_file=None), ["orders"])
    patient = [asyncio.create_task(log.read({AT: [1]}, 10.0)) for _ in range(5)]
    with pytest.raises(TimeoutError):
        await log.read({AT: [1]}, 0.05)
    assert await asyncio.gather(*patient) == [{AT: {}}] * 5
    assert [one.is_closed.is_set() for one in clients] == [True, False]
    await log.close()
    assert clients[1].is_closed.is_set()
