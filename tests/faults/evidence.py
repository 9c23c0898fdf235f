"""What a run left on the cluster and on disk, and which invariants it violates.

Nothing here folds, sums or compares with the code under test, except that `tables.report` decodes
the tables' states.
"""

from __future__ import annotations

import asyncio
import json
from collections import ChainMap, Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from rocksdict import AccessType, Options, Rdict

from operations.recounting import recount_by
from streams import log, topics
from tables import catalogue
from tables.report import report
from tests import published

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from aiokafka.structs import ConsumerRecord

    from streams.log import At
    from streams.settings import Settings

MARK = b"\x00mark"
POSITION = b"\x00position"
SOURCES = (
    catalogue.ORDERS_TOPIC,
    catalogue.CHATS_TOPIC,
    catalogue.SALES_TOPIC,
    catalogue.SHOP_ACTIVITY_TOPIC,
)
PUBLISHED = (catalogue.PRODUCT_SALES_TOPIC, catalogue.SHOP_SALES_TOPIC, catalogue.CYCLES_TOPIC)
PARTITIONS_OWN = {catalogue.REPLY_TIMERS.name, catalogue.MARKETPLACE_SHARES.name}
"""The tables of which each partition has rows of its own with the same keys."""

Store = dict[bytes, bytes]


@dataclass
class Evidence:
    """All data of a run, with the workers stopped.

    Topics have their public names, without the prefix.
    """

    events: list[dict[str, Any]]
    poison: list[tuple[bytes | None, bytes | None]]
    logs: dict[At, list[ConsumerRecord]] = field(default_factory=dict)
    """Committed records of the public topics."""
    changelogs: dict[At, list[ConsumerRecord]] = field(default_factory=dict)
    """Committed records by table and partition."""
    committed: dict[At, int | None] = field(default_factory=dict)
    """The group's offsets of the source topics."""
    unstable: dict[str, tuple[int, int]] = field(default_factory=dict)
    """(last stable offset, high watermark) of partitions where they differ, by name on the
    cluster."""
    stores: dict[tuple[str, str, int], Store] = field(default_factory=dict)
    """Stores by worker's name, table and partition."""


async def gather(
    settings: Settings,
    events: list[dict[str, Any]],
    poison: list[tuple[bytes | None, bytes | None]],
) -> Evidence:
    """Read everything; workers must be stopped, or their stores can't be opened."""
    evidence = Evidence(events, poison)
    logs = [
        _records(settings, name, settings.topic(name))
        for name in (*SOURCES, *PUBLISHED, catalogue.ALERTS_TOPIC, catalogue.DEAD_LETTERS_TOPIC)
    ]
    changelogs = [
        _records(settings, table.name, topics.changelog(settings, table.name))
        for table in catalogue.TABLES
    ]
    evidence.committed, evidence.unstable, *read = await asyncio.gather(
        committed(settings), unstable(settings), *logs, *changelogs
    )
    evidence.logs = dict(ChainMap(*read[: len(logs)]))
    evidence.changelogs = dict(ChainMap(*read[len(logs) :]))
    for path in sorted((settings.data_dir / settings.app).glob("worker-*/*/*/CURRENT")):
        worker, table, partition = path.parts[-4:-1]
        evidence.stores[worker.removeprefix("worker-"), table, int(partition)] = _store(
            str(path.parent)
        )
    return evidence


async def published_logs(settings: Settings) -> dict[At, list[ConsumerRecord]]:
    """The committed records of the topics of rows, and of `cycles`."""
    logs = await asyncio.gather(
        *(_records(settings, name, settings.topic(name)) for name in PUBLISHED)
    )
    return dict(ChainMap(*logs))


async def _records(settings: Settings, name: str, topic: str) -> dict[At, list[ConsumerRecord]]:
    found: dict[At, list[ConsumerRecord]] = {
        (name, partition): [] for partition in range(settings.partitions)
    }
    async for records in log.records(settings, topic):
        found[name, records[0].partition] += records
    return found


async def committed(settings: Settings) -> dict[At, int | None]:
    """The group's committed offsets of the source topics; None where there is none."""
    admin = AIOKafkaAdminClient(**settings.client_options())
    try:
        await admin.start()
        offsets = await admin.list_consumer_group_offsets(settings.app)
    finally:
        await admin.close()
    found = {
        (name, partition): offsets.get(TopicPartition(settings.topic(name), partition))
        for name, partition in _sources(settings)
    }
    return {
        at: None if given is None or given.offset < 0 else int(given.offset)
        for at, given in found.items()
    }


def _sources(settings: Settings) -> Iterator[At]:
    return ((name, partition) for name in SOURCES for partition in range(settings.partitions))


