"""Moments at which two versions can be compared where one of them counts a copy of the log.

A copier commits, with each transaction, how far it has read the log and how far the copy is then.
Such a pair is one moment of both.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from schemas.errors import NetsoldError
from streams.copied import committed_vectors, copied_settings, is_copied
from tables.catalogue import EVENT_TOPICS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from operations.versions.settling import Vector
    from operations.versions.settling_copies import Moment, Moments
    from streams.log import At
    from streams.settings import Settings

_POLL_S: Final = 0.25


class NotOneLog(NetsoldError):
    """Two applications count different logs, so no vector of one is a vector of the other."""

    exit_code = 2


class NoMoment(NetsoldError):
    """No moment of two logs was found that both versions have counted."""

    exit_code = 5


def moments_of(first: Settings, second: Settings) -> Moments | None:
    """The moments of two versions' logs; None where they count the same one.

    Raises NotOneLog.
    """
    if _topics(first) == _topics(second):
        return None
    written = [copied_settings(one) if is_copied(one) else one for one in (first, second)]
    if _topics(written[0]) != _topics(written[1]):
        raise NotOneLog(
            f"{first.app} counts {_names(first)} and {second.app} {_names(second)}: versions are "
            "compared on one log"
        )

    async def last() -> Moment | None:
        vectors = [await committed_vectors(one, {}) for one in (first, second) if is_copied(one)]
        if len(vectors) == 2 and vectors[0].read != vectors[1].read:  # noqa: PLR2004 - both are copied
            return None
        ours = iter(vectors)
        one, other = (
            _vector(next(ours).written if is_copied(one) else vectors[0].read)
            for one in (first, second)
        )
        return (one, other) if vectors[0].read else None

    return last


async def next_moment(moments: Moments, within_s: float, read: Callable[[int], None]) -> Moment:
    """The last moment, or the first one within a time, with calls of `read`. Raises NoMoment."""
    deadline = asyncio.get_running_loop().time() + within_s
    while (found := await moments()) is None:
        if asyncio.get_running_loop().time() > deadline:
            raise NoMoment(
                "the copier has recorded no moment of both logs: run `netsold rebuild copy NAME`; "
                "of two copies, compare each with the version that counts the written log, or "
                "while no events flow"
            )
        read(0)
        await asyncio.sleep(_POLL_S)
    return found


def _vector(offsets: Mapping[At, int]) -> Vector:
    return {f"{topic}-{number}": offset for (topic, number), offset in offsets.items()}


def _topics(settings: Settings) -> list[str]:
    return [settings.topic(name) for name in EVENT_TOPICS]


def _names(settings: Settings) -> str:
    return " and ".join(_topics(settings))
