"""How `netsold status` shows the reader's answer to people: the state first, then what to do."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from operations.in_words import duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import RenderableType

STYLES: Final = {"live": "bold reverse green", "behind": "bold reverse yellow"}
"""Of the state; of all others it is red."""

MOST_DEAD_LETTERS: Final = 5
"""Most rows of dead letters."""


def picture(answer: dict[str, Any]) -> Group:
    """The whole answer, for a terminal."""
    return Group(*parts(answer))


def waiting(why: str, seconds: float, last: dict[str, Any] | None) -> Group:
    """What is shown while the reader gives no answer: why, and the last answer, if there is one."""
    title = Text.assemble(("NO ANSWER", "bold reverse red"), f" for {duration(seconds)}: {why}")
    if last is None:
        return Group(title)
    return Group(title, Text("before that:", style="dim"), *parts(last))


def line(answer: dict[str, Any]) -> str:
    """The state in one line, for logs and pipes, with faults and notices."""
    observed = answer["cluster"]["observed_at"] or "not observed yet"
    findings = [f"{one['severity']}: {one['sentence']}" for one in answer["findings"]]
    return "; ".join([f"{observed} {answer['state']}", _pace(answer), *findings])


def parts(answer: dict[str, Any]) -> Iterator[RenderableType]:
    """The answer in lines and tables: the state, what is wrong, sources, tables, workers."""
    state = answer["state"]
    yield Text.assemble(
        (state.upper(), STYLES.get(state, "bold reverse red")),
        f" {answer['app']}: {_pace(answer)}",
    )
    for finding in answer["findings"]:
        yield Text(
            f"{finding['severity']}: {finding['sentence']}: {finding['remedy']}",
            style="red" if finding["severity"] == "fault" else "yellow",
        )
    cycle = f"cycle from {answer['cycle']['start']}" if answer["cycle"] else "no cycle yet"
    yield Text(f"complete through {answer['freshness']['as_of'] or 'unknown'}; {cycle}")
    yield _sources(answer["sources"])
    yield _tables(answer["tables"])
    yield from map(Text, _workers(answer["cluster"]["members"]))
    yield Text(_builds(answer))
    yield from map(Text, _versions(answer["versions"]))
    yield from map(Text, _dead_letters(answer["dead_letters"]))
    if not answer["index"]["complete"]:
        yield Text(_index(answer["index"]))


def _pace(answer: dict[str, Any]) -> str:
    """How much is behind, how fast events arrive, and how fresh the tables are."""
    count = answer["records_behind"]
    records = (
        "an unknown number of records"
        if count is None
        else {0: "nothing", 1: "1 record"}.get(count, f"{count:,} records")
    )
    rates = [
        one["records_per_second"]
        for one in answer["sources"]
        if one["records_per_second"] is not None
    ]
    rate = f"{sum(rates):,.0f} records/s" if rates else "rate not known yet"
    lag_s = answer["freshness"]["lag_seconds"]
    fresh = "event time unknown" if lag_s is None else f"tables {duration(lag_s)} old"
    return f"{records} behind; {rate}; {fresh}"


def _sources(sources: list[dict[str, Any]]) -> Table:
    """A row a partition of events: what is applied, what waits, how much comes, who reads it."""
    table = _table("source", "applied", "behind", "waits", "records/s", "slowest", "read by")
    for column in table.columns[1:5]:
        column.justify = "right"
    for column in table.columns[5:]:  # where the terminal is narrow, names are cut and no figure
        column.no_wrap, column.overflow = False, "ellipsis"
    for one in sources:
        waits = "unknown" if one["waiting_seconds"] is None else duration(one["waiting_seconds"])
        table.add_row(
            one["source"],
            "nothing" if one["applied"] is None else f"{one['applied']:,}",
            _number(one["behind"]),
            "" if one["behind"] == 0 else waits,
            _rate(one["records_per_second"]),
            one["slowest"] or "",
            one["read_by"] or "nobody",
        )
    return table


def _tables(tables: list[dict[str, Any]]) -> Table:
    """A row a table: how far it is, and what this reader reads of it."""
    table = _table("table", "complete through", "to read", "records/s")
    for column in table.columns[2:]:
        column.justify = "right"
    for one in tables:
        to_read = sum(partition["behind"] for partition in one["partitions"])
        as_of = one["freshness"]["as_of"] or "unknown"
        table.add_row(one["name"], as_of, f"{to_read:,}", _rate(one["records_per_second"]))
    return table


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in names:
        table.add_column(name, no_wrap=True)
    return table


def _workers(members: list[dict[str, Any]]) -> Iterator[str]:
    """A line a worker, with what it reads: topics with the same partitions stand together."""
    topics = {one.rpartition("-")[0] for member in members for one in member["holds"]}
    for member in members:
        numbers: defaultdict[str, list[int]] = defaultdict(list)
        for partition in member["holds"]:
            topic, _, number = partition.rpartition("-")
            numbers[topic].append(int(number))
        together: defaultdict[str, list[str]] = defaultdict(list)
        for topic, some in sorted(numbers.items()):
            together[_ranges(sorted(some))].append(topic)
        read = "; ".join(
            f"{some} of {f'all {len(names)} topics' if set(names) == topics else ', '.join(names)}"
            for some, names in together.items()
        )
        yield f"worker {member['name']} at {member['host']} reads {read or 'nothing'}"


def _ranges(numbers: Iterable[int]) -> str:
    """Ascending numbers, neighbours as a range: `0-2 5`."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1:
            found[-1].append(number)
        else:
            found.append([number])
    return " ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in found)


