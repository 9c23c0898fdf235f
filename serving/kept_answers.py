"""Answers about ids as JSON, kept in memory until something of their id changes."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from schemas import http_limits

if TYPE_CHECKING:
    from serving.changes import Changes

AnswerKind = Literal["whole", "in cycle", "cycles", "hour", "day"]
"""An id in a cycle, with what is of all time or without it; or a series of it, by its step."""

_BESIDE_ITS_TEXT: Final = 700
"""What an answer needs in memory beside its text, about."""


class KeptKey(NamedTuple):
    """What an answer is about, and of which kind.

    Of an id in a cycle the start, and the instant until which it is compared with the cycle before
    (`same_point.point_of`); of a series both ends.
    """

    keyed_by: str
    id: bytes
    start_ms: int
    until_ms: int | None
    kind: AnswerKind


@dataclass(slots=True)
class KeptAnswer:
    """An answer's JSON without its freshness.

    It contains the changes of `step`, and perhaps later ones. `etags` as `Rendered` has them.
    """

    content: str
    step: int
    etags: dict[str, str] = field(default_factory=dict)


class KeptAnswers:
    """The answers that were last read, of at most KEPT_ANSWERS_BYTES; for several threads.

    There are two halves: what the old one has and is read goes to the young one. When that is full
    the old one is dropped.
    """

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._young: dict[KeptKey, KeptAnswer] = {}
        self._old: dict[KeptKey, KeptAnswer] = {}
        self._young_bytes = 0
        self._lock = Lock()

    def get(self, key: KeptKey, step: int) -> KeptAnswer | None:
        """The answer that a snapshot gives; None where it must be made.

        `step` is the last one that had ended before the snapshot. The answer of another snapshot
        is the same if nothing of its id has changed since the earlier one of both.
        """
        kept = self._young.get(key)
        if kept is None:
            kept = self._old.get(key)
            if kept is None:
                return None
            self.put(key, kept)
        is_same = self._changes.last_step(key.keyed_by, key.id) <= min(step, kept.step)
        return kept if is_same else None

    def put(self, key: KeptKey, kept: KeptAnswer) -> None:
        """Keep an answer."""
        with self._lock:
            self._young[key] = kept
            self._young_bytes += sys.getsizeof(kept.content) + _BESIDE_ITS_TEXT
            if self._young_bytes > http_limits.KEPT_ANSWERS_BYTES // 2:
                self._old, self._young, self._young_bytes = self._young, {}, 0
