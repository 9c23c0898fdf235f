"""What the page costs a browser that leaves it open: bytes, first number, script time, memory.

`python -m bench.page`, with the options of `--help`. It needs Chromium.

`netsold up` runs with its own directory and `--rate`. The times of scripts are of the tab's thread
on a processor, so other processes do not count. They are of a tab over the live stream, and of one
over a recorded minute of it, sent again at the pace of 10,000 events/s (bench/recorded_stream.py):
states as often as a reader sends them at most, and as many journal entries as there were then.
Memory is that of a tab over an hour of that minute in some minutes: it is sent 59 times with other
ids, sums and times, while the tab's clock and its timers run as fast.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from bench.reader import report
from bench.recorded_stream import MINUTE_S, MINUTES, PARTS, Replay
from operations.local.ports import LOCALHOST, free_port
from operations.reader_client import ReaderError, get
from serving.site import PAGE
from streams.settings import Settings
from tests.browser import WAIT_MS, chromium

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator

    from playwright.async_api import Browser, CDPSession, Page

SETTLE_S: Final = 20.0
"""From a live reader to the first figure."""

OPENED: Final = 5
"""So many tabs are opened for the time to the first number."""

READ_S: Final = 0.3
"""How long the tab reads a part of the replay, before its clock goes on."""

LIVE_S: Final = 900.0

HISTORY_S: Final = 3600.0
"""Numbers that are older are of the simulated history, which is written first."""

FAST: Final = 10_000
"""Events a second of the fast stream."""

_FIRST_NUMBER: Final = """new MutationObserver((_, seen) => {
  if (!document.querySelector(".tile .value:not(:has(.skeleton))")) return;
  window.firstNumberMs ??= performance.now();
  seen.disconnect();
}).observe(document, { childList: true, subtree: true, characterData: true });"""


@contextmanager
def running(rate: int, workers: int) -> Iterator[Settings]:
    """`netsold up` with this traffic, until its reader is live."""
    with tempfile.TemporaryDirectory(prefix="netsold-page-") as directory:
        settings = Settings(_env_file=None, data_dir=Path(directory), reader_port=free_port(0))
        environment = os.environ | {
            "NETSOLD_DATA_DIR": directory,
            "NETSOLD_READER_PORT": str(settings.reader_port),
            "NETSOLD_MAX_BEHIND_SECONDS": "1000000",
        }
        command = [sys.executable, "-m", "operations", "up"]
        command += ["--workers", str(workers), "--rate", str(rate)]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + LIVE_S
            while not _is_live(settings):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("netsold up did not get live: run it alone to see why")
                time.sleep(0.5)
            yield settings
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _is_live(settings: Settings) -> bool:
    try:
        status = get(settings, "/v1/status")
        age_s = status["freshness"]["lag_seconds"]
        return status["state"] == "live" and age_s is not None and age_s < HISTORY_S
    except ReaderError:
        return False


def _applied(settings: Settings) -> tuple[float, int, int]:
    """A time in seconds, the events in the log, and those in all tables."""
    sources = get(settings, "/v1/status")["sources"]
    ends = sum(one["end"] or 0 for one in sources)
    return time.monotonic(), ends, ends - sum(one["behind"] or 0 for one in sources)


def sizes() -> tuple[int, int, int]:
    """The page's files: how many, their bytes, and their bytes compressed one by one."""
    kinds = {".js", ".css", ".svg"}
    files = [path for path in PAGE.rglob("*") if path.suffix in kinds] + [PAGE / "index.html"]
    contents = [path.read_bytes() for path in files]
    return len(files), sum(map(len, contents)), sum(len(gzip.compress(one)) for one in contents)


@asynccontextmanager
async def opened(
    browser: Browser, address: str, replay: Replay | None = None
) -> AsyncIterator[tuple[Page, CDPSession]]:
    """A view in a tab of its own, once it has numbers; its stream may come by a replay."""
    context = await browser.new_context(viewport={"width": 1440, "height": 1000})
    try:
        page = await context.new_page()
        if replay is not None:
            await page.route("**/v1/stream?*", replay.serve)
        await _show(page, address)
        yield page, await _session(page)
    finally:
        await context.close()


async def _show(page: Page, address: str) -> None:
    await page.goto(address)
    await page.wait_for_selector("main h1", timeout=WAIT_MS)
    await page.wait_for_function(
        "() => !document.querySelector('main :is(.state.loading, .skeleton)')", timeout=WAIT_MS
    )


async def first_number_ms(browser: Browser, address: str) -> float:
    """From the address to the first number on the page, with an empty cache: the median."""
    found = []
    for _ in range(OPENED):
        context = await browser.new_context()
        page = await context.new_page()
        await page.add_init_script(_FIRST_NUMBER)
        await page.goto(address)
        await page.wait_for_function("() => window.firstNumberMs", timeout=WAIT_MS)
        found.append(float(await page.evaluate("window.firstNumberMs")))
        await context.close()
    return median(found)


