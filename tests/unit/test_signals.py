"""Work that a signal ends in order."""

from __future__ import annotations

import asyncio
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from streams.signals import interruptible


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_interruptible_work(number: signal.Signals) -> None:
    """Its handler never runs within the event loop, and is the handler again afterwards."""
    ended = []

    def handler(*_: object) -> None:
        raise AssertionError("raised within the loop")

    async def work() -> None:
        asyncio.get_running_loop().call_later(0.01, signal.raise_signal, number)
        try:
            await asyncio.sleep(30)
        finally:
            ended.append("in order")

    before = signal.signal(number, handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            interruptible(work())
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)
    assert ended == ["in order"]


def test_interruptible_work_has_a_result() -> None:
    """It is returned where no signal comes, also in a thread, which gets none."""

    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert interruptible(work()) == 7
    with ThreadPoolExecutor() as pool:
        assert pool.submit(lambda: interruptible(work())).result() == 7
