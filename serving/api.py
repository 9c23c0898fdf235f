"""The reader's HTTP API over its tables: read-only, each answer with its freshness.

Money is in minor units of its currency (ISO 4217).

Every address answers GET, and HEAD with the same headers; a parameter that it doesn't have, or that
is given twice or empty, is refused. Ids may contain any printable character: `/` may be written as
it is or as %2F (which an id needs that ends in such as `/journal` or `/cycles`).
`max_lag=5s` refuses an answer that is further behind; `min_position=orders-0:1234` waits until that
source offset is applied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from fastapi import APIRouter, Depends, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from schemas import limits
from schemas.answers import (
    JournalPage,
    OverduePage,
)
from schemas.past_answers import (
    PastOrder,
    PastProduct,
    PastShop,
    ProductExplanation,
    ShopExplanation,
)
from serving import (
    badge_routes,
    docs_page,
    failures,
    health,
    letter_routes,
    lists,
    order_routes,
    rendering,
    runbook,
    series_routes,
    site,
    stream_routes,
    top_routes,
    version_routes,
)
from serving.access import Access
from serving.exports import Exports, JsonLines, OneMore
from serving.hub import Hub
from serving.layers import ReaderApp, add_layers
from serving.order_answer import order_answer
from serving.order_history import past_order
from serving.parameters import require_known
from serving.past import Past
from serving.past_answers import PastAnswers
from serving.progress import SALES_JOURNAL
from serving.requests import Cursor, CycleText, Id, Limit, Wanted, found, id_of, start_of
from serving.subjects import ORDER, PRODUCT, SHOP
from serving.version_state import VersionState
from serving.walks import Walks, one_more_walk
from tables.catalogue import ORDERS, OVERDUE_INQUIRIES

if TYPE_CHECKING:
    from serving.answers import Answers
    from serving.past import PastWanted
    from serving.reader import Reader
    from serving.requests import FreshnessWanted
    from serving.subjects import Subject

ExplainedLimit = Annotated[
    int, Query(ge=1, le=limits.EXPLAINED_ORDERS, description="Most orders to list.")
]
router = APIRouter(prefix="/v1")

ROUTERS: Final = (
    series_routes.router,
    order_routes.router,
    badge_routes.router,
    top_routes.router,
    stream_routes.router,
    letter_routes.router,
    router,
)
"""The addresses below `/v1`. Of two that fit, the first answers, and an id may hold any `/`: so
those with something behind an id come first."""


def make_app(reader: Reader) -> ReaderApp:
    """The API over a reader; the caller runs the reader.

    Raises TokensUnusable, PseudonymKeyUnusable.
    """
    app = ReaderApp(
        title="netsold",
        version="1",
        description=__doc__ or "",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # a redirect would lead to whatever host the request named
        dependencies=[Depends(require_known)],
        generate_unique_id_function=lambda route: route.name,
    )
    app.origins = reader.settings.cors_origins
    app.state.versions = VersionState(reader)
    app.state.access = access = Access(reader.settings)
    app.state.exports = Exports()
    app.state.walks = Walks()
    app.state.hub = Hub(reader, access)
    failures.install(app)
    for one in ROUTERS:
        app.include_router(one)
    app.include_router(health.router)
    app.include_router(version_routes.router)
    site.install(app)
    runbook.install(app)
    app.include_router(docs_page.router)
    add_layers(app, access)
    return app


def renew_hub(app: ReaderApp) -> None:
    """Open the next streams over the reader that answers now, and end those of the former one."""
    former: Hub = app.state.hub
    app.state.hub = Hub(app.state.versions.answering, app.state.access, former.most)
    former.end()


Newest = Annotated[bool, Query(description="Whether the newest entry is the first one.")]


@router.get("/products/{product_id:path}/journal", response_model=JournalPage)
async def journal(
    wanted: Wanted,
    product_id: Id,
    newest: Newest = False,  # noqa: FBT002 - a parameter of the query
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """A product's journal entries, unchanged: in the order of the log, or the newest first."""
    id_ = id_of(product_id, PRODUCT)
    answers = await wanted.answers(SALES_JOURNAL)
    page = await run_in_threadpool(lists.journal, answers, id_, limit, cursor, newest=newest)
    return wanted.response(found(page, id_, PRODUCT))


