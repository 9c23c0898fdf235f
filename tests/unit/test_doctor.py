"""The judgements of `netsold doctor`, from observations to results, without a broker."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from operations.doctor import checks, cluster, lanes, machine, mending
from operations.doctor.evidence import Evidence
from operations.doctor.mending import Plan
from operations.doctor.results import MEND, CheckResult, ok, worst
from operations.doctor.transactions import find_hanging, judge_transactions
from schemas.times import DAY_MS, parse_ms
from streams.brokers import ClockReading, LogDir, release_of
from streams.copied import CopyState
from streams.copy_plan import Vectors
from streams.hanging import OFFSETS_TOPIC, Coordinated, OpenTransaction, TransactionsSeen
from streams.lane_offsets import LaneOffsets
from streams.lanes import terms_of
from streams.local_stores import WorkerStore, reader_stores, worker_stores
from streams.marks import MARK_KEY, Mark, encode_mark
from streams.observe import Group, Member, Observation, PartitionSeen, TopicSeen
from streams.parked import Parked
from streams.settings import Settings
from streams.stores import Identity, PartitionStore
from streams.topic_policy import Mismatch
from streams.unapplied import UnappliedRecord
from tables.catalogue import STAGES
from tables.stages import stages

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.log import At

NOW_MS = parse_ms("2026-11-29T12:00:00Z")
SETTINGS = Settings(_env_file=None, partitions=2)
CALENDAR = SETTINGS.terms.calendar
TERMS = {
    stage.spec.name: terms_of(stage, SETTINGS.partitioner)
    for stage in stages(SETTINGS.terms, SETTINGS.refusals_in_a_row)
}
ORDER = next(stage for stage in STAGES if stage.name == "order")
CHANGELOG = "netsold-orders-changelog"


def lane(offset: int | None = 41, committed: int | None = 42, **more: Any) -> LaneOffsets:  # noqa: ANN401 - any field
    """The lane of orders-1, whose tables have applied `offset` (None: no mark)."""
    mark = Mark(
        offset=-1 if offset is None else offset,
        watermark_ms=more.pop("watermark_ms", NOW_MS - 5000),
        topic="orders",
        topic_id="id",
        partition=1,
        terms=TERMS["order"],
        partitions=2,
    )
    made = LaneOffsets(
        spec=ORDER,
        topic="orders",
        partition=1,
        topic_id="id",
        partitions=2,
        terms=TERMS["order"],
        marks={table.name: None if offset is None else mark for table in ORDER.tables},
        committed=committed,
        beginning=0,
        end=50,
        moving=False,
        blocked=False,
    )
    return replace(made, **more)


def levels(results: Iterable[CheckResult]) -> list[str]:
    """The levels of some results."""
    return [one.level for one in results]


def observation(**more: Any) -> Observation:  # noqa: ANN401 - any field
    """One broker that answers, orders with one partition, and a worker that reads it."""
    given: dict[str, Any] = {
        "at_ms": NOW_MS,
        "brokers": {1: True},
        "topics": {"orders": TopicSeen("id", {0: PartitionSeen(1, (1,), (1,))})},
        "beginnings": {},
        "ends": {},
        "group": Group("Stable", (Member("a", "10.0.0.1", frozenset({("orders", 1)})),), {}),
    }
    return Observation(**(given | more))


# --- committed offsets against marks


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        (lane(committed=None), MEND),  # the group's offsets were deleted
        (lane(committed=20), MEND),  # somebody set it by hand
        (lane(None, 42), "see docs/runbook.md, Rebuild"),  # a changelog was emptied
        (lane(60, 20), "see docs/runbook.md, Rebuild"),  # the log is shorter than the state
        (lane(committed=20, topic_id="new"), "see docs/runbook.md, Rebuild"),
        (lane(committed=20, terms="other"), "see docs/runbook.md, Rebuild"),
    ],
)
def test_an_offset_that_does_not_follow_its_marks_is_a_fault(
    given: LaneOffsets, remedy: str
) -> None:
    """It can be put back only where a worker then opens the partition."""
    (result,) = lanes.judge_offsets([given], "netsold")
    assert (result.level, result.remedy) == ("fault", remedy)
    assert "orders-1" in result.sentence


def test_the_right_offset_follows_the_marks() -> None:
    """It is none where tables differ, or where an open transaction hides the newest marks."""
    assert lane(committed=None).right_offset("netsold") == 42
    assert lane(committed=None, blocked=True).right_offset("netsold") is None
    marks = {"one": lane().marks["orders"], "other": lane(30).marks["orders"]}
    torn = lane(committed=None, marks=marks)
    assert torn.right_offset("netsold") is None
    (result,) = lanes.judge_offsets([torn], "netsold")
    assert result.remedy == "see docs/runbook.md, Rebuild"


def test_what_is_new_or_at_work_is_no_fault() -> None:
    """A lane without state, and one whose worker commits while it is read."""
    new, moving = lane(None, None), lane(committed=30, moving=True)
    assert levels(lanes.judge_offsets([lane(), new, moving], "netsold")) == ["ok"]
    (result,) = lanes.judge_offsets([lane(committed=20, blocked=True)], "netsold")
    assert (result.level, result.remedy) != ("fault", MEND)


def test_other_settings_are_a_fault_also_while_a_worker_commits() -> None:
    """A worker with the settings of this command would not open it, whatever is committed."""
    (result,) = lanes.judge_offsets([lane(committed=30, moving=True, partitions=3)], "netsold")
    assert (result.level, "made with 2 partitions" in result.sentence) == ("fault", True)


# --- hanging transactions


def part(topic: str = CHANGELOG, number: int = 1, **more: Any) -> OpenTransaction:  # noqa: ANN401 - any field
    """A transaction of producer 7 that is open since a minute."""
    given: dict[str, Any] = {
        "leader": 1, "producer_id": 7, "producer_epoch": 0, "coordinator_epoch": -1, "start": 5,
        "last_ms": NOW_MS - 60_000,
    }  # fmt: skip
    return OpenTransaction(topic, number, **(given | more))


def coordinated(partitions: Iterable[At], name: str = "netsold-order-1") -> dict[int, Coordinated]:
    """What the coordinator knows of producer 7."""
    return {7: Coordinated(name, "Ongoing", 15_000, NOW_MS - 60_000, frozenset(partitions))}


def test_a_transaction_hangs_if_its_coordinator_will_not_end_it() -> None:
    """One that the coordinator lists does not hang, nor one that is younger than its time-out."""
    open_ = [part()]
    for seen, names in (
        (TransactionsSeen(open_), [part().name]),
        (TransactionsSeen(open_, coordinated([])), [part().name]),
        (TransactionsSeen(open_, coordinated([("orders", 0)])), [part().name]),
        (TransactionsSeen(open_, coordinated([part().at])), []),
        (TransactionsSeen([part(last_ms=NOW_MS - 100)]), []),
    ):
        assert [one.name for one in seen.hanging(NOW_MS, 15_000)] == names


def kept(parts: list[OpenTransaction], given: LaneOffsets, name: str | None = None) -> str | None:
    """Why a hanging transaction of these parts is not aborted."""
    seen = TransactionsSeen(parts, coordinated([], name) if name else {})
    (found,) = find_hanging(seen, [given], SETTINGS, NOW_MS)
    return found.why_kept


def test_a_transaction_is_aborted_only_if_nothing_of_it_was_committed() -> None:
    """Offset and marks that agree show it, unless they all hang and a journal does not."""
    everything = [
        *(part(f"netsold-{table.name}-changelog") for table in ORDER.tables),
        part(OFFSETS_TOPIC, 3),
    ]
    journal = [part(name, number) for name in ORDER.sends for number in (0, 1)]
    assert kept([part()], lane()) is None
    assert kept([part(OFFSETS_TOPIC, 3)], lane(), "netsold-order-1") is None
    assert "may be committed" in str(kept([part("sales", 0)], lane(), "netsold-order-1"))
    assert kept([*everything, *journal], lane()) is None
    assert "shop-activity-0" in str(kept(everything, lane()))
    assert "disagree" in str(kept([part()], lane(committed=30)))
    assert "can't be seen which worker" in str(kept([part("sales", 0)], lane()))


def test_a_producer_of_events_is_aborted_and_other_applications_are_not() -> None:
    """A transaction in committed offsets alone is another application's."""
    assert kept([part("orders", 0), part("chats", 1)], lane(), "shop") is None
    seen = TransactionsSeen([part(OFFSETS_TOPIC, 3)], coordinated([], "other"))
    assert find_hanging(seen, [lane()], SETTINGS, NOW_MS) == []


