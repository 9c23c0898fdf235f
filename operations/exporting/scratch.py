"""Directories for what an export needs while it runs, in the data directory."""

from __future__ import annotations

import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from operations.local.locks import locked

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOCK: Final = "_lock"


class _Used(Exception):
    """The process of a directory runs."""


@contextmanager
def scratch(data_dir: Path, name: str) -> Iterator[Path]:
    """A directory of this process, removed at the end.

    Those of the same name whose processes were killed are removed at the beginning.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    for left in data_dir.glob(f"{name}-*/{_LOCK}"):
        with suppress(_Used), locked(left, _Used()):
            shutil.rmtree(left.parent)
    with (
        TemporaryDirectory(prefix=f"{name}-", dir=data_dir) as directory,
        locked(Path(directory, _LOCK)),
    ):
        yield Path(directory)