def _versions(versions: dict[str, Any]) -> Iterator[str]:
    """The version that is answered where that was ever moved, and how far the next one is."""
    preparing, former = versions["preparing"], versions["former"]
    answered, pointed = versions["answered"], versions["pointed"] or versions["answered"]
    if former is not None:
        since = versions["answered_since"] or "not yet"
        named = f"the pointer names {pointed} since {versions['pointed_since']}"
        beside = f"former: {former}" if answered == pointed else named
        yield f"version {answered} answered since {since}; {beside}"
    if preparing is not None:
        count = preparing["records_to_read"]
        to_read = "it starts" if count is None else f"{count:,} records to read"
        yield f"preparing version {preparing['app']}: {preparing['waiting_for'] or to_read}"


def _builds(answer: dict[str, Any]) -> str:
    """The builds and rules of workers and reader, in one line."""
    reader, workers = answer["reader"], answer["workers"]
    builds = [f"{one['build']}, rules {one['rules']}" for one in workers]
    own = f"{reader['build'] or 'unknown'}, rules {reader['rules']}"
    if builds == [own]:
        return f"build {own}"
    return f"workers' build {' and '.join(builds) or 'unknown'}; reader's {own}"


def _index(index: dict[str, Any]) -> str:
    """How far the event index is while it is being filled: `explain` and `find` wait for it."""
    unread = index["records_to_read"]
    to_read = "" if unread is None else f", {unread:,} to read"
    return f"event index: {index['waiting_for'] or 'it is being filled'}{to_read}"


def _dead_letters(letters: list[dict[str, Any]]) -> Iterator[str]:
    """A line a topic and reason with open letters, and the rest as sums."""
    waiting = [one for one in letters if one["open"]]
    for one in waiting[:MOST_DEAD_LETTERS]:
        since = f", {one['since_start']:,} since the reader began" if one["since_start"] else ""
        yield (
            f"dead letters {one['topic']} {one['reason']}:"
            f" {one['open']:,} open of {one['count']:,}{since};"
            f" {one['oldest']} to {one['newest']}"
        )
    left = waiting[MOST_DEAD_LETTERS:]
    if left:
        yield f"and {sum(one['open'] for one in left):,} more open dead letters"
    decided = sum(one["count"] - one["open"] for one in letters)
    if decided:
        yield f"dead letters that were decided about: {decided:,}"


def _number(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"
