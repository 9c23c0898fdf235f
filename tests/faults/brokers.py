"""Three local brokers as one cluster, each a broker and a controller, as README recommends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from operations.local.kafka import LocalKafka
from operations.local.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

BROKERS = (1, 2, 3)
COPIES, LEAST_IN_STEP = 3, 2
READY_S = 180.0
"""The bound until a started broker answers on a small machine.

Three Java processes may start at once, or one may have the topics of a whole run."""


class Broker(LocalKafka):
    """One of the three brokers.

    Its addresses are fixed before it first starts, because the others need them.
    """

    def __init__(
        self, directory: Path, number: int, cluster_id: str, controllers: dict[int, int]
    ) -> None:
        super().__init__(directory / f"broker-{number}")
        self.number = number
        self._cluster_id = cluster_id
        self._controllers = controllers

    def new_cluster_id(self) -> str:
        """The id of the cluster, which all three brokers share."""
        return self._cluster_id

    def further_settings(self, address: str, controller: str) -> dict[str, object]:  # noqa: ARG002 - its own port is among the three
        """The settings that differ from those of a lone broker."""
        listeners = f"PLAINTEXT://{address}"
        return {
            "node.id": self.number,
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{self._controllers[self.number]}",
            "controller.quorum.voters": ",".join(
                f"{number}@127.0.0.1:{port}" for number, port in self._controllers.items()
            ),
            "default.replication.factor": COPIES,
            "min.insync.replicas": LEAST_IN_STEP,
            "offsets.topic.replication.factor": COPIES,
            "transaction.state.log.replication.factor": COPIES,
            "transaction.state.log.min.isr": LEAST_IN_STEP,
            "share.coordinator.state.topic.replication.factor": COPIES,
            "share.coordinator.state.topic.min.isr": LEAST_IN_STEP,
        }


class ThreeBrokers:
    """A cluster that survives the loss of one broker.

    There are three copies, and two of them must have every confirmed record. Every method blocks.
    """

    def __init__(self, directory: Path) -> None:
        controllers = {number: free_port(0) for number in BROKERS}
        cluster_id = LocalKafka(directory).new_cluster_id()
        self.all = [Broker(directory, number, cluster_id, controllers) for number in BROKERS]

    @property
    def bootstrap(self) -> str:
        """The addresses of all brokers that run."""
        return ",".join(address for broker in self.all if (address := broker.status().bootstrap))

    def start(self, brokers: Iterable[Broker] | None = None) -> None:
        """Start these brokers, or all, together, each at its former address.

        The first one answers once a second one runs.
        """
        starting = list(brokers or self.all)
        for broker in starting:
            broker.launch(same_port=True)
        deadline = time.monotonic() + READY_S
        for broker in starting:
            broker.until_ready(max(1.0, deadline - time.monotonic()))

    def kill(self, brokers: Iterable[Broker] | None = None) -> None:
        """End these brokers, or all, as a power cut would."""
        for broker in brokers or self.all:
            broker.kill()

    def stop(self) -> None:
        """End all in order, as far as each can without the others."""
        for broker in self.all:
            broker.stop(timeout_s=20.0)
