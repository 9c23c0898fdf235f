"""The hot addresses, answered without the framework's router (`serving/hot_addresses.py`).

Most of a point read's time is the router's and the parser's, not the look-up's. So a request that
is whole and plain is read here by one pattern, answered by the function that its route calls,
within the same layers. Whatever is unusual about it is left to the route.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from functools import lru_cache
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fastapi import Request
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from schemas import http_limits
from schemas.errors import NetsoldError
from serving.hot_addresses import ADDRESSES
from serving.paths import count
from serving.plain_layers import is_plain, plain_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.types import Message, Receive, Scope, Send

    from serving.access import Access
    from serving.hot_addresses import HotAddress
    from serving.layers import ReaderApp
    from serving.plain_layers import Field

BADGE_S: Final = 1.0
"""How long a badge is answered from memory; caches may keep it for a minute."""

_REQUEST: Final = re.compile(
    rb"GET (/v1/(?:top/\w+|(products|shops)/([\w.~:@!$&'()*+,;=-]+)"
    rb"(/(?:badge(?:\.svg)?|cycles|days|hours))?))"
    rb"(?:\?([\w.:=&-]+))? HTTP/1\.1\r\n((?:[!#$%&'*+.^`|~\w-]+:[\t\x20-\x7e]*\r\n)+)\r\n",
    re.ASCII,
)
"""A whole request: path, kind, id, what of it, query, fields. Nothing of it is encoded. A path of
the best has neither kind nor id."""

_FIELD: Final = re.compile(rb"([^:]+):([^\r]*)\r\n")
_UNUSUAL: Final = frozenset(
    {b"content-length", b"expect", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
)
_INDISTINCT: Final = re.compile(rb"cookie|dnt|priority|referer|sec-.*|user-agent|x-forwarded-for")
"""Header fields that no badge depends on, while no client's rate is counted."""

_KEPT: Final = frozenset({200, 304, 404})
"""The statuses of badges that are kept. What is refused is counted, so it is refused anew."""


class Fields(NamedTuple):
    """The header fields of a request: as a scope has them, and what a badge may depend on.

    `are_plain` as `plain_layers.is_plain` has it.
    """

    pairs: tuple[Field, ...]
    distinct: tuple[bytes, ...]
    are_plain: bool


class _Kept(NamedTuple):
    """A badge that was made a moment ago."""

    made_s: float
    status: int
    messages: list[Message]


class Straight:
    """Answers requests to the hot addresses of an app, from their bytes.

    `proxies` are those whose `X-Forwarded-For` names the client.
    """

    def __init__(self, app: ReaderApp, proxies: Sequence[str] = ()) -> None:
        self._app = app
        stack: Any = app.around(self._answer)
        self._stack = ProxyHeadersMiddleware(stack, [*proxies]) if proxies else stack
        self._access: Access = app.state.access
        self._is_rated = self._access.is_rated
        self._is_simple = not (self._is_rated or proxies or app.origins)
        self._badges: OrderedDict[tuple[Any, ...], _Kept] = OrderedDict()

    def messages(self, request: bytes, connection: Mapping[str, Any]) -> list[Message] | None:
        """The ASGI messages that answer a request; None where its route must answer it.

        `connection` is what a scope has of it.
        """
        is_short = len(request) <= http_limits.HOT_REQUEST_BYTES
        found = _REQUEST.fullmatch(request) if is_short else None
        if found is None:
            return None
        path, _, id_, _, query_string, lines = found.groups()
        address, fields = address_of(found), fields_of(lines)
        if address is None or fields is None:
            return None
        query = {} if query_string is None else query_of(query_string, address)
        if query is None:
            return None
        scope = {
            **connection,
            "type": "http",
            "method": "GET",
            "path": path.decode(),
            "raw_path": path,
            "query_string": query_string or b"",
            "headers": fields.pairs,
            "state": {},
            "app": self._app,
            "route": address,
            "id": (id_ or b"").decode(),
            "query": query,
        }
        make = self._plain if self._is_simple and fields.are_plain else self._made
        if address.badge is None:
            return make(scope)
        if self._is_rated:
            return self._made(scope)
        version = self._app.state.versions.answering.settings.app
        key = version, connection["scheme"], path, query_string, fields.distinct
        return self._kept(key, scope, make)

    def _plain(self, scope: Scope) -> list[Message] | None:
        """The messages that answer a request which few layers act on."""
        try:
            messages = plain_answer(self._access, scope, scope["route"].answer)
        except Exception:  # noqa: BLE001 - all layers meet it, too
            messages = None
        return self._made({**scope, "state": {}}) if messages is None else messages

    def _made(self, scope: Scope) -> list[Message] | None:
        try:
            return _sent(self._stack, scope)
        except Exception:  # noqa: BLE001 - the route meets it, too, and answers and reports it
            return None

    def _kept(
        self, key: tuple[Any, ...], scope: Scope, make: Callable[[Scope], list[Message] | None]
    ) -> list[Message] | None:
        """The messages of a badge, from memory where a moment ago they were made for the same."""
        began = perf_counter()
        kept = self._badges.get(key)
        if kept is not None and began - kept.made_s < BADGE_S:
            count(scope, kept.status, perf_counter() - began)
            return kept.messages
        messages = make(scope)
        if messages is not None and (status := messages[0]["status"]) in _KEPT:
            self._badges[key] = _Kept(began, status, messages)
            self._badges.move_to_end(key)
            if len(self._badges) > http_limits.BADGES:
                self._badges.popitem(last=False)
        return messages

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the route does, problems by the same handlers."""
        try:
            answer = scope["route"].answer(scope)
        except NetsoldError as error:
            handler: Any = self._app.exception_handlers[type(error)]
            answer = await handler(Request(scope), error)
        await answer(scope, receive, send)


def address_of(request: re.Match[bytes]) -> HotAddress | None:
    """The address of a whole request, if it is a hot one."""
    path, kind, _, part, *_ = request.groups()
    return ADDRESSES.get(path[4:] if kind is None else kind + (part or b""))


@lru_cache(http_limits.REQUEST_FIELDS)
def fields_of(lines: bytes) -> Fields | None:
    """The header fields of a request; None where one is unusual."""
    fields = tuple((name.lower(), value.strip(b" \t")) for name, value in _FIELD.findall(lines))
    names = [name for name, _ in fields]
    if names.count(b"host") != 1 or not _UNUSUAL.isdisjoint(names):
        return None
    if any(value.lower() != b"keep-alive" for name, value in fields if name == b"connection"):
        return None
    return Fields(
        fields,
        tuple(part for field in fields if not _INDISTINCT.fullmatch(field[0]) for part in field),
        is_plain(fields),
    )


@lru_cache(http_limits.REQUEST_FIELDS)
def query_of(text: bytes, address: HotAddress) -> dict[str, str] | None:
    """The parameters of a request by name; None where one of them is unusual."""
    query: dict[str, str] = {}
    for one in text.decode().split("&"):
        name, _, value = one.partition("=")
        if not value or name in query or name not in address.parameters:
            return None
        values = address.parameters[name]
        if values is not None and value not in values:
            return None
        query[name] = value
    return query


def _sent(stack: Any, scope: Scope) -> list[Message]:  # noqa: ANN401 - an ASGI app
    """The messages that an app sends which waits for nothing."""
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    try:
        stack(scope, _receive, send).send(None)
    except StopIteration:
        return messages
    raise AssertionError("a layer of the app waits before it passes a request on")


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}
