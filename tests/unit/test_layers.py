"""Compression and other origins, around every address."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from pydantic import ValidationError

from schemas import http_limits, limits
from serving.access import Access
from serving.api import make_app
from serving.layers import add_layers
from streams.settings import Settings
from tests.served_story import served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from httpx import Response

    from tests.reading import FedReader

SHOP = "https://shop.example"
PATHS = (
    ("/v1/products/p-3", 200),
    ("/v1/products/unknown", 404),
    ("/v1/products/p-3?limit=1", 422),
    ("/v1/products/p-3?max_lag=0s", 503),
    ("/nothing", 404),
    ("/v1/export", 200),
    ("/openapi.json", 200),
)


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FedReader]:
    """A reader that has applied the story."""
    with served(tmp_path, monkeypatch) as reader:
        yield reader


def client_of(reader: FedReader, origins: str | None = None) -> TestClient:
    """A client of the API of a reader with this setting."""
    reader.settings = reader.settings.model_copy(update={"reader_cors_origins": origins})
    return TestClient(make_app(reader), raise_server_exceptions=False)


# --- compression


def _plain(response: Response) -> bytes:
    """The bytes as they were sent, decompressed where they are said to be compressed."""
    raw = b"".join(response.iter_raw())
    return gzip.decompress(raw) if response.headers.get("content-encoding") == "gzip" else raw


@pytest.mark.parametrize(
    "path", ["/v1/shops/s-7", "/v1/products/p-3", "/v1/export", "/openapi.json", "/livez"]
)
def test_an_answer_is_the_same_compressed_or_not(reader: FedReader, path: str) -> None:
    """Larger ones are compressed where the client accepts it; the ETag is the same.

    HEAD has the headers of GET in both cases.
    """
    client = client_of(reader)
    sent = {}
    for accepted in ("gzip", "identity", "br, gzip;q=0"):
        headers = {"Accept-Encoding": accepted}
        with client.stream("GET", path, headers=headers) as response:
            sent[accepted] = _plain(response)
            is_large = len(sent[accepted]) >= http_limits.COMPRESSED_BYTES or path == "/v1/export"
            compressed = response.headers.get("content-encoding") == "gzip"
            assert compressed == (accepted == "gzip" and is_large)
            assert response.headers.get("vary") == "Accept-Encoding" or not is_large
        assert client.head(path, headers=headers).headers == response.headers
    assert sent["gzip"] == sent["identity"] == sent["br, gzip;q=0"]
    tags = [client.get(path, headers={"Accept-Encoding": one}).headers.get("etag") for one in sent]
    assert len(set(tags)) == 1


def test_a_304_varies_as_the_answer_does(reader: FedReader) -> None:
    """So a shared cache keeps both forms apart."""
    client = client_of(reader)
    first = client.get("/v1/shops/s-7")
    again = client.get("/v1/shops/s-7", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.headers["vary"]) == (304, first.headers["vary"])


async def _sent(app: FastAPI, path: str) -> tuple[int, dict[bytes, bytes]]:
    """The number of bytes that a client with gzip gets, none of which is kept, and the headers."""
    size = 0
    headers: dict[bytes, bytes] = {}

    async def send(message: Any) -> None:  # noqa: ANN401 - any message of ASGI
        nonlocal size, headers
        size += len(message.get("body", b""))
        headers = headers or dict(message.get("headers", ()))

    async def receive() -> dict[str, str]:
        await asyncio.sleep(3600)
        return {"type": "http.disconnect"}

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"accept-encoding", b"gzip")],
    }
    await app(scope, receive, send)
    return size, headers


async def test_a_stream_is_compressed_as_it_comes() -> None:
    """Twenty MiB take less than one in memory; a stream of events is never compressed."""
    chunks, chunk = 320, 64 * limits.KIB
    app = FastAPI()

    @app.get("/lines")
    async def lines() -> StreamingResponse:
        return StreamingResponse(_chunks(chunks, chunk), media_type="application/x-ndjson")

    @app.get("/events")
    async def events() -> StreamingResponse:
        return StreamingResponse(_chunks(3, 2000), media_type="text/event-stream")

    add_layers(app, Access(Settings(_env_file=None)))
    await _sent(app, "/lines")  # what is loaded at first use
    tracemalloc.start()
    try:
        size, headers = await _sent(app, "/lines")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert headers[b"content-encoding"] == b"gzip"
    assert size < chunks * chunk / 10
    assert peak < limits.MIB
    size, headers = await _sent(app, "/events")
    assert (size, headers.get(b"content-encoding")) == (3 * 2000, None)


async def _chunks(count: int, size: int) -> AsyncIterator[bytes]:
    for number in range(count):
        yield f'{{"row":{number % 10}}}\n'.encode().ljust(size, b" ")


# --- other origins


def _readable_by(response: Response) -> str | None:
    origin: str | None = response.headers.get("access-control-allow-origin")
    return origin


def test_by_default_no_other_origin_may_read(reader: FedReader) -> None:
    """Neither an answer nor a preflight has a header that allows it."""
    client = client_of(reader)
    for path, status in PATHS:
        response = client.get(path, headers={"Origin": SHOP})
        assert (response.status_code, _readable_by(response)) == (status, None)
    assert _readable_by(_preflight(client, SHOP)) is None


def _preflight(client: TestClient, origin: str, **more: str) -> Response:
    headers = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    found: Response = client.options("/v1/products/p-3", headers=headers | more)
    return found


@pytest.mark.parametrize("given", [f"https://other.example:8443, {SHOP}", "*"])
def test_a_named_origin_may_read_every_answer(
    reader: FedReader, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also problems, a 304 and a fault; with the headers that a page needs, never with cookies."""
    client = client_of(reader, given)
    allowed = "*" if given == "*" else SHOP
    answers = [(client.get(path, headers={"Origin": SHOP}), status) for path, status in PATHS]
    known = {"Origin": SHOP, "If-None-Match": answers[0][0].headers["etag"]}
    answers.append((client.get(PATHS[0][0], headers=known), 304))
    monkeypatch.setattr(reader.store, "snapshot", lambda: 1 / 0)
    answers.append((client.get(PATHS[0][0], headers={"Origin": SHOP}), 500))
    for answer, status in answers:
        assert (answer.status_code, _readable_by(answer)) == (status, allowed)
        assert "access-control-allow-credentials" not in answer.headers
        exposed = set(answer.headers["access-control-expose-headers"].split(", "))
        assert {"ETag", "Link", "Retry-After", "Netsold-As-Of", "Netsold-State"} <= exposed
        assert given == "*" or "Origin" in answer.headers["vary"]


