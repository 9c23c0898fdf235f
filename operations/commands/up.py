"""`netsold up`: Kafka, workers, a reader and simulated traffic on this machine, with a live view of what sells, until Ctrl-C.

What it shows comes from the reader's API alone, as it would for anybody else. The next `up` goes on where this one stopped.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import signal
import socket
import time
from collections import deque
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from operations.commands.show_service import percent
from operations.local.children import Children, KafkaChild
from operations.local.data_dir import keep_private, usable
from operations.local.kafka import KafkaSlow, LocalKafka, LocalKafkaFailed, free_port, with_local
from schemas.errors import NetsoldError
from streams.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

LOOK_EVERY_S = 0.5
PLAIN_EVERY_S = 10.0
RATE_OVER_S = 5.0
KAFKA_WORD_EVERY_S = 10.0
"""Between two lines that Kafka still starts: after a power cut it reads its whole log, which may
be long."""


class AlreadyUp(NetsoldError):
    """Another `netsold up` runs on the same data directory."""

    exit_code = 1


class PortTaken(NetsoldError):
    """Something else listens where our reader should."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class View:
    """What the reader answered.

    The best sellers, how far it is, and how the shops that sell most serve.

    `records` is how many records of the topics of events are in the answers, ticks and dead letters
    among them. `shops` is how many shops `counted` and `timely` are of: inquiries in the current
    cycle (R2). `overdue` is of all shops, now.
    """

    items: tuple[dict[str, Any], ...]
    state: str
    lag_seconds: float | None
    records: int
    shops: int
    counted: int
    timely: int
    overdue: int


class Rate:
    """Records per second over the last few seconds, from readings of a counter that only grows."""

    def __init__(self, over_s: float = RATE_OVER_S) -> None:
        self._over_s = over_s
        self._readings: deque[tuple[float, int]] = deque()

    def read(self, now_s: float, count: int) -> float:
        """Take a reading and return the rate.

        0.0 at the first one, and after the counter was set back.
        """
        if self._readings and count < self._readings[-1][1]:
            self._readings.clear()
        self._readings.append((now_s, count))
        while len(self._readings) > 2 and self._readings[1][0] <= now_s - self._over_s:  # noqa: PLR2004 - two readings make a rate
            self._readings.popleft()
        first_s, first = self._readings[0]
        return (count - first) / (now_s - first_s) if now_s > first_s else 0.0


def command(
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 2,
    rate: Annotated[
        float, typer.Option(min=0, help="Simulated events per second; 0 = no traffic.")
    ] = 200.0,
) -> None:
    """Run it all here until Ctrl-C, and show what sells.

    Data and logs are in the data directory.
    """
    keep_private()
    settings = Settings()
    console = Console(highlight=False, markup=False)

    def say(sentence: str) -> None:
        with suppress(
            OSError
        ):  # the disk behind our output is full, or the terminal is gone: work goes on unseen
            console.print(sentence, soft_wrap=True)

    is_up = False
    _at_signals(_interrupt)
    with ExitStack() as ends:
        try:
            settings, tend = _come_up(settings, workers, rate, say, ends)
            is_up = True
            if console.is_terminal:
                _show_live(settings, tend, console)
            else:
                _show_plain(settings, tend, say)
        except KeyboardInterrupt:
            say(
                "stopping; `netsold up` goes on from here"
                if is_up
                else "interrupted while starting: ending what was started"
            )
        finally:
            _at_signals(signal.SIG_IGN)  # what is ended from here on is ended in order
    if not is_up:
        raise typer.Exit(130)


