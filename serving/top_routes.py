"""Addresses of the best of a cycle, and of search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from schemas import http_limits
from schemas.money import CURRENCIES
from schemas.past_answers import PastTopProducts, PastTopShops
from schemas.shown_answers import (
    FoundKind,
    ProductsBy,
    SearchAnswer,
    ShopProductsBy,
    ShopsBy,
    TopProducts,
    TopShopProducts,
    TopShops,
)
from serving import top_lists
from serving.past import Past, refuse_cursor
from serving.past_answers import PastAnswers
from serving.problems import invalid, quoted
from serving.requests import CONTROL, Cursor, CycleText, Id, Limit, Wanted, found, id_of, start_of
from serving.search import KINDS, SEARCHED, search
from serving.subjects import PRODUCT, SHOP
from serving.top_lists import GROWTH, PRODUCTS_OF_SHOP, TopWanted, tables_of
from serving.walks import one_more_walk

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving.answers import Answers
    from serving.conditional import Rendered
    from serving.past import PastWanted
    from serving.requests import FreshnessWanted
    from serving.subjects import Subject

router = APIRouter(prefix="/v1")

Currency = Annotated[
    str | None, Query(description="ISO 4217; needed by `revenue`, refused with all else.")
]


@router.get("/shops/{shop_id:path}/top", response_model=TopShopProducts)
async def top_of_shop(  # noqa: PLR0913, PLR0917 - FastAPI's form
    wanted: Wanted,
    shop_id: Id,
    by: Annotated[ShopProductsBy, Query(description="What is compared, of this shop.")] = "units",
    currency: Currency = None,
    limit: Limit = 10,
    cursor: Cursor = None,
    cycle: CycleText = None,
) -> Response:
    """The best products of a shop in a cycle, by what this shop sold of them, then by id.

    By net units, or by net revenue in a currency. `in_shop` is what was compared; the other sums of
    an item are of all shops.
    """
    id_ = id_of(shop_id, SHOP)
    require_currency(by, currency)
    page = TopWanted(by, currency, start_of(wanted.reader, cycle), limit, cursor)
    answers = await wanted.answers(*PRODUCTS_OF_SHOP)
    with one_more_walk(wanted.request):
        body = await run_in_threadpool(top_lists.top_products_of, answers, id_, page)
    return wanted.response(found(body, id_, SHOP))


@router.get("/top/products", response_model=TopProducts | PastTopProducts)
async def top(  # noqa: PLR0913, PLR0917 - FastAPI's form
    wanted: Wanted,
    past: Past,
    by: Annotated[ProductsBy, Query(description="What products are compared by.")] = "units",
    currency: Currency = None,
    limit: Limit = 10,
    cursor: Cursor = None,
    cycle: CycleText = None,
) -> Response:
    """The best products of a cycle, most first, then by id.

    By net units; by net revenue in a currency; by growth (net units against the cycle before at the
    same point, one page of at most 100); by the share of gross units that was reversed, of products
    with at least 10 gross units; or by good reviews, then their share. A product whose rank changes
    between two pages may be missing or appear twice. Of an earlier moment there is one page, by net
    units.
    """
    page = TopWanted(by, currency, start_of(wanted.reader, cycle), limit, cursor)
    return await _top(wanted, past, PRODUCT, page, top_lists.top_products)


@router.get("/top/shops", response_model=TopShops | PastTopShops)
async def top_shops(  # noqa: PLR0913, PLR0917 - FastAPI's form
    wanted: Wanted,
    past: Past,
    by: Annotated[ShopsBy, Query(description="What shops are compared by.")] = "units",
    currency: Currency = None,
    limit: Limit = 10,
    cursor: Cursor = None,
    cycle: CycleText = None,
) -> Response:
    """The best shops of a cycle, most first, then by id.

    As products; and by response rate, then inquiries counted. A shop whose rank changes between two
    pages may be missing or appear twice. Of an earlier moment there is one page, by net units.
    """
    page = TopWanted(by, currency, start_of(wanted.reader, cycle), limit, cursor)
    return await _top(wanted, past, SHOP, page, top_lists.top_shops)


@router.get("/search", response_model=SearchAnswer)
async def searched(
    wanted: Wanted,
    q: Annotated[
        str,
        Query(
            max_length=http_limits.NAME_CHARS, description="How an id, or words of a name, begin."
        ),
    ],
    kind: Annotated[FoundKind | None, Query(description="Only these; absent: all kinds.")] = None,
    limit: Annotated[
        int, Query(ge=1, le=http_limits.SEARCH_ITEMS, description="Most items to find.")
    ] = 10,
) -> Response:
    """Products, shops and orders by how their ids begin, and products and shops by their names.

    Ids are compared byte by byte. Words of names are compared without regard to case; in Chinese
    and other scripts without spaces a word may begin at any character. The exact id is first, then
    names by net units of the current cycle, then ids in order; of a text such as p-1, which has
    other signs than letters and digits but no space, ids come before names.
    """
    if not q.strip() or CONTROL.search(q):
        raise invalid("q", f"{quoted(q)} has no text to search for, or a control character")
    answers = await wanted.answers(*SEARCHED)
    kinds = KINDS if kind is None else (kind,)
    body = await run_in_threadpool(search, answers, q, kinds, limit)
    return wanted.response(body)


async def _top(
    wanted: FreshnessWanted,
    past: PastWanted,
    subject: Subject[Any],
    page: TopWanted,
    answer: Callable[[Answers, TopWanted], Rendered],
) -> Response:
    """The response with a page of the best, now or at an earlier moment."""
    if past.given:
        return await _past_top(wanted, past, subject, page)
    require_currency(page.by, page.currency)
    names = tables_of(subject, page.by)
    if page.by != GROWTH:
        answers = await wanted.answers(*names)
        return wanted.response(await run_in_threadpool(answer, answers, page))
    if page.cursor is not None:
        raise invalid("cursor", "a list by growth is one page")
    if page.limit > http_limits.GROWTH_ITEMS:
        raise invalid("limit", f"a list by growth has at most {http_limits.GROWTH_ITEMS} items")
    answers = await wanted.answers(*names)
    with one_more_walk(wanted.request):
        return wanted.response(await run_in_threadpool(answer, answers, page))


async def _past_top(
    wanted: FreshnessWanted, past: PastWanted, subject: Subject[Any], page: TopWanted
) -> Response:
    refuse_cursor(page.cursor)
    if page.by != "units":
        word = subject.keyed_by.removesuffix("_id")
        raise invalid("by", f"of an earlier moment {word}s are compared by units, not by {page.by}")
    require_currency(page.by, page.currency)
    with one_more_walk(wanted.request):
        return wanted.response(
            await PastAnswers(wanted, past, subject).top(page.start_ms, page.limit)
        )


def require_currency(by: str, currency: str | None) -> None:
    """Raise ProblemRaised unless a currency is given exactly where money is compared."""
    if by == "revenue":
        if currency is None:
            raise invalid("currency", "revenue is compared in one currency: give one, such as CNY")
        if currency not in CURRENCIES:
            raise invalid("currency", f"{quoted(currency)} is no ISO 4217 code, such as CNY")
    elif currency is not None:
        raise invalid("currency", f"only revenue is compared in a currency, not {by}")
