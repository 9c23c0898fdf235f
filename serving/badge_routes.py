"""Badges over HTTP, made for being embedded in pages of other origins.

An answer stays good for a minute, and may be shown for ten more while a new one is fetched. It has
no freshness, so it changes only with its counts; a header names its version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from fastapi import APIRouter, Query
from fastapi.responses import Response

from serving import badges
from serving.badges import Language
from serving.conditional import client_has, etag_of
from serving.requests import CycleText, Id, Wanted, found, id_of, start_of
from serving.subjects import PRODUCT

if TYPE_CHECKING:
    from serving.answers import Answers
    from serving.badges import Form
    from serving.requests import FreshnessWanted

CACHE_CONTROL: Final = "public, max-age=60, stale-while-revalidate=600"

Lang = Annotated[
    Language | None, Query(description="The badge's language; absent: by Accept-Language.")
]
Rounded = Annotated[
    bool, Query(alias="round", description="Round counts down, as marketplaces do: 100k+, 10万+.")
]

_TEXT: Final = {"schema": {"type": "string"}}
_PROBLEM: Final = {"schema": {"$ref": "#/components/schemas/Problem"}}

router = APIRouter(prefix="/v1")


def _responses(*media_types: str) -> dict[int | str, dict[str, Any]]:
    return {
        200: {"description": "The badge.", "content": dict.fromkeys(media_types, _TEXT)},
        304: {"description": "The client has this badge."},
        404: {
            "description": "No event names it: an image without counts, as text a problem.",
            "content": {"image/svg+xml": _TEXT, "application/problem+json": _PROBLEM},
        },
    }


class BadgeText(NamedTuple):
    """How a request wants a badge; `form` and `lang` are None where its headers decide."""

    form: Form | None
    lang: Language | None = None
    is_rounded: bool = False


@router.get(
    "/products/{product_id:path}/badge.svg",
    response_class=Response,
    responses=_responses("image/svg+xml"),
)
async def badge_svg(
    wanted: Wanted,
    product_id: Id,
    cycle: CycleText = None,
    lang: Lang = None,
    is_rounded: Rounded = False,  # noqa: FBT002 - FastAPI's form
) -> Response:
    """The product page's line as an SVG; an unknown product has a badge without counts (404)."""
    answers = await wanted.answers(*PRODUCT.tables)
    return badge_response(wanted, answers, product_id, cycle, BadgeText("svg", lang, is_rounded))


@router.get(
    "/products/{product_id:path}/badge",
    response_class=Response,
    responses=_responses("text/plain", "image/svg+xml"),
)
async def badge(
    wanted: Wanted,
    product_id: Id,
    cycle: CycleText = None,
    lang: Lang = None,
    is_rounded: Rounded = False,  # noqa: FBT002 - FastAPI's form
) -> Response:
    """The product page's line as text, or as an SVG where `Accept` prefers it.

    "1,204 sold monthly · 98,311 successfully traded", or in Chinese "月销 1,204 · 累计成交 98,311".
    """
    answers = await wanted.answers(*PRODUCT.tables)
    return badge_response(wanted, answers, product_id, cycle, BadgeText(None, lang, is_rounded))


def badge_response(
    wanted: FreshnessWanted, answers: Answers, text: str, cycle: str | None, badge: BadgeText
) -> Response:
    """The badge of the product whose id is `text`. Raises ProblemRaised, NothingYet."""
    id_, start_ms = id_of(text, PRODUCT), start_of(wanted.reader, cycle)
    headers = wanted.request.headers
    form = badge.form or badges.form_of(headers.get("Accept", ""))
    language = badge.lang or badges.language_of(headers.get("Accept-Language", ""))
    counts = answers.counts(PRODUCT, id_, start_ms)
    if form == "text":
        line = badges.line(found(counts, id_, PRODUCT), language, is_rounded=badge.is_rounded)
    elif counts is None:
        line = badges.no_product(language)
    else:
        line = badges.line(counts, language, is_rounded=badge.is_rounded)
    body = (badges.svg(line, language) if form == "svg" else line).encode()
    more = {
        "ETag": etag_of(body),
        "Netsold-Version": answers.snapshot.version,
        "Cache-Control": "no-cache" if wanted.is_demanding else CACHE_CONTROL,
        "Content-Language": language,
    }
    vary = ["Accept"] * (badge.form is None) + ["Accept-Language"] * (badge.lang is None)
    if vary:
        more["Vary"] = ", ".join(vary)
    status = 404 if counts is None else 200
    if client_has(wanted.request, more["ETag"]):
        return Response(status_code=304, headers=more)
    return Response(body, status, more, badges.MEDIA_TYPES[form])
