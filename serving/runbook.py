"""The runbook at `/runbook`, as this build has it: findings and dead letters lead to its sections.

`docs/runbook.md` is written for people who read it on GitHub, so headings have the same anchors
here. What leads to other files of the documentation is text: the reader does not have them.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from fastapi.responses import Response
from markdown_it import MarkdownIt

from serving.conditional import kept_response
from serving.site import PAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi import FastAPI, Request
    from markdown_it.token import Token

ADDRESS: Final = "/runbook"
_NO_ANCHOR: Final = re.compile(r"[^\w\- ]")


def install(app: FastAPI) -> None:
    """Serve the runbook."""
    app.add_route(ADDRESS, _page)


async def _page(request: Request) -> Response:
    return kept_response(request, document().encode(), "text/html")


@cache
def document() -> str:
    """The runbook as an HTML document."""
    text = (PAGE / "runbook.md").read_text(encoding="utf-8")
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = [one for one in parser.parse(text) if one.type != "html_block"]
    for token, content in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", anchor(content.content))
        _unlink(token.children or ())
    body = parser.renderer.render(tokens, parser.options, {})
    # tables and code scroll by themselves, by keyboard too
    body = body.replace("<pre>", '<pre tabindex="0">')
    body = body.replace("<table>", '<div class="scroll" tabindex="0"><table>')
    frame = (PAGE / "runbook.html").read_text(encoding="utf-8")
    return frame.replace("{body}", body.replace("</table>", "</table></div>"))


def anchor(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it: `A disk is full` → `a-disk-is-full`."""
    return _NO_ANCHOR.sub("", heading.lower()).replace(" ", "-")


def _unlink(tokens: Sequence[Token]) -> None:
    """Make text of the links to other files."""
    closing = False
    for token in tokens:
        if token.type == "link_open":
            closing = not re.match(r"#|https?://", str(token.attrs["href"]))
        if closing and token.type in {"link_open", "link_close"}:
            token.tag, token.attrs = "span", {}
