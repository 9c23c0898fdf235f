"""Plain requests to hot addresses get the same bytes as those that the routes answer."""

from __future__ import annotations

import asyncio
import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from opentelemetry.trace import SpanKind
from pydantic import SecretStr
from uvicorn import Config
from uvicorn.server import ServerState

from schemas import http_limits
from schemas.tokens import Scope, line_of, token_of
from serving import metrics, straight
from serving.api import make_app
from serving.connections import Bounds, Connection, Crowd
from serving.straight import Straight
from serving.straight_connection import StraightConnection
from tests.collector import kept_spans
from tests.reading import FedReader
from tests.served_story import served
from tests.story import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from serving.layers import ReaderApp

STORY = """== of the tests
2026-07-08T08:00Z  placed    o-1  1:p-3:1204x1000 2:p/4:7x100 3:p+1:1x1 4:a@b:1x1 shop=s-1
2026-07-09T08:00Z  received  o-1
2026-07-10T08:00Z  placed    o-3  1:..:1x1000 shop=s-8
"""
IMAGE = "image/avif,image/webp,image/svg+xml,image/*,*/*;q=0.8"
DATE = re.compile(rb"date: [^\r]+\r\n")


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FedReader]:
    """A reader that has applied the story."""
    with served(tmp_path, monkeypatch, STORY) as one:
        yield one


@pytest.fixture
def app(reader: FedReader) -> ReaderApp:
    """Its API."""
    return make_app(reader)


