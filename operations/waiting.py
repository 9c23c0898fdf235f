"""Waiting for Kafka within bounds.

A wait is reported after two seconds, or ten, and every ten from then on. It ends at the first
signal, or after a bound without any answer. aiokafka's clients wait silently, some of them for
ever.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final, TypeVar

import typer

from operations.in_words import duration
from operations.interrupts import INTERRUPTED
from operations.output import print_error
from schemas.errors import NetsoldError
from schemas.times import duration_ms
from streams.settings import Settings

REPORT_AFTER_S: Final = 2.0
REPORT_EVERY_S: Final = 10.0
POLL_EVERY_S: Final = 0.25
END_WITHIN_S: Final = 2.0
"""How long work may continue after a signal."""

ANSWER_WITHIN_S: Final = 60.0
"""How long `answer` waits for one request."""

GIVE_UP_AFTER: Final = "5m"

GiveUpAfter = Annotated[
    str,
    typer.Option(
        metavar="DURATION",
        help="Such as 90s, 2h or PT2H: end (exit code 5) after so long without an answer.",
    ),
]

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

T = TypeVar("T")
Pending = Callable[[], tuple[object, str] | None]
"""What is waited for: a value that changes with every answer, and a description.

None while nothing is waited for."""


class Interrupted(NetsoldError):
    """A signal ended it."""

    exit_code = INTERRUPTED


class GaveUp(NetsoldError):
    """Kafka gave no answer for too long."""

    exit_code = 5


class Waiting:
    """Bounds one piece of work that waits for Kafka. `stop` is set at the first SIGINT or SIGTERM.

    `give_up_s` is how long it waits without any answer; `report` shows a line, first after
    `report_after_s`.
    """

    def __init__(
        self,
        settings: Settings,
        give_up_s: float,
        report: Callable[[str], None],
        report_after_s: float = REPORT_AFTER_S,
    ) -> None:
        self.stop = asyncio.Event()
        self._where = settings.kafka.bootstrap_servers
        self._give_up_s = give_up_s
        self._report = report
        self._report_after_s = report_after_s
        self._signals = 0

    async def bounded(
        self, work: Coroutine[Any, Any, T], pending: Pending, end_within_s: float = END_WITHIN_S
    ) -> T:
        """The result of the work. Raises Interrupted, GaveUp, and what the work raises.

        After a signal the work has `end_within_s` to end by itself; a second signal ends it at
        once.
        """
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._signalled)
        task = asyncio.ensure_future(work)
        try:
            await self._watch(task, pending, end_within_s)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=END_WITHIN_S)
        return task.result()

    def run(self, work: Coroutine[Any, Any, T], pending: Pending) -> T:
        """The result of work that ends at any signal, also at one while it ends by itself.

        Handlers of signals are afterwards those of before. Raises as `bounded`.
        """
        handlers = {number: signal.getsignal(number) for number in SIGNALS}

        async def bounded() -> T:
            return await self.bounded(work, pending, end_within_s=0.0)

        try:
            found = asyncio.run(bounded())
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        if self.stop.is_set():
            raise Interrupted("interrupted")
        return found

    def _signalled(self) -> None:
        self._signals += 1
        self.stop.set()

    async def _watch(self, task: asyncio.Future[T], pending: Pending, end_within_s: float) -> None:
        now = asyncio.get_running_loop().time
        since = reported_at = now()
        stopped_at: float | None = None
        before: object = None
        while not (
            await asyncio.wait(
                [task], timeout=POLL_EVERY_S if not self.stop.is_set() else POLL_EVERY_S / 5
            )
        )[0]:
            if self.stop.is_set():
                stopped_at = now() if stopped_at is None else stopped_at
                if self._signals > 1 or now() - stopped_at >= end_within_s:
                    raise Interrupted("interrupted")
            what = pending()
            if what is None or what[0] != before:
                before, since = what and what[0], now()
                reported_at = since - REPORT_EVERY_S + self._report_after_s
            elif now() - since >= self._give_up_s:
                raise GaveUp(
                    f"gave up: Kafka at {self._where} gave no answer"
                    f" for {duration(self._give_up_s)}"
                )
            elif now() - reported_at >= REPORT_EVERY_S:
                reported_at = now()
                self._report(
                    f"netsold: {what[1]}; Kafka at {self._where} has not answered"
                    f" for {duration(now() - since)}"
                )


def answer(
    settings: Settings,
    work: Coroutine[Any, Any, T],
    pending: Pending = lambda: (None, "no answer yet"),
) -> T:
    """The result of work that sends Kafka a request; a wait of ten seconds is reported on stderr.

    Raises as `Waiting.bounded`.
    """
    waiting = Waiting(settings, ANSWER_WITHIN_S, print_error, REPORT_EVERY_S)
    return waiting.run(work, pending)


def give_up_s(text: str) -> float:
    """Seconds of `--give-up-after`. Raises typer.BadParameter."""
    try:
        found_ms = duration_ms(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--give-up-after") from error
    if found_ms < 1000:  # noqa: PLR2004 - a second
        raise typer.BadParameter(f"{text!r} is less than a second", param_hint="--give-up-after")
    return found_ms / 1000


async def stopped_within(stop: asyncio.Event, seconds: float) -> None:
    """Wait until `stop` is set, but no longer than some seconds."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
