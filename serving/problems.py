"""Errors as RFC 9457 has them: `application/problem+json`, with a stable `type` for each kind, in one list."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from schemas.answers import Fault, Problem
from serving.follow import NotReady
from serving.look import BadCursor, NothingYet
from serving.store import is_damage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI, Request

RETRY_AFTER_S = 2


@dataclass(frozen=True, slots=True)
class _Kind:
    status: int
    title: str


class Kind(Enum):
    """What can be wrong. The name, in lower case with hyphens, ends the problem's `type`."""

    UNKNOWN_PRODUCT = _Kind(404, "no event names this product")
    UNKNOWN_SHOP = _Kind(404, "no event names this shop")
    UNKNOWN_ORDER = _Kind(404, "no event names this order")
    NO_SUCH_PAGE = _Kind(404, "there is nothing at this address")
    WRONG_METHOD = _Kind(405, "this address is for reading only")
    INVALID_REQUEST = _Kind(422, "a part of the request can't be used")
    NOT_READY = _Kind(503, "the tables aren't there yet")
    TOO_STALE = _Kind(503, "the tables are further behind than asked for")
    NOT_APPLIED = _Kind(503, "the position asked for isn't applied yet")
    FAILED = _Kind(500, "the reader has a fault")

    @property
    def type(self) -> str:
        """The problem's type: a name, not an address."""
        return f"urn:netsold:problem:{self.name.lower().replace('_', '-')}"


class Refused(Exception):
    """A request that is answered by a problem."""

    def __init__(self, kind: Kind, detail: str, faults: list[Fault] | None = None) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.faults = faults


def invalid(where: str, detail: str) -> Refused:
    """A request of which one part can't be used."""
    return Refused(Kind.INVALID_REQUEST, f"{where}: {detail}", [Fault(where=where, detail=detail)])


def response(refused: Refused, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a refused request."""
    kind = refused.kind.value
    problem = Problem(type=refused.kind.type, title=kind.title, status=kind.status, detail=refused.detail, errors=refused.faults)
    more = {"Retry-After": str(RETRY_AFTER_S)} if kind.status == 503 else {}  # noqa: PLR2004 - HTTP's own number
    return Response(
        problem.model_dump_json(exclude_none=True),
        kind.status,
        {"Cache-Control": "no-cache", **more, **(headers or {})},
        media_type="application/problem+json",
    )


def install(app: FastAPI) -> None:
    """Answer every error of an app by a problem."""

    @app.exception_handler(Refused)
    def refused(_: Request, error: Refused) -> Response:
        return response(error)

    @app.exception_handler(NotReady)
    def not_ready(_: Request, error: NotReady) -> Response:
        return response(Refused(Kind.NOT_READY, str(error)))

    @app.exception_handler(NothingYet)
    def nothing_yet(_request: Request, _error: NothingYet) -> Response:
        return response(Refused(Kind.NOT_READY, "no event has been applied, so no cycle is current: name one by `cycle`"))

    @app.exception_handler(BadCursor)
    def bad_cursor(_: Request, error: BadCursor) -> Response:
        return response(invalid("cursor", str(error)))

    @app.exception_handler(RequestValidationError)
    def not_valid(_: Request, error: RequestValidationError) -> Response:
        faults = [Fault(where=".".join(map(str, one["loc"])), detail=one["msg"]) for one in error.errors()]
        return response(Refused(Kind.INVALID_REQUEST, "; ".join(f"{one.where}: {one.detail}" for one in faults), faults))

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        known = {404: Kind.NO_SUCH_PAGE, 405: Kind.WRONG_METHOD}
        detail = f"{request.method} {request.url.path}: {error.detail}"
        return response(Refused(known.get(error.status_code, Kind.FAILED), detail), error.headers)

    @app.exception_handler(Exception)
    def failed(request: Request, error: Exception) -> Response:
        if is_damage(error):
            request.app.state.reader.distrust(error)
            return response(Refused(Kind.NOT_READY, "the reader's store is damaged and is being filled anew"))
        return response(Refused(Kind.FAILED, "what happened is in the reader's log"))