async def until(is_true: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(30):
        while not is_true():  # noqa: ASYNC110 - it is uvicorn's state
            await asyncio.sleep(0.001)


class Wire(asyncio.Transport):
    """A transport that keeps what is written, as a client would read it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = b""
        self.unread = 0
        self.closed = False

    def write(self, data: Any) -> None:  # noqa: ANN401
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Client:
    """A client of one connection to an app, with or without the straight way.

    With `proxies`, their word for the client's address is trusted.
    """

    def __init__(
        self,
        app: ReaderApp,
        *,
        is_straight: bool,
        connections: int = 9,
        proxies: tuple[str, ...] = (),
    ) -> None:
        config = Config(
            app,
            lifespan="off",
            ws="none",
            server_header=False,
            log_config=None,
            proxy_headers=bool(proxies),
            forwarded_allow_ips=[*proxies],
        )
        config.load()
        state = ServerState()
        state.default_headers = [(b"date", b"today")]
        crowd = Crowd(Bounds(connections))
        self.connection: Connection = (
            StraightConnection(Straight(app, proxies), crowd, config, state, {})
            if is_straight
            else Connection(crowd, config, state, {})
        )
        self.wire = Wire()
        self.connection.connection_made(self.wire)

    async def send(self, *parts: bytes) -> bytes:
        """What is answered to a request that arrives in these parts."""
        self.wire.written = b""
        for part in parts:
            self.connection.data_received(part)
        await until(lambda: bool(self.wire.written) and not self.connection._has_request)
        return self.wire.written

    @property
    def was_straight(self) -> bool:
        """Whether uvicorn has seen no request of this connection."""
        return self.connection.cycle is None

    def close(self) -> None:
        """End the connection, with its timers."""
        self.wire.closed = True
        self.connection.connection_lost(None)


def request(target: str, *fields: str, method: str = "GET", version: str = "1.1") -> bytes:
    """A request's bytes."""
    lines = [f"{method} {target} HTTP/{version}", "Host: reader:1", *fields, "", ""]
    return "\r\n".join(lines).encode()


async def answers(app: ReaderApp, data: bytes) -> tuple[bytes, bytes, bool]:
    """What both ways answer, and whether the straight way was gone."""
    clients = [Client(app, is_straight=one) for one in (False, True)]
    try:
        plain, quick = [await client.send(data) for client in clients]
        return plain, quick, clients[1].was_straight
    finally:
        for client in clients:
            client.close()


HOT = [
    request("/v1/products/p-3"),
    request("/v1/products/p+1"),
    request("/v1/products/a@b"),
    request("/v1/products/.."),
    request("/v1/products/p-3?cycle=2026-07-10T00:00:00Z"),
    request("/v1/products/p-3?cycle=2026-01-10T00:00:00.5Z"),
    request("/v1/shops/s-1", "Accept-Encoding: gzip, br", "Accept: */*", "User-Agent: x  "),
    request("/v1/shops/s-8", "Connection: Keep-Alive", "X-Odd!name:", "Cookie: a=b; c=d"),
    request("/v1/products/p-3", 'If-None-Match: W/"other", "else"'),
    request("/v1/products/p-3", "Origin: https://shop.example"),
    request("/v1/products/p-3/badge"),
    request("/v1/products/p-3/badge", f"Accept: {IMAGE}", "Accept-Language: zh-CN,en;q=0.3"),
    request("/v1/products/p-3/badge?lang=zh&round=true"),
    request("/v1/products/p-3/badge?round=false&cycle=2026-01-10T00:00:00Z"),
    request("/v1/products/p-3/badge.svg", "Accept: text/html", "accept-language: zh"),
    request("/v1/products/p-99/badge.svg"),
    request("/v1/products/p-99"),
    request("/v1/products/p-99", "Accept-Encoding: gzip"),
    request("/v1/products/p-99/badge"),
    request("/v1/top/products"),
    request("/v1/top/products?by=revenue&currency=CNY&limit=2&cycle=2026-07-10T00:00:00Z"),
    request("/v1/products/p-3/cycles"),
    request("/v1/products/p-3/cycles?last=24", "Accept-Encoding: gzip"),
    request("/v1/products/p-99/cycles?last=1"),
    request("/v1/products/p-3/days"),
    request("/v1/products/p-3/hours"),
    request("/v1/shops/s-1/cycles?last=3"),
    request("/v1/shops/s-1/days"),
    request("/v1/shops/s-99/hours"),
    request("/v1/top/products?by=revenue"),
    request("/v1/top/products?currency=CNY"),
    request("/v1/top/products?limit=1", "Accept-Encoding: gzip", "Origin: https://a.example"),
    request("/v1/top/shops?by=response-rate&limit=10"),
    request("/v1/top/shops?cycle=2026-01-10T00:00:00Z"),
    request("/v1/products/p-3?cycle=yesterday"),
    request("/v1/products/p-3?cycle=1700-01-01T00:00:00Z"),
]
NOT_HOT = [
    request("/v1/shops/p-3/badge"),
    request("/v1/products/"),
    request("/v1/products/p/4"),
    request("/v1/products/p%2F4"),
    request("/v1/products/p%2F4/badge"),
    request("/v1/products/p-3/journal"),
    request("/v1/products/p-3/badge/journal"),
    request("/v1/products/p-3/cycles?last=25"),
    request("/v1/products/p-3/cycles?last=0"),
    request("/v1/products/p-3/days?from=2026-07-09T16:00:00Z"),
    request("/v1/products/p-3/cycles/"),
    request("/v1/marketplace/cycles"),
    request("/v1/products/p-3#x"),
    request("/v1/products/p-3?"),
    request("/v1/products/p-3?cycle="),
    request("/v1/products/p-3?lang=en"),
    request("/v1/products/p-3?max_lag=9h"),
    request("/v1/products/p-3?min_position=orders-0:0"),
    request("/v1/products/p-3/badge?lang=de"),
    request("/v1/products/p-3/badge?round=1"),
    request("/v1/products/p-3/badge?lang=en&lang=en"),
    request("/v1/products/p-3/badge?size=3"),
    request("/v1/products/p-3", method="HEAD"),
    request("/v1/products/p-3", method="POST"),
    request("/v1/products/p-3", version="1.0"),
    request("/v1/products/p-3", "Host: again"),
    request("/v1/products/p-3", "Connection: close"),
    request("/v1/products/p-3", "Content-Length: 0"),
    request("/v1/products/p-3", "Upgrade: h2c", "Connection: upgrade"),
    request("/v1/products/p-3", "Expect: 100-continue"),
    request("/v1/products/p-3", "No colon"),
    request("/v1/products/p-3", "Name : value"),
    request("/v1/products/p-3", "X: a\x00b"),
    request("/v1/products/p-3", "X: a", " folded: b"),
    request("/v1/top/products?by=growth"),
    request("/v1/top/products?by=response-rate"),
    request("/v1/top/products?limit=11"),
    request("/v1/top/products?limit=01"),
    request("/v1/top/products?cursor=x"),
    request("/v1/top/products?by=revenue&currency=ABC"),
    request("/v1/top/orders"),
    request("/livez"),
    b"GET /v1/products/p-3 HTTP/1.1\r\n\r\n",
    b"GET  /v1/products/p-3 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v1/products/p-3 HTTP/1.1\nHost: x\n\n",
]


@pytest.mark.parametrize("data", HOT, ids=repr)
async def test_a_plain_request_is_answered_straight_by_the_same_bytes(
    app: ReaderApp, data: bytes
) -> None:
    """Status, headers and body; and again with the answer's own ETag."""
    plain, quick, was_straight = await answers(app, data)
    assert was_straight
    assert quick == plain
    etag = re.search(rb"etag: ([^\r]+)", plain)
    assert (etag is None) == (b"problem+json" in plain)
    if etag is not None and b"If-None-Match" not in data:
        known = data[:-2] + b"If-None-Match: " + etag[1] + b"\r\n\r\n"
        plain, quick, was_straight = await answers(app, known)
        assert was_straight
        assert plain.startswith(b"HTTP/1.1 304 ")
        assert quick == plain


@pytest.mark.parametrize("data", NOT_HOT, ids=repr)
async def test_whatever_is_unusual_is_left_to_the_routes(app: ReaderApp, data: bytes) -> None:
    """Problems, encoded ids, other methods, and what is no HTTP."""
    plain, quick, was_straight = await answers(app, data)
    assert not was_straight or b"no-request" in plain
    assert quick == plain


TOKENS = {scope: token_of(scope.value.encode().ljust(32)) for scope in Scope}
GUARDED: list[dict[str, Any]] = [
    {"reader_rate": 2, "reader_trusted_proxies": "127.0.0.1,10.0.0.9"},
    {"reader_cors_origins": "https://shop.example"},
    {
        "reader_tokens": SecretStr(
            ",".join(line_of(scope, scope.value, token) for scope, token in TOKENS.items())
        ),
        "reader_public_badges": True,
    },
]
FIELDS = [
    (),
    ("Origin: https://shop.example", "Accept-Encoding: gzip"),
    ("Origin: https://other.example",),
    *((f"Authorization: Bearer {token}",) for token in TOKENS.values()),
    ("Authorization: Bearer nst_wrong",),
    ("X-Forwarded-For: 10.0.0.1, 10.0.0.9", "X-Forwarded-Proto: https"),
    ("X-Forwarded-For: 10.0.0.2",),
]


@pytest.mark.parametrize("changed", GUARDED, ids="+".join)
async def test_whoever_is_admitted_or_refused_by_a_route_is_so_straight(
    reader: FedReader, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]
) -> None:
    """By tokens, rates of clients behind proxies, and origins: the same bytes in the same order."""
    monkeypatch.setattr("serving.access.time", SimpleNamespace(monotonic=lambda: 0.0))
    reader.settings = reader.settings.model_copy(update=changed)
    proxies = tuple(reader.settings.trusted_proxies)
    clients = [Client(make_app(reader), is_straight=one, proxies=proxies) for one in (False, True)]
    seen = set()
    targets = (
        *("/v1/products/p-3", "/v1/shops/s-1", "/v1/products/p-3/badge", "/v1/products/p-99"),
        "/v1/top/products",
    )
    for target in targets:
        for fields in FIELDS:
            for _ in range(3):
                plain, quick = [await one.send(request(target, *fields)) for one in clients]
                assert quick == plain
                seen.add(int(plain[9:12]))
    assert clients[1].was_straight
    for one in clients:
        one.close()
    assert seen > {200}
    if "reader_rate" in changed:
        assert 429 in seen
    if "reader_tokens" in changed:
        assert 401 in seen


