"""Around the API: paths in which an encoded slash stays apart from a plain one, and requests counted by their route."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from serving import metrics

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ENCODED: Final = re.compile(rb"%2f", re.IGNORECASE)


class EncodedSlashes:
    """Hands `%2F` on as a zero byte, so that an id may hold `/` or end in `/journal`; a zero byte of the request itself as %01."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and b"%" in (raw := scope.get("raw_path") or b""):
            scope["path"] = unquote_to_bytes(_ENCODED.sub(b"%00", raw.replace(b"%00", b"%01"))).decode(errors="replace")
        await self.app(scope, receive, send)


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
                route = getattr(scope.get("route"), "path", "none")
                metrics.REQUESTS.labels(route, str(message["status"])).inc()
                metrics.REQUEST_SECONDS.labels(route).observe(time.perf_counter() - began)
            await send(message)

        await self.app(scope, receive, measured)
