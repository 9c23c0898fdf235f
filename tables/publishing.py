"""The records that a stage behind a journal publishes: rows of sales, and ends of cycles.

They are made from what the tables have at the end of a chunk, and committed with it.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from schemas import published, times
from schemas.columns import RULES, MeasureSums
from schemas.published import (
    ALL_TIME,
    CompleteThrough,
    CycleEnded,
    ProductSales,
    PublishedCycle,
    Restated,
    RestatingEntry,
    ShopSales,
    SoldSums,
    Sums,
)
from tables import catalogue
from tables.catalogue import CYCLES_TOPIC, StageSpec, Table
from tables.cycles import Calendar
from tables.sales import Tally
from tables.watermarks import Progress

Records = list[tuple[bytes, bytes]]
"""(key, value) of records of one topic, in order."""

MARKETPLACE_KEY: Final = b"marketplace"
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
        self._spans: dict[int, PublishedCycle] = {}

    def through_ms(self, progress: Progress) -> int | None:
        """Through when the tables are complete; None while a source partition is unknown."""
        known = len(progress.sources) >= self._sources
        return progress.watermark_ms if known else None

    def span(self, start_ms: int) -> PublishedCycle:
        """The cycle that starts there."""
        found = self._spans.get(start_ms)
        if found is None:
            iso, end_ms = self._calendar.iso, self._calendar.end_of(start_ms)
            found = self._spans[start_ms] = PublishedCycle(iso(start_ms), iso(end_ms))
        return found

    def rows(self, table: Table, tallies: Iterable[tuple[bytes, Tally]]) -> Records:
        """The rows of a table of sales, by its keys.

        It runs for each changed row. One with one currency, the usual case, is put together from
        its parts, in two thirds of the time: `tests/unit/test_published.py` compares both.
        """
        cycles: dict[bytes, tuple[bytes, bytes]] = {b"": (ALL_TIME, b"null")}
        head = b'{"type":"%b_sales","%b":' % (self.subject.encode(), self.id_name.encode())
        found: Records = []
        for key, tally in tallies:
            id_, start = key, b""
            if table.windowed:
                id_, _, start = key.rpartition(b"@")
                if start not in cycles:
                    span = self.span(int(start))
                    cycles[start] = span.start.encode(), published.encode(span)
            name, cycle = cycles[start]
            value = _row_of_one_currency(head, id_, cycle, tally)
            if value is None:
                value = self.plain_row(table, key, tally)
            found.append((b"%b@%b" % (id_, name), value))
        return found

    def plain_row(self, table: Table, key: bytes, tally: Tally) -> bytes:
        """A row of a table of sales."""
        id_, cycle = key.decode(), None
        if table.windowed:
            id_, start_ms = catalogue.split_cycle_key(key)
            cycle = self.span(start_ms)
        row = self._row(id_, cycle, *sums_of(tally), tally.restatements, RULES)
        return published.encode(row)

    def complete(self, progress: Progress) -> tuple[bytes, bytes]:
        """How far the rows of this partition are complete, behind them."""
        return published.COMPLETE_KEY, self._complete(progress, self.through_ms(progress))

    def cycles_complete(self, progress: Progress, before_ms: int) -> tuple[bytes, bytes]:
        """That every cycle that starts before an instant has ended, behind the records of it."""
        return published.COMPLETE_KEY, self._complete(progress, before_ms)

    def _complete(self, progress: Progress, through_ms: int | None) -> bytes:
        as_of = None if through_ms is None else times.format_ms(through_ms)
        applied = {name: source.offset for name, source in sorted(progress.sources.items())}
        return published.encode(CompleteThrough(self.subject, as_of, applied, RULES))

    def ended(self, cycle_key: bytes, tally: Tally, as_of: str) -> tuple[bytes, bytes]:
        """The end of a subject's cycle."""
        id_, start_ms = catalogue.split_cycle_key(cycle_key)
        return self._key(id_), self._ended(self._named(id_), start_ms, tally, as_of)

    def share_ended(
        self, share: int, start_ms: int, tally: Tally, as_of: str
    ) -> tuple[bytes, bytes]:
        """The end of a cycle's share of the marketplace."""
        return MARKETPLACE_KEY, self._ended(_named_share(share), start_ms, tally, as_of)

    def _ended(self, named: dict[str, Any], start_ms: int, tally: Tally, as_of: str) -> bytes:
        record = CycleEnded(
            cycle=self.span(start_ms),
            revision=_revision(tally),
            as_of=as_of,
            sales=sold_sums(tally),
            rules=RULES,
            **named,
        )
        return published.encode(record)

    def restated(
        self, cycle_key: bytes, before: SoldSums, tally: Tally, causes: Sequence[RestatingEntry]
    ) -> tuple[bytes, bytes]:
        """A later change of a subject's cycle, which is `tally` now."""
        id_, start_ms = catalogue.split_cycle_key(cycle_key)
        return self._key(id_), self._restated(self._named(id_), start_ms, before, tally, causes)

    def share_restated(
        self, share: int, start_ms: int, before: SoldSums, tally: Tally, cause: RestatingEntry
    ) -> tuple[bytes, bytes]:
        """A later change of a cycle's share of the marketplace, which is `tally` now."""
        value = self._restated(_named_share(share), start_ms, before, tally, [cause])
        return MARKETPLACE_KEY, value

    def _restated(
        self,
        named: dict[str, Any],
        start_ms: int,
        before: SoldSums,
        tally: Tally,
        causes: Sequence[RestatingEntry],
    ) -> bytes:
        record = Restated(
            cycle=self.span(start_ms),
            revision=_revision(tally),
            before=before,
            after=sold_sums(tally),
            causes=[*causes],
            rules=RULES,
            **named,
        )
        return published.encode(record)

    def _named(self, id_: str) -> dict[str, Any]:
        return {"subject": self.subject, self.id_name: id_}

    def _key(self, id_: str) -> bytes:
        return f"{self.subject}/{id_}".encode()


