"""The page at `/`: its files, and one document for every address of it.

The files stand beside this module, as they are served: nothing is built. The document's preloads
are made from the list of modules, so that a browser fetches them all at once.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastapi.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

STATIC: Final = Path(str(files("serving"))) / "static"
PAGE: Final = STATIC / "page"

_PRELOADS: Final = "".join(
    f'\n    <link rel="modulepreload" href="/static/{path.relative_to(STATIC)}">'
    for path in sorted(PAGE.rglob("*.js"))
    if path.name not in {"theme.js", "uPlot.iife.min.js"}  # scripts, no modules
)
_DOCUMENT: Final = (
    (PAGE / "index.html")
    .read_text(encoding="utf-8")
    .replace("\n  </head>", f"{_PRELOADS}\n  </head>", 1)
)

ADDRESSES: Final = (
    "/",
    "/products/{rest:path}",
    "/shops/{rest:path}",
    "/orders/{rest:path}",
    "/operations",
    "/overdue",
    "/search",
)
"""The addresses of the page."""


def install(app: FastAPI) -> None:
    """Serve the page and its files; their parameters are the page's own."""
    for address in ADDRESSES:
        app.add_route(address, _page)
    app.mount("/static", StaticFiles(directory=STATIC))


async def _page(_: Request) -> Response:
    return document()


def document(status: int = 200) -> Response:
    """The page; of an address that it does not know it says so, with a way back."""
    return HTMLResponse(_DOCUMENT, status, headers={"Cache-Control": "no-cache"})


def is_for_people(request: Request) -> bool:
    """Whether a browser asks for a page, and not a program for an answer of the API."""
    accepted = request.headers.get("accept", "")
    return "text/html" in accepted and not request.url.path.startswith("/v1")
