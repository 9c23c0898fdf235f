"""The limit of files and connections that this process may have open."""

from __future__ import annotations

import contextlib
import resource


def allow_open_files() -> int:
    """Raise the limit to the highest allowed value, and return it.

    A store has many files, and every connection is one more.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # the system's own limit may be lower than the one that it reports
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
