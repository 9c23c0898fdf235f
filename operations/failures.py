"""Explains the error that ends a command: one sentence for the user, and the exit code."""

from __future__ import annotations

import errno
import os
from typing import Final

from operations.local.data_dir import full_disk
from schemas.errors import NetsoldError

_FAILED: Final = NetsoldError.exit_code
_WRONG_SETTINGS: Final = 2
_NOT_READY: Final = 5

_SYSTEM_ERRORS: Final = {
    errno.EACCES, errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EDQUOT, errno.EEXIST, errno.EFBIG,
    errno.EIO, errno.EISDIR, errno.ELOOP, errno.EMFILE, errno.ENAMETOOLONG, errno.ENFILE,
    errno.ENOENT, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS,
}  # fmt: skip
"""Errors that lie with this machine, not with this program."""


def explained(error: Exception) -> tuple[str, int] | None:
    """One sentence and the exit code; None for a fault of ours, which needs its traceback."""
    if isinstance(error, NetsoldError):
        return str(error), error.exit_code
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    if isinstance(error, SettingsError) or (
        isinstance(error, ValidationError) and error.title == "Settings"
    ):
        from operations import setting_faults

        return setting_faults.sentence(error), _WRONG_SETTINGS
    full = full_disk(error)
    if isinstance(error, OSError) or full is not None:
        return _of_the_system(error if isinstance(error, OSError) else OSError(full, str(error)))
    # only now: it loads Kafka's client, which the errors above do not need
    from streams.broker_access import FROM_KAFKA, WITHOUT_RIGHTS

    if isinstance(error, WITHOUT_RIGHTS):
        sentence = (
            f"the cluster doesn't let this user do that ({error}): "
            "grant it the rights that README names under On a cluster"
        )
        return sentence, _NOT_READY
    if isinstance(error, FROM_KAFKA):
        return f"Kafka can't do that: {error}", _FAILED
    return None


def _of_the_system(error: OSError) -> tuple[str, int] | None:
    if isinstance(error, TimeoutError):
        return "what was waited for gave no answer in time", _NOT_READY
    if error.errno not in _SYSTEM_ERRORS:
        return None
    return f"{': '.join((*_place(error), os.strerror(error.errno)))}{_advice(error)}", _FAILED


def _place(error: OSError) -> tuple[str, ...]:
    return (os.fsdecode(error.filename),) if isinstance(error.filename, str | bytes) else ()


def _advice(error: OSError) -> str:
    """The remedy, where one is known, to follow the sentence."""
    if error.errno == errno.EADDRINUSE:
        return ": end what listens there, or set NETSOLD_METRICS_PORT"
    from streams.settings import Settings

    try:
        data_dir = Settings().data_dir
    except (ValueError, OSError):  # unusable settings, which this command did not need
        return ""
    absolute = str(data_dir.absolute())
    if any(os.path.abspath(place).startswith(absolute) for place in _place(error)):  # noqa: PTH100 - a place may be bytes that are no text
        return (
            f": NETSOLD_DATA_DIR is {data_dir}, "
            "and must be a folder with room that this user may write to"
        )
    if full_disk(error) is not None:
        return f": make room where its output goes and where NETSOLD_DATA_DIR lies, {absolute}"
    return ""
