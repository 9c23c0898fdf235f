"""How far a long command is, on stderr: a bar at a terminal, else a line every ten seconds."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 10.0
LOOK_EVERY_S = 0.1


class Meter:
    """Counts work done of some unit (`events`, `bytes`).

    `total` None means that the end isn't known.
    """

    def __init__(self, what: str, total: int | None) -> None:
        self._what = what
        self._total = total
        self._began = self._told = time.monotonic()
        self._bar = (
            Progress(
                TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"), TimeRemainingColumn(),
                console=Console(stderr=True), transient=True,
            )
            if sys.stderr.isatty()
            else None
        )  # fmt: skip
        self._task = self._bar.add_task(what, total=total, text="") if self._bar else None

    def __enter__(self) -> Self:
        """Show it."""
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar away."""
        if self._bar:
            self._bar.stop()

    def at(self, done: int) -> None:
        """So much is done in all by now; cheap enough for every hundredth item."""
        now = time.monotonic()
        if now - self._told < (LOOK_EVERY_S if self._bar else LINE_EVERY_S):
            return
        self._told = now
        text = f"{done:,}{'' if self._total is None else f' of {self._total:,}'}, {done / (now - self._began):,.0f}/s"
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=done, text=text)
        else:
            self.say(f"{self._what}: {text}")

    def say(self, line: str) -> None:
        """A line on stderr, above the bar."""
        if self._bar:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
