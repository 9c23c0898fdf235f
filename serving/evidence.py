"""The evidence from which the whole way is judged, and the bounds for what may be behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from serving.progress import ReaderProgress
    from streams.copied import CopyState
    from streams.log import At
    from streams.observe import Observation
    from streams.parked import Parked
    from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may be behind: records of all sources together, and seconds that an event may wait.

    `records` is None for any number.
    """

    records: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that a judgement is made from.

    `progress` is how far the tables are, `followed` the ids of the topics that they came from.
    `observation` is the last one, None before the first; `failure` is why the newest one failed.
    `history`: the ends of the sources as observed, with the time, oldest first; `applied`: the
    last offsets in all tables, likewise. `silent_s`: how
    long the log has not answered the reader. `unstable_s`: how long the group has been
    rebalancing. `parked`: dead letters; `uncounted` is why they aren't all counted. `rates`: how
    many records a second the sources get. `build`: this reader's, empty where it is unknown.
    `copy`: how far the copy of the log was at the observation, None where the log is no copy.
    """

    settings: Settings
    progress: ReaderProgress
    followed: Mapping[str, str]
    now_ms: int
    observation: Observation | None = None
    failure: str | None = None
    history: Sequence[tuple[int, Mapping[At, int]]] = ()
    applied: Sequence[tuple[int, Mapping[At, int]]] = ()
    silent_s: float = 0.0
    unstable_s: float = 0.0
    parked: Sequence[Parked] = ()
    uncounted: str | None = None
    rates: Mapping[At, float] = field(default_factory=dict)
    build: str = ""
    copy: CopyState | None = None
