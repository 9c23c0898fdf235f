"""`netsold tables`: all that the tables hold, in the very form of `netsold recount`, to be compared with it.

From the changelogs, from the journal's sums, or from a reader: three ways that must lead to the same rows. Read what is at rest:
while events flow, the topics' ends are not of one moment.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from enum import StrEnum
from operator import itemgetter
from typing import Annotated, Any, Final

import typer

from operations.asking import NoReader, ask_lines
from operations.output import print_json
from operations.progress import Meter
from operations.waiting import answer
from schemas.journal import Entry, Service, decode
from streams import log, topics
from streams.settings import Settings
from tables import catalogue, sales, service
from tables.cycles import Calendar
from tables.report import report
from tables.sales import Tally
from tables.service import ServiceTally

Report = dict[str, list[dict[str, Any]]]
_RESERVED = b"\x00"


class Source(StrEnum):
    """Where the tables are taken from."""

    CHANGELOGS = "changelogs"
    JOURNAL = "journal"
    READER = "reader"


class EntryRepeated(Exception):
    """The journal has an entry twice, so its sums say nothing."""

    exit_code = 3


def command(
    source: Annotated[
        Source, typer.Option("--from", help="The journal has sales and products' service.")
    ] = Source.CHANGELOGS,
    as_json: Annotated[  # noqa: ARG001
        bool, typer.Option("--json", help="Print one JSON object, as it always does.")
    ] = True,
) -> None:
    """Print all that the tables hold, in the form of recount."""
    if source is Source.READER:
        print_json(from_reader(Settings()))
        return
    from operations.local.kafka import named_cluster

    settings = named_cluster()
    with Meter("records", None) as meter:
        records = _Read(meter)
        reading = (
            from_changelogs(settings, records)
            if source is Source.CHANGELOGS
            else from_journal(settings, records)
        )
        found = answer(settings, reading, records.pending)
    print_json(found)


class _Read:
    """How many records are read by now, for people and for `waiting`."""

    def __init__(self, meter: Meter | None = None) -> None:
        self.count = 0
        self._meter = meter

    def add(self, records: int) -> None:
        """So many more are read."""
        self.count += records
        if self._meter is not None:
            self._meter.at(self.count)

    def pending(self) -> tuple[object, str]:
        """What is waited for."""
        return self.count, f"{self.count:,} records read"


async def from_changelogs(settings: Settings, read: _Read | None = None) -> Report:
    """The last committed state of every key in the changelogs. Raises KafkaUnreachable."""
    read = read or _Read()
    tables: dict[str, dict[bytes, bytes]] = {}
    for table in catalogue.TABLES:
        states = tables[table.name] = {}
        async for records in log.read(settings, topics.changelog(settings, table.name)):
            read.add(len(records))
            for record in records:
                if record.key.startswith(_RESERVED):
                    continue
                if record.value is None:
                    states.pop(record.key, None)
                else:
                    states[record.key] = record.value
    return report(_calendar(settings), {name: states.items() for name, states in tables.items()})


async def from_journal(settings: Settings, read: _Read | None = None) -> Report:
    """The sums of the journal's entries and rows: products and shops.

    Raises KafkaUnreachable, EntryRepeated.
    """
    calendar, read = _calendar(settings), read or _Read()
    tables: dict[str, dict[bytes, Tally]] = {
        table.name: defaultdict(Tally) for table in catalogue.TABLES
    }
    served: dict[bytes, ServiceTally] = defaultdict(ServiceTally)
    seen: set[str] = set()
    async for records in log.read(settings, settings.topic(catalogue.SALES_TOPIC)):
        read.add(len(records))
        for record in records:
            entry = decode(record.value)
            if not isinstance(entry, Entry | Service):
                continue
            if entry.id in seen:
                raise EntryRepeated(
                    f"{record.topic}-{record.partition}@{record.offset}: the journal has the entry {entry.id} again"
                )
            seen.add(entry.id)
            start_ms = calendar.start_of_iso(entry.cycle)
            if isinstance(entry, Service):
                served[catalogue.cycle_key((entry.product_id or "").encode(), start_ms)].add(
                    entry.columns
                )
                continue
            for cycles, totals in (
                (catalogue.PRODUCT_CYCLES, catalogue.PRODUCT_TOTALS),
                (catalogue.SHOP_CYCLES, catalogue.SHOP_TOTALS),
            ):
                id_ = getattr(entry, totals.keyed_by).encode()
                tables[cycles.name][catalogue.cycle_key(id_, start_ms)].add(
                    entry, entry.currency, entry.restates
                )
                tables[totals.name][id_].add(entry, entry.currency, entry.restates)
    states = {
        name: [(key, sales.encode(tally)) for key, tally in tallies.items()]
        for name, tallies in tables.items()
    }
    states[catalogue.PRODUCT_SERVICE_CYCLES.name] = [
        (key, service.encode(tally)) for key, tally in served.items()
    ]
    found = report(calendar, states)
    return {
        name: found[name] for name in ("products", "shops", "product_service")
    }  # the journal holds no more


def from_reader(settings: Settings) -> Report:
    """What a reader exports. Raises NoReader, also if it breaks off."""
    found: Report = {part: [] for part in ORDER}
    rows = None
    for line in ask_lines(settings, "/v1/export"):
        ((part, row),) = line.items()
        if part == "end":
            rows = row["rows"]
        else:
            found[part].append(row)
    if rows != sum(map(len, found.values())):
        raise NoReader("the reader broke off its export: try again")
    for part, order in ORDER.items():
        found[part].sort(key=order)
    return found


def _by_cycle(row: dict[str, Any]) -> tuple[str, str]:
    return row.get("product_id") or row["shop_id"], row["cycle"]["start"]


ORDER: Final[dict[str, Callable[[dict[str, Any]], Any]]] = {
    "products": _by_cycle,
    "shops": _by_cycle,
    "anomalies": lambda row: (row["order_id"], row["anomaly"], row.get("line_id", "")),
    "shop_service": _by_cycle,
    "shop_service_totals": itemgetter("shop_id"),
    "product_service": _by_cycle,
    "overdue": itemgetter("shop_id", "buyer_id"),
}
"""The lists of a report, and what each is sorted by."""


def _calendar(settings: Settings) -> Calendar:
    return Calendar(settings.cycle_ms, settings.anchor_ms)
