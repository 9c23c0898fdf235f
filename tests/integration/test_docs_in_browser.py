"""The page at `/docs`, and pages of other origins, in a real Chromium over a reader in memory."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from schemas.tokens import Scope
from serving.connections import Bounds
from tests.access import TOKENS, guarded_settings
from tests.browser import CHROMIUM, WAIT_MS, chromium, tab
from tests.served_story import served
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from playwright.async_api import Page

    from tests.reading import FedReader

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")

BOUNDS = Bounds(100)
READ: dict[str, Any] = {
    "plain": {},
    "token": {"headers": {"Authorization": f"Bearer {TOKENS[Scope.READ]}"}},
}
"""How a page fetches: without a preflight, and with one."""

FETCH = """([address, options]) => fetch(address, options).then(
  async (found) => [found.status, (await found.json()).product_id, found.headers.get("ETag")],
  () => "not readable")"""


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FedReader]:
    """A reader of the story."""
    with served(tmp_path, monkeypatch) as one:
        yield one


async def execute(page: Page) -> str:
    """Send the shown request of the page at `/docs`; its answer's status and body as shown."""
    async with page.expect_response(lambda found: "/v1/search?" in found.url) as answer:
        await page.click("openapi-explorer .btn-execute")
    status = (await answer.value).status
    await page.wait_for_selector(f"openapi-explorer api-response :text('{status}')")
    return str(status)


async def open_docs(page: Page, address: str, route: str) -> None:
    """Go to a part of the page at `/docs`."""
    await page.goto(f"{address}/docs#?route={route}")
    await page.wait_for_selector("openapi-explorer #operations-root")


async def test_a_request_is_tried_with_a_token(reader: FedReader, tmp_path: Path) -> None:
    """Without one it is a 401; with one in the page's field the answer is shown."""
    reader.settings = guarded_settings(tmp_path)
    async with (
        serving(reader, BOUNDS) as one,
        chromium() as browser,
        tab(browser, f"http://127.0.0.1:{one.port}") as opened,
    ):
        page = opened.page
        page.set_default_timeout(WAIT_MS)
        await open_docs(page, opened.address, "get-/v1/search")
        await page.fill("openapi-explorer #request-param-q", "p-3")
        assert await execute(page) == "401"
        opened.faults.clear()  # Chromium's console has a line for the 401
        await page.evaluate("location.hash = '?route=auth'")
        await page.fill("openapi-explorer #auth input", TOKENS[Scope.READ])
        await page.click("openapi-explorer #auth button")
        await page.wait_for_selector("openapi-explorer #auth :text('Key Applied')")
        await page.evaluate("location.hash = '?route=get-/v1/search'")
        await page.fill("openapi-explorer #request-param-q", "p-3")
        assert await execute(page) == "200"
        shown = page.locator("openapi-explorer .tab-content:visible pre")
        await shown.filter(has_text='"id": "p-3"').wait_for()


@asynccontextmanager
async def a_page() -> AsyncIterator[str]:
    """The origin of a page without a policy of its own."""

    async def answer(request: asyncio.StreamReader, page: asyncio.StreamWriter) -> None:
        await request.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n"
        page.write(head + b"<!doctype html><title>a shop</title>")
        await page.drain()
        page.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("allowed", ["its origin", "any", "none", "another"])
async def test_a_page_of_another_origin_reads_where_it_may(
    reader: FedReader, tmp_path: Path, allowed: str
) -> None:
    """Only if the setting names its origin or any; a request with a token asks first."""
    async with a_page() as here, chromium() as browser:
        origins = {"its origin": here, "any": "*", "none": "", "another": "http://127.0.0.1:1"}
        reader.settings = guarded_settings(tmp_path, reader_cors_origins=origins[allowed])
        async with serving(reader, BOUNDS) as one:
            context = await browser.new_context()
            page = await context.new_page()
            page.set_default_timeout(WAIT_MS)
            await page.goto(f"{here}/")
            address = f"http://127.0.0.1:{one.port}/v1/products/p-3"
            for name, options in READ.items():
                async with asyncio.timeout(WAIT_MS / 1000):
                    found = await page.evaluate(FETCH, [address, options])
                if allowed in {"none", "another"}:
                    assert found == "not readable", name
                elif name == "plain":
                    assert found == [401, None, None]
                else:
                    assert found[:2] == [200, "p-3"]
                    assert found[2].startswith('W/"')
            await context.close()
