"""Answers every error of the app by a problem: ours, the framework's, and faults."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from serving import site
from serving.answers import NothingYet
from serving.event_index import IndexBehind
from serving.nearest_address import nearest_address
from serving.pages import BadCursor
from serving.parameters import advice_of, in_plain_words
from serving.problems import Kind, ProblemRaised, faulty, invalid, quoted, response
from serving.reader import NotReady
from serving.requests import path_of
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
    @app.exception_handler(ProblemRaised)
    async def problem(_: Request, error: ProblemRaised) -> Response:
        return response(error)

    @app.exception_handler(NotReady)
    async def not_ready(_: Request, error: NotReady) -> Response:
        return response(ProblemRaised(Kind.NOT_READY, str(error)))

    @app.exception_handler(IndexBehind)
    async def index_behind(_: Request, error: IndexBehind) -> Response:
        return response(ProblemRaised(Kind.INDEX_BEHIND, str(error)))

    @app.exception_handler(NothingYet)
    async def nothing_yet(_request: Request, _error: NothingYet) -> Response:
        return response(
            ProblemRaised(
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
            request.app.state.versions.report_damage(error)
            return response(
                ProblemRaised(Kind.NOT_READY, "the reader's store is damaged and is filled anew")
            )
        return response(ProblemRaised(Kind.FAILED, "what happened is in the reader's log"))


def _install_for_the_frameworks(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def not_valid(_: Request, error: RequestValidationError) -> Response:
        return response(faulty([in_plain_words(one) for one in error.errors()]))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        if error.status_code == _NOT_FOUND:
            if site.is_for_people(request):
                return site.document(_NOT_FOUND)
            return response(ProblemRaised(Kind.NO_SUCH_PAGE, nothing_there(app, request)))
        if error.status_code != _WRONG_METHOD:
            return response(ProblemRaised(Kind.FAILED, str(error.detail)))
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": METHODS})
        detail = f"{quoted(request.method)} is no method of this address: it answers {METHODS}"
        return response(ProblemRaised(Kind.WRONG_METHOD, detail), {"Allow": METHODS})


def nothing_there(app: FastAPI, request: Request) -> str:
    """The sentence about an unknown address: its id is missing, or which address is like it."""
    path = path_of(request)
    addresses = list(app.openapi()["paths"])
    for address in addresses:
        if re.sub(r"\{.*?\}", "", address) in {path, f"{path}/"}:
            return f"{quoted(path)} names no id: write {address}"
    end = advice_of(nearest_address(path, addresses), "all addresses are in /openapi.json")
    return f"there is nothing at {quoted(path)}{end}"