async def _metrics(session: CDPSession) -> dict[str, float]:
    answer: dict[str, Any] = await session.send("Performance.getMetrics")
    return {one["name"]: one["value"] for one in answer["metrics"]}


async def _session(page: Page) -> CDPSession:
    """A session whose times are of the thread on a processor."""
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable", {"timeDomain": "threadTicks"})
    return session


async def script_time(session: CDPSession, meanwhile: Awaitable[object]) -> tuple[float, float]:
    """Seconds in which a tab runs scripts, and in which its thread does anything, of some time."""
    before = await _metrics(session)
    await meanwhile
    after = await _metrics(session)
    script, task = (after[name] - before[name] for name in ("ScriptDuration", "TaskDuration"))
    return script, task


async def live_and_fast(
    browser: Browser, settings: Settings, view: tuple[str, str], replay: Replay
) -> AsyncIterator[str]:
    """The times of scripts in the minute that is recorded, and in one at the fast pace."""
    name, address = view
    async with opened(browser, address, replay) as (_, session):
        before = _applied(settings)
        script, task = await script_time(session, replay.recorded.wait())
        after = _applied(settings)
        passed_s = after[0] - before[0]
        written, applied = ((after[at] - before[at]) / passed_s for at in (1, 2))
        minutes = passed_s / MINUTE_S
        yield (
            f"{name}, live: {script / minutes:.1f} s of scripts a minute,"
            f" {task / minutes:.1f} s of the thread; {written:,.0f} events/s written,"
            f" {applied:,.0f} applied"
        )
        script, task = await script_time(session, replay.pace(int(MINUTE_S), FAST / applied))
        yield (
            f"{name}, {FAST:,} events/s: {script:.1f} s of scripts a minute,"
            f" {task:.1f} s of the thread"
        )


async def memory(browser: Browser, address: str, replay: Replay) -> list[tuple[int, float, int]]:
    """(minute, MiB of the heap after a forced collection, nodes) of an hour's stream.

    Reports the share of the stream for which the tab had no connection, if any.
    """
    context = await browser.new_context(viewport={"width": 1440, "height": 1000})
    try:
        page = await context.new_page()
        await page.clock.install()
        await page.route("**/v1/stream?*", replay.serve)
        await _show(page, address)
        session = await _session(page)
        found = [await _heap(session, 0)]
        for minute in range(1, MINUTES):
            for part in range(PARTS):
                await replay.send(minute, part)
                await asyncio.sleep(READ_S)
                await page.clock.run_for(int(1000 * (MINUTE_S / PARTS - READ_S)))
            if minute in {1, 5} or minute % 10 == 9:
                found.append(await _heap(session, minute))
                report(f"minute {minute}: {found[-1][1]:.1f} MiB")
    finally:
        await context.close()
    if replay.missed:
        report(f"{replay.missed} of {(MINUTES - 1) * PARTS} parts had no connection")
    return found


async def _heap(session: CDPSession, minute: int) -> tuple[int, float, int]:
    for _ in range(2):
        await session.send("HeapProfiler.collectGarbage")
    metrics = await _metrics(session)
    return minute, metrics["JSHeapUsedSize"] / 2**20, int(metrics["Nodes"])


async def measure(settings: Settings) -> AsyncIterator[str]:
    """The figures, a line each."""
    address = f"http://{LOCALHOST}:{settings.reader_port}"
    top = get(settings, "/v1/top/products?limit=1")["items"][0]["product_id"]
    count, plain, packed = sizes()
    yield f"page: {count} files, {plain / 1000:,.0f} kB, {packed / 1000:,.0f} kB gzipped"
    async with chromium() as browser:
        yield f"first number: {await first_number_ms(browser, address):,.0f} ms"
        async with opened(browser, f"{address}/operations") as (_, session):
            script, task = await script_time(session, asyncio.sleep(MINUTE_S))
        yield f"operations, live: {script:.1f} s of scripts a minute, {task:.1f} s of the thread"
        for name, path in ("overview", "/"), ("product", f"/products/{top}"):
            async with Replay(address) as replay:
                async for line in live_and_fast(browser, settings, (name, address + path), replay):
                    yield line
                heaps = await memory(browser, address + path, replay)
            each = ", ".join(f"{heap:.1f} at {minute}" for minute, heap, _ in heaps)
            nodes = ", ".join(f"{one:,}" for _, _, one in heaps)
            yield f"{name}, MiB of heap by minute: {each}; nodes: {nodes}"


async def _print(settings: Settings) -> None:
    async for line in measure(settings):
        print(line, flush=True)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=50, help="events a second to write")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    with running(given.rate, given.workers) as settings:
        report("live")
        time.sleep(SETTLE_S)
        asyncio.run(_print(settings))


if __name__ == "__main__":
    main()
