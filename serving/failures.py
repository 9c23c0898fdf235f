"""Every error of the app as a problem: ours, the framework's, and faults."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from serving.asked import path_of
from serving.follow import NotReady
from serving.look import BadCursor, NothingYet
from serving.parameters import in_plain_words, nearest
from serving.problems import Kind, Refused, faulty, invalid, quoted, response
from streams.rocks import is_damage

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

METHODS: Final = "GET, HEAD, OPTIONS"
"""What every address answers."""

_NOT_FOUND: Final = 404
_WRONG_METHOD: Final = 405


def install(app: FastAPI) -> None:
    """Answer every error of an app by a problem."""
    _install_for_ours(app)
    _install_for_the_frameworks(app)


def _install_for_ours(app: FastAPI) -> None:
    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Response:
        return response(error)

    @app.exception_handler(NotReady)
    async def not_ready(_: Request, error: NotReady) -> Response:
        return response(Refused(Kind.NOT_READY, str(error)))

    @app.exception_handler(NothingYet)
    async def nothing_yet(_request: Request, _error: NothingYet) -> Response:
        return response(
            Refused(
                Kind.NOT_READY,
                "no event has been applied, so no cycle is current: name one by `cycle`",
            )
        )

    @app.exception_handler(BadCursor)
    async def bad_cursor(_: Request, error: BadCursor) -> Response:
        return response(invalid("cursor", str(error)))

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        if is_damage(error):
            request.app.state.reader.distrust(error)
            return response(
                Refused(Kind.NOT_READY, "the reader's store is damaged and is being filled anew")
            )
        return response(Refused(Kind.FAILED, "what happened is in the reader's log"))


def _install_for_the_frameworks(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def not_valid(_: Request, error: RequestValidationError) -> Response:
        return response(faulty([in_plain_words(one) for one in error.errors()]))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        if error.status_code == _NOT_FOUND:
            return response(Refused(Kind.NO_SUCH_PAGE, nothing_there(app, request)))
        if error.status_code != _WRONG_METHOD:
            return response(Refused(Kind.FAILED, str(error.detail)))
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": METHODS})
        detail = f"{quoted(request.method)} is no method of this address: it answers {METHODS}"
        return response(Refused(Kind.WRONG_METHOD, detail), {"Allow": METHODS})


def nothing_there(app: FastAPI, request: Request) -> str:
    """What to say of an address that leads nowhere.

    That its id is missing, or which address is like it.
    """
    path = path_of(request)
    addresses = list(app.openapi()["paths"])
    for address in addresses:
        if re.sub(r"\{.*?\}", "", address) in {path, f"{path}/"}:
            return f"{quoted(path)} names no id: write {address}"
    return f"there is nothing at {quoted(path)}{nearest(path, addresses) or ';'} all addresses are in /openapi.json"
