"""What the tasks of a replay share: the settings to fold by, the plan, the log and the files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tables.catalogue import STAGES
from tables.stages import stages

if TYPE_CHECKING:
    from pathlib import Path

    from operations.replaying.plan import Plan
    from operations.replaying.source_log import ReplayLog
    from streams.settings import Settings
    from tables.stages import AnyStage

Report = Callable[[int], None]
"""Gets how much more is done."""


class Task(NamedTuple):
    """One task: reading the tables of a partition, or folding one for a stage."""

    name: str
    partition: int

    def __str__(self) -> str:
        return f"{self.name}-{self.partition}"


@dataclass(frozen=True, slots=True)
class Work:
    """One replay. `settings` are those to fold by; `plan` is known once the tables are read.

    `compares_journal`: whether the rows of `sales` are compared one by one, and the marketplace's
    shares; `compares_stores`: the local stores, too. `adds_up`: whether sums are shown of both
    sides. `same_terms`: whether the tables must be of these settings and rules.
    `starts` are the first offsets to fold, by source partition; the log's beginning where it has
    none. `ends` are the offsets of events behind the last one to fold; None: up to the tables'
    marks. With it, the sums of products are compared with those of the live journal.
    """

    settings: Settings
    directory: Path
    log: ReplayLog
    plan: Plan | None = None
    compares_journal: bool = False
    compares_stores: bool = False
    adds_up: bool = False
    same_terms: bool = False
    starts: Mapping[str, int] = field(default_factory=dict)
    ends: Mapping[str, int] | None = None

    def stage(self, name: str) -> AnyStage:
        """A stage with these settings."""
        staged = stages(self.settings.terms, self.settings.refusals_in_a_row)
        return next(stage for stage in staged if stage.spec.name == name)

    def source(self, name: str, partition: int) -> str:
        """What a stage reads, such as `orders-3`, as marks and journal rows name it."""
        topic = next(spec.source for spec in STAGES if spec.name == name)
        return f"{self.settings.topic(topic)}-{partition}"

    def live_path(self, name: str, partition: int) -> Path:
        """Where the rows of a stage's tables are, as the changelogs have them."""
        return self.directory / f"live-{name}-{partition}"

    def known_ends(self) -> Mapping[str, int]:
        """The ends, in a task that a replay without them does not have."""
        if self.ends is None:
            raise AssertionError("this task needs ends")
        return self.ends

    def known_plan(self) -> Plan:
        """The plan, in a task that begins after the tables were read."""
        if self.plan is None:
            raise AssertionError("this task needs a plan")
        return self.plan
