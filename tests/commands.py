"""Commands of netsold as processes, in an event loop that runs on meanwhile."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.faults.workers import environment

if TYPE_CHECKING:
    from streams.settings import Settings


async def netsold(settings: Settings, *arguments: str, **changes: str) -> tuple[int, str, str]:
    """Exit code and output of a command; `changes` are further settings of it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "operations.cli",
        *arguments,
        env=environment(settings, **changes),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 300)
    return process.returncode or 0, out.decode(), err.decode()
