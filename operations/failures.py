"""What a command says of an error that a person can mend, and with which exit code it ends."""

from __future__ import annotations

import errno
import os
from typing import Final

from operations.local.data_dir import FULL_DISK

_FAILED: Final = 1
_WRONGLY_CALLED: Final = 2
_NOT_READY: Final = 5

_ANSWERS_OF_THE_SYSTEM: Final = {
    errno.EACCES, errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EDQUOT, errno.EEXIST, errno.EIO, errno.EISDIR, errno.ELOOP, errno.EMFILE,
    errno.ENAMETOOLONG, errno.ENFILE, errno.ENOENT, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS,
}  # fmt: skip
"""What lies with this machine and not with this program."""


def explained(error: Exception) -> tuple[str, int] | None:
    """One sentence and the exit code; None for a fault of ours, whose traceback is wanted."""
    code = getattr(error, "exit_code", None)
    if code is not None:
        return str(error), int(code)
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    if isinstance(error, SettingsError) or (
        isinstance(error, ValidationError) and error.title == "Settings"
    ):
        from operations import setting_faults

        return setting_faults.sentence(error), _WRONGLY_CALLED
    if isinstance(error, OSError):
        return _of_the_system(error)
    from streams.refused import (
        FROM_KAFKA,
        WITHOUT_RIGHTS,
    )  # Kafka's client, which most errors are explained without

    if isinstance(error, WITHOUT_RIGHTS):
        return (
            f"the cluster doesn't let this user do that ({error}): grant it the rights that README names under On a cluster",
            _NOT_READY,
        )
    if isinstance(error, FROM_KAFKA):
        return f"Kafka can't do that: {error}", _FAILED
    return None


def _of_the_system(error: OSError) -> tuple[str, int] | None:
    if isinstance(error, TimeoutError):
        return "what was waited for gave no answer in time", _NOT_READY
    if error.errno not in _ANSWERS_OF_THE_SYSTEM:
        return None
    return f"{': '.join((*_place(error), os.strerror(error.errno)))}{_advice(error)}", _FAILED


def _place(error: OSError) -> tuple[str, ...]:
    return (os.fsdecode(error.filename),) if isinstance(error.filename, str | bytes) else ()


def _advice(error: OSError) -> str:
    """What to do, where that is known."""
    if error.errno == errno.EADDRINUSE:
        return ": end what listens there, or set NETSOLD_METRICS_PORT"
    from streams.settings import Settings

    try:
        data_dir = Settings().data_dir
    except (ValueError, OSError):  # settings that can't be used, which this command didn't need
        return ""
    if any(os.path.abspath(place).startswith(str(data_dir.absolute())) for place in _place(error)):  # noqa: PTH100 - bytes that are no text, too
        return f": NETSOLD_DATA_DIR is {data_dir}, and must be a folder with room that this user may write to"
    return (
        f": make room where its output goes and where NETSOLD_DATA_DIR lies, {data_dir.absolute()}"
        if error.errno in FULL_DISK
        else ""
    )