def test_letters_that_are_put_back_are_not_lost_by_an_abort() -> None:
    """Events alone may belong to committed decisions; with the decisions, all is put back again."""
    events, decisions = part("orders", 0), part("dead-letter-decisions", 1)
    assert "put back" in str(kept([events], lane(), "netsold-dead-letters"))
    assert kept([events, decisions], lane(), "netsold-dead-letters") is None


def test_hanging_transactions_are_faults_and_late_ones_warnings() -> None:
    """The remedy is a rebuild where an abort would tear it apart."""
    seen = TransactionsSeen([part()])
    found = find_hanging(seen, [lane()], SETTINGS, NOW_MS)
    (result,) = judge_transactions(seen, found, NOW_MS)
    assert (result.level, result.remedy) == ("fault", MEND)
    assert "netsold-orders-changelog-1@5" in result.sentence
    (result,) = judge_transactions(
        seen, find_hanging(seen, [lane(committed=9)], SETTINGS, NOW_MS), NOW_MS
    )
    assert result.remedy == "see docs/runbook.md, Hanging transaction"
    late = TransactionsSeen([part()], coordinated([part().at]))
    (result,) = judge_transactions(late, [], NOW_MS)
    assert (result.level, "netsold-order-1" in result.sentence) == ("warning", True)
    assert levels(judge_transactions(TransactionsSeen([]), [], NOW_MS)) == ["ok"]


