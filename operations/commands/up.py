"""`netsold up`: Kafka, workers, a reader and simulated traffic on this machine, until Ctrl-C.

It shows what sells, as the reader's API answers. The next `up` continues with the same data.
Starting and restarting the processes is in `operations/local/stack.py`.
"""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.live import Live

from operations.commands.up_view import Rate, View, line, picture, read_view
from operations.local import stack
from operations.local.data_dir import keep_private
from streams.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

POLL_EVERY_S = 0.5
LINE_EVERY_S = 10.0
"""Between two lines of the view where stdout is no terminal."""


def command(
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 2,
    rate: Annotated[
        float, typer.Option(min=0, help="Simulated events per second; 0 = no traffic.")
    ] = 50.0,
) -> None:
    """Run everything here until Ctrl-C, and show what sells.

    Data and logs are in the data directory.
    """
    keep_private()
    settings = Settings()
    console = Console(highlight=False, markup=False)

    def report(sentence: str) -> None:
        with suppress(OSError):  # a full disk or a closed terminal doesn't end the processes
            console.print(sentence, soft_wrap=True)

    is_up = False
    _handle_signals(_interrupt)
    with ExitStack() as ends:
        try:
            settings, tend = stack.start(settings, workers, rate, report, ends)
            is_up = True
            if console.is_terminal:
                _show_live(settings, tend, console)
            else:
                _show_lines(settings, tend, report)
        except KeyboardInterrupt:
            report(
                "stopping; `netsold up` goes on from here"
                if is_up
                else "interrupted while starting: ending what was started"
            )
        finally:
            _handle_signals(signal.SIG_IGN)  # the children are ended in order now
    if not is_up:
        raise typer.Exit(130)


def _handle_signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """End any waiting at once: asyncio, too, passes on this exception and no other."""
    raise KeyboardInterrupt


def _show_live(settings: Settings, tend: Callable[[float], None], console: Console) -> None:
    rate = Rate()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            time.sleep(POLL_EVERY_S)
            now_s = time.monotonic()
            tend(now_s)
            view = read_view(settings)
            live.update(picture(view, _rate_of(view, rate, now_s)), refresh=True)


def _show_lines(
    settings: Settings, tend: Callable[[float], None], report: Callable[[str], None]
) -> None:
    rate = Rate(LINE_EVERY_S)
    due_s = time.monotonic() + LINE_EVERY_S
    while True:
        time.sleep(POLL_EVERY_S)
        now_s = time.monotonic()
        tend(now_s)
        if now_s >= due_s:
            due_s += LINE_EVERY_S
            view = read_view(settings)
            report(line(view, _rate_of(view, rate, now_s)))


def _rate_of(view: View | str, rate: Rate, now_s: float) -> float:
    return 0.0 if isinstance(view, str) else rate.read(now_s, view.records)