def _named_share(share: int) -> dict[str, Any]:
    return {"subject": "marketplace", "share": share}


def by_topic(publisher: Publisher, rows: Records, cycles: Records) -> dict[str, Records]:
    """The records by the topics that they are published on, where there are any."""
    found = {publisher.topic: rows, CYCLES_TOPIC: cycles}
    return {topic: records for topic, records in found.items() if records}


def _revision(tally: Tally) -> str:
    return f"r{tally.restatements}"


def sold_sums(tally: Tally) -> SoldSums:
    """The sums of a tally as they are published."""
    return SoldSums(*sums_of(tally))


def _row_of_one_currency(head: bytes, id_: bytes, cycle: bytes, tally: Tally) -> bytes | None:
    """What `Publisher.plain_row` makes of a tally with units and money of one currency."""
    if len(tally.currencies) != 1:
        return None
    ((currency, one),) = tally.currencies.items()
    gross, amount = one.units_gross, one.amount_gross
    if not (gross and amount):
        return None
    code, back = currency.encode(), one.units_reversed
    units = _SUMS % (gross, back, gross - back, one.units_booked)
    back = one.amount_reversed
    money = _SUMS % (amount, back, amount - back, one.amount_booked)
    row = head, published.encode(id_.decode()), cycle, units, code, units, code, money
    return _ROW % (*row, tally.restatements, RULES)


_SUMS: Final = b'{"gross":%d,"reversed":%d,"net":%d,"reversals_booked":%d}'
_ROW: Final = (
    b'%b%b,"cycle":%b,"units":%b,"units_by_currency":{"%b":%b},"revenue":{"%b":%b},'
    b'"restatements":%d,"rules":%d}'
)


def sums_of(tally: Tally) -> tuple[Sums, dict[str, Sums], dict[str, Sums]]:
    """Units, units by currency, and money by currency of a tally."""
    total = MeasureSums()
    by_currency: dict[str, Sums] = {}
    revenue: dict[str, Sums] = {}
    for currency, sums in sorted(tally.currencies.items()):
        units, amount = sums.units, sums.amount
        total.include(units)
        if not units.are_zero:
            by_currency[currency] = _sums(units)
        if not amount.are_zero:
            revenue[currency] = _sums(amount)
    return _sums(total), by_currency, revenue


def _sums(sums: MeasureSums) -> Sums:
    return Sums(sums.gross, sums.reversed, sums.net, sums.booked)
