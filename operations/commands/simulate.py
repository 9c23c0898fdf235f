"""`netsold simulate`: writes a simulated marketplace to the log or to a file.

It is repeatable by seed, with faults by name. Without `--rate` it writes history: `--events` events
spread over `--days`, as fast as it can; the same command writes the same events again. With
`--rate` it writes events that happen now, and every start has new orders; `--history-days` lets
these follow a history of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import typer

from operations.arguments import Json
from operations.local.kafka import named_cluster
from operations.output import print_error, print_json
from operations.progress import Meter
from operations.simulation import faults
from operations.simulation.faults import Faults, Poison
from operations.simulation.market import Event
from operations.simulation.naming import Names
from operations.simulation.traffic import (
    ALL_EVENTS_PER_ORDER,
    CHATS_PER_ORDER,
    EVENTS_PER_ORDER,
    Plan,
    in_versions,
    traffic,
)
from operations.waiting import GIVE_UP_AFTER, GiveUpAfter, Interrupted, Waiting, give_up_s
from operations.writing.delivery import Delivered, Ended, deliver
from schemas.ahead import in_the_future
from schemas.envelope import encode
from schemas.errors import NetsoldError
from schemas.events import CHAT_TYPES, topic_of
from schemas.times import DAY_MS, parse_ms
from streams.log_writer import Writer
from tables import catalogue

LIVE_DAY_MS: Final = 1000
"""The length of a day in the life of a live order: parcels arrive within seconds."""

HISTORY_EVENTS: Final = 10_000
HISTORY_EVENTS_A_DAY: Final = 1000
"""Events of each day of `--history-days`."""

PUSH_EVERY_S: Final = 0.05
YIELD_EVERY: Final = 256
"""Records between two updates of the progress, and two chances for a signal to be handled."""

Format = Literal["cloudevents", "bare"]
Items = Iterator[tuple[int, Event | Poison]]
Only = Literal["orders", "chats"] | None
Newest = Annotated[
    float, typer.Option(min=0, max=1, help="Share of orders in the newest versions of events.")
]

PER_ORDER: Final[dict[Only, float]] = {
    "orders": EVENTS_PER_ORDER,
    "chats": CHATS_PER_ORDER,
    None: ALL_EVENTS_PER_ORDER,
}
"""The mean number of events of an order, by topic."""


@dataclass(slots=True)
class Summary:
    """The result of a simulation.

    `events` were made; `records` were written: those events, some more than once, and `poison`.
    `unconfirmed` records were sent, too, and may be in the log or not. `names` of products and
    shops were written as well, each before the first event with its id.
    """

    run: str
    seed: int
    target: str
    events: int = 0
    records: int = 0
    unconfirmed: int = 0
    poison: int = 0
    names: int = 0
    seconds: float = 0.0


def command(
    *,
    events: Annotated[
        int | None, typer.Option(min=1, help="How many; 10,000 of history, else without end.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.01, help="Events per second, happening now.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A JSONL file to write instead of the log.")
    ] = None,
    layout: Annotated[
        Format, typer.Option("--format", help="Of records in the log; a file is always bare.")
    ] = "cloudevents",
    seed: Annotated[int, typer.Option(help="The same seed, the same orders.")] = 1,
    start: Annotated[str, typer.Option(help="When history starts.")] = "2026-01-01T00:00:00Z",
    days: Annotated[float, typer.Option(min=0.001, help="How many days history takes.")] = 75.0,
    history_days: Annotated[
        float | None,
        typer.Option(min=1, max=1000, help="With --rate: this many days of history come first."),
    ] = None,
    only: Annotated[
        Literal["orders", "chats"] | None,
        typer.Option(help="Of one topic alone; orders then have no reviews."),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="duplicates=2%, out_of_order, late=3d, poison=0.1% or conflicts=0.1%."),
    ] = None,
    newest: Newest = 0.0,
    give_up_after: GiveUpAfter = GIVE_UP_AFTER,
    as_json: Json = False,
) -> None:
    """Write simulated orders, reviews and messages to the log, or to a file."""
    _require_a_present(rate, out, history_days)
    wrong, start_ms, live = _faults(fault or ()), _start_ms(start), rate is not None
    most_s = give_up_s(give_up_after)
    if rate is None:
        plan = _history(seed, start_ms, days, events := events or HISTORY_EVENTS, only)
    else:
        plan = live_plan(seed, rate, only, time.time_ns() // 1_000_000)
    summary = Summary(plan.run, seed, str(out) if out else "")
    past = history_before(plan, history_days, only) if history_days else ()
    each = in_versions(_of(only, chain(past, traffic(plan))), newest)
    made = _counted(islice(each, events), summary)
    items = faults.disturbed(made, wrong, seed=plan.seed, day_ms=plan.day_ms, live=live)
    started_s = time.monotonic()
    with Meter("events", events) as meter:
        ended = (
            _to_file(out, items, summary, meter)
            if out
            else _to_log(items, layout, summary, meter, live=live, most_s=most_s)
        )
    summary.seconds = round(time.monotonic() - started_s, 3)
    _show(summary, as_json=as_json)
    # A stream without end that a signal ended wrote everything, unless records are unconfirmed.
    is_whole = events is None and not summary.unconfirmed and isinstance(ended, Interrupted)
    if ended is not None and not is_whole:
        print_error(f"netsold: {_how_it_ended(ended, summary, events, live=live)}")
        raise typer.Exit(ended.exit_code)


def _require_a_present(rate: float | None, out: Path | None, history_days: float | None) -> None:
    """Raise BadParameter where options contradict each other about events that happen now."""
    if rate and out:
        raise typer.BadParameter("--rate is for the log: a file has no present")
    if history_days and rate is None:
        raise typer.BadParameter(
            "it is for --rate; history alone has --days", param_hint="--history-days"
        )


def _faults(texts: Sequence[str]) -> Faults:
    try:
        return faults.parse(texts)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--fault") from error


def _start_ms(text: str) -> int:
    try:
        return parse_ms(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} {error}", param_hint="--start") from error


def _history(seed: int, start_ms: int, days: float, events: int, only: Only) -> Plan:
    """The plan of a history of `events` events over `days` days."""
    run = _run_name(seed, start_ms, days, events)
    every_ms = days * DAY_MS * PER_ORDER[only] / events
    return Plan(seed, run, start_ms, every_ms, only_orders=only == "orders")


def live_plan(seed: int, rate: float, only: Only, now_ms: int) -> Plan:
    """The plan of `rate` events per second from now on (epoch ms)."""
    every_ms = 1000 * PER_ORDER[only] / rate
    run = _run_name(seed, now_ms)
    return Plan(seed, run, now_ms, every_ms, LIVE_DAY_MS, only_orders=only == "orders")


def history_before(plan: Plan, days: float, only: Only) -> Iterator[tuple[int, Event]]:
    """The events of so many days before a live plan starts; what happens later is left out.

    A restart on the same day makes the same events again, which change nothing (S11).
    """
    past = _history(
        plan.seed,
        plan.start_ms // DAY_MS * DAY_MS - int(days * DAY_MS),
        days,
        int(days * HISTORY_EVENTS_A_DAY),
        only,
    )
    return takewhile(lambda item: item[0] < plan.start_ms, traffic(past))


def _of(only: Only, made: Iterator[tuple[int, Event]]) -> Iterator[tuple[int, Event]]:
    """Orders come without messages by their plan; messages alone are chosen here."""
    return (item for item in made if only != "chats" or item[1]["type"] in CHAT_TYPES)


def _show(summary: Summary, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(summary))
        return
    typer.echo(
        f"{summary.records} records to {summary.target}: {summary.events} events,"
        f" {summary.poison} poison, run {summary.run}"
    )


def _how_it_ended(
    ended: Ended | HistoryAhead, summary: Summary, events: int | None, *, live: bool
) -> str:
    made = f"stopped after {summary.events} {f'of {events} ' if events else ''}events"
    left = f"; {summary.unconfirmed:,} records aren't confirmed" if summary.unconfirmed else ""
    again = (
        "the next start writes new orders"
        if live
        else "the same command writes the same ones again"
    )
    return f"{ended}; {made}{left}; {again}"


class HistoryAhead(NetsoldError):
    """Simulated history extends into the future, and workers would park its events."""


def before_now(items: Items, most_ahead_ms: int, clock_ms: int) -> Items:
    """The items of a history that workers apply; all if `most_ahead_ms` is 0.

    Raises HistoryAhead at the first one that workers would park.
    """
    for at_ms, item in items:
        if (
            most_ahead_ms
            and isinstance(item, dict)
            and in_the_future(parse_ms(item["occurred_at"]), clock_ms, most_ahead_ms)
        ):
            raise HistoryAhead(
                f"from {item['occurred_at']} on this history is in the future,"
                " and workers park such events: give an earlier --start, or fewer --days"
            )
        yield at_ms, item


def _run_name(*given: object) -> str:
    """A short name for these arguments; others have another name, and so other orders."""
    return hashlib.blake2s(repr(given).encode(), digest_size=5).hexdigest()


def _counted(events: Iterator[tuple[int, Event]], summary: Summary) -> Iterator[tuple[int, Event]]:
    for item in events:
        summary.events += 1
        yield item


def _to_file(path: Path, items: Items, summary: Summary, meter: Meter) -> Ended | None:
    """Write all items as lines; what ended it early, else None."""
    encoder = msgspec.json.Encoder()
    names = Names()
    with path.open("wb") as file:
        try:
            for _, item in items:
                if isinstance(item, Poison):
                    if not item.in_file:
                        continue
                    summary.poison += 1
                    file.write((item.value or b"") + b"\n")
                else:
                    for line in names.lines_of_event(item):
                        file.write(encoder.encode(line) + b"\n")
                        summary.names += 1
                    file.write(encoder.encode(item) + b"\n")
                summary.records += 1
                if not summary.records % YIELD_EVERY:
                    meter.at(summary.events)
        except KeyboardInterrupt:
            return Interrupted("interrupted")
    return None


def _to_log(
    items: Items, layout: Format, summary: Summary, meter: Meter, *, live: bool, most_s: float
) -> Ended | HistoryAhead | None:
    """Write all items to the event topics of the named cluster or the running local Kafka.

    Returns what ended it early, else None.
    """
    settings = named_cluster()
    names_topic = settings.topic(catalogue.NAMES_TOPIC)
    summary.target = (
        f"{settings.topic(catalogue.ORDERS_TOPIC)} and {settings.topic(catalogue.CHATS_TOPIC)}"
    )
    most_ahead_ms = 0 if live else settings.max_ahead_seconds * 1000
    items = before_now(items, most_ahead_ms, time.time_ns() // 1_000_000)
    failures: list[HistoryAhead] = []

    async def produce() -> Delivered:
        waiting = Waiting(settings, most_s, meter.print)
        stop = waiting.stop

        async def write(writer: Writer) -> bool:
            try:
                return await send(writer)
            except HistoryAhead as error:  # the items before it are written
                failures.append(error)
                return True

        async def send(writer: Writer) -> bool:
            names = Names()
            for number, (at_ms, item) in enumerate(items, 1):
                if live and at_ms > time.time() * 1000:
                    await writer.push()
                    meter.at(summary.events)
                    await _sleep_until(at_ms, stop)
                if stop.is_set():
                    return False
                for topic, key, value, headers in _records(item, layout, names):
                    await writer.send(settings.topic(topic), key, value, headers)
                summary.poison += isinstance(item, Poison)
                if not number % YIELD_EVERY:
                    meter.at(summary.events)
                    await asyncio.sleep(0)  # lets a signal be handled
            return True

        return await deliver(settings, write, waiting)

    delivered = asyncio.run(produce())
    summary.names = delivered.written.get(names_topic, 0)
    summary.records = sum(delivered.written.values()) - summary.names
    summary.unconfirmed = delivered.unconfirmed
    return failures[0] if failures else delivered.ended


async def _sleep_until(at_ms: int, stop: asyncio.Event) -> None:
    """Wait for an instant, at least PUSH_EVERY_S, so that records are sent in batches.

    It ends early when `stop` is set.
    """
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), max(at_ms / 1000 - time.time(), PUSH_EVERY_S))


def _records(
    item: Event | Poison, layout: Format, names: Names
) -> Iterator[tuple[str, bytes | None, bytes | None, list[tuple[str, bytes]]]]:
    """(topic, key, value, headers) of an item, and of the names that it needs before it."""
    if isinstance(item, Poison):
        yield item.topic, item.key, item.value, list(item.headers)
        return
    for named in names.of_event(item):
        yield catalogue.NAMES_TOPIC, named.key, named.value, []
    key, value, headers = encode(item)
    if layout == "bare":
        value, headers = msgspec.json.encode(item), []
    yield topic_of(item["type"]), key, value, headers