def _at_signals(act: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, act)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Leave whatever is being waited for, at once.

    Asyncio, too, lets this exception through and no other.
    """
    raise KeyboardInterrupt


def _come_up(
    settings: Settings, workers: int, rate: float, say: Callable[[str], None], ends: ExitStack
) -> tuple[Settings, Callable[[float], None]]:
    """Start everything; the settings with which it runs, and what keeps it running when called with the monotonic time."""
    directory = settings.data_dir.resolve()
    with usable(directory):
        directory.mkdir(parents=True, exist_ok=True)
    ends.enter_context(_alone(directory))
    kafka = _local_kafka(settings, say, ends)
    settings = with_local(settings)
    if settings.reader_port == 0:
        settings = settings.model_copy(
            update={"reader_port": free_port(0)}
        )  # we ask it, so we must know which
    children = Children(directory, _environment(settings), say)
    left = children.end_leftovers()
    if left:
        say(f"ended what a former run left behind: {', '.join(left)}")
    _require_free(settings.reader_host, settings.reader_port)
    _create_topics(settings, say)
    ends.callback(children.end)
    _start(children, workers, rate)
    for text in where_to_look(settings, workers, rate, is_local=kafka is not None):
        say(text)
    kafka_child = KafkaChild(kafka, say, time.monotonic()) if kafka else None

    def tend(now_s: float) -> None:
        if kafka_child is not None:
            kafka_child.tend(now_s)
        children.tend(now_s)

    return settings, tend


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    with ExitStack() as open_files:
        with usable(directory):
            lock = open_files.enter_context((directory / "up.lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyUp(
                f"netsold is up already on {directory}: end that one, or set NETSOLD_DATA_DIR"
            ) from error
        yield


def _local_kafka(
    settings: Settings, say: Callable[[str], None], ends: ExitStack
) -> LocalKafka | None:
    """The local Kafka, running, unless a cluster is named.

    It is stopped at the end if we had to start it.
    """
    if settings.kafka.bootstrap_servers is not None:
        return None
    kafka = LocalKafka(settings.data_dir, say)
    if not kafka.status().running:
        say("starting Kafka (the first time its jars are fetched)")
        ends.callback(kafka.stop)
    kafka.launch()
    while True:
        try:
            kafka.until_ready(KAFKA_WORD_EVERY_S)
        except KafkaSlow as slow:
            say(f"{slow}; still waiting")
        else:
            return kafka


def _environment(settings: Settings) -> dict[str, str]:
    """What the children must know that they can't read from our own environment."""
    if settings.kafka.bootstrap_servers is None:
        raise LocalKafkaFailed("Kafka ended right after its start")
    return {
        "NETSOLD_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "NETSOLD_DATA_DIR": str(settings.data_dir.resolve()),
        "NETSOLD_READER_PORT": str(settings.reader_port),
        "PYTHONUNBUFFERED": "1",
    }


def _require_free(host: str, port: int) -> None:
    """Refuse to come up where the answers shown would be those of another reader.

    Raises PortTaken.
    """
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return
    raise PortTaken(f"something else answers at {host}:{port}: end it, or set NETSOLD_READER_PORT")


def _create_topics(settings: Settings, say: Callable[[str], None]) -> None:
    from streams import topics

    async def create_and_check() -> list[str]:
        created = await topics.create(settings)
        await topics.require(settings)
        return created

    created = asyncio.run(create_and_check())
    if created:
        say(f"created {len(created)} topics")


def _start(children: Children, workers: int, rate: float) -> None:
    now_s = time.monotonic()
    cli = ("-m", "operations.cli")
    for number in range(1, workers + 1):
        children.add(f"worker-{number}", *cli, "worker", "--name", str(number), now_s=now_s)
    children.add("reader", *cli, "serve", now_s=now_s)
    if rate:
        children.add("traffic", *cli, "simulate", "--rate", str(rate), now_s=now_s)


def where_to_look(
    settings: Settings, workers: int, rate: float, *, is_local: bool
) -> tuple[str, ...]:
    """What runs, and where a person sees more of it, a line each."""
    traffic = f"simulated traffic ({rate:g} events/s)" if rate else "no traffic"
    kafkas = f", and {settings.data_dir / 'kafka' / 'kafka.log'}" if is_local else ""
    return (
        f"running: {'a worker' if workers == 1 else f'{workers} workers'}, a reader, {traffic}",
        f"answers: http://{settings.reader_host}:{settings.reader_port}/v1/status",
        f"Kafka:   {settings.kafka.bootstrap_servers}",
        f"logs:    {settings.data_dir / 'logs'}{kafkas}",
        "Ctrl-C ends it all; what sells, and how shops reply:",
    )


