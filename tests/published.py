"""Which promises the topics of rows and `cycles` break, by the recount alone.

It reads JSON as any consumer does, and shares no code with what wrote it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tables.cycles import Calendar

ROWS = {"product-sales": ("product_id", "products"), "shop-sales": ("shop_id", "shops")}
"""By topic: the id in its rows, and the recount's list."""

SUMS = ("units", "units_by_currency", "revenue")
Logs = Mapping[tuple[str, int], Sequence[Any]]
Counted = Mapping[str, Sequence[Mapping[str, Any]]]


def problems(logs: Logs, counted: Counted) -> list[str]:
    """All violations, a sentence each; `logs` has the records by topic and partition."""
    return [
        *(one for topic in ROWS for one in _rows(logs, counted, topic)),
        *_cycles(logs, counted),
    ]


def of_topic(logs: Logs, topic: str) -> Iterator[tuple[int, bytes | None, dict[str, Any]]]:
    """Partition, key and JSON of the records of a topic."""
    for (name, partition), records in sorted(logs.items()):
        if name == topic:
            for record in records:
                yield partition, record.key, json.loads(record.value)


def last_rows(logs: Logs, topic: str) -> dict[bytes, dict[str, Any]]:
    """The last row by key, as a compacted topic keeps it."""
    rows = {}
    for _, key, row in of_topic(logs, topic):
        assert key is not None, "a record of a compacted topic has no key"
        if row["type"] != "complete_through":
            rows[key] = row
    return rows


def unsent(logs: Logs, calendar: Calendar) -> Iterator[str]:
    """The partitions in which cycles have ended by the rows' time, whose ends are not all sent."""
    sent = {
        (one["subject"], partition): one["as_of"]
        for partition, _, one in of_topic(logs, "cycles")
        if one["type"] == "complete_through"
    }
    through = {
        (one["subject"], partition): one["as_of"]
        for topic in ROWS
        for partition, _, one in of_topic(logs, topic)
        if one["type"] == "complete_through"
    }
    for at, as_of in through.items():
        if as_of is None:
            continue
        at_ms = round(datetime.fromisoformat(as_of).timestamp() * 1000)
        start_ms = at_ms - (at_ms - calendar.anchor_ms) % calendar.length_ms
        start = datetime.fromtimestamp(start_ms / 1000, UTC)
        if at not in sent or datetime.fromisoformat(sent[at]) != start:
            yield f"{at}: cycles have ended until {start}, and were sent until {sent.get(at)}"


def _sums(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in SUMS}


def _holds_anything(row: Mapping[str, Any]) -> bool:
    return bool(row["units_by_currency"] or row["revenue"])


def _rows(logs: Logs, counted: Counted, topic: str) -> Iterator[str]:
    id_name, part = ROWS[topic]
    rows = last_rows(logs, topic)
    found = {
        (row[id_name], json.dumps(row["cycle"])): _sums(row)
        for row in rows.values()
        if row["cycle"] is not None and _holds_anything(row)
    }
    wanted = {(row[id_name], json.dumps(row["cycle"])): _sums(row) for row in counted[part]}
    yield from _different(topic, found, wanted)
    traded = {row[id_name]: row["units"]["net"] for row in rows.values() if row["cycle"] is None}
    for row in counted[part]:
        if traded.get(row[id_name]) != row["successfully_traded"]:
            yield f"{topic}: {row[id_name]} of all time has {traded.get(row[id_name])} units"
    for (name, partition), records in logs.items():
        if name == topic and records and records[-1].key != b"complete_through":
            yield f"{topic}-{partition}: the last record doesn't say how far it is complete"


def _different(what: str, found: Mapping[Any, Any], wanted: Mapping[Any, Any]) -> Iterator[str]:
    for key in sorted(found.keys() | wanted.keys(), key=repr):
        if found.get(key) != wanted.get(key):
            yield f"{what}: {key} is {found.get(key)}, not {wanted.get(key)}"


