"""A repeated warning is logged at intervals with its count."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from prometheus_client import Counter
from structlog.testing import capture_logs

from serving import rare_log
from serving.rare_log import RareWarning

if TYPE_CHECKING:
    import pytest


async def test_the_first_warning_is_logged_at_once_and_later_ones_with_their_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Warnings of the next half minute are one line.

    After a quiet half minute one is logged at once. None is lost.
    """
    monkeypatch.setattr(rare_log, "EVERY_S", 3600.0)
    counter = Counter("of_this_test", "Times")
    one = RareWarning("it happened", counter)

    def half_a_minute_later() -> None:
        assert one._quiet is not None
        one._quiet.cancel()
        one._end_quiet()

    with capture_logs() as lines:
        one.log()
        assert [line["times"] for line in lines] == [1]
        for _ in range(1000):
            one.log()
        assert len(lines) == 1
        half_a_minute_later()
        assert [line["times"] for line in lines] == [1, 1000]
        half_a_minute_later()
        assert len(lines) == 2
        one.log()
        assert [line["times"] for line in lines] == [1, 1000, 1]
        half_a_minute_later()
    assert {line["event"] for line in lines} == {"it happened"}
    assert counter._value.get() == 1002


async def test_a_warning_is_logged_again_in_another_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A timer whose event loop has ended delays no later warning."""
    monkeypatch.setattr(rare_log, "EVERY_S", 0.0)
    one = RareWarning("it happened")

    async def once() -> None:
        one.log()

    with capture_logs() as lines:
        for _ in range(2):
            await asyncio.to_thread(asyncio.run, once())
    assert [line["times"] for line in lines] == [1, 1]
