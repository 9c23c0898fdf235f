"""Handovers: which application of a family sends the alerts that a record of `chats` causes.

All applications of a family read the same log, and its handovers name the speaker. So the former
one ends and the next one begins at one offset, in every replay.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final, NamedTuple


class Speaking(NamedTuple):
    """An application, and the base of its family, which speaks before the first handover."""

    app: str
    base: str


ALONE: Final = Speaking("", "")
"""An application without other versions."""


class Speakers:
    """Who speaks at the offsets of one chunk.

    `before` is the speaker at the chunk's beginning, None before the first handover. `handovers`
    are the chunk's, in order: offset and speaker. Those of other families on the same log are
    passed over.
    """

    def __init__(
        self, speaking: Speaking, before: str | None, handovers: Sequence[tuple[int, str]]
    ) -> None:
        app, base = speaking
        ours = [one for one in handovers if one[1] == base or one[1].startswith(f"{base}.")]
        self.last = ours[-1][1] if ours else before
        """The speaker after the chunk, None while there was no handover."""

        self._app = app
        self._names = [base if before is None else before, *(speaker for _, speaker in ours)]
        self._offsets = [offset for offset, _ in ours]

    def is_ours(self, offset: int) -> bool:
        """Whether the application itself sends the alerts that the record at `offset` causes."""
        return self._names[bisect_left(self._offsets, offset)] == self._app
