"""Directories for what an export needs while it runs, in the data directory."""

from __future__ import annotations

import fcntl
import shutil
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOCK: Final = "_lock"


@contextmanager
def scratch(data_dir: Path, name: str) -> Iterator[Path]:
    """A directory of this process, removed at the end.

    Those of the same name whose processes were killed are removed at the beginning.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    for left in data_dir.glob(f"{name}-*/{_LOCK}"):
        with left.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # its process runs
                continue
            shutil.rmtree(left.parent)
    with (
        TemporaryDirectory(prefix=f"{name}-", dir=data_dir) as directory,
        Path(directory, _LOCK).open("w") as lock,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Path(directory)
