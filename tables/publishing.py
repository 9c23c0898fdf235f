"""The records that a stage behind a journal publishes: rows of sales, and ends of cycles.

They are made from what the tables have at the end of a chunk, and committed with it.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from schemas import published, times
from schemas.columns import RULES, MeasureSums
from schemas.published import (
    ALL_TIME,
    Cause,
    CompleteThrough,
    CycleEnded,
    ProductSales,
    Restated,
    ShopSales,
    Sold,
    Span,
    Sums,
)
from tables import catalogue
from tables.catalogue import CYCLES_TOPIC, StageSpec, Table
from tables.cycles import Calendar
from tables.sales import Tally
from tables.watermarks import Progress

Records = list[tuple[bytes | None, bytes]]
"""(key, value) of records of one topic, in order."""

MARKETPLACE: Final = b"marketplace"
_ROWS: Final[dict[str, type[ProductSales] | type[ShopSales]]] = {
    "product_id": ProductSales,
    "shop_id": ShopSales,
}


class Publisher:
    """Makes the records of one stage; `partitions` is the number of partitions of each topic."""

    def __init__(self, spec: StageSpec, calendar: Calendar, partitions: int) -> None:
        self.topic = spec.publishes[0]
        self.id_name = catalogue.key_of(spec.source)
        self.subject: Any = self.id_name.removesuffix("_id")
        self._row = _ROWS[self.id_name]
        self._calendar = calendar
        self._sources = partitions * len(catalogue.event_topics(spec.name))
        self._spans: dict[int, Span] = {}

    def through_ms(self, progress: Progress) -> int | None:
        """Through when the tables are complete; None while a source partition is unknown."""
        known = len(progress.sources) >= self._sources
        return progress.watermark_ms if known else None

    def span(self, start_ms: int) -> Span:
        """The cycle that starts there."""
        found = self._spans.get(start_ms)
        if found is None:
            iso, end_ms = self._calendar.iso, self._calendar.end_of(start_ms)
            found = self._spans[start_ms] = Span(iso(start_ms), iso(end_ms))
        return found

    def rows(self, table: Table, tallies: Iterable[tuple[bytes, Tally]]) -> Records:
        """The rows of a table of sales, by its keys."""
        encode, row, span = published.encode, self._row, self.span
        found: Records = []
        for key, tally in tallies:
            cycle, id_, name = None, key, ALL_TIME
            if table.windowed:
                id_, _, start = key.rpartition(b"@")
                cycle = span(int(start))
                name = cycle.start.encode()
            sums = sums_of(tally)
            value = encode(row(id_.decode(), cycle, *sums, tally.restatements, RULES))
            found.append((b"%b@%b" % (id_, name), value))
        return found

    def complete(self, progress: Progress) -> tuple[bytes, bytes]:
        """How far the rows of this partition are complete, behind them."""
        return published.COMPLETE_KEY, self._complete(progress, self.through_ms(progress))

    def cycles_complete(self, progress: Progress, before_ms: int) -> tuple[None, bytes]:
        """That every cycle that starts before an instant has ended, behind the records of it."""
        return None, self._complete(progress, before_ms)

    def _complete(self, progress: Progress, through_ms: int | None) -> bytes:
        as_of = None if through_ms is None else times.format_ms(through_ms)
        applied = {name: source.offset for name, source in sorted(progress.sources.items())}
        return published.encode(CompleteThrough(self.subject, as_of, applied, RULES))

    def ended(self, cycle_key: bytes, tally: Tally, as_of: str) -> tuple[bytes, bytes]:
        """The end of a subject's cycle."""
        id_, start_ms = catalogue.split_cycle_key(cycle_key)
        record = CycleEnded(
            subject=self.subject,
            cycle=self.span(start_ms),
            revision=_revision(tally),
            as_of=as_of,
            sales=sold(tally),
            rules=RULES,
            **self._named(id_),
        )
        return self._key(id_), published.encode(record)

    def share_ended(
        self, share: int, start_ms: int, tally: Tally, as_of: str
    ) -> tuple[bytes, bytes]:
        """The end of a cycle's share of the marketplace."""
        record = CycleEnded(
            subject="marketplace",
            share=share,
            cycle=self.span(start_ms),
            revision=_revision(tally),
            as_of=as_of,
            sales=sold(tally),
            rules=RULES,
        )
        return MARKETPLACE, published.encode(record)

    def restated(
        self, cycle_key: bytes, before: Sold, tally: Tally, causes: Sequence[Cause]
    ) -> tuple[bytes, bytes]:
        """A later change of a subject's cycle, which is `tally` now."""
        id_, start_ms = catalogue.split_cycle_key(cycle_key)
        record = Restated(
            subject=self.subject,
            cycle=self.span(start_ms),
            revision=_revision(tally),
            before=before,
            after=sold(tally),
            causes=[*causes],
            rules=RULES,
            **self._named(id_),
        )
        return self._key(id_), published.encode(record)

    def share_restated(
        self, share: int, start_ms: int, before: Sold, tally: Tally, cause: Cause
    ) -> tuple[bytes, bytes]:
        """A later change of a cycle's share of the marketplace, which is `tally` now."""
        record = Restated(
            subject="marketplace",
            share=share,
            cycle=self.span(start_ms),
            revision=_revision(tally),
            before=before,
            after=sold(tally),
            causes=[cause],
            rules=RULES,
        )
        return MARKETPLACE, published.encode(record)

    def _named(self, id_: str) -> dict[str, Any]:
        return {self.id_name: id_}

    def _key(self, id_: str) -> bytes:
        return f"{self.subject}/{id_}".encode()


def by_topic(publisher: Publisher, rows: Records, cycles: Records) -> dict[str, Records]:
    """The records by the topics that they are published on, where there are any."""
    found = {publisher.topic: rows, CYCLES_TOPIC: cycles}
    return {topic: records for topic, records in found.items() if records}


def _revision(tally: Tally) -> str:
    return f"r{tally.restatements}"


def sold(tally: Tally) -> Sold:
    """The sums of a tally as they are published."""
    return Sold(*sums_of(tally))


def sums_of(tally: Tally) -> tuple[Sums, dict[str, Sums], dict[str, Sums]]:
    """Units, units by currency, and money by currency of a tally.

    It runs for each changed row, so one currency, the usual case, is made without adding up.
    """
    by_currency: dict[str, Sums] = {}
    revenue: dict[str, Sums] = {}
    currencies = tally.currencies
    for currency in currencies if len(currencies) == 1 else sorted(currencies):
        one = currencies[currency]
        gross, reversed_, booked = one.units_gross, one.units_reversed, one.units_booked
        if gross or reversed_ or booked:
            by_currency[currency] = Sums(gross, reversed_, gross - reversed_, booked)
        gross, reversed_, booked = one.amount_gross, one.amount_reversed, one.amount_booked
        if gross or reversed_ or booked:
            revenue[currency] = Sums(gross, reversed_, gross - reversed_, booked)
    if len(by_currency) == 1:
        (units,) = by_currency.values()
        return units, by_currency, revenue
    total = MeasureSums()
    for currency in by_currency:
        total.include(currencies[currency].units)
    return (
        Sums(total.gross, total.reversed, total.net, total.booked),
        by_currency,
        revenue,
    )
