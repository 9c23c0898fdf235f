"""Checks of this machine: the installation, the disk, file handles, and the local stores."""

from __future__ import annotations

import resource
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil

import tables
from operations.doctor.cluster import judge_disk
from operations.doctor.results import CheckResult, fault, ok, warning
from operations.in_words import size
from schemas import limits
from schemas.wording import name_list, with_count
from streams.local_stores import WorkerStore, reader_stores, worker_stores
from streams.topics import changelog
from tables.catalogue import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from streams.lane_offsets import LaneOffsets
    from streams.settings import Settings

STORES_SECONDS: Final = 8.0
"""How long the reading of local stores may take."""

HANDLES_PER_STORE: Final = 10
"""File handles that a worker needs at least for each table and partition."""

MOST_USED: Final = 0.8
"""More than this share of a process's file handles in use is a warning."""


def check_installation() -> CheckResult:
    """Whether `tables` is netsold's: another package of this name hides it."""
    ours, found = Path(__file__).parent.parent.parent, Path(str(tables.__file__)).parent.parent
    python = ".".join(map(str, sys.version_info[:3]))
    if found != ours:
        return fault(
            "installation",
            f"the package `tables` is that of {found}, not netsold's of {ours}",
            "pip uninstall tables   # PyTables; or run netsold in an environment of its own",
        )
    return ok("installation", f"netsold in {ours}, Python {python}")


def check_disk(settings: Settings) -> CheckResult:
    """The disk of the data directory, or of where it will be."""
    directory = settings.data_dir.absolute()
    while not directory.exists():
        directory = directory.parent
    usage = shutil.disk_usage(directory)
    return judge_disk("disk", str(settings.data_dir.absolute()), usage.free, usage.total)


def check_handles(settings: Settings) -> Iterator[CheckResult]:
    """The limit of file handles, and how many each process with files in the data directory uses.

    Only processes of this user are seen.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield judge_handle_limit(most, settings.partitions)
    used = [
        _handles(process)
        for process in psutil.process_iter()
        if _is_netsold(process) and _works_in(process, settings.data_dir)
    ]
    processes = [one for one in used if one is not None]
    if processes:
        yield judge_handles_used(processes, settings.data_dir)


def judge_handle_limit(most: int, partitions: int) -> CheckResult:
    """The hard limit of file handles against what one worker with all partitions needs."""
    need = HANDLES_PER_STORE * len(TABLES) * partitions
    sentence = (
        f"a process may open {most:,} files; a worker with all partitions needs {need:,}, "
        f"a reader {limits.RESERVED_HANDLES:,} and one per connection"
    )
    details = [{"limit": most, "worker_needs": need, "reader_needs": limits.RESERVED_HANDLES}]
    remedy = f"ulimit -Hn {2 * max(need, limits.RESERVED_HANDLES)}"
    if most < limits.RESERVED_HANDLES:
        return fault("file_handles", sentence, remedy, details)
    if most < max(need, 2 * limits.RESERVED_HANDLES):
        return warning("file_handles", sentence, remedy, details)
    return ok("file_handles", sentence, details)


def judge_handles_used(processes: Sequence[Mapping[str, Any]], directory: Path) -> CheckResult:
    """The file handles of a data directory's processes: `pid`, `command`, `open`, `limit`."""
    most = max(processes, key=lambda one: one["open"] / one["limit"])
    sentence = (
        f"{most['command']} (pid {most['pid']}) has {most['open']:,} of {most['limit']:,} files "
        f"open, the most of {len(processes):,} workers and readers of {directory.absolute()}"
    )
    if most["open"] > MOST_USED * most["limit"]:
        return warning("file_handles", sentence, f"ulimit -Hn {2 * most['limit']}", processes)
    return ok("file_handles", sentence, processes)


def _is_netsold(process: psutil.Process) -> bool:
    """Whether a process of this user is a worker or a reader."""
    with suppress(psutil.Error):
        words = process.cmdline()
        ours = any(word == "operations.cli" or Path(word).name == "netsold" for word in words)
        same_user = process.uids().real == psutil.Process().uids().real
        return ours and same_user and not {"worker", "serve"}.isdisjoint(words)
    return False


def _works_in(process: psutil.Process, directory: Path) -> bool:
    """Whether a process has files open in a data directory, as one with a store has."""
    with suppress(psutil.Error):
        root = directory.resolve()
        return any(root in Path(one.path).parents for one in process.open_files())
    return False


