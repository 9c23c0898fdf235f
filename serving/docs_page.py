"""The interactive page of the API at `/docs`, and the contract that it shows.

Everything is served from files of this package, so the page works without another host.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from serving.conditional import kept_response

CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may load. Its styles are inline: the component writes them into its own tree."""

_FILES: Final = files("serving") / "static"
_TYPES: Final = {"openapi-explorer.min.js": "text/javascript", "docs.js": "text/javascript"}
"""The files that the page loads, with their media types."""

router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
async def contract(request: Request) -> Response:
    """The contract (OpenAPI 3.1)."""
    return kept_response(request, request.app.contract_json(), "application/json")


@router.get("/docs")
async def page(request: Request) -> Response:
    """The page."""
    found = kept_response(request, (_FILES / "docs.html").read_bytes(), "text/html")
    found.headers["Content-Security-Policy"] = CSP
    return found


@router.get("/docs/{name}")
async def file(request: Request, name: str) -> Response:
    """A file that the page loads."""
    if name not in _TYPES:
        raise HTTPException(404)
    return kept_response(request, (_FILES / name).read_bytes(), _TYPES[name])
