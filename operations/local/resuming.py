"""A directory of long work: for one process at a time, and kept where the work was interrupted."""

from __future__ import annotations

import shutil
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final, Protocol, Self

import msgspec

from operations.local.data_dir import usable, write_whole
from operations.local.locks import locked
from schemas.errors import NetsoldError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TERMS: Final = "terms.json"


class AlreadyAtWork(NetsoldError):
    """Another process works in the same directory."""


class NothingToResume(NetsoldError):
    """There is no interrupted work of this kind."""

    exit_code = 4


class Terms(Protocol):
    """What interrupted work must have in common with the work that continues it.

    It is a msgspec Struct.
    """

    def unlike(self, known: Self) -> str | None:
        """How the known terms differ from these, to follow "the interrupted work …"."""


@contextmanager
def directory_of(path: Path, what: str, terms: Terms, *, resume: bool) -> Iterator[Path]:
    """The directory of some work, for this process alone; emptied unless it is resumed.

    `what` names the work, such as "a replay". After the block the directory is removed, unless that
    was left by an error: then the work can be resumed. Raises AlreadyAtWork, NothingToResume,
    DataDirUnusable.
    """
    runs = AlreadyAtWork(f"{what} is at work in {path}: wait until it has ended")
    with ExitStack() as lock:
        with usable(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.enter_context(locked(path.with_name(f"{path.name}.lock"), runs))
        if resume:
            _check(path, what.partition(" ")[2], terms)
        else:
            with usable(path):
                shutil.rmtree(path, ignore_errors=True)
                path.mkdir(parents=True)
                write_whole(path / _TERMS, msgspec.json.encode(terms))
        yield path
        shutil.rmtree(path, ignore_errors=True)


def _check(path: Path, noun: str, terms: Terms) -> None:
    try:
        known = msgspec.json.decode((path / _TERMS).read_bytes(), type=type(terms))
    except FileNotFoundError:
        raise NothingToResume(f"no interrupted {noun} is there: run it without --resume") from None
    except msgspec.DecodeError:  # a build with other fields wrote it
        fault: str | None = "is of another build"
    else:
        fault = terms.unlike(known)
    if fault is not None:
        raise NothingToResume(f"the interrupted {noun} in {path} {fault}: run it without --resume")
