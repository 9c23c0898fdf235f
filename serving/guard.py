"""The middleware that admits requests, and gives every answer its headers of security."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.requests import Request

from serving import metrics
from serving.access import Admitted, Refused, RequestHead, is_badge
from serving.problems import response
from serving.security_headers import HSTS, security_headers

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from serving.access import Access
    from serving.security_headers import Form, Headers


class Guarded:
    """Admits or refuses each request, outside of all routes, so that no address omits it.

    It also answers a fault, which then has all headers that any answer has; the fault goes on, to
    be reported.

    A request that is admitted has `scope` and `client` in its state: what it may do, and who it
    counts for.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on if it is admitted, else answer it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        address = scope["client"][0] if scope.get("client") else ""
        decision = self._access.admit(
            RequestHead(scope["path"], scope["query_string"], dict(scope["headers"]), address)
        )

        begun = False

        async def guarded(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = answer_headers(scope, message["headers"], decision)
            await send(message)

        if isinstance(decision, Refused):
            answer = response(decision.problem)
            metrics.REFUSED.labels(str(answer.status_code)).inc()
            await answer(scope, receive, guarded)
            return
        state = scope.setdefault("state", {})
        state["scope"], state["client"] = decision.scope, decision.client
        try:
            await self.app(scope, receive, guarded)
        except Exception as error:
            if not begun:
                answer = await scope["app"].exception_handlers[Exception](Request(scope), error)
                await answer(scope, receive, guarded)
            raise


def answer_headers(scope: Scope, raw: Headers, decision: Admitted | Refused) -> Headers:
    """The headers of an answer with those of the decision, and those of security.

    An answer by a token is for its client alone: no shared cache may keep it.
    """
    if not isinstance(decision, Refused) and not decision.by_token and not decision.headers:
        return _secured(scope, raw)
    decided = {name for name, _ in decision.headers}
    raw = [*((name, value) for name, value in raw if name not in decided), *decision.headers]
    headers = MutableHeaders(raw=raw)
    if isinstance(decision, Refused) or decision.by_token:
        cached = headers.get("cache-control", "no-cache")
        if "private" not in cached:
            without = cached.removeprefix("public").removeprefix(",").strip()
            headers["cache-control"] = f"private, {without}" if without else "private"
        headers.add_vary_header("Authorization")
    return _secured(scope, headers.raw)


def _secured(scope: Scope, raw: Headers) -> Headers:
    """The headers of an answer with those of security that it doesn't have itself."""
    present = dict(reversed(raw))  # the first of equal names
    more = security_headers(_form(scope["path"], present.get(b"content-type", b"")))
    if _is_secure(scope):
        more = [*more, HSTS]
    if present.keys().isdisjoint([name for name, _ in more]):
        return [*raw, *more]
    return [*raw, *(field for field in more if field[0] not in present)]


def _form(path: str, content_type: bytes) -> Form:
    if content_type.startswith(b"text/html"):
        return "page"
    return "badge" if is_badge(path) else "data"


def _is_secure(scope: Scope) -> bool:
    return bool(scope.get("scheme") == "https")
