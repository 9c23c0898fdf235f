"""Answers about time: which cycles there are, series by cycle, day and hour, and all sales."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from schemas import limits, times
from schemas.series_answers import (
    CurrentCycle,
    CycleSeries,
    CyclesPage,
    KnownCycle,
    MarketplaceAnswer,
    PeriodAnswer,
    PeriodSeries,
    ProductCycles,
    ProductPeriods,
    ShopCycles,
    ShopPeriods,
)
from serving import keys, rendering, series_keys
from serving.conditional import Rendered
from serving.kept_answers import KeptKey
from serving.pages import BadCursor, key_of, read_page
from serving.period_reads import PeriodReads
from serving.period_rows import first_hours_day
from serving.problems import invalid
from serving.progress import SALES_JOURNAL
from serving.requests import unnamed
from serving.same_point import same_point
from serving.subjects import PRODUCT, SHOP, Subject
from tables import marketplace
from tables.catalogue import PRODUCT_CYCLES, SHOP_CYCLES
from tables.marketplace import MarketplaceCycle
from tables.periods import DAY_HOURS, MARKETPLACE
from tables.report import span
from tables.sales import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

    from serving.answers import Answers
    from serving.store import Snapshot

Step = Literal["hour", "day"]
SeriesKind = Literal["cycles", "hour", "day"]

TABLES: Final = {
    PRODUCT.keyed_by: (PRODUCT_CYCLES.name,),
    SHOP.keyed_by: (SHOP_CYCLES.name,),
    MARKETPLACE: (PRODUCT_CYCLES.name, SHOP_CYCLES.name),
}
"""By the name of an id, and of the marketplace: the tables that series by cycle are read from."""

_SUBJECTS: Final[dict[str, Subject[Any]]] = {one.keyed_by: one for one in (PRODUCT, SHOP)}
_CYCLES: Final[dict[str, type[CycleSeries]]] = {
    PRODUCT.keyed_by: ProductCycles,
    SHOP.keyed_by: ShopCycles,
    MARKETPLACE: CycleSeries,
}
_PERIODS: Final[dict[str, type[PeriodSeries]]] = {
    PRODUCT.keyed_by: ProductPeriods,
    SHOP.keyed_by: ShopPeriods,
    MARKETPLACE: PeriodSeries,
}
_STEP_MS: Final[dict[Step, int]] = {"hour": times.HOUR_MS, "day": times.DAY_MS}
_MOST: Final[dict[Step, int]] = {
    "hour": limits.HOURS_DAYS * DAY_HOURS,
    "day": limits.SERIES_DAYS,
}
_NO_SUMS: Final = Tally().of_cycle()


class Whose(NamedTuple):
    """What a series is about: the name of an id and the id, both empty for the marketplace."""

    keyed_by: str
    id: str

    @property
    def field(self) -> dict[str, str]:
        """The id by its name in answers."""
        return {self.keyed_by: self.id} if self.keyed_by else {}


EVERYTHING: Final = Whose(MARKETPLACE, "")


class Span(NamedTuple):
    """The instants of a request, each None for its default."""

    from_ms: int | None
    to_ms: int | None


def cycle_series(answers: Answers, whose: Whose, last: int) -> Rendered:
    """The last cycles of an id, or of the marketplace.

    Raises NothingYet; ProblemRaised for an unknown id.
    """
    calendar, names = answers.calendar, TABLES[whose.keyed_by]
    current_ms = answers.current_cycle(*names)
    starts = [current_ms - number * calendar.length_ms for number in reversed(range(last))]

    def fields() -> dict[str, Any]:
        found = _sums_by_cycle(answers, whose, starts)
        return whose.field | {
            "items": [
                {
                    **(_NO_SUMS if tally is None else tally.of_cycle()),
                    "cycle": span(calendar, start_ms),
                    "current": start_ms == current_ms,
                    "restatements": 0 if tally is None else tally.restatements,
                }
                for start_ms in starts
                if calendar.holds_events(start_ms)
                for tally in (found.get(start_ms),)
            ]
        }

    key = KeptKey(whose.keyed_by, whose.id.encode(), starts[0], current_ms, "cycles")
    return _rendered(answers, _CYCLES[whose.keyed_by], key, fields, names)


def _rendered(
    answers: Answers,
    form: type[BaseModel],
    key: KeptKey,
    fields: Callable[[], dict[str, Any]],
    names: tuple[str, ...],
) -> Rendered:
    """An answer that is kept, or made of its fields. Raises ProblemRaised for an unknown id."""
    if not key.keyed_by:  # the marketplace changes with every step
        return Rendered(form, rendering.json_text(fields()), answers.fresh_json(*names))
    kept = rendering.kept(
        answers, key, lambda: fields() if answers.is_known(key.keyed_by, key.id) else None
    )
    if kept is None:
        raise unnamed(_SUBJECTS[key.keyed_by], key.id.decode())
    return Rendered(form, kept.content, answers.fresh_json(*names), etags=kept.etags)


def _sums_by_cycle(answers: Answers, whose: Whose, starts: list[int]) -> dict[int, Tally]:
    if whose.keyed_by:
        return answers.sales_by_cycle(whose.keyed_by, whose.id.encode())
    return {start_ms: _marketplace(answers.snapshot, start_ms).sums for start_ms in starts}


def period_series(answers: Answers, whose: Whose, step: Step, within: Span) -> Rendered:
    """Hours or days of an id, or of the marketplace.

    Raises NothingYet; ProblemRaised for an unknown id, and where the span has too many, or hours
    that are not kept.
    """
    step_ms = _STEP_MS[step]
    first, end = _steps(answers, step, within)

    def fields() -> dict[str, Any]:
        reads = PeriodReads(answers.snapshot, answers.calendar, whose.keyed_by, whose.id.encode())
        found = reads.hours(first, end) if step == "hour" else reads.days(first, end)
        return whose.field | {
            "step": step,
            "zone": "UTC",
            "start": times.format_short(first * step_ms),
            "end": times.format_short(end * step_ms),
            "items": [
                {
                    **(found[number].of_cycle() if number in found else _NO_SUMS),
                    "start": times.format_short(number * step_ms),
                }
                for number in range(first, end)
            ],
        }

    key = KeptKey(whose.keyed_by, whose.id.encode(), first * step_ms, end * step_ms, step)
    return _rendered(answers, _PERIODS[whose.keyed_by], key, fields, (SALES_JOURNAL,))


def _steps(answers: Answers, step: Step, span: Span) -> tuple[int, int]:
    """The first hour or day since the epoch, and the first behind the last one.

    By default they end with event time, and begin 24 hours before, or with the cycle of the last
    day. Raises as `period_series`.
    """
    step_ms, most = _STEP_MS[step], _MOST[step]
    event_ms = answers.event_ms(SALES_JOURNAL)
    to_ms = event_ms + 1 if span.to_ms is None else span.to_ms
    end = -(-to_ms // step_ms)
    if span.from_ms is not None:
        first = span.from_ms // step_ms
    elif step == "hour":
        first = end - DAY_HOURS
    else:
        first = answers.calendar.start_of(to_ms - 1) // step_ms
    if first >= end:
        raise invalid("from", "the span has no instant: `from` must be before `to`")
    if end - first > most:
        raise invalid("from", f"the span has {end - first:,} {step}s, more than {most:,}")
    kept = _first_kept_hour(answers.snapshot, event_ms)
    if step == "hour" and first < kept:
        raise invalid(
            "from",
            f"hours are kept from {times.format_short(kept * step_ms)} on,"
            f" {limits.HOURS_DAYS} days back from event time: request days for earlier times",
        )
    return first, end


def _first_kept_hour(snapshot: Snapshot, event_ms: int) -> int:
    return max(
        event_ms // times.HOUR_MS - limits.HOURS_DAYS * DAY_HOURS,
        first_hours_day(snapshot) * DAY_HOURS,
    )


def cycles(answers: Answers, limit: int, cursor: str | None) -> CyclesPage:
    """A page of the cycles of the tables, newest first. Raises NothingYet, BadCursor."""
    names = TABLES[MARKETPLACE]
    start_ms = answers.current_cycle(*names)
    prefix = keys.subject(series_keys.MARKETPLACE_CYCLES, b"")
    after = key_of(answers.snapshot, cursor, prefix, len(prefix) + keys.NUMBER_WIDTH)
    if after is not None and len(after) != len(prefix) + keys.NUMBER_WIDTH:
        raise BadCursor("no answer gave this cursor")
    page = read_page(answers.snapshot, prefix, after, limit)
    return CyclesPage(
        current=_current(answers, start_ms),
        items=[
            KnownCycle(cycle=answers.span(known_ms), current=known_ms == start_ms)
            for known_ms in (series_keys.split_marketplace_cycle(key) for key, _ in page.rows)
        ],
        next_cursor=page.next_cursor,
        freshness=answers.freshness_of(*names),
    )


def _current(answers: Answers, start_ms: int) -> CurrentCycle:
    event_ms = answers.event_ms(*TABLES[MARKETPLACE])
    end_ms = answers.calendar.end_of(start_ms)
    return CurrentCycle(
        cycle=answers.span(start_ms),
        share=(event_ms - start_ms) * 1000 // answers.calendar.length_ms / 1000,
        remaining_seconds=-(-(end_ms - event_ms) // 1000),
    )


def marketplace_in(answers: Answers, start_ms: int | None) -> MarketplaceAnswer:
    """The marketplace in a cycle, the current one if None. Raises NothingYet."""
    names = TABLES[MARKETPLACE]
    current_ms = answers.current_cycle(*names)
    cycle_ms = current_ms if start_ms is None else start_ms
    found = _marketplace(answers.snapshot, cycle_ms)
    return MarketplaceAnswer(
        cycle=answers.span(cycle_ms),
        current=cycle_ms == current_ms,
        **found.sums.of_cycle(),
        restatements=found.sums.restatements,
        products=found.products,
        shops=found.shops,
        all_time=_all_time(answers.snapshot),
        same_point=same_point(answers.snapshot, answers.calendar, MARKETPLACE, b"", cycle_ms),
        freshness=answers.freshness_of(*names),
    )


def _marketplace(snapshot: Snapshot, start_ms: int) -> MarketplaceCycle:
    value = snapshot.get(series_keys.marketplace_cycle(start_ms))
    return MarketplaceCycle() if value is None else marketplace.decode(value)


def _all_time(snapshot: Snapshot) -> PeriodAnswer:
    total = MarketplaceCycle()
    for _, value in snapshot.walk(series_keys.MARKETPLACE_CYCLES):
        total.include(marketplace.decode(value))
    found: dict[str, Any] = total.sums.of_cycle()
    return PeriodAnswer(**found)
