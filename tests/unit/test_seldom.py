"""One line in place of thousands."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from prometheus_client import Counter
from structlog.testing import capture_logs

from serving import seldom
from serving.seldom import Seldom

if TYPE_CHECKING:
    import pytest


async def test_a_sentence_comes_at_once_and_then_with_the_number_of_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first at once, those of the next half minute in one line, and after a quiet one at once again; none is lost."""
    monkeypatch.setattr(seldom, "EVERY_S", 3600.0)
    counter = Counter("of_this_test", "Times")
    one = Seldom("it happened", counter)

    def half_a_minute_later() -> None:
        assert one._quiet is not None
        one._quiet.cancel()
        one._speak_again()

    with capture_logs() as lines:
        one.say()
        assert [line["times"] for line in lines] == [1]
        for _ in range(1000):
            one.say()
        assert len(lines) == 1
        half_a_minute_later()
        assert [line["times"] for line in lines] == [1, 1000]
        half_a_minute_later()
        assert len(lines) == 2
        one.say()
        assert [line["times"] for line in lines] == [1, 1000, 1]
        half_a_minute_later()
    assert {line["event"] for line in lines} == {"it happened"}
    assert counter._value.get() == 1002


async def test_a_sentence_comes_again_in_another_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A timer whose loop has ended keeps nothing back for longer than it would have."""
    monkeypatch.setattr(seldom, "EVERY_S", 0.0)
    one = Seldom("it happened")

    async def once() -> None:
        one.say()

    with capture_logs() as lines:
        for _ in range(2):
            await asyncio.to_thread(asyncio.run, once())
    assert [line["times"] for line in lines] == [1, 1]
