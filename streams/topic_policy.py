"""How a topic on the cluster may differ from its declaration, and which differences are refused.

Each refused difference (a compacted source, a finite retention, another partition count) loses or
scatters data, so a person must decide about it. The sentence names the remedy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from schemas import limits
from schemas.errors import NetsoldError
from tables.catalogue import TopicKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Kind = TopicKind | Literal["changelog"]

_COMPARED: Final = (
    "cleanup.policy",
    "retention.ms",
    "retention.bytes",
    "max.message.bytes",
    "delete.retention.ms",
)
_OTHER_COUNT: Final = (
    "keys would move away from their state, so NETSOLD_PARTITIONS and the topics stay as they were "
    "when it was made: undo what was changed, or count a copy of the log by "
    "`netsold rebuild start --partitions N` (docs/runbook.md, Rebuild)"
)


@dataclass(frozen=True, slots=True)
class Topic:
    """A declared topic: name on the cluster, meaning of its key, Kafka topic configs, purpose."""

    name: str
    kind: Kind
    key: str
    configs: dict[str, str] = field(hash=False)
    meaning: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A topic as the cluster describes it.

    `topic_id` changes when a topic of this name is deleted and created again.
    """

    topic_id: str
    partitions: int
    configs: dict[str, str] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One difference between a topic on the cluster and its declaration.

    `aspect` is `missing`, `partitions` or the name of a topic config.
    """

    topic: str
    aspect: str
    actual: str
    wanted: str
    remedy: str

    def __str__(self) -> str:
        """One sentence: which topic, what it is, what it should be, what to do."""
        if self.aspect == "missing":
            return f"topic {self.topic} is missing: {self.remedy}"
        return (
            f"topic {self.topic} has {self.aspect} {self.actual} where netsold needs "
            f"{self.wanted}: {self.remedy}"
        )


class TopicsUnfit(NetsoldError):
    """Topics of this application are missing, or have a policy that would lose data.

    `mismatches` has each difference.
    """

    def __init__(self, mismatches: Sequence[Mismatch]) -> None:
        super().__init__("; ".join(map(str, mismatches)))
        self.mismatches = tuple(mismatches)


def compare(
    topic: Topic, seen: Seen | None, partitions: int, *, stateful: bool = False
) -> list[Mismatch]:
    """The differences of a topic from its declaration that lose or scatter data.

    Larger limits than declared fit, and so does any replication: the operator decides about those.
    `stateful`: whether the application has state, which is bound to the number of partitions that
    it was made with.
    """
    if seen is None:
        return [
            Mismatch(topic.name, "missing", "nothing", "the topic", "run `netsold topics create`")
        ]
    found = []
    if seen.partitions != partitions:
        set_it = (
            f"set NETSOLD_PARTITIONS={seen.partitions}, "
            "or use another NETSOLD_APP and NETSOLD_TOPIC_PREFIX"
        )
        remedy = _OTHER_COUNT if stateful else set_it
        found.append(
            Mismatch(topic.name, "partitions", str(seen.partitions), str(partitions), remedy)
        )
    for name in _COMPARED:
        wanted = topic.configs.get(name)
        if wanted is not None and not _fits(name, actual := seen.configs[name], wanted):
            found.append(
                Mismatch(topic.name, name, actual, wanted, _alter(topic.name, name, wanted))
            )
    return found


def not_parkable(declared: Sequence[Topic], seen: Mapping[str, Seen]) -> list[Mismatch]:
    """The source topics that accept larger records than the topic of dead letters does.

    A record that can neither be read nor parked would stop its partition.
    """
    name = "max.message.bytes"
    bounds = {
        topic.name: int(seen[topic.name].configs[name]) for topic in declared if topic.name in seen
    }
    (dead_letters,) = (topic.name for topic in declared if topic.kind == "dead letters")
    if dead_letters not in bounds:
        return []
    most = bounds[dead_letters] - limits.PARKING_BYTES
    sources = [topic.name for topic in declared if topic.kind == "source" and topic.name in bounds]
    return [
        Mismatch(
            source,
            name,
            str(bounds[source]),
            f"at most {most}",
            _alter(dead_letters, name, str(bounds[source] + limits.PARKING_BYTES)),
        )
        for source in sources
        if bounds[source] > most
    ]


def _alter(topic: str, name: str, wanted: str) -> str:
    return (
        f"run `kafka-configs.sh --alter --entity-type topics --entity-name {topic} "
        f"--add-config {name}={wanted}`"
    )


def _fits(name: str, actual: str, wanted: str) -> bool:
    if name == "cleanup.policy":
        return actual == wanted
    if name.startswith("retention") and actual == "-1":
        return True
    return wanted != "-1" and int(actual) >= int(wanted)
