"""The list of checks. Each has its time; one that fails is a result, and the others go on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from operations.doctor import cluster, lanes, machine, transactions
from operations.doctor.evidence import now_ms
from operations.doctor.results import CheckResult, fault, warning
from schemas.errors import NetsoldError
from schemas.wording import with_count
from streams import brokers, topics
from streams.broker_access import BROKER_AWAY
from streams.copied import is_copied, read_copy
from streams.errors import KafkaUnreachable
from streams.log import ends
from streams.settings import NoKafkaKnown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from operations.doctor.evidence import Evidence
    from streams.lane_offsets import LaneOffsets

    Check = Callable[[Evidence], Awaitable[Iterable[CheckResult]]]

CHECK_SECONDS: Final = 30.0
"""How long one check may take, with the observations that it is the first to need."""


async def _installation(evidence: Evidence) -> Iterable[CheckResult]:  # noqa: ARG001 - a check
    """Whether the package `tables` is netsold's: PyTables installs another one of that name."""
    return [machine.check_installation()]


async def _brokers(evidence: Evidence) -> Iterable[CheckResult]:
    """Which brokers answer, and their releases. A fault where a majority is away."""
    try:
        observation = await evidence.observation()
    except NoKafkaKnown as error:
        return [fault("brokers", str(error), "netsold kafka start")]
    except KafkaUnreachable as error:
        return [fault("brokers", str(error), "see docs/runbook.md, Kafka unreachable")]
    return cluster.judge_brokers(observation, await evidence.releases())


async def _broker_settings(evidence: Evidence) -> Iterable[CheckResult]:
    """The longest transaction that brokers allow, and how long they keep a group's offsets."""
    client, alive = await evidence.client(), await evidence.alive()
    configs = await brokers.broker_configs(client, alive[0], cluster.BROKER_SETTINGS)
    return cluster.judge_broker_settings(configs, evidence.settings)


async def _broker_disks(evidence: Evidence) -> Iterable[CheckResult]:
    """Free space of the brokers' disks, and log directories that they cannot use."""
    return cluster.judge_broker_disks(await evidence.log_dirs())


async def _clock(evidence: Evidence) -> Iterable[CheckResult]:
    """This machine's clock against the controller's: a warning from 2 s on, a fault from 60 s."""
    return [cluster.judge_clock(await brokers.controller_clock(await evidence.client()))]


async def _replicas(evidence: Evidence) -> Iterable[CheckResult]:
    """Partitions without a leader, and partitions with too few copies."""
    return cluster.judge_replicas(await evidence.observation(), evidence.settings)


async def _topics(evidence: Evidence) -> Iterable[CheckResult]:
    """The topics' settings against what netsold needs, as `netsold topics check`."""
    await evidence.client()
    mismatches = await topics.check(evidence.settings)
    return cluster.judge_topics(mismatches, topics.declared(evidence.settings))


async def _sizes(evidence: Evidence) -> Iterable[CheckResult]:
    """The bytes of each topic, with all copies."""
    return [cluster.judge_sizes(await evidence.log_dirs())]


async def _retention(evidence: Evidence) -> Iterable[CheckResult]:
    """Whether the logs of events begin at offset 0, so that a replay can read all of them."""
    return [lanes.judge_beginnings(await evidence.lanes(), evidence.settings)]


async def _group(evidence: Evidence) -> Iterable[CheckResult]:
    """The group's members, and who reads which partition."""
    observation, app = await evidence.observation(), evidence.settings.app
    return lanes.judge_group(observation, await evidence.lanes(), app)


async def _lag(evidence: Evidence) -> Iterable[CheckResult]:
    """Records behind the group's committed offsets, how long they wait, whether any is applied."""
    seen, waiting = await evidence.lanes(), await evidence.waiting()
    at_ms = now_ms()
    late = any(one and one.written_ms is not None and at_ms - one.written_ms > lanes.LATE_MS
               for one in waiting.values())  # fmt: skip
    again = await evidence.committed_later() if late else {}
    found = lanes.judge_lag(seen, waiting, again, evidence.settings, at_ms)
    if not is_copied(evidence.settings):
        return found
    copy = await read_copy(evidence.settings)
    return [*found, lanes.judge_copy(copy, evidence.settings.app, at_ms)]


async def _dead_letters(evidence: Evidence) -> Iterable[CheckResult]:
    """Refused records that nobody has decided about: a warning while there are any."""
    return [lanes.judge_letters(await evidence.letters())]