ODD = st.lists(
    st.sampled_from(
        [
            *("GET ", "HEAD ", "/v1/", "products/", "shops/", "p-3", "s-8", "/badge", ".svg", "?"),
            *(
                "cycle=",
                "2026-07-10T00:00:00Z",
                "lang=zh",
                "&",
                "%",
                "%2F",
                "..",
                "//",
                "é",
                "\x7f",
            ),
            *(
                " HTTP/1.1\r\n",
                "\r\n",
                "Host: x\r\n",
                "Accept: image/*\r\n",
                ":",
                "\n",
                "\x00",
                " ",
            ),
        ]
    ),
    max_size=5,
)


@given(at=st.integers(0, 60), odd=ODD, data=st.sampled_from(HOT))
@examples(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_changed_request_gets_the_same_bytes_too(
    app: ReaderApp, at: int, odd: list[str], data: bytes
) -> None:
    """Wherever something is put into it: no request is read in two ways."""
    changed = data[:at] + "".join(odd).encode() + data[at:]
    if changed.count(b"\r\n\r\n") == 1 and changed.endswith(b"\r\n\r\n"):
        plain, quick, _ = asyncio.run(answers(app, changed))
        assert quick == plain


async def test_requests_of_one_connection_may_take_turns(app: ReaderApp) -> None:
    """Straight, by a route, in parts, and several at once."""
    client, plain = Client(app, is_straight=True), Client(app, is_straight=False)
    hot, cold = request("/v1/products/p-3"), request("/v1/products/p%2D3")
    body = await plain.send(hot)
    try:
        assert await client.send(hot) == body
        assert client.was_straight
        assert await client.send(cold) == body
        before = client.connection.cycle
        assert await client.send(hot) == body
        assert client.connection.cycle is before
        assert await client.send(hot[:20], hot[20:]) == body
        assert client.connection.cycle is not before
        await client.send(hot + cold)
        await until(lambda: client.wire.written == body + body)
        client.wire.unread = 1
        before = client.connection.cycle
        assert await client.send(hot) == body
        assert client.connection.cycle is not before, "a client that doesn't read is waited for"
    finally:
        client.close()
        plain.close()


async def test_a_connection_that_is_answered_straight_is_not_the_one_that_is_idle_longest(
    app: ReaderApp,
) -> None:
    """And with too many connections none is answered straight."""
    client = Client(app, is_straight=True, connections=0)
    try:
        assert (await client.send(request("/v1/products/p-3"))).startswith(b"HTTP/1.1 503 ")
    finally:
        client.close()
    clients = [Client(app, is_straight=True) for _ in range(2)]
    crowd = clients[0].connection._crowd
    for one in clients:
        one.connection._crowd = crowd
        crowd.add_idle(one.connection)
    await clients[0].send(request("/v1/products/p-3"))
    assert list(crowd._idle) == [clients[1].connection, clients[0].connection]
    for one in clients:
        one.close()


async def test_an_idle_connection_is_closed_after_its_last_answer(
    app: ReaderApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer gives it the whole time again."""
    client = Client(app, is_straight=True)
    connection = client.connection
    await client.send(request("/v1/products/p-3"))
    assert connection._head is None
    first = connection.timeout_keep_alive_task
    assert first is not None
    now_s = connection.loop.time()
    idle_s = connection.timeout_keep_alive
    monkeypatch.setattr(connection.loop, "time", lambda: now_s + idle_s - 1)
    await client.send(request("/v1/products/p-3"))
    monkeypatch.setattr(connection.loop, "time", lambda: now_s + idle_s + 1)
    connection.timeout_keep_alive_handler()
    assert not client.wire.closed
    monkeypatch.setattr(connection.loop, "time", lambda: now_s + 2 * idle_s)
    connection.timeout_keep_alive_handler()
    assert client.connection.transport.is_closing()
    monkeypatch.undo()
    client.close()


async def test_both_ways_are_counted_as_one_route(app: ReaderApp) -> None:
    """Requests and their times, by the route's path."""
    for target in ("/v1/products/p-3", "/v1/shops/s-1", "/v1/products/p-3/badge"):
        counts = []
        for is_straight in (False, True):
            client = Client(app, is_straight=is_straight)
            before = _requests()
            await client.send(request(target))
            counts.append({key: n - before.get(key, 0) for key, n in _requests().items()})
            client.close()
        assert counts[0] == counts[1]
        assert sum(counts[0].values()) == 2


@pytest.mark.parametrize("is_straight", [False, True])
async def test_both_ways_are_traced(app: ReaderApp, is_straight: bool) -> None:  # noqa: FBT001 - a case
    """Each request is a span in its client's trace, also a badge that is answered from memory."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    routes = ("/v1/products/{product_id:path}", "/v1/products/{product_id:path}/badge")
    targets = ("/v1/products/p-3", "/v1/products/p-3/badge", "/v1/products/p-3/badge", "/v1/no")
    with kept_spans("reader", "") as exporter:
        client = Client(app, is_straight=is_straight)
        for target in targets:
            await client.send(request(target, f"traceparent: 00-{trace}-00f067aa0ba902b7-01"))
        client.close()
    spans = exporter.get_finished_spans()
    assert [
        (span.name, (span.attributes or {})["http.response.status_code"]) for span in spans
    ] == [
        (f"GET {routes[0]}", 200),
        (f"GET {routes[1]}", 200),
        (f"GET {routes[1]}", 200),
        ("GET none", 404),
    ]
    for span in spans:
        assert span.kind is SpanKind.SERVER
        assert span.parent is not None
        assert f"{span.parent.trace_id:032x}" == trace
        assert "p-3" not in f"{span.name} {span.attributes}", "no span has an id"


def _requests() -> dict[tuple[str, ...], float]:
    """Counted requests and times by route and status."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in (metrics.REQUESTS, metrics.REQUEST_SECONDS)
        for family in metric.collect()
        for sample in family.samples
        if sample.name.endswith(("_total", "_count")) and sample.value
    }


async def test_a_badge_is_answered_from_memory_for_a_moment(
    app: ReaderApp, reader: FedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a product never is: its answer has its freshness."""
    now_s = 100.0
    monkeypatch.setattr(straight, "perf_counter", lambda: now_s)
    monkeypatch.setattr(http_limits, "BADGES", 2)
    client = Client(app, is_straight=True)
    badge, product = request("/v1/products/p-3/badge"), request("/v1/products/p-3")
    before = [await client.send(one) for one in (badge, product)]
    story = STORY.replace("o-1", "o-9").replace("1204x", "6x")
    reader.logs.take(next(parse(story)).events)
    reader.feed()
    assert await client.send(badge) == before[0]
    assert await client.send(product) != before[1]
    now_s += straight.BADGE_S
    assert b"1,210 sold monthly" in await client.send(badge)
    for number in range(9):
        await client.send(request(f"/v1/products/p-3/badge?cycle=2026-0{number + 1}-01T00:00:00Z"))
    assert len(client.connection._straight._badges) == 2  # type: ignore[attr-defined]
    client.close()


async def test_a_damaged_store_is_reported(
    app: ReaderApp, reader: FedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the route, as is any other fault: its client gets an answer."""
    client = Client(app, is_straight=True)

    def fails(error: Exception) -> None:
        def answers() -> None:
            raise error

        monkeypatch.setattr(reader, "answers", answers)

    fails(Exception("Corruption: block checksum mismatch"))
    assert (await client.send(request("/v1/products/p-3"))).startswith(b"HTTP/1.1 503 ")
    assert reader._damage is not None
    client.close()
    client = Client(app, is_straight=True)
    fails(ZeroDivisionError())
    assert (await client.send(request("/v1/products/p-3"))).startswith(b"HTTP/1.1 500 ")
    client.close()


async def test_a_long_request_is_left_to_its_route(app: ReaderApp) -> None:
    """Its fields would stay in memory, many of them for each client."""
    kept = straight.fields_of.cache_info().currsize
    gap = "a" + " " * http_limits.HOT_REQUEST_BYTES + "b"
    plain, quick, was_straight = await answers(app, request("/v1/products/p-3", f"X: {gap}"))
    assert quick == plain
    assert plain.startswith(b"HTTP/1.1 200 ")
    assert not was_straight
    assert straight.fields_of.cache_info().currsize == kept


def test_no_other_route_has_a_hot_address(app: ReaderApp) -> None:
    """Else a request to it would be answered by the wrong one."""
    for path in app.openapi()["paths"]:
        plain = re.sub(r"\{.*?\}", "x", path)
        found = straight._REQUEST.fullmatch(request(plain))
        address = found and straight.address_of(found)
        assert address is None or re.sub(r":path", "", address.path) == path