async def unstable(settings: Settings) -> dict[str, tuple[int, int]]:
    """Partitions with an open transaction: their last stable offset and high watermark."""
    names = [topic.name for topic in topics.declared(settings)]
    partitions = [
        TopicPartition(name, partition)
        for name in names
        for partition in range(settings.partitions)
    ]
    ends = []
    for level in ("read_committed", "read_uncommitted"):
        consumer = AIOKafkaConsumer(**settings.client_options(), isolation_level=level)
        await consumer.start()
        try:
            ends.append(await consumer.end_offsets(partitions))
        finally:
            await consumer.stop()
    stable, high = ends
    return {
        f"{tp.topic}-{tp.partition}": (stable[tp], high[tp])
        for tp in partitions
        if stable[tp] != high[tp]
    }


def _store(path: str) -> Store:
    db = Rdict(path, Options(raw_mode=True), access_type=AccessType.read_only())
    try:
        return dict(cast("Iterable[tuple[bytes, bytes]]", db.items()))  # of a store in raw mode
    finally:
        db.close()


# --- the invariants


def problems(evidence: Evidence, settings: Settings) -> list[str]:
    """All violations, a sentence each; empty when all invariants are met."""
    counted = recount_by(
        settings.rules.values,
        evidence.events,
        as_of_ms=_as_of_ms(evidence),
    )
    return [
        *_tables(evidence, settings, counted),
        *_alerts(evidence, counted),
        *_journal(evidence, settings, counted),
        *(f"I2: {one}" for one in published.problems(evidence.logs, counted)),
        *published.unsent(evidence.logs, settings.terms.calendar),
        *_marks(evidence),
        *_stores(evidence),
        *_dead_letters(evidence),
        *(
            f"I6: {name} has an open transaction: stable {stable}, end {high}"
            for name, (stable, high) in evidence.unstable.items()
        ),
    ]


def _as_of_ms(evidence: Evidence) -> int | None:
    """The least event time of the partitions of chats that have any; None if none has."""
    marks = [
        last_values(records).get(MARK)
        for (table, _), records in evidence.changelogs.items()
        if table == catalogue.CHATS.name
    ]
    known = [
        at
        for mark in marks
        if mark is not None and (at := json.loads(mark)["watermark_ms"]) is not None
    ]
    return min(known, default=None)


def last_values(records: Iterable[ConsumerRecord]) -> Store:
    """The last value of each key of a changelog, its mark included."""
    found: Store = {}
    for record in records:
        if record.value is None:
            found.pop(record.key, None)
        else:
            found[record.key] = record.value
    return found


def _tables(
    evidence: Evidence, settings: Settings, counted: dict[str, list[dict[str, Any]]]
) -> Iterator[str]:
    states: defaultdict[str, list[tuple[bytes, bytes]]] = defaultdict(list)
    for (table, _), records in evidence.changelogs.items():
        states[table] += [
            (key, value) for key, value in last_values(records).items() if key != MARK
        ]
    for table, items in states.items():
        for key, times in Counter(key for key, _ in items).items():
            if times > 1 and table not in PARTITIONS_OWN:
                yield f"I1: {table}: the key {key!r} is in {times} partitions"
    yield from _totals(states)
    found = report(settings.terms, states)
    for part, rows in counted.items():
        yield from _differences(f"I1: tables' {part}", found[part], rows)


def _totals(states: Mapping[str, Iterable[tuple[bytes, bytes]]]) -> Iterator[str]:
    """The sums of all time are those of the cycles, of a product without net sales as well."""
    for table in catalogue.TABLES:
        cycles = catalogue.find_table(table.keyed_by, table.form, windowed=True)
        if table.form != "sales" or table.windowed or cycles is None:
            continue
        sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for key, value in states[cycles.name]:
            sums[catalogue.split_cycle_key(key)[0]].update(_flat(value))
        for key, value in states[table.name]:
            sums[key.decode()].subtract(_flat(value))
        wrong = {
            id_: off for id_, of in sums.items() if (off := {n: x for n, x in of.items() if x})
        }
        if wrong:
            yield (
                f"I1: tables' {table.name} aren't the sums of their cycles in {len(wrong)} rows,"
                f" such as {min(wrong.items(), key=str)}"
            )


def _flat(value: bytes) -> dict[str, int]:
    """The sums of a row of sales, by currency and place: units, then money."""
    _, _, currencies = json.loads(value)
    return {
        f"{currency} {place}": number
        for currency, numbers in currencies.items()
        for place, number in enumerate(numbers)
    }


def _differences(
    what: str, found: list[dict[str, Any]], wanted: list[dict[str, Any]]
) -> Iterator[str]:
    ours, theirs = (
        Counter(json.dumps(row, sort_keys=True) for row in rows) for rows in (found, wanted)
    )
    if ours != theirs:
        wrong, missing = list(ours - theirs), list(theirs - ours)
        yield (
            f"{what} differ from the recount in {len(wrong)} rows of {len(wanted)}, such as"
            f" {wrong[:2]}, where {missing[:2]} should be"
        )