def _show_live(settings: Settings, tend: Callable[[float], None], console: Console) -> None:
    rate = Rate()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            time.sleep(LOOK_EVERY_S)
            now_s = time.monotonic()
            tend(now_s)
            view = look(settings.reader_host, settings.reader_port)
            live.update(
                picture(view, rate.read(now_s, view.records) if view else 0.0), refresh=True
            )


def _show_plain(
    settings: Settings, tend: Callable[[float], None], say: Callable[[str], None]
) -> None:
    rate = Rate(PLAIN_EVERY_S)
    due_s = time.monotonic() + PLAIN_EVERY_S
    while True:
        time.sleep(LOOK_EVERY_S)
        now_s = time.monotonic()
        tend(now_s)
        if now_s >= due_s:
            due_s += PLAIN_EVERY_S
            view = look(settings.reader_host, settings.reader_port)
            say(line(view, rate.read(now_s, view.records) if view else 0.0))


def look(host: str, port: int) -> View | None:
    """Ask the reader for the best sellers and for service.

    None while it doesn't answer, or isn't ready to.
    """
    answers = []
    for path in ("/v1/top/products?limit=10", "/v1/top/shops?limit=10", "/v1/overdue?limit=1"):
        answer = _asked(host, port, path)
        if answer is None:
            return None
        answers.append(answer)
    best, shops, overdue = answers
    freshness = best["freshness"]
    last_offsets = freshness["applied"] | overdue["freshness"]["applied"]  # of orders, and of chats
    inquiries = [shop["service"]["inquiries"] for shop in shops["items"]]
    return View(
        items=tuple(best["items"]),
        state=freshness["state"],
        lag_seconds=freshness["lag_seconds"],
        records=sum(offset + 1 for offset in last_offsets.values()),
        shops=len(inquiries),
        counted=sum(of["counted"] for of in inquiries),
        timely=sum(of["timely"] for of in inquiries),
        overdue=overdue["count"],
    )


def _asked(host: str, port: int, path: str) -> dict[str, Any] | None:
    connection = HTTPConnection(host, port, timeout=2.0)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:  # noqa: PLR2004 - HTTP's own number for fine
            return None
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
    answer: dict[str, Any] = json.loads(body)
    return answer


def picture(view: View | None, per_second: float) -> Group:
    """The live view: best sellers as a shop would show them, below it service and freshness."""
    if view is None:
        return Group(Text("waiting for the reader …"))
    table = Table("product", "", box=None, pad_edge=False, header_style="dim")
    for item in view.items:
        table.add_row(str(item["product_id"]), _sold(item))
    return Group(table, Text(_service(view)), Text(_freshness(view, per_second), style="dim"))


def line(view: View | None, per_second: float) -> str:
    """The view in one line, for logs and pipes."""
    if view is None:
        return "waiting for the reader …"
    best = f"; best: {view.items[0]['product_id']} {_sold(view.items[0])}" if view.items else ""
    return f"{_freshness(view, per_second)}; {_service(view)}{best}"


def _sold(item: dict[str, Any]) -> str:
    return f"{item['sold_monthly']:,} sold monthly · {item['successfully_traded']:,} successfully traded"


def _freshness(view: View, per_second: float) -> str:
    behind = (
        "event time not known yet"
        if view.lag_seconds is None
        else f"{view.lag_seconds:.1f} s behind"
    )
    return f"{view.state}, {behind}, {per_second:,.0f} records/s, {view.records:,} records in all"


def _service(view: View) -> str:
    """How the shops that sell most replied in this cycle, and what waits at all shops."""
    if view.counted:
        replied = (
            f"{percent(view.timely / view.counted)} of {view.counted:,} inquiries replied in time"
        )
    else:
        replied = "no inquiry counted yet"
    return f"{view.shops} best-selling shops: {replied}; all shops: {view.overdue:,} overdue"
