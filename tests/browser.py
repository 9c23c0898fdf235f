"""The page in the distribution's Chromium, over a real reader, for tests."""

from __future__ import annotations

import asyncio
import shutil
import socket
import time
from contextlib import asynccontextmanager, suppress
from http.client import OK
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from httpx import AsyncClient, HTTPError
from playwright.async_api import async_playwright

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, ConsoleMessage, Page, Request

    from tests.faults.workers import Workers

CHROMIUM: Final = shutil.which("chromium")
WAIT_MS: Final = 120_000
_AXE: Final = Path(__file__).parent / "data" / "axe" / "axe.min.js"
_FOUND: Final = """async () => (await axe.run(document, {
  runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
})).violations.flatMap(({ id, nodes }) => nodes.slice(0, 3).map(({ html, failureSummary }) =>
  `${id}: ${html.slice(0, 160)} ${failureSummary.slice(0, 200)}`))"""
_READY: Final = "main :is(h1, form)"
_NOT_READY: Final = "main :is(.state.loading, .skeleton)"


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A headless Chromium."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            await browser.close()


async def until_served(address: str, workers: Workers) -> None:
    """Wait until a reader that was started answers."""
    deadline = time.monotonic() + WAIT_MS / 1000
    async with AsyncClient() as client:
        while True:
            with suppress(HTTPError):
                if (await client.get(f"{address}/livez")).status_code == OK:
                    return
            assert time.monotonic() < deadline, workers.tail()
            await asyncio.sleep(0.1)


class Tab:
    """A tab of the page, and what it complained of.

    `faults` are errors of the console and of scripts, and requests to other hosts.
    """

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.faults: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("request", self._on_request)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.faults.append(f"console: {message.text} ({message.location['url']})")

    def _on_request(self, request: Request) -> None:
        to = urlsplit(request.url)
        if to.scheme != "data" and f"{to.scheme}://{to.netloc}" != self.address:
            self.faults.append(f"request: {request.url}")

    async def open(self, path: str) -> None:
        """Go to a view, and wait until it shows its numbers."""
        await self.page.goto(self.address + path)
        await self.page.wait_for_selector(_READY, timeout=WAIT_MS)
        await self.shows_no(_NOT_READY)

    async def shows(self, selector: str) -> None:
        """Wait until the tab shows what is selected."""
        await self.page.wait_for_selector(selector, timeout=WAIT_MS)

    async def shows_no(self, selector: str) -> None:
        """Wait until nothing in the document is selected."""
        await self.page.wait_for_function(
            "selector => !document.querySelector(selector)", arg=selector, timeout=WAIT_MS
        )

    async def changes(self, selector: str, former: str) -> None:
        """Wait until the first of the selected elements has another text."""
        await self.page.wait_for_function(
            "([selector, former]) => document.querySelector(selector)?.innerText !== former",
            arg=[selector, former],
            timeout=WAIT_MS,
        )

    async def violations(self) -> list[str]:
        """What axe-core finds: rule, element and why."""
        await self.page.evaluate(_AXE.read_text(encoding="utf-8"))
        return list(await self.page.evaluate(_FOUND))

    async def overflow_px(self, width_px: int) -> int:
        """By how much the document is wider than a window of this width."""
        await self.page.set_viewport_size({"width": width_px, "height": 900})
        found = await self.page.evaluate(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() =>"
            " done(document.documentElement.scrollWidth - innerWidth))))"
        )
        return int(found)


@asynccontextmanager
async def tab(browser: Browser, address: str, **options: Any) -> AsyncIterator[Tab]:  # noqa: ANN401 - Playwright's options
    """A tab of its own context; at the end it complained of nothing."""
    context = await browser.new_context(**options)
    try:
        opened = Tab(await context.new_page(), address)
        yield opened
        assert not opened.faults, "\n".join(opened.faults)
    finally:
        await context.close()
