"""The page in a real Chromium, over a real worker, reader and broker.

With `--write-pages` its pictures in `docs/images` are made anew.
"""

from __future__ import annotations

import asyncio
import gzip
import time
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from operations.simulation.naming import Names
from operations.simulation.traffic import Plan, traffic
from schemas import envelope
from schemas.events import topic_of
from schemas.times import DAY_MS, HOUR_MS, format_ms
from schemas.tokens import Scope
from serving.channels import OVERDUE_ITEMS
from serving.site import PAGE
from streams import topics
from streams.log_writer import Writer
from streams.settings import Kafka
from streams.versions import record_diff
from tables.catalogue import NAMES_TOPIC, ORDERS_TOPIC
from tests.access import LINES, TOKENS
from tests.applications import new_application
from tests.browser import CHROMIUM, WAIT_MS, Tab, chromium, free_port, tab, until_served
from tests.faults.workers import Workers
from tests.two_versions import register, weekly_settings
from tests.unit.test_control import DIFF

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from playwright.async_api import Browser

    from operations.local.kafka import LocalKafka
    from streams.settings import Settings

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no `chromium` on the path")

DAYS = 70
ORDERS = 800
UNANSWERED = 300
"""Inquiries that nobody replies to: more than one page of them by day, when a reply is due."""

LIVE_DAY_MS = 5000
"""A day in the life of a live order: it is received while a test waits."""

IMAGES = Path(__file__).parents[2] / "docs" / "images"
IMAGE_BYTES = 200_000
PAGE_BYTES = 200_000
PLAIN_SALE = ["order_placed", "order_paid", "order_shipped", "receipt_confirmed"]


ANNOUNCED = """() => {
  window.announced = [];
  window.changes = 0;
  const announced = (target) => {
    const element = target instanceof Element ? target : target.parentElement;
    const region = element?.closest("[role=status], [role=alert], [aria-live]");
    if (!region || region.matches(".freshness strong")) return;
    window.announced.push(region.outerHTML.slice(0, 200));
  };
  new MutationObserver((changes) => {
    window.changes += changes.length;
    changes.forEach(({ target }) => announced(target));
  })
    .observe(document.body, { childList: true, subtree: true, characterData: true });
}"""


@dataclass(frozen=True)
class System:
    """Processes with some history, and the events of one more sale, which are not yet written."""

    workers: Workers
    address: str
    sale: list[dict[str, Any]]
    shop_id: str
    former_order_id: str

    @property
    def product_id(self) -> str:
        """A product of the sale."""
        return str(self.sale[0]["lines"][0]["product_id"])

    @property
    def order_id(self) -> str:
        """The order of the sale."""
        return str(self.sale[0]["order_id"])

    def views(self) -> dict[str, str]:
        """The address of each view, with ids that have history."""
        return {
            "overview": "/",
            "product": f"/products/{self.product_id}",
            "shop": f"/shops/{self.shop_id}",
            "order": f"/orders/{self.former_order_id}",
            "operations": "/operations",
            "overdue": "/overdue",
            "search": "/search?q=p-1",
        }


def history() -> list[dict[str, Any]]:
    """Events of the last DAYS days until now."""
    now_ms = int(time.time() * 1000)
    start_ms = now_ms - DAYS * DAY_MS
    plan = Plan(7, "h", start_ms, DAYS * DAY_MS / ORDERS, products=40, shops=5, buyers=300)
    return [event for _, event in takewhile(lambda item: item[0] < now_ms, traffic(plan))]


def unanswered() -> list[dict[str, Any]]:
    """Inquiries of the last weeks, each by a buyer who waits since then."""
    first_ms = int(time.time() * 1000) - 30 * DAY_MS
    return [
        {
            "type": "buyer_messaged",
            "id": f"unanswered-{number}",
            "occurred_at": format_ms(first_ms + number * HOUR_MS),
            "source": "chats",
            "shop_id": f"s-{number % 5}",
            "buyer_id": f"b-waits-{number}",
            "message_id": f"m-waits-{number}",
        }
        for number in range(UNANSWERED)
    ]