def test_a_plan_names_every_change() -> None:
    """A line and a row for each partition."""
    found = find_hanging(TransactionsSeen([part()]), [lane()], SETTINGS, NOW_MS)
    plan = Plan(found, [(lane(committed=None), 42)])
    assert plan.lines() == [
        "abort netsold-orders-changelog-1@5 of producer 7",
        "commit orders-1: none → 42",
    ]
    assert [one["change"] for one in plan.rows()] == ["abort", "commit"]
    assert plan
    assert not Plan([], [])


# --- the cluster


def test_brokers_copies_and_group() -> None:
    """Healthy, and each with its fault."""
    seen = observation()
    assert levels(cluster.judge_brokers(seen, {1: "4.2"})) == ["ok"]
    assert levels(cluster.judge_brokers(seen, {1: "4.3"})) == ["ok", "warning"]
    away = observation(brokers={1: True, 2: False})
    assert levels(cluster.judge_brokers(away, {1: "4.3"})) == ["fault"]
    minority = observation(brokers={1: True, 2: False, 3: True})
    assert levels(cluster.judge_brokers(minority, {1: "4.2", 3: "4.2"})) == ["warning"]
    assert levels(cluster.judge_replicas(seen, SETTINGS)) == ["ok"]
    thin = observation(topics={"orders": TopicSeen("id", {0: PartitionSeen(1, (1, 2), (1,))})})
    assert levels(cluster.judge_replicas(thin, SETTINGS)) == ["warning"]
    assert levels(cluster.judge_replicas(observation(brokers={1: False}), SETTINGS)) == ["fault"]
    assert levels(lanes.judge_group(seen, [lane()], "netsold")) == ["ok"]
    unread = [lane(), replace(lane(), partition=0)]
    assert levels(lanes.judge_group(seen, unread, "netsold")) == ["ok", "fault"]
    empty = observation(group=Group("Empty", (), {}))
    (result,) = lanes.judge_group(empty, unread, "netsold")
    assert (result.level, result.remedy) == ("warning", "netsold worker")
    assert levels(lanes.judge_group(observation(group=None), [], "netsold")) == ["warning"]


def test_settings_of_brokers() -> None:
    """Transactions that are too short for workers are a fault; forgotten offsets a warning."""
    for configs, expected in (
        ({"transaction.max.timeout.ms": "900000", "offsets.retention.minutes": "10080"}, ["ok"]),
        ({"transaction.max.timeout.ms": "10000"}, ["fault"]),
        ({"offsets.retention.minutes": "60"}, ["warning"]),
        ({}, ["ok"]),
    ):
        assert levels(cluster.judge_broker_settings(configs, SETTINGS)) == expected


def test_releases_are_known_by_their_newest_metadata() -> None:
    """Between two releases it is the older one."""
    assert [release_of(level) for level in (None, 7, 25, 29, 30, 33)] == [
        None, "3.3", "4.0", "4.2", "4.3", "4.4",
    ]  # fmt: skip