def test_another_origin_than_the_named_may_not_read(reader: FedReader) -> None:
    """Not one that begins or ends like it, nor one with another scheme or port."""
    client = client_of(reader, SHOP)
    for origin in (
        f"{SHOP}.evil.example",
        f"{SHOP}:8443",
        "http://shop.example",
        "https://evil-shop.example",
        "null",
    ):
        response = client.get("/v1/products/p-3", headers={"Origin": origin})
        assert (response.status_code, _readable_by(response)) == (200, None)
        assert "Origin" in response.headers["vary"]
        preflight = _preflight(client, origin)
        assert (preflight.status_code, _readable_by(preflight)) == (400, None)


def test_a_preflight_allows_reading_and_the_headers_of_it(reader: FedReader) -> None:
    """Changing methods and other headers are not allowed."""
    client = client_of(reader, SHOP)
    wanted = {"Access-Control-Request-Headers": "authorization, if-none-match, last-event-id"}
    found = _preflight(client, SHOP, **wanted)
    assert (found.status_code, _readable_by(found)) == (200, SHOP)
    assert set(found.headers["access-control-allow-methods"].split(", ")) == {"GET", "HEAD"}
    assert "Origin" in found.headers["vary"]
    refused = {"Access-Control-Request-Headers": "x-other"}
    assert _preflight(client, SHOP, **refused).status_code == 400
    changing = {"Access-Control-Request-Method": "DELETE"}
    assert _preflight(client, SHOP, **changing).status_code == 400


@pytest.mark.parametrize(
    "given",
    ["", "shop.example", f"{SHOP}/", "HTTPS://shop.example", f"*,{SHOP}", f"{SHOP},", "null"],
)
def test_what_no_browser_sends_is_no_origin(given: str) -> None:
    """The sentence has the form of one."""
    with pytest.raises(ValidationError, match=r"write https://shop\.example"):
        Settings(_env_file=None, reader_cors_origins=given)
