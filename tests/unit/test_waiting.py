"""Waiting for Kafka: reports, the bound, and signals, with a clock of the test."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
import typer

from operations import waiting
from operations.waiting import GaveUp, Interrupted, Waiting, answer, give_up_s
from streams.settings import Kafka, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS = Settings(_env_file=None, kafka=Kafka(bootstrap_servers="kafka:9092"))


class _Clock(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer, so that hours take no time."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]  # of asyncio's base loop
            self.ahead_s += max(0.0, self._scheduled[0].when() - self.time())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def _run(
    work: Callable[[Waiting], Any],
    pending: waiting.Pending,
    most_s: float,
    end_within_s: float = 2.0,
) -> tuple[list[str], Any]:
    """The reported lines, and the result or the error."""
    lines: list[str] = []

    async def bounded() -> Any:  # noqa: ANN401
        bound = Waiting(SETTINGS, most_s, lines.append)
        return await bound.bounded(work(bound), pending, end_within_s)

    with asyncio.Runner(loop_factory=_Clock) as runner:
        try:
            return lines, runner.run(bounded())
        except (GaveUp, Interrupted, LookupError) as error:
            return lines, error


async def _never(_: Waiting) -> None:
    await asyncio.Event().wait()


def test_a_wait_is_reported_and_given_up() -> None:
    """It is reported after two seconds, then every ten.

    At the bound it ends.
    """
    lines, error = _run(_never, lambda: (0, "7 events unconfirmed"), 40.0)
    assert [line.rpartition(" for ")[0] for line in lines] == [
        "netsold: 7 events unconfirmed; Kafka at kafka:9092 has not answered"
    ] * 4
    assert isinstance(error, GaveUp)
    assert (str(error), error.exit_code) == (
        "gave up: Kafka at kafka:9092 gave no answer for 40.0 s",
        5,
    )


def test_an_answer_restarts_the_bound() -> None:
    """The bound is on the time without an answer, not on the whole time."""
    answers = iter(range(1000))

    async def work(_: Waiting) -> str:
        await asyncio.sleep(200)
        return "done"

    assert _run(work, lambda: (next(answers), "some"), 5.0) == ([], "done")


def test_nothing_is_reported_while_nothing_is_pending() -> None:
    """A pipe that is silent for an hour isn't a fault of Kafka."""

    async def work(_: Waiting) -> str:
        await asyncio.sleep(3600)
        return "done"

    assert _run(work, lambda: None, 5.0) == ([], "done")


def test_a_signal_lets_the_work_end_by_itself() -> None:
    """The work sees `stop`, and its result counts."""

    async def work(bound: Waiting) -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        await bound.stop.wait()
        await asyncio.sleep(1)
        return "what was read is written"

    assert _run(work, lambda: None, 60.0)[1] == "what was read is written"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_work_that_does_not_end(number: signal.Signals) -> None:
    """It ends shortly after the first signal."""

    async def work(bound: Waiting) -> None:
        os.kill(os.getpid(), number)
        await _never(bound)

    _, error = _run(work, lambda: (0, "some"), 3600.0)
    assert isinstance(error, Interrupted)
    assert error.exit_code == 130


def test_a_signal_at_the_end_of_a_request_is_not_lost() -> None:
    """It comes in the work's last step, or while the event loop is closed.

    Handlers are those of before.
    """

    def handler(*_: object) -> None:
        raise AssertionError("the handler of before is for later signals")

    async def signalled() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    async def signalled_at_the_end() -> None:
        asyncio.get_running_loop().call_soon(
            lambda: asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
        )

    before = signal.signal(signal.SIGINT, handler)
    try:
        for work in (signalled, signalled_at_the_end):
            with pytest.raises(Interrupted):
                answer(SETTINGS, work())
            assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_the_work_raises_is_raised() -> None:
    """An error of the work is not changed."""

    async def work(_: Waiting) -> None:
        await asyncio.sleep(0)
        raise LookupError("no such topic")

    assert str(_run(work, lambda: None, 5.0)[1]) == "no such topic"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90.0), ("5m", 300.0), ("PT2H", 7200.0), ("1500ms", 1.5), ("1.5h", 5400.0)],
)
def test_a_bound_is_a_duration(text: str, seconds: float) -> None:
    """A duration is read in either form."""
    assert give_up_s(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "five", "0s", "999ms", "0.9s", "-1s", "PT"])
def test_what_is_no_bound_is_refused(text: str) -> None:
    """A text that is no duration is a usage error."""
    with pytest.raises(typer.BadParameter):
        give_up_s(text)