@asynccontextmanager
async def flowing(settings: Settings) -> AsyncIterator[None]:
    """A little traffic, as it happens."""
    now_ms = int(time.time() * 1000)
    plan = Plan(11, "live", now_ms, 700, LIVE_DAY_MS, products=40, shops=5, buyers=300)

    async def as_it_happens() -> None:
        names = Names()
        async with Writer(settings) as writer:
            for at_ms, event in traffic(plan):
                await asyncio.sleep(max(0.0, at_ms / 1000 - time.time()))
                await write_event(settings, writer, names, event)
                await writer.flush()

    task = asyncio.create_task(as_it_happens())
    try:
        yield
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])


def newest_sale(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events of the newest order that was placed, paid, shipped and received, and no more."""
    orders: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        if "order_id" in event and topic_of(event["type"]) == "orders":
            orders.setdefault(event["order_id"], []).append(event)
    plain = [one for one in orders.values() if [event["type"] for event in one] == PLAIN_SALE]
    return max(plain, key=lambda one: str(one[-1]["occurred_at"]))


async def write_event(
    settings: Settings, writer: Writer, names: Names, event: dict[str, Any]
) -> None:
    """Write an event, and the names that it needs, to their topics."""
    for named in names.of_event(event):
        await writer.send(settings.topic(NAMES_TOPIC), named.key, named.value, [])
    key, value, headers = envelope.encode(event)
    await writer.send(settings.topic(topic_of(event["type"])), key, value, headers)


async def write(settings: Settings, events: Iterable[dict[str, Any]]) -> None:
    """Write events, and the names that they need, to their topics."""
    names = Names()
    async with Writer(settings) as writer:
        for event in events:
            await write_event(settings, writer, names, event)


async def refuse(settings: Settings) -> None:
    """Write records that are no events."""
    async with Writer(settings) as writer:
        for value in (b"{", b'{"type": "order_paid", "name": "Ann", "order_id": "o-bad"}'):
            await writer.send(settings.topic(ORDERS_TOPIC), b"o-bad", value, [])


@pytest.fixture(scope="module")
async def system(
    kafka: LocalKafka, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    """A worker and a reader over some history."""
    directory = tmp_path_factory.mktemp("page")
    settings = new_application(
        directory,
        kafka=Kafka(bootstrap_servers=kafka.status().bootstrap),
        reader_port=free_port(),
    )
    await topics.create(settings)
    events = history()
    sale = newest_sale(events)
    before = [event for event in events if event not in sale]
    former = newest_sale(before)[0]["order_id"]
    in_order = sorted(before + unanswered(), key=lambda event: str(event["occurred_at"]))
    await write(settings, in_order)
    await refuse(settings)
    await register(settings)
    rebuilt = weekly_settings(settings).app
    await record_diff(
        settings, msgspec.structs.replace(DIFF, first=settings.app, second=rebuilt, by="ann")
    )
    with Workers(settings, directory) as workers:
        workers.start("a", IDLE_TICK_MS="1000")
        workers.serve()
        address = f"http://127.0.0.1:{settings.reader_port}"
        yield System(workers, address, sale, str(sale[0]["shop_id"]), str(former))


@pytest.fixture(scope="module")
async def browser(system: System) -> AsyncIterator[Browser]:
    """A browser, once the page is live."""
    async with chromium() as started:
        await until_served(system.address, system.workers)
        page = await started.new_page()
        await page.goto(system.address)
        await page.wait_for_selector(".freshness.live", timeout=WAIT_MS)
        await page.close()
        yield started


@pytest.mark.parametrize("language", ["en", "zh-CN"])
@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_every_view_is_clean(
    system: System, browser: Browser, language: str, theme: str
) -> None:
    """No error in the console, no request to another host, no finding of axe.

    Nothing is wider than the window, from a telephone's to a large screen's.
    """
    async with tab(browser, system.address, locale=language, color_scheme=theme) as opened:
        faults: list[str] = []
        for name, path in system.views().items():
            await opened.open(path)
            assert await opened.page.get_attribute("html", "lang") == language[:2]
            faults += [f"{name}: {found}" for found in await opened.violations()]
            for width_px in (360, 1920, 2560):
                if over_px := await opened.overflow_px(width_px):
                    faults.append(f"{name}: {over_px} px more than {width_px}")
        assert not faults, "\n".join(faults)


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_the_runbook_is_clean(system: System, browser: Browser, theme: str) -> None:
    """As a view; an anchor leads to its section, and back by the head."""
    async with tab(browser, system.address, color_scheme=theme) as opened:
        await opened.open("/runbook#partition-paused")
        assert await opened.page.locator(":target").inner_text() == "Partition paused"
        assert await opened.violations() == []
        assert await opened.overflow_px(360) == 0
        await opened.page.click("nav a[href='/operations']")
        await opened.shows(".tile .value")


async def test_operations_lead_to_the_runbook_and_show_masked_letters(
    system: System, browser: Browser
) -> None:
    """A finding and a reason are links to sections; a sample shows no text of a person."""
    async with tab(browser, system.address) as opened:
        await opened.open("/operations")
        await opened.shows(".findings a[href='/runbook#dead-letters']")
        await opened.shows("a[href='/runbook#not_json']")
        await opened.page.click("button[aria-label*='missing_field'], button[aria-label*='field']")
        await opened.page.click(".letters summary")
        text = await opened.page.inner_text(".letters pre")
        assert "o-bad" in text
        assert "Ann" not in text
        assert await opened.violations() == []
        partitions = opened.page.locator("section[aria-label='Partitions'] tbody tr")
        assert await partitions.count() == 2 * system.workers.settings.partitions


async def test_operations_show_how_a_rebuild_differs(system: System, browser: Browser) -> None:
    """How many rows, when and by whom they were compared; on opening it some rows, both values."""
    async with tab(browser, system.address) as opened:
        await opened.open("/operations")
        versions = opened.page.locator("section[aria-label='Versions of the tables']")
        await versions.locator(".pill.bad:text-is('1 row differs')").wait_for()
        text = await versions.inner_text()
        assert "never audited" in text
        assert f"by ann, with {system.workers.settings.app}" in text
        await versions.locator("summary").click()
        example = versions.locator("tr", has=opened.page.locator("code:text-is('units.net')"))
        assert await example.locator("td").all_inner_texts() == [
            "products",
            "p-1",
            "units.net",
            "5",
            "\N{EN DASH}",
        ]
        assert await opened.violations() == []


async def test_the_list_of_overdue_inquiries_has_all(system: System, browser: Browser) -> None:
    """The first page is streamed, the others come by a button; each row counts up."""
    async with tab(browser, system.address) as opened:
        await opened.open("/overdue")
        rows = opened.page.locator("tbody tr")
        assert await rows.count() == OVERDUE_ITEMS
        before = await opened.page.inner_text(".overdue-for")
        await opened.changes(".overdue-for", before)
        await opened.page.click(".more button")
        await opened.shows_no(".more button")
        count = int((await opened.page.inner_text(".tile .value")).replace(",", ""))
        assert await rows.count() == count > OVERDUE_ITEMS


async def test_every_view_is_reached_by_keyboard(system: System, browser: Browser) -> None:
    """The skip link is first; then places and search; a view that is entered has the focus."""
    async with tab(browser, system.address) as opened:
        await opened.open("/")
        await opened.page.keyboard.press("Tab")
        focused = "document.activeElement"
        assert await opened.page.evaluate(f"{focused}.className") == "skip"
        await opened.page.keyboard.press("Tab")
        for view in ("/", "/overdue", "/operations"):
            await opened.page.keyboard.press("Tab")
            assert await opened.page.evaluate(f"{focused}.getAttribute('href')") == view
        await opened.page.keyboard.press("Enter")
        await opened.page.wait_for_url("**/operations")
        await opened.shows(".tile .value")
        assert await opened.page.evaluate(f"{focused}.id") == "main"
        await opened.page.keyboard.press("Tab")
        assert await opened.page.evaluate(f"Boolean({focused}.closest('main'))")


async def test_nothing_is_announced_while_all_is_well(system: System, browser: Browser) -> None:
    """Ages change each second, and numbers with each sale: no live region has them.

    The word of the state is one; on a loaded machine it may change.
    """
    async with flowing(system.workers.settings), tab(browser, system.address) as opened:
        for path in ("/", "/operations", f"/shops/{system.shop_id}"):
            await opened.open(path)
            await opened.shows(".freshness.live")
            await opened.page.evaluate(ANNOUNCED)
            changed = "() => window.changes > 20"
            await opened.page.wait_for_function(changed, timeout=WAIT_MS)
            assert await opened.page.evaluate("window.announced") == []
            assert (await opened.page.inner_text(".freshness [role=status]")).isalpha()


async def test_a_small_request_that_fails_is_shown(system: System, browser: Browser) -> None:
    """In its place, with a way to try again; the rest of the view stands."""
    context = await browser.new_context()
    opened = Tab(await context.new_page(), system.address)
    for path in ("cycles?limit=1", "products/*/days?*"):
        await opened.page.route(f"**/v1/{path}", lambda route: route.abort())
    await opened.open("/")
    await opened.shows("td .pill.warn")
    await opened.shows(".failed button")
    assert await opened.violations() == []
    await opened.page.unroute_all()
    await opened.page.click(".failed button")
    await opened.shows_no(".failed")
    await opened.shows_no("td .pill.warn")
    await context.close()


async def test_an_address_of_nothing_leads_back(system: System, browser: Browser) -> None:
    """A wrong one and an unknown long id: nothing is wider than the page."""
    async with tab(browser, system.address) as opened:
        for path in ("/products/", "/Overdue", f"/products/{'a' * 128}"):
            await opened.page.goto(system.address + path)
            await opened.shows("main .state:not(.loading)")
            assert await opened.overflow_px(320) == 0, path
        await opened.page.goto(f"{system.address}/Overdue")
        await opened.page.locator("main .state a").click()
        await opened.shows(".tiles")
        assert all("404" in fault for fault in opened.faults)
        opened.faults.clear()


async def test_a_view_is_printed_light(system: System, browser: Browser) -> None:
    """Also in the dark theme, without what is for clicking; afterwards the theme is as before."""
    async with tab(browser, system.address, color_scheme="dark") as opened:
        for path in ("/", f"/orders/{system.former_order_id}"):
            await opened.open(path)
            ink = "getComputedStyle(document.body).color"
            dark = await opened.page.evaluate(ink)
            await opened.page.emulate_media(media="print")
            await opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
            assert await opened.page.evaluate(ink) == "rgb(21, 25, 29)"
            assert not await opened.page.is_visible(".head nav")
            assert await opened.overflow_px(700) == 0
            await opened.page.evaluate("dispatchEvent(new Event('afterprint'))")
            await opened.page.emulate_media(media="screen")
            assert await opened.page.evaluate(ink) == dark
            assert (await opened.page.pdf(format="A4")).startswith(b"%PDF")


async def test_a_sale_changes_the_number_on_the_page(
    system: System, browser: Browser, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """Without a reload, in tile and chart; and the order's own view tells what happened."""
    async with tab(browser, system.address) as opened:
        await opened.open(f"/products/{system.product_id}")
        await opened.shows(".freshness.live")
        await opened.shows(".cycle.current .sum")
        value = ".tile .value"
        before = await opened.page.inner_text(value)
        await write(system.workers.settings, system.sale)
        written = time.monotonic()
        await opened.changes(value, before)
        record_testsuite_property("event_to_page_seconds", round(time.monotonic() - written, 3))
        after = await opened.page.inner_text(value)
        assert await opened.page.inner_text(".cycle.current .sum") == after
        units = sum(line["quantity"] for line in system.sale[0]["lines"])
        assert 0 < int(after.replace(",", "")) - int(before.replace(",", "")) <= units
        await opened.open(f"/orders/{system.order_id}")
        assert await opened.page.locator(".timeline li").count() == len(PLAIN_SALE)
        await opened.shows(f"main a[href='/products/{system.product_id}']")
        assert await opened.violations() == []


async def test_a_search_by_keyboard_leads_to_what_is_found(
    system: System, browser: Browser
) -> None:
    """`/` leads to the field, arrows through the list under it, and Enter to the view."""
    async with tab(browser, system.address) as opened:
        await opened.open("/operations")
        await opened.page.keyboard.press("/")
        await opened.page.keyboard.type(system.product_id)
        await opened.shows("#found-in-head [role=option]")
        assert await opened.violations() == []
        await opened.page.keyboard.press("ArrowDown")
        await opened.shows("#found-in-head-0[aria-selected=true]")
        await opened.page.keyboard.press("Enter")
        await opened.page.wait_for_url(f"**/products/{system.product_id}")
        await opened.shows("main h1")
        assert await opened.page.locator("#found-in-head").count() == 0
        await opened.open("/search?q=nothing-has-this-name")
        await opened.shows(".found .hint:has-text('nothing-has-this-name')")


async def test_numbers_are_grey_while_they_are_not_live(system: System, browser: Browser) -> None:
    """A stopped worker, a killed reader, and their restart, all without a reload."""
    workers = system.workers
    context = await browser.new_context()
    opened = Tab(await context.new_page(), system.address)
    await opened.open(f"/shops/{system.shop_id}")
    await opened.shows(".freshness.live")
    await opened.page.evaluate("window.isTheSame = true")
    workers.stop_one(workers.all["a"])
    await opened.shows(".freshness.stalled")
    await opened.shows(".tile.stale")
    workers.start("a", IDLE_TICK_MS="1000")
    await opened.shows(".freshness.live")
    await opened.shows_no(".tile.stale")
    workers.kill(workers.reader)
    await opened.shows(".freshness.broken")
    await opened.shows(".tile.stale")
    workers.serve()
    await opened.shows(".freshness.live")
    await opened.shows_no(".tile.stale")
    assert await opened.page.evaluate("window.isTheSame")
    await context.close()


async def test_a_reader_with_tokens_has_a_sign_in(
    system: System, browser: Browser, tmp_path: Path
) -> None:
    """A wrong token is refused, a right one shows the numbers."""
    settings = system.workers.settings.model_copy(
        update={"data_dir": tmp_path, "reader_port": free_port()}
    )
    with Workers(settings, tmp_path, READER_TOKENS=LINES) as guarded:
        guarded.serve()
        address = f"http://127.0.0.1:{settings.reader_port}"
        await until_served(address, guarded)
        context = await browser.new_context()
        opened = Tab(await context.new_page(), address)
        await opened.page.goto(address)
        refused = ".sign-in [role=alert]"
        for token, shown in (("wrong", refused), (TOKENS[Scope.READ], ".freshness.live")):
            await opened.shows(".sign-in")
            assert await opened.violations() == []
            await opened.page.fill("[name=token]", token)
            await opened.page.click(".sign-in button")
            await opened.shows(shown)
        await opened.shows(".tile .value")
        await opened.page.click("nav a[href='/operations']")
        await opened.shows("main code:has-text('--scope operate')")
        await opened.shows("section[aria-label='Dead letters'] a[href='/runbook#not_json']")
        assert await opened.violations() == []
        await opened.page.click(".choices button:last-child")
        await opened.page.fill("[name=token]", TOKENS[Scope.OPERATE])
        await opened.page.click(".sign-in button")
        await opened.shows("section[aria-label='Partitions'] tbody tr")
        await context.close()


async def test_the_page_is_small(
    system: System, browser: Browser, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """By the bytes of its files; how long the first number takes is recorded."""
    files = [path for path in PAGE.rglob("*") if path.suffix in {".js", ".css", ".html", ".svg"}]
    size = sum(len(gzip.compress(path.read_bytes())) for path in files)
    record_testsuite_property("gzipped_bytes", size)
    assert size < PAGE_BYTES
    async with tab(browser, system.address) as opened:
        start = time.monotonic()
        await opened.page.goto(system.address)
        await opened.shows(".tile .value:not(:has(.skeleton))")
        record_testsuite_property("first_number_seconds", round(time.monotonic() - start, 3))


async def test_the_pictures_of_the_docs(
    system: System, browser: Browser, request: pytest.FixtureRequest
) -> None:
    """Each view that the docs show has its picture; with `--write-pages` they are made anew."""
    views = {"overview-dark": "/"} | system.views()
    write = request.config.getoption("--write-pages")
    async with flowing(system.workers.settings) if write else nullcontext():
        for name in ("overview", "overview-dark", "product", "shop", "order", "operations"):
            path = IMAGES / f"{name}.png"
            if write:
                await picture(system, browser, name, views[name])
            assert 0 < path.stat().st_size <= IMAGE_BYTES, path


async def picture(system: System, browser: Browser, name: str, path: str) -> None:
    """Make the picture of a view, once its numbers are some seconds old."""
    theme = "dark" if name.endswith("dark") else "light"
    size = {"width": 1440, "height": 1000}
    async with tab(browser, system.address, color_scheme=theme, viewport=size) as opened:
        await opened.open(path)
        await opened.shows(".freshness.live time:text-matches('[0-9] (sec|s)')")
        if path == "/":
            await opened.shows("section[aria-label='Units per minute'] canvas")
        await opened.page.screenshot(path=IMAGES / f"{name}.png")
