"""`netsold import --mapping`: its files are read in a directory that is kept for `--resume`."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import typer

from operations.files.opening import is_a_pipe
from operations.local.data_dir import keep_private
from operations.local.resuming import directory_of
from operations.mapping.mapped import MappedFiles
from operations.mapping.plan import MappingUnfit, read_mapping
from operations.mapping.spool import SpoolFull
from operations.waiting import answer
from streams.build import this_build
from streams.topics import cluster_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streams.settings import Settings

_SPOOL: Final = "spool"


class FileState(msgspec.Struct, frozen=True):
    """A file by its absolute path; another size or time of change is another file."""

    path: str
    size: int
    changed_ns: int


class ImportTerms(msgspec.Struct, frozen=True):
    """What an interrupted import must have in common with the one that continues it."""

    build: str
    app: str
    prefix: str
    cluster: str
    mapping: str
    """The digest of its text."""

    files: list[FileState]

    def unlike(self, known: ImportTerms) -> str | None:
        """As `operations/local/resuming.py` wants it."""
        before = [file.path for file in known.files]
        if before != [file.path for file in self.files]:
            return f"is of {', '.join(before)}"
        if known.mapping != self.mapping:
            return "began with another text of the mapping"
        for old, new in zip(known.files, self.files, strict=True):
            if old != new:
                return f"began before {new.path} was changed"
        return None if known == self else "is of another build, application or cluster"


@contextmanager
def mapped_files(
    settings: Settings, mapping: Path, files: Sequence[str], *, resume: bool
) -> Iterator[tuple[MappedFiles, bool]]:
    """The files by the mapping, and whether their import can be resumed: not where one is a pipe.

    Raises as `MappedFiles`, `read_mapping` and `directory_of`; typer.BadParameter.
    """
    plan = read_mapping(mapping)
    keep_private()
    pipes = [path for path in files if is_a_pipe(path)]
    if pipes:
        if resume:
            raise typer.BadParameter(f"{pipes[0]} is a pipe, which can't be read again: --resume")
        with closing(MappedFiles(plan, files, settings.max_ahead_seconds)) as mapped:
            yield mapped, False
        return
    # what is wrong with the files is known before Kafka must answer
    MappedFiles(plan, files, settings.max_ahead_seconds).close()
    path = settings.data_dir / settings.app / "import"
    terms = _terms(settings, mapping, files)
    with directory_of(path, "an import", terms, resume=resume) as directory:
        kept = directory / _SPOOL
        try:
            with closing(MappedFiles(plan, files, settings.max_ahead_seconds, kept)) as mapped:
                yield mapped, True
        except (MappingUnfit, SpoolFull):  # to continue would end the same way
            shutil.rmtree(directory, ignore_errors=True)
            raise


def _terms(settings: Settings, mapping: Path, files: Sequence[str]) -> ImportTerms:
    stats = [(Path(path).absolute(), Path(path).stat()) for path in files]
    return ImportTerms(
        str(this_build()),
        settings.app,
        settings.topic_prefix,
        answer(settings, cluster_id(settings)),
        hashlib.sha256(mapping.read_bytes()).hexdigest(),
        [FileState(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stats],
    )
