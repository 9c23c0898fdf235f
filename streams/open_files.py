"""How many files and connections this process may hold open."""

from __future__ import annotations

import contextlib
import resource


def allow_open_files() -> int:
    """Raise this process's limit as far as it may go, and return it.

    A store has many files, a connection is one more.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(
        OSError, ValueError
    ):  # where the system's own limit is lower than what it calls the most
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
