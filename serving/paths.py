"""Middleware of the API: encoded slashes, HEAD for every GET, and metrics by route."""

from __future__ import annotations

import re
import time
from functools import cache
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from serving import metrics
from streams import tracing

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ENCODED: Final = re.compile(rb"%2f", re.IGNORECASE)


class EncodedSlashes:
    """Replaces `%2F` by a zero byte, so that an id may contain `/` or end in `/journal`.

    A zero byte in the request itself becomes %01, and so do line ends, which routes don't match,
    and bytes that are no UTF-8: no id contains any of them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and b"%" in (raw := scope.get("raw_path") or b""):
            path = unquote_to_bytes(_ENCODED.sub(b"%00", raw.replace(b"%00", b"%01")))
            try:
                text = path.decode()
            except UnicodeDecodeError:
                text = path.decode(errors="replace").replace("\ufffd", "\x01")
            scope["path"] = text.replace("\n", "\x01")
        await self.app(scope, receive, send)


class Heads:
    """Answers HEAD at every address as GET without the body: same status, same headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; drop what follows the headers, and don't wait for a stream's end."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        ended = False

        async def headers_alone(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.body":
                if ended:
                    return
                ended, message = (
                    True,
                    {"type": "http.response.body", "body": b"", "more_body": False},
                )
            await send(message)

        async def until_ended() -> Message:
            return {"type": "http.disconnect"} if ended else await receive()

        await self.app({**scope, "method": "GET"}, until_ended, headers_alone)


@cache  # routes and statuses are few, and `labels` costs more than to count
def _requests(route: str, status: int) -> Counter:
    return metrics.REQUESTS.labels(route, str(status))


@cache
def _seconds(route: str) -> Histogram:
    return metrics.REQUEST_SECONDS.labels(route)


def count(scope: Scope, status: int, seconds: float) -> None:
    """Count an answered request by its route, and make its span while traces are on."""
    route = getattr(scope.get("route"), "path", "none")
    _requests(route, status).inc()
    _seconds(route).observe(seconds)
    spans = tracing.spans()
    if spans is not None:
        spans.request(scope, route, status, seconds)


class Measured:
    """Counts requests and times them, by route and never by id."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and count it when its answer begins."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()

        async def measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                count(scope, message["status"], time.perf_counter() - began)
            await send(message)

        await self.app(scope, receive, measured)
