"""Addresses about time: cycles, series by cycle, day and hour, and the sums of the marketplace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from schemas import limits
from schemas.series_answers import (
    CycleSeries,
    CyclesPage,
    MarketplaceAnswer,
    PeriodSeries,
    ProductCycles,
    ProductPeriods,
    ShopCycles,
    ShopPeriods,
)
from serving import series
from serving.progress import SALES_JOURNAL
from serving.requests import (
    INSTANT,
    Cursor,
    CycleText,
    Id,
    Limit,
    Wanted,
    event_instant_of,
    id_of,
    start_of,
)
from serving.series import EVERYTHING, TABLES, Span, Whose
from serving.subjects import PRODUCT, SHOP
from tables.periods import MARKETPLACE

if TYPE_CHECKING:
    from serving.answers import Answers
    from serving.requests import FreshnessWanted
    from serving.series import Step
    from serving.subjects import Subject

router = APIRouter(prefix="/v1")

CYCLES: Final = 12
"""How many cycles a series has by default."""

Last = Annotated[
    int, Query(ge=1, le=limits.SERIES_CYCLES, description="How many cycles; the last is current.")
]
From = Annotated[
    str | None,
    Query(
        alias="from",
        description="Its hour or day is the first, RFC 3339 with zone.",
        json_schema_extra=INSTANT,
    ),
]
To = Annotated[
    str | None,
    Query(
        alias="to",
        description="The first instant behind the last one, RFC 3339 with zone.",
        json_schema_extra=INSTANT,
    ),
]


@router.get("/cycles", response_model=CyclesPage)
async def known_cycles(wanted: Wanted, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """The cycles in which anything was sold or refunded, newest first, and the current one.

    How far through the current cycle is by the event time of the tables.
    """
    answers = await wanted.answers(*TABLES[MARKETPLACE])
    return wanted.response(await run_in_threadpool(series.cycles, answers, limit, cursor))


@router.get("/marketplace", response_model=MarketplaceAnswer)
async def marketplace(wanted: Wanted, cycle: CycleText = None) -> Response:
    """The sums of all products in a cycle, and of all time."""
    start_ms = start_of(wanted.reader, cycle)
    answers = await wanted.answers(*TABLES[MARKETPLACE])
    return wanted.response(await run_in_threadpool(series.marketplace_in, answers, start_ms))


@router.get("/marketplace/cycles", response_model=CycleSeries)
async def marketplace_cycles(wanted: Wanted, last: Last = CYCLES) -> Response:
    """The last cycles of the marketplace, oldest first, with zeros where nothing was sold."""
    return await _cycles(wanted, None, "", last)


@router.get("/products/{product_id:path}/cycles", response_model=ProductCycles)
async def product_cycles(wanted: Wanted, product_id: Id, last: Last = CYCLES) -> Response:
    """The last cycles of a product, oldest first, with zeros where nothing was sold."""
    return await _cycles(wanted, PRODUCT, product_id, last)


@router.get("/shops/{shop_id:path}/cycles", response_model=ShopCycles)
async def shop_cycles(wanted: Wanted, shop_id: Id, last: Last = CYCLES) -> Response:
    """The last cycles of a shop, oldest first, with zeros where nothing was sold."""
    return await _cycles(wanted, SHOP, shop_id, last)


@router.get("/marketplace/days", response_model=PeriodSeries)
async def marketplace_days(wanted: Wanted, from_: From = None, to: To = None) -> Response:
    """The marketplace by day of UTC; by default the current cycle until event time."""
    return await _periods(wanted, (None, ""), "day", (from_, to))


@router.get("/marketplace/hours", response_model=PeriodSeries)
async def marketplace_hours(wanted: Wanted, from_: From = None, to: To = None) -> Response:
    """The marketplace by hour of UTC, at most 60 days back; by default the last 24 hours."""
    return await _periods(wanted, (None, ""), "hour", (from_, to))


@router.get("/products/{product_id:path}/days", response_model=ProductPeriods)
async def product_days(
    wanted: Wanted, product_id: Id, from_: From = None, to: To = None
) -> Response:
    """A product by day of UTC; by default the current cycle until event time."""
    return await _periods(wanted, (PRODUCT, product_id), "day", (from_, to))


@router.get("/products/{product_id:path}/hours", response_model=ProductPeriods)
async def product_hours(
    wanted: Wanted, product_id: Id, from_: From = None, to: To = None
) -> Response:
    """A product by hour of UTC, at most 60 days back; by default the last 24 hours."""
    return await _periods(wanted, (PRODUCT, product_id), "hour", (from_, to))


@router.get("/shops/{shop_id:path}/days", response_model=ShopPeriods)
async def shop_days(wanted: Wanted, shop_id: Id, from_: From = None, to: To = None) -> Response:
    """A shop by day of UTC; by default the current cycle until event time."""
    return await _periods(wanted, (SHOP, shop_id), "day", (from_, to))


@router.get("/shops/{shop_id:path}/hours", response_model=ShopPeriods)
async def shop_hours(wanted: Wanted, shop_id: Id, from_: From = None, to: To = None) -> Response:
    """A shop by hour of UTC, at most 60 days back; by default the last 24 hours."""
    return await _periods(wanted, (SHOP, shop_id), "hour", (from_, to))


async def _cycles(
    wanted: FreshnessWanted, subject: Subject[Any] | None, text: str, last: int
) -> Response:
    answers = await wanted.answers(*cycle_tables(subject))
    return cycles_answer(wanted, answers, (subject, text), last)


def cycle_tables(subject: Subject[Any] | None) -> tuple[str, ...]:
    """The tables of a series by cycle, of the marketplace if None."""
    return TABLES[MARKETPLACE if subject is None else subject.keyed_by]


def cycles_answer(
    wanted: FreshnessWanted, answers: Answers, named: tuple[Subject[Any] | None, str], last: int
) -> Response:
    """The response with the last cycles of what an address names, by subject and text.

    Raises ProblemRaised, NothingYet.
    """
    return wanted.response(series.cycle_series(answers, _whose(*named), last))


async def _periods(
    wanted: FreshnessWanted,
    named: tuple[Subject[Any] | None, str],
    step: Step,
    given: tuple[str | None, str | None],
) -> Response:
    whose = _whose(*named)
    span = Span(*(_instant(*one) for one in zip(("from", "to"), given, strict=True)))
    answers = await wanted.answers(SALES_JOURNAL)
    body = await run_in_threadpool(series.period_series, answers, whose, step, span)
    return wanted.response(body)


def newest_periods(
    wanted: FreshnessWanted, answers: Answers, named: tuple[Subject[Any], str], step: Step
) -> Response:
    """The response with the hours or days that an address without a span names.

    Raises ProblemRaised, NothingYet.
    """
    return wanted.response(series.period_series(answers, _whose(*named), step, Span(None, None)))


def _whose(subject: Subject[Any] | None, text: str) -> Whose:
    return EVERYTHING if subject is None else Whose(subject.keyed_by, id_of(text, subject))


def _instant(where: str, text: str | None) -> int | None:
    return None if text is None else event_instant_of(where, text)