def test_topics_have_their_remedy_as_a_command() -> None:
    """A fault for each mismatch."""
    wrong = Mismatch("orders", "retention.ms", "1", "-1", "run `kafka-configs.sh --alter`")
    (result,) = cluster.judge_topics([wrong], [])
    assert (result.level, result.remedy) == ("fault", "kafka-configs.sh --alter")
    assert result.sentence == "topic orders has retention.ms 1 where netsold needs -1"
    assert levels(cluster.judge_topics([], [])) == ["ok"]


def test_sizes_and_disks() -> None:
    """All copies are counted; a disk with little space is a warning, then a fault."""
    dirs = [LogDir(broker, "/log", 2**40, 2**39, {"orders": 2**20}) for broker in (1, 2)]
    assert "2.0 MiB with all copies" in cluster.judge_sizes(dirs).sentence
    assert levels(cluster.judge_broker_disks(dirs)) == ["ok", "ok"]
    failed = replace(dirs[0], failed="KafkaStorageError")
    assert levels(cluster.judge_broker_disks([failed])) == ["fault"]
    for free, expected in ((2**39, "ok"), (2**35, "warning"), (2**29, "fault")):
        assert cluster.judge_disk("disk", "/", free, 2**40).level == expected


@pytest.mark.parametrize(
    ("controller_ms", "level", "skew_ms"),
    [(1_050, "ok", 0), (1_000, "ok", 0), (3_500, "warning", -2_400), (-90_000, "fault", 91_000)],
)
def test_clock(controller_ms: int, level: str, skew_ms: int) -> None:
    """Only what the time of the request can't explain is a skew."""
    result = cluster.judge_clock(ClockReading(1_000, controller_ms, 1_100))
    assert (result.level, result.details[0]["skew_ms"]) == (level, skew_ms)


# --- time and records


def test_what_waits_is_counted() -> None:
    """Control records alone are nothing; an open transaction is in the way of an unknown time."""
    at = lane().at
    (nothing,) = lanes.judge_lag([lane()], {at: None}, {}, SETTINGS, NOW_MS)
    assert nothing.sentence.startswith("nothing is behind the group's committed offsets")
    for written_ms, level in (
        (NOW_MS - 1000, "ok"),
        (NOW_MS - 90_000, "warning"),
        (None, "warning"),
    ):
        waiting = {at: UnappliedRecord(42, written_ms)}
        (result,) = lanes.judge_lag([lane()], waiting, {}, SETTINGS, NOW_MS)
        assert (result.level, result.details[0]["behind"]) == (level, 8)


def test_a_worker_that_applies_nothing_is_a_warning() -> None:
    """Within its session a killed worker is still in the group; one that commits is at work."""
    at, waits = lane().at, {lane().at: UnappliedRecord(42, NOW_MS - 7_000)}
    _, stalled = lanes.judge_lag([lane()], waits, {at: 42}, SETTINGS, NOW_MS)
    assert stalled.level == "warning"
    assert stalled.sentence.startswith("nothing of orders-1 was applied while doctor watched")
    assert "for up to 10 s (session time-out)" in stalled.sentence
    assert len(list(lanes.judge_lag([lane()], waits, {at: 43}, SETTINGS, NOW_MS))) == 1


def test_open_dead_letters_are_a_warning() -> None:
    """By reason; those that somebody decided about need nothing."""
    parked = Parked("orders", "not_json", 3, requeued=1), Parked("chats", "no_key", 1, discarded=1)
    result = lanes.judge_letters(parked)
    assert (result.level, result.sentence) == (
        "warning",
        "2 dead letters are open: 2 not_json of orders",
    )
    assert lanes.judge_letters(parked[1:]).level == "ok"


def test_a_log_that_was_cut_can_not_be_replayed() -> None:
    """Only events matter: a journal is made again."""
    assert lanes.judge_beginnings([lane()], SETTINGS).level == "ok"
    assert lanes.judge_beginnings([lane(beginning=3)], SETTINGS).level == "warning"
    journal = lane(beginning=3, topic="sales")
    assert lanes.judge_beginnings([journal], SETTINGS).level == "ok"


