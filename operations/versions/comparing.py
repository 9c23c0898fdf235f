"""Compares two versions while traffic flows, or a version with a recount.

Sales and products' service come from both journals: entries name their cause, so their sums are
compared at one vector exactly. The other lists are compared row by row (`settling`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from operations.commands.tables import from_changelogs
from operations.journal_sums import JOURNAL_LISTS, JournalSums, Report
from operations.versions.comparing_sums import compare_sums
from operations.versions.comparison import Comparison, compare_rows
from operations.versions.disk_rows import row_stores
from operations.versions.moments import NoMoment, moments_of, next_moment
from operations.versions.settling import POLL_SECONDS, TableReader, settle
from operations.versions.settling_copies import copy_reader, settle_copies
from schemas.journal import Entry, Service, decode
from streams import log, topics
from streams.last_marks import last_marks
from tables import catalogue
from tables.catalogue import ORDERS_TOPIC, REPORT_LISTS, SALES_TOPIC

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from operations.replaying.row_store import RowStore
    from operations.versions.settling_copies import Moment
    from streams.settings import Settings

OTHER_LISTS: Final = tuple(name for name in REPORT_LISTS if name not in JOURNAL_LISTS)

_OTHER_CYCLES: Final = "the cycles have other lengths or anchors"


_WAIT: Final = "see `netsold rebuild status`, and try again"


async def compare_versions(
    first: Settings, second: Settings, within_s: float, read: Callable[[int], None]
) -> Comparison:
    """How two versions of one log differ; rows that are still written are waited for `within_s`.

    Of versions with other cycles the sums of all time are compared. `read` gets numbers of records
    read, at least every half second. Rows are kept in the data directory, and in memory those that
    differ. Raises NotOneLog, NoMoment, DataDirUnusable, KafkaUnreachable and KafkaError.
    """
    with row_stores(first, 4) as stores:
        return await _compared(first, second, within_s, read, stores)


async def _compared(
    first: Settings,
    second: Settings,
    within_s: float,
    read: Callable[[int], None],
    stores: Sequence[RowStore],
) -> Comparison:
    moments = moments_of(first, second)
    found = Comparison(first.app, second.app, waited_s=within_s)
    same_cycles = first.terms.calendar == second.terms.calendar
    lists = [name for name in OTHER_LISTS if same_cycles or not REPORT_LISTS[name].windowed]
    found.left_out = {name: _OTHER_CYCLES for name in OTHER_LISTS if name not in lists}
    if moments is None:
        readers = TableReader(first, lists, stores[0]), TableReader(second, lists, stores[1])
        others = await settle(*readers, within_s, read)  # first: meanwhile both go on
        vectors = await _common_vector(first, second)
    else:
        begun = await next_moment(moments, within_s, read)
        copies = (
            copy_reader(first, lists, stores[0], begun[0]),
            copy_reader(second, lists, stores[1], begun[1]),
        )
        others = await settle_copies(copies, within_s, read, moments, begun)
        moment = await next_moment(moments, within_s, read)
        vectors = await _vectors_at(moment, (first, second), within_s, read)
    found.vector = {f"{ORDERS_TOPIC}-{number}": offset for number, offset in vectors[0].items()}
    for one, vector, store in zip((first, second), vectors, stores[2:], strict=True):
        await _add_up(one, vector, store, read, by_cycle=same_cycles)
    terms = first.terms, second.terms
    for name in JOURNAL_LISTS:
        found.lists[name] = await asyncio.to_thread(
            compare_sums, name, terms, (stores[2], stores[3]), by_cycle=same_cycles
        )
    found.lists |= others
    return found


_OrderVector = dict[int, int]
"""By partition of orders, the first offset that is not compared."""


async def _common_vector(first: Settings, second: Settings) -> tuple[_OrderVector, _OrderVector]:
    """The orders that both versions of one log have in their journals for sure, for each."""
    vectors = await _order_vector(first), await _order_vector(second)
    vector = {number: min(vectors[0][number], vectors[1][number]) for number in vectors[0]}
    return vector, vector


async def _vectors_at(
    moment: Moment,
    versions: tuple[Settings, Settings],
    within_s: float,
    read: Callable[[int], None],
) -> tuple[_OrderVector, _OrderVector]:
    """A moment of two logs as vectors of orders, once both journals have it. Raises NoMoment."""
    deadline = asyncio.get_running_loop().time() + within_s
    found = []
    for one, vector in zip(versions, moment, strict=True):
        topic = one.topic(ORDERS_TOPIC)
        wanted = {n: vector.get(f"{topic}-{n}", -1) + 1 for n in range(one.partitions)}
        while any(at < wanted[number] for number, at in (await _order_vector(one)).items()):
            if asyncio.get_running_loop().time() > deadline:
                raise NoMoment(f"{one.app} has not counted what the copier had: {_WAIT}")
            read(0)
            await asyncio.sleep(POLL_SECONDS)
        found.append(wanted)
    return found[0], found[1]


async def compare_with_report(settings: Settings, name: str, other: Report) -> Comparison:
    """How a version that stands still differs from a report, such as a recount named `name`.

    Raises KafkaUnreachable and KafkaError.
    """
    own = await from_changelogs(settings)
    found = Comparison(settings.app, name)
    for listed in REPORT_LISTS:
        if listed in other:
            found.lists[listed] = compare_rows(listed, own[listed], other[listed])
        else:
            found.left_out[listed] = f"{name} has no such list"
    return found


async def _order_vector(settings: Settings) -> _OrderVector:
    """By partition of orders, the first offset that is not in the journal for sure."""
    changelog = topics.changelog(settings, catalogue.ORDERS.name)
    found = await last_marks(settings, [changelog])
    return {
        number: 0 if mark is None else mark.offset + 1 for (_, number), mark in found.marks.items()
    }


async def _add_up(
    settings: Settings,
    vector: Mapping[int, int],
    store: RowStore,
    read: Callable[[int], None],
    *,
    by_cycle: bool,
) -> None:
    """The sums of the journal's rows that were caused before the vector, into a store."""
    sums = JournalSums(settings.terms, store, by_cycle=by_cycle)
    async for records in log.records(settings, settings.topic(SALES_TOPIC)):
        read(len(records))
        for record in records:
            row = decode(record.value)
            if isinstance(row, Entry | Service):
                place, _, index = row.id.rpartition("@")
                number, offset = place.rpartition("-")[2], index.partition("#")[0]
                if int(offset) < vector[int(number)]:
                    sums.add(row)
    sums.write()
