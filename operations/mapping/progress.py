"""How far an import by a mapping is, kept with what it has stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from operations.mapping.reading import Counts

if TYPE_CHECKING:
    from operations.mapping.spool import Spool

KEEP_EVERY: Final = 20_000
"""Rows or events after which progress is kept: what an interruption costs at most."""

Phase = Literal["reading", "joining", "matching", "writing"]


class Progress(msgspec.Struct):
    """How far it is: the phase, and what is done of it.

    In reading: files read whole, in the stage's order, and rows of the next one. In joining and
    matching: the last group and key. In writing: events confirmed without a gap.
    """

    phase: Phase = "reading"
    files: int = 0
    rows: int = 0
    group: tuple[int, str] = (-1, "")
    key: str | None = None
    written: int = 0
    counts: Counts = msgspec.field(default_factory=Counts)


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Progress).decode


class Keeping:
    """Keeps the progress of an import in its spool; `now` is what was kept there, or a new one."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        known = spool.progress()
        self.now = Progress() if known is None else _decode(known)
        self._since = 0

    def keep(self) -> None:
        """Let what is stored and done outlast this process."""
        self._since = 0
        self._spool.keep(_encode(self.now))

    def at_times(self) -> None:
        """The same after so many calls."""
        self._since += 1
        if self._since >= KEEP_EVERY:
            self.keep()

    def begin(self, phase: Phase) -> None:
        """The phase before is done."""
        self.now.phase = phase
        self.keep()
