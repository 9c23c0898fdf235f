"""The layers of `serving/layers.py` for plain requests, as one function.

A layer that passes on a plain request unchanged costs as much as a look-up. So those that act on
one, which are access and metrics, are called here; requests that another layer would change go
through all of them. Tests compare both ways byte by byte.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from starlette.datastructures import MutableHeaders

from schemas import http_limits
from serving.access import Refused, RequestHead
from serving.guard import answer_headers
from serving.paths import count

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi.responses import Response
    from starlette.types import Message, Scope

    from serving.access import Access

Field = tuple[bytes, bytes]
"""A header field: its name in lower case, and its value."""


def is_plain(fields: tuple[Field, ...]) -> bool:
    """Whether no layer but those here changes the answer to a request with these fields."""
    return not any(name == b"accept-encoding" and b"gzip" in value for name, value in fields)


def plain_answer(
    access: Access, scope: Scope, answer: Callable[[Scope], Response]
) -> list[Message] | None:
    """The messages that answer a plain request; None where it is refused.

    `answer` has a whole body. Not for an access that counts requests, as one that is refused here
    meets it again; nor for an app that other origins may read. Raises what `answer` does.
    """
    began = time.perf_counter()
    address = scope["client"][0] if scope["client"] else ""
    decision = access.admit(
        RequestHead(scope["path"], scope["query_string"], dict(scope["headers"]), address)
    )
    if isinstance(decision, Refused):
        return None
    scope["state"] = {"scope": decision.scope, "client": decision.client}
    found: Any = answer(scope)
    raw = answer_headers(scope, found.raw_headers, decision)
    if len(found.body) >= http_limits.COMPRESSED_BYTES:
        headers = MutableHeaders(raw=raw)
        headers.add_vary_header("Accept-Encoding")
        raw = headers.raw
    count(scope, found.status_code, time.perf_counter() - began)
    return [
        {"type": "http.response.start", "status": found.status_code, "headers": raw},
        {"type": "http.response.body", "body": found.body},
    ]
