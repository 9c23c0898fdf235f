"""Reads the selected dead letters with their states, and knows which named ones aren't there."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from operations.progress import Meter
from schemas.errors import NetsoldError
from streams.letters import LetterLog

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from schemas.decisions import LetterState
    from schemas.letters import Letter
    from streams.settings import Settings
    from tables.requeueing import PositionRange, Selection


class LetterUnknown(NetsoldError):
    """No dead letter has the position."""

    exit_code = 4


class Reading:
    """One reading of the dead letters that a selection means; progress is shown on stderr."""

    def __init__(self, settings: Settings, selection: Selection) -> None:
        self.settings = settings
        self._selection = selection
        self._letters: LetterLog | None = None
        self._absent = {span: None for span in selection.spans if span.last == span.first.offset}

    @property
    def letters(self) -> LetterLog:
        """The log that is read; it is there as soon as `each` yields."""
        if self._letters is None:
            raise AssertionError("nothing is read yet")
        return self._letters

    def pending(self) -> tuple[object, str]:
        """How far it is, as `operations.waiting` takes it."""
        letters = self._letters
        return letters and (letters.answers, letters.read), "dead letters are being read"

    async def each(self) -> AsyncGenerator[tuple[Letter, LetterState], None]:
        """The selected letters, each with its state. Leave early only under `aclosing`.

        Raises TopicsUnfit, and what `streams.log` raises.
        """
        letters = self._letters = LetterLog(self.settings)
        await letters.open()
        before = letters.read
        with Meter("dead letters", letters.offsets_of(self._selection)) as meter:
            async with aclosing(letters.selected(self._selection)) as lists:
                async for some in lists:
                    meter.at(letters.read - before)
                    for letter in some:
                        self._note(letter)
                        yield letter, letters.state_of(letter.position)

    def require_named(self) -> None:
        """Raise LetterUnknown if a position that the selection names has no letter.

        Call it after all letters are read. A range may be empty.
        """
        absent: list[PositionRange] = list(self._absent)
        if absent:
            raise LetterUnknown(
                f"there is no dead letter {', '.join(map(str, absent))}:"
                " `netsold dead-letters list --each` shows those that there are"
            )

    def _note(self, letter: Letter) -> None:
        if self._absent:
            for span in self._selection.named_by(letter):
                self._absent.pop(span, None)
