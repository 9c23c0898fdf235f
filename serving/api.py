"""The reader's HTTP API over its tables: read-only, each answer with its freshness.

Money is in minor units of its currency (ISO 4217).

Every address answers GET, and HEAD with the same headers; a parameter that it doesn't have, or that
comes twice or empty, is refused. Ids may hold any printable character: `/` may be written as it is
or as %2F (which an id that ends in `/journal` needs). `max_lag=5s` refuses an answer that is
further behind; `min_position=orders-0:1234` waits until that source offset is applied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Depends, FastAPI, Path, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from schemas import limits
from schemas.answers import (
    FreshProduct,
    FreshShop,
    JournalPage,
    OrderAnswer,
    OverduePage,
    Problem,
    TopProducts,
    TopShops,
)
from serving import failures, health
from serving.asked import CycleText, Demanded, found, id_of, start_of
from serving.exports import Exports, JsonLines, OneMore
from serving.look import TopBy
from serving.parameters import understood
from serving.paths import EncodedSlashes, Heads, Measured
from serving.problems import Kind
from serving.standing import JOURNAL, OF_PRODUCT, OF_SHOP
from tables.catalogue import ORDERS, OVERDUE_INQUIRIES, PRODUCT_CYCLES

if TYPE_CHECKING:
    from serving.follow import Reader

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
    """The API over a reader that somebody else runs."""
    app = FastAPI(
        title="netsold",
        version="1",
        description=__doc__ or "",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # a redirect would lead to whatever host the request named
        dependencies=[Depends(understood)],
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
    demand: Demanded, product_id: Id, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """A product's journal entries as they stand in the log, in its order."""
    id_ = id_of(product_id, Kind.UNKNOWN_PRODUCT)
    look = await demand.look(JOURNAL)
    page = await run_in_threadpool(look.journal, id_, limit, cursor)
    return demand.answer(look, (JOURNAL,), found(page, id_, Kind.UNKNOWN_PRODUCT))


@router.get("/products/{product_id:path}", response_model=FreshProduct)
async def product(demand: Demanded, product_id: Id, cycle: CycleText = None) -> Response:
    """A product in a cycle, with its service.

    Zeros where it is known but sold nothing, 404 where no event names it.
    """
    id_, start_ms = id_of(product_id, Kind.UNKNOWN_PRODUCT), start_of(demand.reader, cycle)
    look = await demand.look(*OF_PRODUCT)
    return demand.answer(
        look, OF_PRODUCT, found(look.product(id_, start_ms), id_, Kind.UNKNOWN_PRODUCT)
    )


@router.get("/shops/{shop_id:path}/overdue", response_model=OverduePage)
async def overdue_of_shop(
    demand: Demanded, shop_id: Id, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """A shop's inquiries whose time has passed without a reply, by when they were due, then by buyer; none of an unknown shop."""
    id_ = id_of(shop_id, Kind.UNKNOWN_SHOP)
    look = await demand.look(OVERDUE_INQUIRIES.name)
    page = await run_in_threadpool(look.overdue, id_, limit, cursor)
    return demand.answer(look, (OVERDUE_INQUIRIES.name,), page)


@router.get("/overdue", response_model=OverduePage)
async def overdue(demand: Demanded, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """All inquiries whose time has passed without a reply, by when they were due, then by shop and buyer."""
    look = await demand.look(OVERDUE_INQUIRIES.name)
    page = await run_in_threadpool(look.overdue, None, limit, cursor)
    return demand.answer(look, (OVERDUE_INQUIRIES.name,), page)


@router.get("/shops/{shop_id:path}", response_model=FreshShop)
async def shop(demand: Demanded, shop_id: Id, cycle: CycleText = None) -> Response:
    """A shop in a cycle, sales and service side by side.

    Zeros where it is known but sold nothing, 404 where no event names it.
    """
    id_, start_ms = id_of(shop_id, Kind.UNKNOWN_SHOP), start_of(demand.reader, cycle)
    look = await demand.look(*OF_SHOP)
    return demand.answer(look, OF_SHOP, found(look.shop(id_, start_ms), id_, Kind.UNKNOWN_SHOP))


@router.get("/orders/{order_id:path}", response_model=OrderAnswer)
async def order(demand: Demanded, order_id: Id) -> Response:
    """An order: what is known of it, what counts, what is odd; 404 where no event names it."""
    id_ = id_of(order_id, Kind.UNKNOWN_ORDER)
    look = await demand.look(ORDERS.name)
    return demand.answer(look, (ORDERS.name,), found(look.order(id_), id_, Kind.UNKNOWN_ORDER))


@router.get("/top/products", response_model=TopProducts)
async def top(
    demand: Demanded, limit: Limit = 10, cursor: Cursor = None, cycle: CycleText = None
) -> Response:
    """What sold best in a cycle: by net units, most first, then by id.

    What moves between two pages may be missed or come twice.
    """
    start_ms = start_of(demand.reader, cycle)
    look = await demand.look(PRODUCT_CYCLES.name)
    page = await run_in_threadpool(look.top, start_ms, limit, cursor)
    return demand.answer(look, (PRODUCT_CYCLES.name,), page)


@router.get("/top/shops", response_model=TopShops)
async def top_shops(
    demand: Demanded,
    by: Annotated[TopBy, Query(description="What shops are compared by.")] = "sales",
    limit: Limit = 10,
    cursor: Cursor = None,
    cycle: CycleText = None,
) -> Response:
    """The best shops of a cycle: by net units; by response rate, then inquiries counted.

    Or by good reviews, then their share.

    Most first, then by id. What moves between two pages may be missed or come twice.
    """
    start_ms = start_of(demand.reader, cycle)
    look = await demand.look(*OF_SHOP)
    page = await run_in_threadpool(look.top_shops, by, start_ms, limit, cursor)
    return demand.answer(look, OF_SHOP, page)


@router.get("/export", response_class=JsonLines)
async def export(demand: Demanded, exports: OneMore) -> Response:
    """All tables as of one moment, as JSON lines: one `{"products" | "shops" | …: row}` each, in the form of
    `netsold recount`, and at last `{"end": {"rows": …, "freshness": …}}`: without it the export is broken off.
    A few exports may be under way at once; another one is a 503.
    """  # noqa: D205
    look = await demand.look(ORDERS.name)
    return JsonLines(exports.chunks(look), headers={"Cache-Control": "no-cache"})
