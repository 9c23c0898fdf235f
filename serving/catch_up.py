"""Whether a reader has caught up with a log that goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.log import At

ROUND_S: Final = 1.0
"""A reader has caught up if it read within this time what the log had before."""


class CatchUp:
    """Measures rounds: in each, the reader reads what the log has at the round's beginning."""

    def __init__(self) -> None:
        self._goal: dict[At, int] = {}
        self._since_s = 0.0

    def is_done(self, behind: Mapping[At, tuple[int, int]], now_s: float) -> bool:
        """Whether the round has just ended, within ROUND_S; the next one begins where it ended.

        `behind` is by partition the next offset and the log's end.
        """
        if any(behind.get(at, (0, 0))[0] < goal for at, goal in self._goal.items()):
            return False
        is_first, took_s = not self._goal, now_s - self._since_s
        self._goal = {at: log_end for at, (_, log_end) in behind.items()}
        self._since_s = now_s
        return not is_first and took_s <= ROUND_S
