"""Two versions of one family send each alert once, wherever handovers and chunks are cut."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas import envelope, times
from schemas.events import topic_of
from schemas.handover_records import handover
from streams.copy_plan import CopyLayout, CopyPlan, Vectors
from streams.partitioning import partition_of
from tables.catalogue import ALERTS_TOPIC
from tables.chat_stage import ChatStage
from tables.handovers import ALONE, Speaking
from tests.flow import TERMS, Record, Rows, binary, reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.log import At
    from tables.watermarks import Progress

APPS = ("netsold", "netsold.r1")
OTHERS = "other.r1"
"""A version of another family that reads the same log."""

NOON_MS = times.parse_ms("2026-07-01T04:00:00Z")
"""In service hours."""

Step = dict[str, Any] | int | str
"""A message, the instant of a tick, or the speaker of a handover."""


def message(number: int, kind: str, shop: int, buyer: int, at_s: int) -> dict[str, Any]:
    """A message between a shop and a buyer."""
    event = {"type": kind, "id": f"e-{number}", "source": "/s", "message_id": f"m-{number}"}
    event |= {"shop_id": f"s-{shop}", "buyer_id": f"b-{buyer}"}
    if kind == "seller_replied":
        event["by"] = "person"
    return event | {"occurred_at": times.format_ms(NOON_MS + at_s * 1000)}


@st.composite
def logs(draw: st.DrawFn) -> list[Step]:
    """Messages out of order by some minutes, with ticks and handovers anywhere between them."""
    steps: list[Step] = []
    for number in range(draw(st.integers(1, 40))):
        at_s = number * 60 + draw(st.integers(-600, 600))
        kind = draw(
            st.sampled_from(["buyer_messaged", "buyer_messaged", "seller_replied", "tick", "hand"])
        )
        if kind == "tick":
            steps.append(NOON_MS + at_s * 1000)
        elif kind == "hand":
            steps.append(draw(st.sampled_from([*APPS, OTHERS])))
        else:
            shop, buyer = draw(st.integers(1, 2)), draw(st.integers(1, 2))
            steps.append(message(number, kind, shop, buyer, at_s))
    return [*steps, NOON_MS + 86_400_000]


def record(offset: int, step: Step) -> Record:
    """The record of a step."""
    if isinstance(step, str):
        return Record("chats", 0, offset, 0, None, *handover(step, None))
    if isinstance(step, int):
        return Record("chats", 0, offset, 0, None, *envelope.tick(step))
    assert topic_of(step["type"]) == "chats"
    return Record("chats", 0, offset, 0, *binary(step))


def alerts(
    speaking: Speaking, records: Sequence[Record], cuts: Sequence[int]
) -> tuple[list[tuple[bytes, bytes]], dict[str, Rows]]:
    """The alerts of one application that reads the log in these chunks, and its tables."""
    stage = ChatStage(TERMS, 1000, speaking)
    tables = {table.name: Rows() for table in stage.spec.tables}
    progress: Progress | None = None
    sent: list[tuple[bytes, bytes]] = []
    for begin, end in zip([0, *cuts], [*cuts, len(records)], strict=True):
        outcome = stage.fold("chats-0", reading(stage, records[begin:end]), tables, progress)
        assert outcome.counts["alerts"] == len(outcome.sends[ALERTS_TOPIC])
        progress = outcome.progress
        sent += outcome.sends[ALERTS_TOPIC]
        for name, writes in outcome.writes.items():
            tables[name].update(writes)
    return sent, {name: Rows({k: v for k, v in rows.items() if v}) for name, rows in tables.items()}


def cut(data: st.DataObject, most: int) -> list[int]:
    """Some cuts of a log."""
    return sorted(data.draw(st.lists(st.integers(0, most), max_size=5)))


@settings(max_examples=300, deadline=None)
@given(logs(), st.data())
def test_each_alert_is_sent_once_by_the_version_that_speaks(
    log: list[Step], data: st.DataObject
) -> None:
    """Both together send what one application alone would send, in any chunks; none twice."""
    records = [record(offset, step) for offset, step in enumerate(log)]
    without = [one for one, step in zip(records, log, strict=True) if not isinstance(step, str)]
    expected, tables = alerts(ALONE, without, [])
    if OTHERS not in log:
        assert alerts(Speaking("other", "other"), records, [])[0] == expected
    sent = []
    for app in APPS:
        part, its_tables = alerts(Speaking(app, APPS[0]), records, cut(data, len(records)))
        assert its_tables == tables
        sent.append(part)
    assert sorted(sent[0] + sent[1]) == sorted(expected)
    assert len(set(expected)) == len(expected)
    if len(without) == len(records):
        assert sent == [expected, []]


COPY = CopyLayout({"chats": "copied"}, "chats", 2, 3, "crc32", APPS[0])
"""A log of two partitions, and its copy of three."""


def moved(one: envelope.Record, at: At, offset: int) -> Record:
    """The same record in another partition."""
    return Record(*at, offset, one.timestamp or 0, one.key, one.value, one.headers)


class Copying:
    """A copier, and the records of the copy by partition, at offsets of their own."""

    def __init__(self, log: dict[At, list[Record]]) -> None:
        self.found: dict[At, list[Record]] = {("copied", number): [] for number in range(3)}
        self._log, self._plan = log, CopyPlan(COPY, Vectors(dict.fromkeys(log, 0)))
        self._read = dict.fromkeys(log, 0)

    def read(self, most: dict[At, int], ends: dict[At, int]) -> None:
        """Read so much of each partition, as far as its end, and copy what can be copied."""
        records = {}
        for at in self._plan.wanted():
            end = min(ends[at], self._read[at] + most[at])
            records[at], self._read[at] = self._log[at][self._read[at] : end], end
        unread = {at for at, end in ends.items() if self._read[at] < end}
        self._plan.add(records, self._read, unread)
        for piece in self._plan.pieces():
            for at, some in piece.records.items():
                self.found[at] += [
                    moved(one, at, len(self.found[at]) + number) for number, one in enumerate(some)
                ]
            self._plan.done(piece, {})


def copies(log: dict[At, list[Record]], written: list[At]) -> dict[At, list[Record]]:
    """The copy of a copier that is up to date: it reads after each record, as `written`."""
    copying = Copying(log)
    ends = dict.fromkeys(log, 0)
    for new in written:
        ends[new] += 1
        copying.read(ends, ends)
    return copying.found


LATE_PARTITION = [(0, 0, False)] * 3 + [
    (2, 0, False), (2, 0, True), (0, 101, False), (5, 200, False)
]  # fmt: skip
"""One partition is 301 s ahead of a reply in the other one."""


@settings(max_examples=100, deadline=None)
@example(LATE_PARTITION, 0)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 200), st.booleans()), max_size=60),
    st.integers(0),
)
def test_versions_of_a_log_and_of_its_copy_send_each_alert_once(
    steps: list[tuple[int, int, bool]], seed: int
) -> None:
    """Of messages in order of time: the handover names the newest one's, so all partitions have it.

    Each alert is of the version that speaks while event time passes it. A copier that is far behind
    copies the same.
    """
    chance = random.Random(seed)
    log: dict[At, list[Record]] = {("chats", number): [] for number in range(2)}
    order: list[At] = []
    at_s = handover_s = 0
    for number, (buyer, later_s, replied) in enumerate(steps):
        at_s += later_s
        kind = "seller_replied" if replied else "buyer_messaged"
        key, value, headers = binary(message(number, kind, 1, buyer, at_s))
        order.append(("chats", partition_of(key, 2, "crc32")))
        records = log[order[-1]]
        records.append(Record("chats", 0, len(records), len(order), key, value, headers))
        if number == len(steps) // 2:
            handover_s = at_s
            for at, records in log.items():
                order.append(at)
                written = handover(APPS[1], NOON_MS + 1000 * at_s)
                records.append(Record("chats", 0, len(records), len(order), None, *written))
    copied = copies(log, order)
    behind, ends = Copying(log), {at: len(records) for at, records in log.items()}
    for _ in order:
        behind.read({at: chance.randint(1, 5) for at in log}, ends)
    assert behind.found == copied
    former = overdue(Speaking(APPS[0], APPS[0]), log)
    following = overdue(Speaking(APPS[1], APPS[0]), copied)
    assert sorted(former + following) == sorted(overdue(ALONE, log))
    due_s = [
        [(times.parse_ms(at) - NOON_MS) / 1000 for _, at in one] for one in (former, following)
    ]
    assert all(one < handover_s for one in due_s[0])
    assert all(one >= handover_s for one in due_s[1])


def overdue(speaking: Speaking, log: dict[At, list[Record]]) -> list[tuple[str, str]]:
    """By the alerts of one application: the ids of what is overdue, and when it was due."""
    found = []
    for records in log.values():
        end = Record("chats", 0, len(records), 0, None, *envelope.tick(NOON_MS + 86_400_000))
        for _, value in alerts(speaking, [*records, end], [])[0]:
            alert = json.loads(value)
            if alert["type"] == "reply_overdue":
                found.append((alert["id"], alert["due_at"]))
    return found


def test_the_speaker_changes_at_the_offset_of_the_handover() -> None:
    """What its own chunk caused before belongs to the former one, what comes after to the next."""
    question = message(1, "buyer_messaged", 1, 1, 0)
    late = message(2, "seller_replied", 1, 1, 400)
    steps: list[Step] = [question, APPS[1], NOON_MS + 301_000]
    records = [record(offset, step) for offset, step in enumerate(steps)]
    first = alerts(Speaking(APPS[0], APPS[0]), records, [])[0]
    second = alerts(Speaking(APPS[1], APPS[0]), records, [])[0]
    assert (len(first), len(second)) == (0, 1)
    steps = [question, NOON_MS + 301_000, APPS[1], late]
    records = [record(offset, step) for offset, step in enumerate(steps)]
    first = alerts(Speaking(APPS[0], APPS[0]), records, [])[0]
    second = alerts(Speaking(APPS[1], APPS[0]), records, [])[0]
    assert [b"reply_overdue" in value for _, value in first] == [True]
    assert [b"reply_late" in value for _, value in second] == [True]
