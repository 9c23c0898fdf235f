"""The progress of a long command on stderr: a bar at a terminal, else a line every ten seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from operations.output import print_error

LINE_EVERY_S = 10.0
REDRAW_EVERY_S = 0.1


class Meter:
    """Shows how much of some unit (`events`, `bytes`) is done. `total` is None where unknown."""

    def __init__(self, what: str, total: int | None) -> None:
        self._what = what
        self._total = total
        self._started_s = self._shown_s = time.monotonic()
        self._bar = (
            Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[text]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            if sys.stderr.isatty()
            else None
        )
        self._task = self._bar.add_task(what, total=total, text="") if self._bar else None

    def __enter__(self) -> Self:
        """Show the bar."""
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the bar."""
        if self._bar:
            self._bar.stop()

    def at(self, done: int) -> None:
        """Show the amount done so far; cheap enough to call for every hundredth item."""
        now = time.monotonic()
        if now - self._shown_s < (REDRAW_EVERY_S if self._bar else LINE_EVERY_S):
            return
        self._shown_s = now
        # a log that grows, or is read again behind its marks, has more than was known at first
        total = "" if self._total is None else f" of {max(done, self._total):,}"
        text = f"{done:,}{total}, {done / (now - self._started_s):,.0f}/s"
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=done, text=text)
        else:
            self.print(f"{self._what}: {text}")

    def print(self, line: str) -> None:
        """Print a line on stderr, above the bar."""
        if self._bar:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print_error(line)


class Steps:
    """Shows each step's progress, one after the other."""

    def __init__(self) -> None:
        self._meter: Meter | None = None
        self._reports = 0

    def __enter__(self) -> None:
        """Nothing is shown before the first step."""

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        """End what shows the last step."""
        if self._meter is not None:
            self._meter.__exit__(kind, error, trace)

    def begin(self, what: str, total: int | None) -> Callable[[int], None]:
        """Begin a step; returns what gets how much more is done."""
        self.__exit__()
        meter = self._meter = Meter(what, total)
        meter.__enter__()
        done = 0

        def report(more: int) -> None:
            nonlocal done
            done += more
            self._reports += 1
            meter.at(done)

        return report

    def pending(self) -> tuple[object, str]:
        """For `operations/waiting.py`: what changes while it works."""
        return self._reports, "nothing was read or folded"