def _cycles(logs: Logs, counted: Counted) -> Iterator[str]:
    through: defaultdict[str, dict[int, str]] = defaultdict(dict)
    histories: defaultdict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for partition, _, record in of_topic(logs, "cycles"):
        subject = record["subject"]
        if record["type"] == "complete_through":
            through[subject][partition] = record["as_of"]
            continue
        id_ = record.get("product_id") or record.get("shop_id") or str(record.get("share"))
        if subject == "marketplace" and record["share"] != partition:
            yield f"a share of partition {record['share']} is in partition {partition}"
        histories[subject, id_, json.dumps(record["cycle"])].append(record)
    for at, history in histories.items():
        yield from _history(at, history)
    for topic, (id_name, part) in ROWS.items():
        subject = id_name.removesuffix("_id")
        ended = min(through[subject].values(), default="")
        found = {at[1:]: _last(history) for at, history in histories.items() if at[0] == subject}
        wanted = {
            (row[id_name], json.dumps(row["cycle"])): _sums(row)
            for row in counted[part]
            if _instant(row["cycle"]["end"]) <= ended
        }
        kept = {key: sums for key, sums in found.items() if _holds_anything(sums)}
        yield from _different(f"cycles of {subject}", kept, wanted)
        yield from _revisions(logs, topic, found.keys(), histories, subject)
    yield from _marketplace(histories, counted, min(through["product"].values(), default=""))


def _instant(text: str) -> str:
    """With milliseconds, so that texts compare as their instants do."""
    return text if "." in text else text.replace("Z", ".000Z")


def _last(history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    last = history[-1]
    return dict(last["after"] if last["type"] == "restated" else last["sales"])


def _history(at: tuple[str, str, str], history: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """An end comes first, once; each change begins where the one before it ended."""
    ends = [number for number, one in enumerate(history) if one["type"] == "cycle_ended"]
    if ends not in ([], [0]):
        yield f"{at}: its end was sent as number {ends} of {len(history)}"
        return
    before, revision = None, 0
    for record in history:
        number = int(record["revision"].removeprefix("r"))
        if record["type"] == "cycle_ended":
            before, revision = record["sales"], number
            continue
        if before is None and _holds_anything(record["before"]):
            yield f"{at}: {record['revision']} has sales before, and no end was sent"
        if before is not None and record["before"] != before:
            yield f"{at}: {record['revision']} begins with {record['before']}, not {before}"
        if number != revision + len(record["causes"]):
            yield f"{at}: {record['revision']} follows r{revision}"
        before, revision = record["after"], number


def _revisions(
    logs: Logs,
    topic: str,
    keys: Iterable[tuple[str, str]],
    histories: Mapping[tuple[str, str, str], Sequence[Mapping[str, Any]]],
    subject: str,
) -> Iterator[str]:
    """The last revision is the number of restatements in the table's row."""
    rows = last_rows(logs, topic)
    for id_, cycle in keys:
        row = rows[f"{id_}@{json.loads(cycle)['start']}".encode()]
        revision = histories[subject, id_, cycle][-1]["revision"]
        if revision != f"r{row['restatements']}":
            yield f"cycles: {id_} has {revision}, its row {row['restatements']} restatements"


def _marketplace(
    histories: Mapping[tuple[str, str, str], Sequence[Mapping[str, Any]]],
    counted: Counted,
    ended: str,
) -> Iterator[str]:
    """The sums of all shares are those of all products."""
    found: defaultdict[tuple[str, str], int] = defaultdict(int)
    for (subject, _, cycle), history in histories.items():
        if subject == "marketplace":
            _add(found, cycle, _last(history))
    wanted: defaultdict[tuple[str, str], int] = defaultdict(int)
    for row in counted["products"]:
        if _instant(row["cycle"]["end"]) <= ended:
            _add(wanted, json.dumps(row["cycle"]), row)
    yield from _different(
        "cycles of the marketplace",
        {key: number for key, number in found.items() if number},
        {key: number for key, number in wanted.items() if number},
    )


def _add(sums: dict[tuple[str, str], int], cycle: str, row: Mapping[str, Any]) -> None:
    for column in ("units_by_currency", "revenue"):
        for currency, numbers in row[column].items():
            for name, number in numbers.items():
                sums[cycle, f"{column} {currency} {name}"] += number
