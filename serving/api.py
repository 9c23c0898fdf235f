"""The reader's HTTP API over its tables: read-only, each answer with its freshness.

Money is in minor units of its currency (ISO 4217).

Every address answers GET, and HEAD with the same headers; a parameter that it doesn't have, or that
is given twice or empty, is refused. Ids may contain any printable character: `/` may be written as
it is or as %2F (which an id that ends in `/journal` needs). `max_lag=5s` refuses an answer that is
further behind; `min_position=orders-0:1234` waits until that source offset is applied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Depends, FastAPI, Path, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from schemas import limits
from schemas.answers import (
    JournalPage,
    OverduePage,
    Problem,
    TopProducts,
    TopShops,
)
from serving import failures, health, lists
from serving.exports import Exports, JsonLines, OneMore
from serving.lists import TopBy
from serving.order_answer import order_answer
from serving.parameters import require_known
from serving.paths import EncodedSlashes, Heads, Measured
from serving.progress import SALES_JOURNAL
from serving.requests import CycleText, Wanted, found, id_of, start_of
from serving.subjects import ORDER, PRODUCT, SHOP
from tables.catalogue import ORDERS, OVERDUE_INQUIRIES, PRODUCT_CYCLES

if TYPE_CHECKING:
    from serving.answers import Sales
    from serving.reader import Reader
    from serving.requests import FreshnessWanted
    from serving.subjects import Subject

Id = Annotated[str, Path(description="Any id; `/` as it is or as %2F.")]
Limit = Annotated[int, Query(ge=1, le=limits.PAGE_ITEMS, description="Most items of a page.")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before.")]
_PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    code: {"model": Problem, "content": {"application/problem+json": {}}, "description": text}
    for code, text in (
        (404, "No event names it."),
        (422, "A part of the request can't be used."),
        (503, "Not ready, too stale, or too busy."),
    )
}

router = APIRouter(prefix="/v1", responses=_PROBLEMS)


def make_app(reader: Reader) -> FastAPI:
    """The API over a reader; the caller runs the reader."""
    app = FastAPI(
        title="netsold",
        version="1",
        description=__doc__ or "",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # a redirect would lead to whatever host the request named
        dependencies=[Depends(require_known)],
    )
    app.state.reader = reader
    app.state.exports = Exports()
    failures.install(app)
    app.include_router(router)
    app.include_router(health.router)

    @app.get("/openapi.json", include_in_schema=False)  # the framework's own takes any parameter
    async def contract() -> Response:
        return JSONResponse(app.openapi())

    app.add_middleware(Measured)
    app.add_middleware(Heads)
    app.add_middleware(EncodedSlashes)
    return app


@router.get("/products/{product_id:path}/journal", response_model=JournalPage)
async def journal(
    wanted: Wanted, product_id: Id, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """A product's journal entries, unchanged and in the order of the log."""
    id_ = id_of(product_id, PRODUCT)
    answers = await wanted.answers(SALES_JOURNAL)
    page = await run_in_threadpool(lists.journal, answers, id_, limit, cursor)
    return wanted.response(answers, (SALES_JOURNAL,), found(page, id_, PRODUCT))


@router.get("/products/{product_id:path}", response_model=PRODUCT.form)
async def product(wanted: Wanted, product_id: Id, cycle: CycleText = None) -> Response:
    """A product in a cycle, with its service.

    Zeros where it is known but sold nothing, 404 where no event names it.
    """
    return await _in_cycle(wanted, PRODUCT, product_id, cycle)


@router.get("/shops/{shop_id:path}/overdue", response_model=OverduePage)
async def overdue_of_shop(
    wanted: Wanted, shop_id: Id, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """A shop's inquiries whose time has passed without a reply, by due time, then by buyer.

    None of an unknown shop.
    """
    return await _overdue(wanted, id_of(shop_id, SHOP), limit, cursor)


@router.get("/overdue", response_model=OverduePage)
async def overdue(wanted: Wanted, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """All inquiries whose time has passed without a reply, by due time, then by shop and buyer."""
    return await _overdue(wanted, None, limit, cursor)


async def _overdue(wanted: Wanted, shop_id: str | None, limit: int, cursor: str | None) -> Response:
    answers = await wanted.answers(OVERDUE_INQUIRIES.name)
    page = await run_in_threadpool(lists.overdue, answers, shop_id, limit, cursor)
    return wanted.response(answers, (OVERDUE_INQUIRIES.name,), page)


@router.get("/shops/{shop_id:path}", response_model=SHOP.form)
async def shop(wanted: Wanted, shop_id: Id, cycle: CycleText = None) -> Response:
    """A shop in a cycle, sales and service side by side.

    Zeros where it is known but sold nothing, 404 where no event names it.
    """
    return await _in_cycle(wanted, SHOP, shop_id, cycle)


async def _in_cycle(
    wanted: FreshnessWanted, subject: Subject[Sales], text: str, cycle: str | None
) -> Response:
    id_, start_ms = id_of(text, subject), start_of(wanted.reader, cycle)
    answers = await wanted.answers(*subject.tables)
    body = found(answers.about(subject, id_, start_ms), id_, subject)
    return wanted.response(answers, subject.tables, body)


@router.get("/orders/{order_id:path}", response_model=ORDER.form)
async def order(wanted: Wanted, order_id: Id) -> Response:
    """An order: its events, what counts of it, its anomalies; 404 where no event names it."""
    id_ = id_of(order_id, ORDER)
    answers = await wanted.answers(*ORDER.tables)
    body = found(order_answer(answers, id_), id_, ORDER)
    return wanted.response(answers, ORDER.tables, body)


@router.get("/top/products", response_model=TopProducts)
async def top(
    wanted: Wanted, limit: Limit = 10, cursor: Cursor = None, cycle: CycleText = None
) -> Response:
    """The best sellers of a cycle: by net units, most first, then by id.

    A product whose rank changes between two pages may be missing or appear twice.
    """
    start_ms = start_of(wanted.reader, cycle)
    answers = await wanted.answers(PRODUCT_CYCLES.name)
    page = await run_in_threadpool(lists.top_products, answers, start_ms, limit, cursor)
    return wanted.response(answers, (PRODUCT_CYCLES.name,), page)


@router.get("/top/shops", response_model=TopShops)
async def top_shops(
    wanted: Wanted,
    by: Annotated[TopBy, Query(description="What shops are compared by.")] = "sales",
    limit: Limit = 10,
    cursor: Cursor = None,
    cycle: CycleText = None,
) -> Response:
    """The best shops of a cycle, most first, then by id.

    By net units; or by response rate, then inquiries counted; or by good reviews, then their share.
    A shop whose rank changes between two pages may be missing or appear twice.
    """
    start_ms = start_of(wanted.reader, cycle)
    answers = await wanted.answers(*SHOP.tables)
    page = await run_in_threadpool(lists.top_shops, answers, by, start_ms, limit, cursor)
    return wanted.response(answers, SHOP.tables, page)


@router.get("/export", response_class=JsonLines)
async def export(wanted: Wanted, exports: OneMore) -> Response:
    """All tables of one snapshot as JSON lines, in the form of `netsold recount`.

    One `{"products" | "shops" | …: row}` a line, and last `{"end": {"rows": …, "freshness": …}}`;
    without that line the export is incomplete. Only a few exports may run at once: one more is
    a 503.
    """
    answers = await wanted.answers(ORDERS.name)
    return JsonLines(exports.chunks(answers), headers={"Cache-Control": "no-cache"})