@router.get("/products/{product_id:path}/explanation", response_model=ProductExplanation)
async def product_explanation(
    wanted: Wanted,
    past: Past,
    product_id: Id,
    cycle: CycleText = None,
    limit: ExplainedLimit = 10,
) -> Response:
    """Which orders make up a product's number in a cycle, largest first, and how it moved."""
    return await _explanation(wanted, past, Named(PRODUCT, product_id, cycle), limit)


@router.get("/products/{product_id:path}", response_model=PRODUCT.form | PastProduct)
async def product(wanted: Wanted, past: Past, product_id: Id, cycle: CycleText = None) -> Response:
    """A product in a cycle, with its service; of an earlier moment without service.

    Zeros where it is known but sold nothing, 404 where no event names it.
    """
    return await _in_cycle(wanted, past, Named(PRODUCT, product_id, cycle))


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
    return wanted.response(page)


@router.get("/shops/{shop_id:path}/explanation", response_model=ShopExplanation)
async def shop_explanation(
    wanted: Wanted,
    past: Past,
    shop_id: Id,
    cycle: CycleText = None,
    limit: ExplainedLimit = 10,
) -> Response:
    """Which orders make up a shop's number in a cycle, largest first, and how it moved."""
    return await _explanation(wanted, past, Named(SHOP, shop_id, cycle), limit)


@router.get("/shops/{shop_id:path}", response_model=SHOP.form | PastShop)
async def shop(wanted: Wanted, past: Past, shop_id: Id, cycle: CycleText = None) -> Response:
    """A shop in a cycle, sales and service side by side; of an earlier moment without service.

    Zeros where it is known but sold nothing, 404 where no event names it.
    """
    return await _in_cycle(wanted, past, Named(SHOP, shop_id, cycle))


class Named(NamedTuple):
    """What an address names: a subject, the text of its id, and an instant of the cycle."""

    subject: Subject[Any]
    text: str
    cycle: str | None


async def _in_cycle(wanted: FreshnessWanted, past: PastWanted, named: Named) -> Response:
    subject = named.subject
    if past.given:
        id_, start_ms = id_of(named.text, subject), start_of(wanted.reader, named.cycle)
        with one_more_walk(wanted.request):
            return wanted.response(await PastAnswers(wanted, past, subject).about(id_, start_ms))
    return current_answer(wanted, await wanted.answers(*subject.tables), named)


def current_answer(wanted: FreshnessWanted, answers: Answers, named: Named) -> Response:
    """The response about an id in a cycle. Raises ProblemRaised, NothingYet."""
    subject = named.subject
    id_, start_ms = id_of(named.text, subject), start_of(wanted.reader, named.cycle)
    body = found(rendering.about(answers, subject, id_, start_ms), id_, subject)
    return wanted.response(body)


async def _explanation(
    wanted: FreshnessWanted, past: PastWanted, named: Named, limit: int
) -> Response:
    id_, start_ms = id_of(named.text, named.subject), start_of(wanted.reader, named.cycle)
    with one_more_walk(wanted.request):
        explaining = PastAnswers(wanted, past, named.subject)
        return wanted.response(await explaining.explanation(id_, start_ms, limit))


@router.get("/orders/{order_id:path}", response_model=ORDER.form | PastOrder)
async def order(wanted: Wanted, past: Past, order_id: Id) -> Response:
    """An order: its events, what counts of it, its anomalies; 404 where no event names it."""
    id_ = id_of(order_id, ORDER)
    if past.given:
        with one_more_walk(wanted.request):
            return wanted.response(found(await past_order(wanted, past, id_), id_, ORDER))
    answers = await wanted.answers(*ORDER.tables)
    body = found(order_answer(answers, id_), id_, ORDER)
    return wanted.response(body)


@router.get("/export", response_class=JsonLines)
async def export(wanted: Wanted, exports: OneMore) -> Response:
    """All tables of one snapshot as JSON lines, in the form of `netsold recount`.

    One `{"products" | "shops" | …: row}` a line, and last `{"end": {"rows": …, "freshness": …}}`;
    without that line the export is incomplete. Only a few exports may run at once: one more is
    a 503.
    """
    answers = await wanted.answers(ORDERS.name)
    return JsonLines(exports.chunks(answers, wanted.shown), headers={"Cache-Control": "no-cache"})
