"""`netsold tables`: all that the tables contain, in the form of `netsold recount`, to compare them.

It is read from the changelogs, from the journal's sums, or from a reader: three ways that must give
the same rows. Read them while no events flow: the ends of topics are not of one moment.
"""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from operations.arguments import VersionName
from operations.journal_sums import JournalSums, Report
from operations.output import print_json
from operations.progress import Meter
from operations.reader_client import NoReader, get_lines
from operations.waiting import answer
from schemas.errors import NetsoldError
from schemas.journal import Entry, Service, decode
from streams import log, topics
from streams.settings import Settings
from tables import catalogue
from tables.catalogue import REPORT_LISTS
from tables.report import report, sort_key

if TYPE_CHECKING:
    from collections.abc import Callable

_RESERVED = b"\x00"
"""Keys that begin with it are marks."""


class Source(StrEnum):
    """Where the tables are read from."""

    CHANGELOGS = "changelogs"
    JOURNAL = "journal"
    READER = "reader"


class EntryRepeated(NetsoldError):
    """The journal has an entry twice, so its sums are wrong."""

    exit_code = 3


def command(
    source: Annotated[
        Source, typer.Option("--from", help="The journal has sales and products' service.")
    ] = Source.CHANGELOGS,
    version: VersionName = None,
) -> None:
    """Print all that the tables contain as one JSON object, in the form of recount."""
    if source is Source.READER:
        if version is not None:
            raise typer.BadParameter("a reader answers from one version", param_hint="--version")
        print_json(from_reader(Settings()))
        return
    from operations.versions.pointed import named_version

    settings = named_version(version)
    with Meter("records", None) as meter:
        records = _Read(meter)
        reading = (
            _read_changelogs(settings, records)
            if source is Source.CHANGELOGS
            else read_journal(settings, records)
        )
        made = answer(settings, reading, records.pending)
    print_json(made())


class _Read:
    """The number of records read so far, for people and for `operations/waiting.py`."""

    def __init__(self, meter: Meter | None = None) -> None:
        self.count = 0
        self._meter = meter

    def add(self, records: int) -> None:
        """Count more records."""
        self.count += records
        if self._meter is not None:
            self._meter.at(self.count)

    def pending(self) -> tuple[object, str]:
        """What the command waits for."""
        return self.count, f"{self.count:,} records read"


async def from_changelogs(settings: Settings) -> Report:
    """The last committed state of every key in the changelogs. Raises KafkaUnreachable."""
    return (await _read_changelogs(settings, _Read()))()


async def _read_changelogs(settings: Settings, read: _Read) -> Callable[[], Report]:
    """What makes the report: work of the processor alone, which no event loop should wait for."""
    tables: dict[str, dict[bytes, bytes]] = {}
    for table in catalogue.TABLES:
        states = tables[table.name] = {}
        async for records in log.records(settings, topics.changelog(settings, table.name)):
            read.add(len(records))
            for record in records:
                if record.key.startswith(_RESERVED):
                    continue
                if record.value is None:
                    states.pop(record.key, None)
                else:
                    states[record.key] = record.value
    states_of = {name: states.items() for name, states in tables.items()}
    return partial(report, settings.terms, states_of)


async def read_journal(settings: Settings, read: _Read | None = None) -> Callable[[], Report]:
    """What makes the report of the journal's sums: of sales, and of products' service.

    Raises KafkaUnreachable, EntryRepeated.
    """
    read = read or _Read()
    ids: set[str] = set()
    sums = JournalSums(settings.terms)
    async for records in log.records(settings, settings.topic(catalogue.SALES_TOPIC)):
        read.add(len(records))
        for record in records:
            row = decode(record.value)
            if isinstance(row, Entry | Service):
                if row.id in ids:
                    raise EntryRepeated(
                        f"{record.topic}-{record.partition}@{record.offset}:"
                        f" the journal has the entry {row.id} again"
                    )
                ids.add(row.id)
                sums.add(row)
    return sums.report


def from_reader(settings: Settings) -> Report:
    """What a reader exports. Raises NoReader, also if the export is incomplete."""
    found: Report = {name: [] for name in REPORT_LISTS}
    count = None
    for line in get_lines(settings, "/v1/export"):
        ((name, row),) = line.items()
        if name == "end":
            count = row["rows"]
        else:
            found[name].append(row)
    if count != sum(map(len, found.values())):
        raise NoReader("the reader's export is incomplete: try again")
    for name, rows in found.items():
        rows.sort(key=sort_key(name))
    return found