def _alerts(evidence: Evidence, counted: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """Each alert is sent once, no late one before an overdue one; no overdue one is missing."""
    alerts = [
        json.loads(record.value)
        for (topic, _), records in evidence.logs.items()
        if topic == catalogue.ALERTS_TOPIC
        for record in records
    ]
    for alert_id, times in Counter(alert["id"] for alert in alerts).items():
        if times > 1:
            yield f"I2: the alert {alert_id} was sent {times} times"
    overdue = {
        alert["id"].partition(":")[2] for alert in alerts if alert["type"] == "reply_overdue"
    }
    late = {alert["id"].partition(":")[2] for alert in alerts if alert["type"] == "reply_late"}
    if late - overdue:
        yield (
            f"I2: {len(late - overdue)} late replies have an alert of inquiries"
            " without an overdue alert"
        )
    conversations = {
        (alert["shop_id"], alert["buyer_id"])
        for alert in alerts
        if alert["type"] == "reply_overdue"
    }
    silent = [
        row for row in counted["overdue"] if (row["shop_id"], row["buyer_id"]) not in conversations
    ]
    if silent:
        yield f"I2: {len(silent)} inquiries are overdue without an alert, such as {silent[0]}"


def _journal(
    evidence: Evidence, settings: Settings, counted: dict[str, list[dict[str, Any]]]
) -> Iterator[str]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for name in (catalogue.SALES_TOPIC, catalogue.SHOP_ACTIVITY_TOPIC):
        records = [
            record
            for (topic, _), records in evidence.logs.items()
            if topic == name
            for record in records
            if record.key is not None
        ]
        rows[name] = [json.loads(record.value) for record in records]
        ids = Counter(
            [row["id"] for row in rows[name] if "id" in row]
            + [served[0] for row in rows[name] for served in row.get("served", ())]
        )
        for entry_id, times in ids.items():
            if times > 1:
                yield f"I2: {name} has the entry {entry_id} {times} times"
    sales, activity = rows.values()
    entries = [row for row in sales if row["type"] == "entry"]
    yield from _shop_sums(entries, [row for row in activity if row["type"] == "shop_activity"])
    yield from _differences(
        "I2: the journal's sums by product",
        _sums(entries, "product_id", settings),
        counted["products"],
    )
    yield from _differences(
        "I2: the journal's sums by shop", _sums(entries, "shop_id", settings), counted["shops"]
    )


SUMMED = (
    "restates",
    "units_gross",
    "units_reversed",
    "units_booked",
    "amount_gross",
    "amount_reversed",
    "amount_booked",
    "orders",
)


def _shop_sums(entries: list[dict[str, Any]], activity: list[dict[str, Any]]) -> Iterator[str]:
    """The sales and orders in shop-activity are the sums of the entries in sales."""
    sums: Counter[tuple[str, ...]] = Counter()
    for entry in entries:
        of = entry["shop_id"], entry["cycle"]
        sums.update({(*of, entry["currency"], column): int(entry[column]) for column in SUMMED})
        sums.update({(*of, "buyer", entry["buyer_id"]): entry["orders"]})
    for row in activity:
        for cycle, currency, restates, columns in row.get("sold", ()):
            sums.subtract(
                {
                    (row["shop_id"], cycle, currency, name): number
                    for name, number in zip(SUMMED, (restates, *columns), strict=True)
                }
            )
        for buyer_id, cycle, orders in row.get("bought", ()):
            sums.subtract({(row["shop_id"], cycle, "buyer", buyer_id): orders})
    wrong = {what: off for what, off in sums.items() if off}
    if wrong:
        yield (
            f"I2: shop-activity isn't the sum of sales: {len(wrong)} sums are off, such as"
            f" {min(wrong.items())}"
        )


_Sums = defaultdict[tuple[str, str], defaultdict[str, list[int]]]
"""By id and cycle, and by currency: [gross, reversed, booked]."""


def _sums(entries: list[dict[str, Any]], id_name: str, settings: Settings) -> list[dict[str, Any]]:
    """The column sums of journal entries in the form of `netsold recount`."""
    units: _Sums = defaultdict(lambda: defaultdict(lambda: [0, 0, 0]))
    money: _Sums = defaultdict(lambda: defaultdict(lambda: [0, 0, 0]))
    traded: Counter[str] = Counter()
    for entry in entries:
        key = entry[id_name], entry["cycle"]
        traded[entry[id_name]] += entry["units_gross"] - entry["units_reversed"]
        for column, name in enumerate(("gross", "reversed", "booked")):
            units[key][entry["currency"]][column] += entry[f"units_{name}"]
            money[key][entry["currency"]][column] += entry[f"amount_{name}"]
    rows = []
    for key in sorted(units):
        if not any(map(any, (*units[key].values(), *money[key].values()))):
            continue
        in_all = [sum(numbers) for numbers in zip(*units[key].values(), strict=True)]
        begin = datetime.fromisoformat(key[1])
        end = (
            (begin + timedelta(milliseconds=settings.terms.calendar.length_ms))
            .astimezone(UTC)
            .isoformat()
            .replace("+00:00", "Z")
        )
        rows.append({
            id_name: key[0],
            "cycle": {"start": key[1], "end": end},
            "units": _columns(in_all),
            "units_by_currency": _by_currency(units[key]),
            "revenue": _by_currency(money[key]),
            "sold_monthly": in_all[0] - in_all[1],
            "successfully_traded": traded[key[0]],
        })  # fmt: skip
    return rows


def _by_currency(sums: dict[str, list[int]]) -> dict[str, dict[str, int]]:
    return {
        currency: _columns(numbers) for currency, numbers in sorted(sums.items()) if any(numbers)
    }


def _columns(numbers: list[int]) -> dict[str, int]:
    gross, reversed_, booked = numbers
    return {
        "gross": gross,
        "reversed": reversed_,
        "net": gross - reversed_,
        "reversals_booked": booked,
    }


def _marks(evidence: Evidence) -> Iterator[str]:
    """Committed = mark + 1 everywhere, and nothing is left to read."""
    for stage in catalogue.STAGES:
        for (topic, partition), offset in evidence.committed.items():
            if topic != stage.source:
                continue
            for table in stage.tables:
                mark = last_values(evidence.changelogs[table.name, partition]).get(MARK)
                at = None if mark is None else json.loads(mark)["offset"]
                if at is None or offset is None or at + 1 != offset:
                    yield (
                        f"I3: {topic}-{partition}: committed is {offset}, but {table.name} is at"
                        f" {at}"
                    )
            left = sum(
                1
                for record in evidence.logs[topic, partition]
                if offset is None or record.offset >= offset
            )
            if left:
                yield f"I5: {topic}-{partition}: {left} records are not applied"


def _stores(evidence: Evidence) -> Iterator[str]:
    """Every store is its changelog up to the store's own position, and one worker's is complete."""
    complete: set[At] = set()
    for (worker, table, partition), store in evidence.stores.items():
        records = evidence.changelogs[table, partition]
        position = int(store.get(POSITION, b"0"))
        wanted = last_values(record for record in records if record.offset < position)
        found = {
            key: value for key, value in store.items() if key == MARK or not key.startswith(b"\x00")
        }
        if found != wanted:
            different = {
                key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key)
            }
            yield (
                f"I3: store {worker}/{table}/{partition} at {position} is not its changelog:"
                f" {len(different)} keys, such as {sorted(different)[:2]}"
            )
        if not records or position > records[-1].offset:
            complete.add((table, partition))
    for table, partition in sorted(evidence.changelogs.keys() - complete):
        yield f"I3: no worker's store of {table}-{partition} is complete"