@pytest.mark.parametrize(
    ("ahead_ms", "level"),
    [(-1, "ok"), (59_000, "ok"), (3_600_000, "warning"), (40 * DAY_MS, "fault")],
)
def test_event_time_in_the_future(ahead_ms: int, level: str) -> None:
    """It is a fault if the current cycle, by events, has not begun."""
    given = lane(watermark_ms=NOW_MS + ahead_ms)
    assert lanes.judge_event_time([given], SETTINGS, CALENDAR, NOW_MS).level == level
    assert lanes.judge_event_time([lane(None, None)], SETTINGS, CALENDAR, NOW_MS).level == "ok"


# --- this machine


def test_file_handles() -> None:
    """The limit against what a worker needs, and what a process uses of its own."""
    assert machine.judge_handle_limit(20_000, 4).level == "ok"
    assert machine.judge_handle_limit(1_000, 4).level == "warning"
    assert machine.judge_handle_limit(256, 4).level == "fault"
    processes = [
        {"pid": pid, "command": "netsold worker", "open": used, "limit": 100}
        for pid, used in ((1, 20), (2, 90))
    ]
    assert machine.judge_handles_used(processes[:1], Path("data")).level == "ok"
    result = machine.judge_handles_used(processes, Path("/var/data"))
    assert (result.level, "pid 2" in result.sentence) == ("warning", True)
    assert result.sentence.endswith("the most of 2 workers and readers of /var/data")
    assert machine.check_installation().level == "ok"


