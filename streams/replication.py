"""Which partitions lack a leader or copies, by an observation of the cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.observe import Observation


@dataclass(frozen=True, slots=True)
class ShortPartitions:
    """Names of partitions, such as `orders-3`, by what they lack.

    `offline`: a leader that answers; `below_min_isr`: the copies that a write needs;
    `under_replicated`: a copy.
    """

    offline: tuple[str, ...]
    below_min_isr: tuple[str, ...]
    under_replicated: tuple[str, ...]


def short_partitions(observation: Observation, least_insync: int) -> ShortPartitions:
    """The partitions that lack something, each once.

    `least_insync` is for topics whose own `min.insync.replicas` is unknown.
    """
    alive = {broker for broker, answers in observation.brokers.items() if answers}
    offline, below, under = [], [], []
    for name, topic in sorted(observation.topics.items()):
        for number, partition in sorted(topic.partitions.items()):
            insync = alive & set(partition.isr)
            if partition.leader not in alive:
                offline.append(f"{name}-{number}")
            elif len(insync) < (topic.min_insync_replicas or least_insync):
                below.append(f"{name}-{number}")
            elif len(insync) < len(partition.replicas):
                under.append(f"{name}-{number}")
    return ShortPartitions(tuple(offline), tuple(below), tuple(under))
