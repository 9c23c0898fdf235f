from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiokafka.errors import InvalidProducerEpoch

from tables import catalogue
from tests.faults.network import END_TXN, TXN_OFFSET_COMMIT, ProxiedKafka, Proxy
from tests.faults.runner import BACK_S, Run, made, note

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from streams.settings import Settings

pytestmark = pytest.mark.faults

MET_S = 30.0
"""The bound on waiting for a request to intercept; meanwhile the worker's partitions reopen."""


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxiedKafka]:
    """The broker of these tests.

    The tests connect to it directly; only the workers use the proxy.
    """
    broker = ProxiedKafka(tmp_path_factory.mktemp("proxied"))
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()


@asynccontextmanager
async def connected(
    settings: Settings, directory: Path, kafka: ProxiedKafka
) -> AsyncIterator[tuple[Run, Proxy]]:
    """A run whose workers reach their broker through the proxy alone."""
    async with Proxy(kafka) as proxy:
        with Run(settings, directory, KAFKA__BOOTSTRAP_SERVERS=kafka.proxied) as run:
            yield run, proxy


async def slow(proxy: Proxy, seconds: float) -> None:
    """Every request and answer is delayed."""
    proxy.delay_s = 0.1
    await asyncio.sleep(seconds)
    proxy.delay_s = 0.0


async def silent(proxy: Proxy, seconds: float) -> None:
    """Connections stay open and nothing arrives; then everything arrives late."""
    proxy.fall_silent()
    await asyncio.sleep(seconds)
    proxy.speak()


async def cut(proxy: Proxy, seconds: float) -> None:
    """There is no connection."""
    await proxy.cut()
    await asyncio.sleep(seconds)
    await proxy.join()


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (slow, 5.0),
        (silent, 10.0),
        (cut, 5.0),
        pytest.param(silent, 40.0, marks=pytest.mark.long),
        pytest.param(cut, 40.0, marks=pytest.mark.long),
    ],
)
async def test_a_network_at_its_worst(
    settings: Settings,
    tmp_path: Path,
    kafka: ProxiedKafka,
    fault: Callable[[Proxy, float], Awaitable[None]],
    seconds: float,
) -> None:
    """Under load the same worker processes continue.

    Bytes that arrive late change nothing.
    """
    async with connected(settings, tmp_path, kafka) as (run, proxy):
        await run.write(made(41, 6000))
        run.workers.start("a")
        run.workers.start("b")
        await run.progressed(1000, restart=False)
        note("fault begins")
        await fault(proxy, seconds)
        before = await run.applied()
        note(f"mended, {before} applied")
        assert before < 6000, "too little work for the test to prove anything"
        await run.progressed(before + 1, BACK_S, restart=False)
        note("at work")
        await run.caught_up(restart=False)
        await run.verdict()
        assert {code for worker in run.workers.all.values() for code in worker.exits} == {0}, (
            run.workers.tail()
        )


# --- one late commit

RETRIES_COMMITS = """
from aiokafka.producer.sender import Sender
from streams.producers import _StrictSender
_StrictSender._do_txn_commit = Sender._do_txn_commit
"""
"""aiokafka's code: a producer repeats a commit without answer, in the same epoch."""


async def commit_late(run: Run, proxy: Proxy) -> int:
    """Deliver a commit when its id is in another transaction; return the broker's answer.

    That transaction has sent everything but its offset.
    """
    orders = f"{run.settings.app}-{catalogue.ORDER_STAGE.name}-0"
    commit = proxy.intercept_next(END_TXN, orders)
    async with asyncio.timeout(MET_S):
        await commit.met.wait()
        note("a commit is intercepted")
        offset = proxy.intercept_next(TXN_OFFSET_COMMIT, orders)
        await offset.met.wait()
        answer = await commit.deliver()
    note(f"the commit was delivered in the middle of another transaction; the answer is {answer}")
    return answer


async def test_a_late_commit_is_refused(
    settings: Settings, tmp_path: Path, kafka: ProxiedKafka
) -> None:
    """The worker has closed its producer.

    The next producer of the id has another epoch and has ended the open transaction.
    """
    async with connected(settings, tmp_path, kafka) as (run, proxy):
        await run.write(made(42, 3000))
        worker = run.workers.start("a")
        await run.progressed(300, restart=False)
        assert await commit_late(run, proxy) == InvalidProducerEpoch.errno
        await run.verdict()
        assert worker.exits == [0], run.workers.tail()


@pytest.mark.long
async def test_a_worker_that_sends_a_commit_again_is_found(
    settings: Settings, tmp_path: Path, kafka: ProxiedKafka
) -> None:
    """Its late commit splits the next transaction.

    Records written before the late commit are committed; later ones and the offset are not.
    """
    async with connected(settings, tmp_path, kafka) as (run, proxy):
        await run.write(made(43, 3000))
        worker = run.workers.start("a", patch=RETRIES_COMMITS)
        await run.progressed(300, restart=False)
        assert await commit_late(run, proxy) == 0
        assert await run.ends(worker) == 1
        assert any(
            worker.logged(words) for words in ("going on would count twice or lose", "Impossible")
        ), run.workers.tail()
