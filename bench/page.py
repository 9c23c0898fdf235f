"""What the page costs a browser that leaves it open: bytes, first number, script time, memory.

`python -m bench.page`, with the options of `--help`. It needs Chromium.

`netsold up` runs with its own directory and as much traffic as is asked for. Script time is that of
a tab over this live stream. Memory is that of a tab over an hour's stream in about a minute: a
minute of the live stream is recorded (`bench/recorded_stream.py`) and sent again 59 times, about
60 times as fast, with other ids, sums and times; the tab's clock and its timers run as fast.
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
    from collections.abc import AsyncIterator, Iterator

    from playwright.async_api import Browser, CDPSession, Page

SETTLE_S: Final = 20.0
"""From a live reader to the first figure."""

OPENED: Final = 5
"""So many tabs are opened for the time to the first number."""

READ_S: Final = 0.3
"""How long the tab reads a part of the replay, before its clock goes on."""

LIVE_S: Final = 300.0

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
        return status["state"] == "live" and status["cycle"] is not None
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
async def opened(browser: Browser, address: str) -> AsyncIterator[tuple[Page, CDPSession]]:
    """A view in a tab of its own, once it has numbers."""
    context = await browser.new_context(viewport={"width": 1440, "height": 1000})
    try:
        page = await context.new_page()
        await _show(page, address)
        session = await context.new_cdp_session(page)
        await session.send("Performance.enable")
        yield page, session
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


async def script_time(browser: Browser, address: str, seconds: int) -> tuple[float, float]:
    """Seconds a minute in which a tab runs scripts, and in which its thread does anything."""
    async with opened(browser, address) as (_, session):
        began = time.monotonic()
        before = await _metrics(session)
        await asyncio.sleep(seconds)
        after = await _metrics(session)
        minutes = (time.monotonic() - began) / 60
    script, task = (
        (after[name] - before[name]) / minutes for name in ("ScriptDuration", "TaskDuration")
    )
    return script, task


async def memory(browser: Browser, address: str, path: str) -> list[tuple[int, float, int]]:
    """(minute, MiB of the heap after a forced collection, nodes) of an hour's stream.

    Reports the share of the stream for which the tab had no connection, if any.
    """
    async with Replay(address) as replay:
        context = await browser.new_context(viewport={"width": 1440, "height": 1000})
        try:
            page = await context.new_page()
            await page.clock.install()
            await page.route("**/v1/stream?*", replay.serve)
            await _show(page, address + path)
            session = await context.new_cdp_session(page)
            await session.send("Performance.enable")
            await replay.recorded.wait()
            found = [await _heap(session, 0)]
            for minute in range(1, MINUTES):
                for part in range(PARTS):
                    await replay.send(minute, part)
                    await asyncio.sleep(READ_S)
                    await page.clock.run_for(int(1000 * (MINUTE_S / PARTS - READ_S)))
                if minute in {1, 5} or minute % 10 == 9:
                    found.append(await _heap(session, minute))
        finally:
            await context.close()
        if replay.missed:
            report(f"{path}: {replay.missed} of {(MINUTES - 1) * PARTS} parts had no connection")
    return found


async def _heap(session: CDPSession, minute: int) -> tuple[int, float, int]:
    for _ in range(2):
        await session.send("HeapProfiler.collectGarbage")
    metrics = await _metrics(session)
    return minute, metrics["JSHeapUsedSize"] / 2**20, int(metrics["Nodes"])


async def measure(settings: Settings, seconds: int) -> AsyncIterator[str]:
    """The figures, a line each."""
    address = f"http://{LOCALHOST}:{settings.reader_port}"
    top = get(settings, "/v1/top/products?limit=1")["items"][0]["product_id"]
    views = {"overview": "/", "product": f"/products/{top}", "operations": "/operations"}
    count, plain, packed = sizes()
    yield f"page: {count} files, {plain / 1000:,.0f} kB, {packed / 1000:,.0f} kB gzipped"
    async with chromium() as browser:
        before = _applied(settings)
        yield f"first number: {await first_number_ms(browser, address):,.0f} ms"
        for name, path in views.items():
            report(f"script time of {name}")
            script, task = await script_time(browser, address + path, seconds)
            yield f"{name}: {script:.1f} s of scripts a minute, {task:.1f} s of the thread"
        after = _applied(settings)
        passed_s = after[0] - before[0]
        written, applied = ((after[at] - before[at]) / passed_s for at in (1, 2))
        yield f"meanwhile {written:,.0f} events/s written, {applied:,.0f} events/s applied"
        report("an hour of overview and product")
        names = "overview", "product"
        hours = await asyncio.gather(*(memory(browser, address, views[name]) for name in names))
        for name, heaps in zip(names, hours, strict=True):
            each = ", ".join(f"{heap:.1f} at {minute}" for minute, heap, _ in heaps)
            yield f"{name}, MiB of heap by minute: {each}; {heaps[-1][2]:,} nodes"


async def _print(settings: Settings, seconds: int) -> None:
    async for line in measure(settings, seconds):
        print(line, flush=True)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=10_000, help="events a second to write")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=60, help="of each view's script time")
    given = parser.parse_args()
    with running(given.rate, given.workers) as settings:
        report("live")
        time.sleep(SETTLE_S)
        asyncio.run(_print(settings, given.seconds))


if __name__ == "__main__":
    main()