async def _transactions(evidence: Evidence) -> Iterable[CheckResult]:
    """Transactions that hang, so that nobody reads past them, or are open past their time-out."""
    seen, hanging = await evidence.transactions(), await evidence.hanging()
    return transactions.judge_transactions(seen, hanging, now_ms())


async def _offsets(evidence: Evidence) -> Iterable[CheckResult]:
    """Committed offsets against the marks in the changelogs, by the check of a worker's start."""
    return lanes.judge_offsets(await evidence.lanes(), evidence.settings.app)


async def _event_time(evidence: Evidence) -> Iterable[CheckResult]:
    """Event time in the future: a warning, or a fault where its cycle has not begun."""
    settings = evidence.settings
    calendar = settings.terms.calendar
    return [lanes.judge_event_time(await evidence.lanes(), settings, calendar, now_ms())]


async def _disk(evidence: Evidence) -> Iterable[CheckResult]:
    """Free space of the data directory's disk: a warning below 10 %, a fault below 1 GiB."""
    return [machine.check_disk(evidence.settings)]


async def _file_handles(evidence: Evidence) -> Iterable[CheckResult]:
    """The limit of open files, and how many the workers and readers of this machine have open."""
    return machine.check_handles(evidence.settings)


async def _stores(evidence: Evidence) -> Iterable[CheckResult]:
    """Whether local stores can be read, and are not ahead of their changelogs."""
    settings = evidence.settings
    stores, complete = await asyncio.to_thread(machine.read_stores, settings)
    by_table: dict[tuple[str, int], LaneOffsets] = {}
    bounds: dict[tuple[str, int], int] = {}
    cluster_id = None
    try:
        for lane in await evidence.lanes():
            by_table |= {(table, lane.partition): lane for table in lane.marks}
        if stores:  # a consumer of no topics can't be stopped
            bounds = await ends(settings, {topics.changelog(settings, one.table) for one in stores})
        cluster_id = await evidence.cluster_id()
    except (NetsoldError, *BROKER_AWAY):
        pass  # the checks of the cluster report it
    found = [
        *machine.judge_stores(stores, by_table, bounds, settings, cluster_id),
        *await asyncio.to_thread(machine.check_reader_stores, settings),
    ]
    return found if complete else [*found, machine.unread_stores(settings, len(stores))]


MENDED: Final[dict[str, Check]] = {"transactions": _transactions, "offsets": _offsets}
"""The checks whose faults `--mend` can end."""

CHECKS: Final[dict[str, Check]] = {
    "installation": _installation,
    "brokers": _brokers,
    "broker_settings": _broker_settings,
    "broker_disks": _broker_disks,
    "clock": _clock,
    "replicas": _replicas,
    "topics": _topics,
    "sizes": _sizes,
    "retention": _retention,
    "group": _group,
    "lag": _lag,
    "dead_letters": _dead_letters,
    **MENDED,
    "event_time": _event_time,
    "disk": _disk,
    "file_handles": _file_handles,
    "stores": _stores,
}
"""The checks in the order in which they run and are shown, by the name that results have."""


async def examine(
    evidence: Evidence, checks: dict[str, Check], started: Callable[[str], None]
) -> list[CheckResult]:
    """The results of some checks. `started` gets the name of each check before it runs.

    Those that need a cluster where no Kafka answers have one result together.
    """
    found: list[CheckResult] = []
    without: list[str] = []
    for name, check in checks.items():
        started(name)
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                found += await check(evidence)
        except (NoKafkaKnown, KafkaUnreachable):  # the check of brokers has the sentence
            without.append(name)
        except Exception as error:  # noqa: BLE001 - a check that fails must not hide the others
            found.append(_unobserved(name, error))
    return [*found, _without_kafka(without)] if without else found


def _without_kafka(names: Sequence[str]) -> CheckResult:
    """One result for the checks that need a Kafka, where none answers."""
    return warning(
        "unobserved",
        f"no Kafka answers, so {with_count('check', names)} observed nothing: {', '.join(names)}",
        "see the check `brokers`",
        [{"check": name} for name in names],
    )


def _unobserved(name: str, error: Exception) -> CheckResult:
    named = isinstance(error, NetsoldError | TimeoutError) and str(error)
    why = str(error) if named else repr(error)
    return warning(name, f"could not be observed: {why}", "netsold doctor   # once that is mended")