def test_only_processes_of_the_data_directory_are_counted(tmp_path: Path) -> None:
    """Another application's worker on this machine says nothing about this one."""
    program = "import sys, time; f = open(sys.argv[2], 'w'); print(flush=True); time.sleep(60)"
    here = tmp_path / "here"
    here.mkdir()
    command = [sys.executable, "-c", program, "netsold", str(here / "LOCK"), "worker"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        counted = {
            directory: [
                row["pid"]
                for one in machine.check_handles(_in(directory))
                for row in one.details
                if "pid" in row
            ]
            for directory in (here, tmp_path / "there")
        }
        worker.kill()
    assert counted == {here: [worker.pid], tmp_path / "there": []}


def _in(directory: Path) -> Settings:
    return SETTINGS.model_copy(update={"data_dir": directory})


def test_stores_are_read_while_their_process_has_them_open(tmp_path: Path) -> None:
    """Nothing is written into their directory. A damaged one is found, and one that is ahead."""
    settings = SETTINGS.model_copy(update={"data_dir": tmp_path})
    path = tmp_path / "netsold" / "worker-a" / "orders" / "1"
    mark = lane(45).marks["orders"]
    assert mark is not None
    store = PartitionStore(path, Identity("cluster", "netsold", "orders", 1, 2))
    store.write([(MARK_KEY, encode_mark(mark))], 7)
    store.close()  # so that the files have it
    store = PartitionStore(path, Identity("cluster", "netsold", "orders", 1, 2))
    before = {file: file.stat().st_mtime_ns for file in path.iterdir()}
    (seen,) = worker_stores(settings)
    assert {file: file.stat().st_mtime_ns for file in path.iterdir()} == before
    store.close()
    assert (seen.failed, seen.mark, seen.position) == (None, mark, 7)
    assert list(reader_stores(settings)) == []

    def judged(one: WorkerStore, offset: int, end: int, owner: str) -> list[str]:
        of = {("orders", 1): lane(offset, offset + 1)}
        return levels(machine.judge_stores([one], of, {(CHANGELOG, 1): end}, settings, owner))

    assert judged(seen, 45, 7, "cluster") == ["ok"]
    assert judged(seen, 45, 7, "another") == ["warning"]
    assert judged(seen, 45, 5, "cluster") == ["warning"]
    assert judged(seen, 44, 9, "cluster") == ["fault"]
    for file in path.glob("MANIFEST-*"):
        file.write_bytes(b"?")
    (damaged,) = worker_stores(settings)
    assert damaged.damaged
    assert judged(damaged, 45, 7, "cluster") == ["warning"]


def test_only_the_reader_stores_in_use_are_examined(tmp_path: Path) -> None:
    """One that was set aside stays damaged for ever, and nobody can act on it."""
    settings = SETTINGS.model_copy(update={"data_dir": tmp_path})
    names = ["store-1", "store-2", "events/store-9", "events/store-10"]
    for name in names:
        path = tmp_path / "reader" / name
        PartitionStore(path, Identity("cluster", "netsold", "orders", 1, 2)).close()
    for name in names[::2]:
        for file in (tmp_path / "reader" / name).glob("MANIFEST-*"):
            file.write_bytes(b"?")
    found = [
        (path.relative_to(tmp_path / "reader"), why) for path, _, why in reader_stores(settings)
    ]
    assert [(str(path), why) for path, why in found] == [(name, None) for name in names[1::2]]
    for file in (tmp_path / "reader" / "events" / "store-10").glob("MANIFEST-*"):
        file.write_bytes(b"?")
    assert levels(machine.check_reader_stores(settings)) == ["ok", "warning"]


# --- mending


class Seen(Evidence):
    """Evidence whose group has some members, one less at each observation."""

    def __init__(self, members: int) -> None:
        super().__init__(SETTINGS.model_copy(update={"session_timeout_ms": 0}))
        self.members = [Member(f"a{number}", "h", frozenset()) for number in range(members)]

    async def observation(self) -> Observation:
        """The group with the members that are left."""
        seen = observation(group=Group("Stable", tuple(self.members), {}))
        self.members = self.members[1:]
        return seen


async def test_nothing_is_mended_while_workers_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of their sessions is waited for, within bounds."""
    monkeypatch.setattr(mending, "POLL_SECONDS", 0.001)
    reports: list[str] = []
    await mending.until_empty(Seen(3), reports.append)
    assert reports == [
        "netsold: group netsold has 3 members: a0, a1, a2; waiting for their sessions to end"
    ]
    monkeypatch.setattr(mending, "LEAVE_SECONDS", 0.0)
    with pytest.raises(mending.StillMembers, match="1 member: a0: stop all workers"):
        await mending.until_empty(Seen(1), reports.append)


async def test_only_what_was_shown_is_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    """If there is something else to mend by then, nothing is changed."""

    async def now(_: Evidence) -> Plan:
        return Plan([], [(lane(committed=None), 42)])

    monkeypatch.setattr(mending, "plan", now)
    with pytest.raises(mending.PlanChanged, match="nothing was changed"):
        await mending.carry_out(Seen(0), Plan([], [(lane(committed=None), 41)]), print)


# --- the list


async def test_a_check_that_fails_or_hangs_does_not_hide_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each has its own result, and the order stays."""

    async def broken(_: Evidence) -> list[CheckResult]:
        raise RuntimeError("a bug")

    async def slow(_: Evidence) -> list[CheckResult]:
        await asyncio.sleep(60)
        return []

    async def good(_: Evidence) -> list[CheckResult]:
        return [ok("good", "fine")]

    monkeypatch.setattr(checks, "CHECK_SECONDS", 0.02)
    started: list[str] = []
    async with Evidence(SETTINGS) as evidence:
        found = await checks.examine(
            evidence, {"broken": broken, "slow": slow, "good": good}, started.append
        )
    assert started == ["broken", "slow", "good"]
    assert levels(found) == ["warning", "warning", "ok"]
    assert "a bug" in found[0].sentence
    assert worst(found) == "warning"


async def test_without_a_kafka_the_machine_is_checked(tmp_path: Path) -> None:
    """Brokers are a fault with its remedy; what needs them could not be observed."""
    settings = SETTINGS.model_copy(update={"data_dir": tmp_path})
    async with Evidence(settings) as evidence:
        found = await checks.examine(evidence, checks.CHECKS, lambda _: None)
    by_check = {one.check: one for one in found}
    assert (by_check["brokers"].level, by_check["brokers"].remedy) == (
        "fault", "netsold kafka start",
    )  # fmt: skip
    assert by_check["disk"].level == by_check["stores"].level == "ok"
    without = {row["check"] for row in by_check["unobserved"].details}
    assert "transactions" in without
    assert by_check["unobserved"].sentence.startswith("no Kafka answers, so ")
    assert (by_check.keys() - {"unobserved"}) | without == checks.CHECKS.keys()


def test_a_copy_that_waits_is_a_fault() -> None:
    """By the same time as records that wait for a worker; the remedy is its command."""
    state = CopyState(Vectors({}), 3, NOW_MS - lanes.LATE_MS)
    assert lanes.judge_copy(state, "sold.r1", NOW_MS).level == "ok"
    late = lanes.judge_copy(state, "sold.r1", NOW_MS + 5000)
    assert (late.level, late.remedy) == ("fault", "netsold rebuild copy sold.r1")
    assert "3 records are not copied into the log of sold.r1" in late.sentence
