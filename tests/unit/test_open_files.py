"""The limit of open files, which workers and readers raise when they start."""

from __future__ import annotations

import resource

from streams.open_files import allow_open_files


def test_a_process_may_open_as_many_files_as_the_system_lets_it() -> None:
    """The usual limit of 1024 is too low.

    Twelve tables in every partition, or many connections, need more.
    """
    usual, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, most))
        assert allow_open_files() == most
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (usual, most))
