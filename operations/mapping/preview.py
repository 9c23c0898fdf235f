"""The tables that would result from mapped files, order by order, with the worker's own rules."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from operations.journal_sums import JournalSums
from schemas import envelope
from schemas.times import format_short
from tables.catalogue import ORDERS_TOPIC
from tables.counting import NOTHING, derive
from tables.entries import Cause, difference
from tables.orders import EMPTY, absorb

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from operations.writing.event_lines import Outgoing
    from schemas.envelope import Received
    from tables.report import ReportRow
    from tables.terms import Terms

_COLUMNS = (
    "units_gross",
    "units_reversed",
    "units_booked",
    "amount_gross",
    "amount_reversed",
    "amount_booked",
)


class _Record(NamedTuple):
    """A record as the log would have it."""

    key: bytes
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    offset: int = 0
    timestamp: int = -1


def received(record: Outgoing) -> Received:
    """The event of a record that is to be written, as a worker reads it."""
    found = envelope.read(_Record(record.key, record.value, record.headers))
    if not isinstance(found, envelope.Received):
        raise TypeError(f"the decoder accepted what it refuses now: {found}")
    return found


class Preview:
    """Sums of what would be sold: by cycle and currency, and by product and shop."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._sums = JournalSums(terms)
        self._cycles: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self.anomalies: list[dict[str, str]] = []
        self.unplaced = 0
        """Orders with events in the files, but no placing: they count nothing by themselves."""

        self.first_ms: int | None = None
        self.last_ms: int | None = None

    def add(self, records: Iterable[tuple[str, str, Outgoing]]) -> None:
        """Add records, those of one order together."""
        for order_id, some in groupby(records, key=itemgetter(0)):
            order, last = EMPTY, None
            for event in self._received(record for _, _, record in some):
                order, last = absorb(order, event), event
            if last is None:
                continue
            self.unplaced += not order.placed
            counted = derive(order)
            self.anomalies += [
                {"order_id": order_id, "anomaly": one.anomaly.value}
                | ({"line_id": one.line_id} if one.line_id else {})
                for one in sorted(counted.anomalies)
            ]
            cause = Cause(last, "-0@0", 0, self._terms.name)
            for entry in difference(NOTHING, counted, cause, self._terms.calendar):
                self._sums.add(entry)
                sums = self._cycles[entry.cycle, entry.currency]
                for column in _COLUMNS:
                    sums[column] += getattr(entry, column)

    def _received(self, records: Iterable[Outgoing]) -> Iterator[Received]:
        for record in records:
            at_ms = record.occurred_at_ms
            if at_ms is None:
                continue  # a name
            self.first_ms = at_ms if self.first_ms is None else min(self.first_ms, at_ms)
            self.last_ms = at_ms if self.last_ms is None else max(self.last_ms, at_ms)
            if record.topic != ORDERS_TOPIC:
                continue
            yield received(record)

    def cycles(self) -> list[dict[str, Any]]:
        """Sums by cycle and currency, in their order."""
        return [
            {
                "cycle": {
                    "start": start,
                    "end": format_short(
                        self._terms.calendar.end_of(self._terms.calendar.start_of_iso(start))
                    ),
                },
                "currency": currency,
                **{column: sums[column] for column in _COLUMNS},
            }
            for (start, currency), sums in sorted(self._cycles.items())
        ]

    def tables(self) -> dict[str, list[ReportRow]]:
        """The lists of products and shops, as `netsold recount` has them."""
        found = self._sums.report()
        return {name: found[name] for name in ("products", "shops")}
