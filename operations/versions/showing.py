"""What `netsold rebuild status` shows."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from operations.aligned import aligned
from operations.in_words import duration
from operations.output import escaped
from operations.versions.changing import members, missing_topics
from operations.versions.progress import Pace, applied_of, progress_line
from streams.backlog import backlog
from streams.copied import read_copy_if_any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from schemas.control import Act, Version
    from streams.backlog import Backlog
    from streams.copied import CopyState
    from streams.settings import Settings
    from streams.versions import Versions

FORMAT: Final = 1
"""Version of the names in the JSON."""

PACE_SECONDS: Final = 2.0
LAST_ACTS: Final = 10

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class VersionState:
    """How far a version is, its pace, and the names of its workers.

    `now` is None where topics are `missing`, so that nothing is known. `copy` is how far the copy
    of its log is, and the pace of that; None where there is none.
    """

    app: str
    now: Backlog | None
    pace: Pace
    workers: Sequence[str]
    copy: tuple[CopyState, Pace] | None = None
    missing: Sequence[str] = ()


async def states(versions: Versions, settings: Settings) -> list[VersionState]:
    """The state of each version, from two observations. Raises KafkaUnreachable, KafkaError."""
    apps = list(versions.registered) or [versions.base]
    all_of = {app: versions.settings_of(app, settings) for app in apps}
    missing = await _of_each(missing_topics, all_of)
    of = {app: one for app, one in all_of.items() if not missing[app]}
    paces = {app: Pace() for app in apps}
    now: Mapping[str, Backlog] = {}
    copies: Mapping[str, CopyState | None] = {}
    copying = {app: Pace() for app in apps}
    for is_last in (False, True):
        now = await _of_each(backlog, of)
        for app, one in now.items():
            paces[app].add(time.monotonic(), applied_of(of[app], one), one.records)
        copies = await _of_each(read_copy_if_any, of)
        for app, state in copies.items():
            if state is not None:
                passed = sum(state.vectors.positions.values())
                copying[app].add(time.monotonic(), passed, state.left)
        if not is_last and any(one.records for one in now.values()):
            await asyncio.sleep(PACE_SECONDS)
    workers = await _of_each(members, all_of)
    return [
        VersionState(
            app,
            now.get(app),
            paces[app],
            workers[app],
            None if (state := copies.get(app)) is None else (state, copying[app]),
            missing[app],
        )
        for app in apps
    ]


async def _of_each(
    found: Callable[[Settings], Awaitable[T]], of: Mapping[str, Settings]
) -> dict[str, T]:
    """Something of each version at the same time."""
    results = await asyncio.gather(*(found(settings) for settings in of.values()))
    return dict(zip(of, results, strict=True))


def lines(versions: Versions, found: Sequence[VersionState]) -> Iterator[str]:
    """A line for each version, and the last acts."""
    rows = []
    for one in found:
        behind = _behind(versions, one)
        workers = f"workers: {', '.join(one.workers)}" if one.workers else "no worker runs"
        if one.copy is not None:
            behind += f", {copy_line(*one.copy)}"
        rows.append([one.app, _place(versions, one.app), behind, workers])
    yield from aligned(rows)
    for act in versions.acts[-LAST_ACTS:]:
        why = f": {escaped(act.why)}" if act.why else ""
        counts = ", ".join(f"{count:,} {name}" for name, count in act.differences.items())
        accepted = f" (accepted: {counts or 'not compared'})" if act.accepted else ""
        yield f"{act.at}  {act.act} {act.app} by {escaped(act.by)}{accepted}{why}"


def _behind(versions: Versions, one: VersionState) -> str:
    """How far a version is, for people."""
    if one.now is not None:
        return progress_line(one.pace, one.now) if one.now.records else "nothing behind"
    if one.app != versions.pointed:
        return f"its topics are missing: `netsold rebuild drop {one.app}` deletes what is left"
    names = f"its topics are missing ({', '.join(one.missing)})"
    return f"{names}: run `netsold topics create`" if one.app == versions.base else names


def act_json(act: Act) -> dict[str, Any]:
    """What was done to a version, with stable names."""
    return {"format": FORMAT, **msgspec.to_builtins(act)}


def registered_json(version: Version, *, known: bool) -> dict[str, Any]:
    """A rebuild that is registered, with stable names; `known`: it was before."""
    return {
        "format": FORMAT,
        "app": version.app,
        "known": known,
        "registered": msgspec.to_builtins(version),
    }


def _place(versions: Versions, app: str) -> str:
    if app == versions.pointed:
        return "answered"
    pointer = versions.pointer
    return "former" if pointer is not None and pointer.former == app else "beside"


def copy_line(state: CopyState, pace: Pace) -> str:
    """How far the copy of a version's log is, for people."""
    if not state.left:
        return "its log is copied"
    left_s = pace.left_s
    line = f"{state.left:,} records are not copied into its log"
    return line if left_s is None else f"{line}, about {duration(left_s)} left"


def _copy_json(state: CopyState, pace: Pace) -> dict[str, Any]:
    return {"records_left": state.left, "seconds_left": pace.left_s}


def as_json(versions: Versions, found: Sequence[VersionState]) -> dict[str, Any]:
    """The same with stable names."""
    return {
        "format": FORMAT,
        "base": versions.base,
        "answered": versions.pointed,
        "since": versions.pointer and versions.pointer.since,
        "former": versions.pointer and versions.pointer.former,
        "versions": [
            {
                "app": one.app,
                "place": _place(versions, one.app),
                "records_behind": None if one.now is None else one.now.records,
                "events_per_second": None if one.now is None else one.pace.records_s,
                "seconds_left": None if one.now is None else one.pace.left_s,
                "missing_topics": list(one.missing),
                "workers": list(one.workers),
                "copy": None if one.copy is None else _copy_json(*one.copy),
                "registered": msgspec.to_builtins(versions.registered.get(one.app)),
            }
            for one in found
        ],
        "acts": msgspec.to_builtins(list(versions.acts)),
    }
