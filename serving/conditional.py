"""Conditional requests (RFC 9110): the ETag of an answer, and whether the client has the answer.

An answer's ETag is made from its body without the freshness, which changes with every event
anywhere; so it changes when that answer changes. A 304 has no body, so the freshness also stands
in headers, of a 304 as of any other answer.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from fastapi.responses import Response

from schemas import http_limits
from serving.fresh_json import json_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import Request
    from pydantic import BaseModel

    from schemas.answers import Freshness
    from serving.fresh_json import FreshJson
    from serving.security_headers import Headers

FRESHNESS_HEADERS: Final = {
    "Netsold-Version": "`freshness.version` of the answer.",
    "Netsold-State": "`freshness.state` of the answer.",
    "Netsold-As-Of": "`freshness.as_of` of the answer; absent where it is null.",
    "Netsold-Applied": "`freshness.applied` of the answer in the form of `min_position`; absent"
    f" where it has more than {http_limits.APPLIED_HEADER_CHARS:,} characters.",
}
"""What each header of the freshness has."""

_VARY: Final = b"vary", b"Accept-Encoding"
"""For a 304: the layer that compresses adds it to bodies alone."""

_NO_CACHE: Final = b"cache-control", b"no-cache"
_JSON: Final = b"content-type", b"application/json"

_OPAQUE: Final = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')


class Fresh(Protocol):
    """An answer with its freshness."""

    @property
    def freshness(self) -> Freshness:
        """How fresh it is."""

    def model_dump_json(self, *, exclude: set[str]) -> str:
        """As pydantic's models have it."""


class Rendered(NamedTuple):
    """An answer as JSON: `content` is without the freshness, which is the last field.

    `etags`, where they are kept, are those of the content by what else they depend on.
    """

    form: type[BaseModel]
    content: str
    freshness: FreshJson
    next_cursor: str | None = None
    etags: dict[str, str] | None = None


def rendered(body: Fresh | Rendered) -> Rendered:
    """An answer as JSON."""
    if isinstance(body, Rendered):
        return body
    form: type[Any] = type(body)
    content = body.model_dump_json(exclude={"freshness"})
    cursor = getattr(body, "next_cursor", None)
    return Rendered(form, content, json_of(body.freshness), cursor)


class MadeResponse(Response):
    """A response whose headers are made already; it has none of a framework's own."""

    def __init__(self, body: bytes, status: int, headers: Headers) -> None:
        self.body = body
        self.status_code = status
        self.background = None
        self.raw_headers = headers


def fresh_response(
    request: Request, body: Fresh | Rendered, more: Headers, shown: Callable[[str], str] = str
) -> Response:
    """The response with an answer and these headers; a 304 if the client has the answer.

    `shown` gives the body's JSON as the client's scope is shown it. The ETag also depends on the
    freshness's `state` and `version`. The freshness is the body's last field.
    """
    answer = rendered(body)
    content, freshness = shown(answer.content), answer.freshness
    depends_on = f"{freshness.version} {freshness.state}"
    kept = answer.etags if content is answer.content and answer.etags is not None else {}
    etag = kept.get(depends_on)
    if etag is None:
        etag = kept[depends_on] = etag_of(f"{depends_on} {content}".encode())
    headers = [(b"etag", etag.encode()), _NO_CACHE, *freshness.headers, *more]
    if client_has(request, etag):
        return MadeResponse(b"", 304, [*headers, _VARY])
    text = with_freshness(content, freshness.json).encode()
    length = (b"content-length", b"%d" % len(text))
    return MadeResponse(text, 200, [*headers, length, _JSON])


def with_freshness(content: str, freshness: str) -> str:
    """The JSON of an object with that of its freshness as the last field."""
    return f'{content[:-1]},"freshness":{freshness}}}'


def kept_response(request: Request, content: bytes, media_type: str) -> Response:
    """The response with content that has no freshness; a 304 if the client has it."""
    headers = {"ETag": etag_of(content), "Cache-Control": "no-cache"}
    if client_has(request, headers["ETag"]):
        return Response(status_code=304, headers=headers | {"Vary": "Accept-Encoding"})
    return Response(content, headers=headers, media_type=media_type)


def etag_of(content: bytes) -> str:
    """The ETag of some content: weak, as the same content may be sent compressed."""
    return f'W/"{blake2b(content, digest_size=12).hexdigest()}"'


def client_has(request: Request, etag: str) -> bool:
    """Whether `If-None-Match` names this ETag, by weak comparison, or any by `*`."""
    values = [value for name, value in request.scope["headers"] if name == b"if-none-match"]
    if not values:
        return False
    given = b",".join(values).decode("latin-1")
    return given.strip() == "*" or etag.removeprefix("W/") in _OPAQUE.findall(given)