def _readable(name: str) -> str:
    """A header's name as it is parked, with bytes that aren't UTF-8 escaped."""
    return name.encode(errors="backslashreplace").decode()


def _dead_letters(evidence: Evidence) -> Iterator[str]:
    """Each poison record is parked once, unchanged, with reason and position; nothing else is."""
    parked = [
        record
        for (topic, _), records in evidence.logs.items()
        if topic == catalogue.DEAD_LETTERS_TOPIC
        for record in records
    ]
    contents = Counter((record.key, record.value) for record in parked)
    if contents != Counter(evidence.poison):
        yield (
            f"I4: {len(parked)} records are parked where {len(evidence.poison)} should be, or"
            " their bytes differ"
        )
    sources = {
        f"{record.topic}-{record.partition}@{record.offset}": record
        for (topic, _), records in evidence.logs.items()
        if topic in {catalogue.ORDERS_TOPIC, catalogue.CHATS_TOPIC}
        for record in records
    }
    seen: Counter[str] = Counter()
    for record in parked:
        headers = dict(record.headers)
        position = headers.get("x-dlq-id", b"").decode()
        seen[position] += 1
        source = sources.get(position)
        if source is None or (source.key, source.value) != (record.key, record.value):
            yield f"I4: a parked record names {position!r}, which is another record"
        elif list(record.headers[: len(source.headers)]) != [
            (_readable(name), value) for name, value in source.headers
        ]:
            yield f"I4: {position} is parked without its own headers"
        if not headers.get("x-dlq-reason") or not headers.get("__streams.errors.message"):
            yield f"I4: {position} is parked without a reason"
    yield from (
        f"I4: {position} is parked {times} times" for position, times in seen.items() if times > 1
    )
