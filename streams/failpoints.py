"""Named points at which a test may kill this process; off unless `NETSOLD_FAILPOINT` is set.

`NETSOLD_FAILPOINT=after_commit:3` ends the process by SIGKILL at its third pass of that point,
`NETSOLD_FAILPOINT=after_commit:3:stop` freezes it by SIGSTOP instead.
"""

from __future__ import annotations

import os
import signal
from enum import StrEnum


class Point(StrEnum):
    """The points, in the order in which a chunk passes them."""

    IN_INIT = "in_init"
    IN_RECOVERY = "in_recovery"
    BEFORE_BEGIN = "before_begin"
    AFTER_FIRST_SEND = "after_first_send"
    AFTER_OFFSETS = "after_offsets"
    AFTER_COMMIT = "after_commit"


def _armed() -> tuple[str, int, signal.Signals] | None:
    text = os.environ.get("NETSOLD_FAILPOINT", "")
    if not text:
        return None
    name, count, how = (
        (*text.split(":"), "1", "kill")[:3] if ":" not in text else (*text.split(":"), "kill")[:3]
    )
    return Point(name), int(count), {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[how]


_ARMED = _armed()
_passed = 0


def reach(point: Point) -> None:
    """Pass a named point; kills or freezes this process if the setting names this pass."""
    global _passed  # noqa: PLW0603 - the setting counts the passes of a process
    if _ARMED is None or _ARMED[0] != point:
        return
    _passed += 1
    if _passed == _ARMED[1]:
        os.kill(os.getpid(), _ARMED[2])
