"""What an opening compares, read from outside: each source partition's marks and committed offset.

A worker decides by the same function, `unfit.why_unfit`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiokafka import TopicPartition

from schemas.positions import offset_after
from streams import groups, log, topics
from streams.cluster import Cluster
from streams.errors import StateUnfit
from streams.lanes import terms_of
from streams.last_marks import last_marks
from streams.unfit import made_otherwise, why_unfit
from tables.stages import stages

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from streams.log import At
    from streams.marks import Mark
    from streams.settings import Settings
    from tables.catalogue import StageSpec


@dataclass(frozen=True, slots=True)
class LaneOffsets:
    """A source partition of a stage: the marks of its tables, and the group's committed offset.

    `beginning` and `end` are those of the source's log. `moving`: the offset was committed anew
    while this was read, so a worker is at work there. `blocked`: an open transaction hides the
    newest records of one of its changelogs.
    """

    spec: StageSpec
    topic: str
    partition: int
    topic_id: str
    partitions: int
    terms: str
    marks: Mapping[str, Mark | None]
    committed: int | None
    beginning: int
    end: int
    moving: bool
    blocked: bool

    @property
    def at(self) -> At:
        """The source partition."""
        return self.topic, self.partition

    @property
    def name(self) -> str:
        """For messages: `orders-3`."""
        return f"{self.topic}-{self.partition}"

    @property
    def unused(self) -> bool:
        """Whether it has neither state nor a committed offset: a worker begins there."""
        return self.committed is None and not any(self.marks.values())

    @property
    def applied(self) -> int:
        """The last offset in all of its tables; -1 if there is none."""
        return min(-1 if mark is None else mark.offset for mark in self.marks.values())

    def why_refused(self, app: str) -> str | None:
        """The sentence with which a worker refuses it; None if it opens it."""
        return None if self.unused else self._why(self.committed, app)

    def why_never_fits(self, app: str) -> str | None:
        """The sentence about other rules, partitions or settings: no offset changes that.

        None if they are the same. It holds also while a worker with the state's settings is at
        work.
        """
        mark = next((mark for mark in self.marks.values() if mark is not None), None)
        return None if mark is None else made_otherwise(f"group {app}, {self.name}", mark, self)

    def right_offset(self, app: str) -> int | None:
        """The offset with which a worker opens it; None if no offset makes its state fit."""
        offset = offset_after(self.applied)
        return offset if not self.blocked and self._why(offset, app) is None else None

    def _why(self, committed: int | None, app: str) -> str | None:
        return why_unfit(self, self.marks, committed, (self.beginning, self.end), app)


async def lane_offsets(settings: Settings) -> list[LaneOffsets]:
    """All source partitions of all stages, as far as their topics exist.

    Raises KafkaUnreachable or KafkaError.
    """
    staged = stages(settings.terms, settings.refusals_in_a_row)
    ids = await topics.topic_ids(settings)
    changelogs = {
        topics.changelog(settings, table.name) for stage in staged for table in stage.spec.tables
    }
    sources = {settings.topic(stage.spec.source) for stage in staged} & ids.keys()
    beginnings, ends = await log.bounds(settings, sources) if sources else ({}, {})
    before = await _committed(settings, ends)
    found = await last_marks(settings, changelogs & ids.keys())
    after = await _committed(settings, ends)
    lanes = []
    for stage in staged:
        topic = settings.topic(stage.spec.source)
        for number in range(settings.partitions):
            at = (topic, number)
            if at not in ends:
                continue
            tables = {
                table.name: (topics.changelog(settings, table.name), number)
                for table in stage.spec.tables
            }
            lanes.append(
                LaneOffsets(
                    stage.spec,
                    topic,
                    number,
                    ids[topic],
                    settings.partitions,
                    terms_of(stage, settings.partitioner_of(topic)),
                    {name: found.marks.get(changelog) for name, changelog in tables.items()},
                    after[at],
                    beginnings[at],
                    ends[at],
                    moving=before[at] != after[at],
                    blocked=not found.blocked.isdisjoint(tables.values()),
                )
            )
    return lanes


async def _committed(settings: Settings, sources: Iterable[At]) -> dict[At, int | None]:
    """The group's committed offsets, read as an opening reads them."""
    offsets = await Cluster(settings).committed(TopicPartition(*at) for at in sources)
    return {(tp.topic, tp.partition): offset for tp, offset in offsets.items()}


async def put_back(settings: Settings, offsets: Mapping[At, int]) -> None:
    """Commit these offsets of the group by one request, and check that they are committed.

    Raises GroupInUse where the group has members, StateUnfit where the cluster still answers with
    others, and KafkaError.
    """
    await groups.commit_offsets(settings, offsets)
    now = await _committed(settings, offsets)
    if now != offsets:
        raise StateUnfit(
            f"group {settings.app}: the cluster has not kept the offsets that were put back: run "
            "`netsold doctor` again"
        )