def _handles(process: psutil.Process) -> dict[str, Any] | None:
    """A process's file handles; None if it has ended."""
    with suppress(psutil.Error):
        command = next(word for word in process.cmdline() if word in {"worker", "serve"})
        _, limit = process.rlimit(psutil.RLIMIT_NOFILE)
        return {
            "pid": process.pid,
            "command": f"netsold {command}",
            "open": process.num_fds(),
            "limit": limit,
        }
    return None


def read_stores(settings: Settings) -> tuple[list[WorkerStore], bool]:
    """The local workers' stores, and whether all were read within STORES_SECONDS."""
    deadline = time.monotonic() + STORES_SECONDS
    found: list[WorkerStore] = []
    for store in worker_stores(settings):
        if time.monotonic() > deadline:
            return found, False
        found.append(store)
    return found, True


def check_reader_stores(settings: Settings) -> list[CheckResult]:
    """The stores of the data directory's reader."""
    found = []
    for path, size_bytes, why in reader_stores(settings):
        details = [{"path": str(path), "bytes": size_bytes}]
        if why is None:
            sentence = f"the reader's store {path} can be read, {size(size_bytes)}"
            found.append(ok("stores", sentence, details))
        else:
            sentence = f"the reader's store {path} can't be read: {why}"
            remedy = "netsold serve   # it sets a damaged store aside and fills a new one"
            found.append(warning("stores", sentence, remedy, details))
    return found


def judge_stores(
    stores: Sequence[WorkerStore],
    lanes: Mapping[tuple[str, int], LaneOffsets],
    ends: Mapping[tuple[str, int], int],
    settings: Settings,
    cluster: str | None,
) -> Iterator[CheckResult]:
    """Whether workers' stores can be read, and whether they are not ahead of Kafka.

    `lanes` are by table and partition, `ends` are the changelogs' high watermarks, read after the
    stores; empty where the cluster gave no answer.
    """
    bad = 0
    for store in stores:
        found = _judge_store(store, lanes, ends, settings, cluster)
        if found is not None:
            bad += 1
            yield found
    if stores and not bad:
        total = size(sum(store.size_bytes for store in stores))
        yield ok(
            "stores",
            f"{with_count('store', stores)} of workers can be read, {total}",
            [{"path": str(one.path), "bytes": one.size_bytes} for one in stores],
        )
    if not stores:
        yield ok("stores", f"no worker has stores in {settings.data_dir.absolute()}")


def _judge_store(
    store: WorkerStore,
    lanes: Mapping[tuple[str, int], LaneOffsets],
    ends: Mapping[tuple[str, int], int],
    settings: Settings,
    cluster: str | None,
) -> CheckResult | None:
    """What is wrong with one store; None if nothing is."""
    restores = "restart its worker: it wipes the store, and its changelog restores it"
    details = [{"path": str(store.path), "bytes": store.size_bytes}]
    if store.failed is not None:
        sentence = f"the store {store.path} can't be read: {store.failed}"
        if store.damaged:
            return warning("stores", sentence, restores, details)
        return fault("stores", sentence, "see docs/runbook.md, Store not opened", details)
    owner = store.identity
    if owner is not None and cluster is not None and owner.cluster != cluster:
        sentence = f"the store {store.path} is of another cluster, {owner.cluster}"
        return warning("stores", sentence, restores, details)
    end = ends.get((changelog(settings, store.table), store.partition))
    if end is not None and store.position is not None and store.position > end:
        sentence = f"the store {store.path} is at {store.position:,}, its changelog ends at {end:,}"
        return warning("stores", sentence, restores, details)
    lane = lanes.get((store.table, store.partition))
    if lane is None or store.mark is None or lane.moving or store.mark.offset <= lane.applied:
        return None
    return fault(
        "stores",
        f"the store {store.path} has offset {store.mark.offset:,} of {lane.name}, its changelog "
        f"only {lane.applied:,}: what it has was not committed",
        f"rm -r {store.path}   # with its worker stopped: the changelog restores it",
        details,
    )


def unread_stores(settings: Settings, read: int) -> CheckResult:
    """The result for stores that there was no time for."""
    names = name_list(sorted({path.name for path in (settings.data_dir / settings.app).iterdir()}))
    return warning(
        "stores",
        f"only {read:,} stores of {names} were read in {STORES_SECONDS:.0f} s",
        "netsold doctor   # when the disk is less busy",
    )
