"""Shops' replies as the recount counts them, with results computed by hand.

Which inquiries count, how, and in which cycle (R1, R2).
"""

from __future__ import annotations

from typing import Any

import pytest

from operations.oracle.events import time_ms
from operations.oracle.recount import recount
from operations.oracle.replies import Terms
from schemas.times import DAY_MS

CYCLE_MS = 30 * DAY_MS
A, B = "2026-06-06T00:00:00Z", "2026-07-06T00:00:00Z"
"""Starts of two cycles of 30 days from the epoch on: 08:00 of the day in Shanghai."""

EACH = Terms(each_inquiry=True)
NEVER = "2199-12-31T00:00:00Z"

Counts = dict[str, tuple[int, int, int]]
"""(timely, late, overdue) by the start of a cycle."""


class Chat:
    """Messages, each with its own id; times without a zone are Shanghai's.

    Any field can be given.
    """

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def _add(self, name: str, at: str, fields: dict[str, Any]) -> Chat:
        common = {
            "type": name,
            "id": f"e-{len(self.events)}",
            "source": "/s",
            "occurred_at": at if at.endswith("Z") else f"{at}+08:00",
        }
        self.events.append(
            {
                **common,
                "shop_id": "s-7",
                "buyer_id": "b-9",
                "message_id": f"m-{len(self.events)}",
                **fields,
            }
        )
        return self

    def inquired(self, at: str, **more: Any) -> Chat:  # noqa: ANN401 - any field
        return self._add("buyer_messaged", at, more)

    def wrote(self, at: str, by: str = "person", **more: Any) -> Chat:  # noqa: ANN401
        return self._add("seller_replied", at, {"by": by, **more})

    def lists(
        self, terms: Terms | None = None, as_of: str | None = None
    ) -> dict[str, list[dict[str, Any]]]:
        return recount(
            self.events,
            CYCLE_MS,
            0,
            terms=terms or Terms(),
            as_of_ms=None if as_of is None else time_ms(as_of),
        )

    def counts(self, terms: Terms | None = None, as_of: str | None = None) -> Counts:
        rows = [
            (row["cycle"]["start"], row["inquiries"])
            for row in self.lists(terms, as_of)["shop_service"]
        ]
        assert all(
            found["counted"] == found["timely"] + found["late"] + found["overdue"]
            for _, found in rows
        )
        return {start: (found["timely"], found["late"], found["overdue"]) for start, found in rows}

    def total(self, terms: Terms | None = None, as_of: str | None = None) -> dict[str, Any]:
        """The inquiries of the one shop, of all time."""
        (row,) = self.lists(terms, as_of)["shop_service_totals"]
        found: dict[str, Any] = row["inquiries"]
        return found


# --- one inquiry


@pytest.mark.parametrize(
    ("opened", "wrote", "counts"),
    [
        ("2026-07-02T22:59:59", "2026-07-02T23:03:00", (1, 0, 0)),
        ("2026-07-02T22:59:59.999", "2026-07-02T23:04:59.999", (1, 0, 0)),
        ("2026-07-02T22:59:59", "2026-07-03T08:00:00", (0, 1, 0)),
        ("2026-07-02T08:00:00", "2026-07-02T08:00:00", (1, 0, 0)),
        ("2026-07-02T10:00:00", "2026-07-02T10:05:00", (1, 0, 0)),
        ("2026-07-02T10:00:00", "2026-07-02T10:05:00.001", (0, 1, 0)),
    ],
)
def test_an_inquiry_in_service_hours(opened: str, wrote: str, counts: tuple[int, int, int]) -> None:
    """Its opening decides, whatever the time of the reply.

    A reply after exactly five minutes is timely.
    """
    assert Chat().inquired(opened).wrote(wrote).counts() == {A: counts}


@pytest.mark.parametrize(
    "opened",
    [
        "2026-07-02T23:00:00",
        "2026-07-02T23:00:01",
        "2026-07-03T00:00:00",
        "2026-07-02T07:59:59.999",
    ],
)
def test_an_inquiry_out_of_service_hours(opened: str) -> None:
    """It doesn't count, with or without a reply."""
    chat = Chat().inquired(opened)
    assert not any(chat.lists(as_of=NEVER).values())
    assert not any(chat.wrote("2026-07-03T09:00:00").lists(as_of=NEVER).values())


def about(p50: int, p90: int) -> object:
    """Quantiles within 1 % of these, in milliseconds."""
    return pytest.approx({"p50": p50, "p90": p90}, rel=0.0101)


def test_an_inquiry_outside_hours_is_open_too() -> None:
    """Messages of the next morning belong to the inquiry opened at night.

    After the reply another one opens.
    """
    chat = (
        Chat()
        .inquired("2026-07-02T23:30:00")
        .inquired("2026-07-03T08:10:00")
        .wrote("2026-07-03T09:00:00")
    )
    assert not any(chat.lists().values())
    assert chat.inquired("2026-07-03T09:01:00").wrote("2026-07-03T09:02:00").counts() == {
        A: (1, 0, 0)
    }


def test_the_first_message_opens_and_the_first_reply_answers() -> None:
    """Further messages of either side change nothing."""
    chat = (
        Chat()
        .inquired("2026-07-02T10:00:00")
        .inquired("2026-07-02T10:04:00")
        .wrote("2026-07-02T10:06:00")
        .wrote("2026-07-02T10:07:00")
    )
    assert chat.total(EACH) == {
        "counted": 1,
        "timely": 0,
        "late": 1,
        "overdue": 0,
        "response_rate": 0.0,
        "answered_by": {"person": 1, "robot": 0},
        "reply_ms": about(360_000, 360_000),
    }


def test_a_shops_message_before_the_buyers_does_nothing() -> None:
    """There is no inquiry yet.

    At the same millisecond the buyer is first.
    """
    chat = Chat().wrote("2026-07-02T09:59:59.999").inquired("2026-07-02T10:00:00")
    assert chat.counts(as_of="2026-07-02T02:05:00.001Z") == {A: (0, 0, 1)}
    assert chat.wrote("2026-07-02T10:00:00").counts() == {A: (1, 0, 0)}
    assert not any(Chat().wrote("2026-07-02T10:00:00").lists(as_of=NEVER).values())


def test_messages_of_one_millisecond_are_sorted() -> None:
    """The buyer's are before the shop's, each by id and then by source.

    So the smaller id opens, and answers.
    """
    chat = (
        Chat()
        .inquired("2026-07-02T10:00:00", id="b", message_id="2")
        .inquired("2026-07-02T10:00:00", id="a", source="/t", message_id="1")
    )
    chat.inquired("2026-07-02T10:00:00", id="a", message_id="0")
    assert [row["message_id"] for row in chat.lists(as_of=NEVER)["overdue"]] == ["0"]
    chat.inquired("2026-07-02T10:00:00", id="aa", source="/a", message_id="3")
    assert [row["message_id"] for row in chat.lists(as_of=NEVER)["overdue"]] == ["0"]
    chat.wrote("2026-07-02T10:00:00", by="robot", id="d").wrote(
        "2026-07-02T10:00:00", by="person", id="c"
    )
    assert chat.total()["answered_by"] == {"person": 1, "robot": 0}


def test_conversations_are_separate() -> None:
    """A reply answers neither another buyer nor the same buyer in another shop."""
    chat = (
        Chat()
        .inquired("2026-07-02T10:00:00")
        .wrote("2026-07-02T10:01:00", buyer_id="b-8")
        .wrote("2026-07-02T10:01:00", shop_id="s-8")
    )
    assert chat.counts(as_of=NEVER) == {A: (0, 0, 1)}
    chat.inquired("2026-07-02T10:00:00", buyer_id="b-8").inquired(
        "2026-07-02T10:00:00", shop_id="s-8"
    )
    rows = chat.lists(as_of=NEVER)["shop_service_totals"]
    assert [
        (row["shop_id"], row["inquiries"]["timely"], row["inquiries"]["overdue"]) for row in rows
    ] == [("s-7", 1, 1), ("s-8", 1, 0)]


# --- overdue


@pytest.mark.parametrize(
    ("as_of", "counts"),
    [
        ("2026-07-02T02:04:00Z", {}),
        ("2026-07-02T02:05:00Z", {}),
        ("2026-07-02T02:05:00.001Z", {A: (0, 0, 1)}),
    ],
)
def test_an_inquiry_without_reply(as_of: str, counts: Counts) -> None:
    """It is overdue once event time is past its deadline, and not before."""
    chat = Chat().inquired("2026-07-02T10:00:00", order_id="o-1").inquired("2026-07-02T10:01:00")
    assert chat.counts(as_of=as_of) == counts
    row = {"shop_id": "s-7", "buyer_id": "b-9", "message_id": "m-0", "order_id": "o-1"}
    due = {"opened_at": "2026-07-02T02:00:00.000Z", "due_at": "2026-07-02T02:05:00.000Z"}
    assert chat.lists(as_of=as_of)["overdue"] == ([row | due] if counts else [])


def test_event_time_is_that_of_the_latest_event() -> None:
    """Any type and subject counts, also a duplicate with other content."""
    chat = Chat().inquired("2026-07-02T10:00:00").inquired("2026-07-02T10:05:00", buyer_id="b-8")
    assert chat.counts() == {}
    chat.wrote("2026-07-02T10:05:00.001", id="e-0")
    assert chat.counts() == {A: (0, 0, 1)}
    assert not any(recount([], CYCLE_MS, 0).values())


def test_a_reply_makes_an_overdue_inquiry_late() -> None:
    """It isn't overdue any more."""
    chat = Chat().inquired("2026-07-02T10:00:00").wrote("2026-07-02T12:00:00")
    assert chat.counts(as_of=NEVER) == {A: (0, 1, 0)}
    assert chat.lists(as_of=NEVER)["overdue"] == []


def test_the_overdue_are_sorted_by_shop_and_buyer() -> None:
    """There is one row per conversation.

    Without an order, the order is null.
    """
    chat = Chat()
    for shop_id, buyer_id in (("s-b", "b-1"), ("s-a", "b-2"), ("s-a", "b-1")):
        chat.inquired("2026-07-02T10:00:00", shop_id=shop_id, buyer_id=buyer_id).inquired(
            "2026-07-02T10:01:00", shop_id=shop_id, buyer_id=buyer_id
        )
    rows = chat.lists(as_of=NEVER)["overdue"]
    assert [(row["shop_id"], row["buyer_id"]) for row in rows] == [
        ("s-a", "b-1"),
        ("s-a", "b-2"),
        ("s-b", "b-1"),
    ]
    assert {row["order_id"] for row in rows} == {None}


# --- one count a day, or one an inquiry


def _three_of_a_day() -> Chat:
    chat = Chat().inquired("2026-07-02T10:00:00").wrote("2026-07-02T10:01:00", by="robot")
    chat.inquired("2026-07-02T11:00:00").wrote("2026-07-02T11:06:00")
    return chat.inquired("2026-07-02T12:00:00").wrote("2026-07-02T12:02:00")


def test_one_late_of_three_makes_the_day_late() -> None:
    """They are one late unit of the day, or two timely and one late inquiries.

    Reply times are the inquiries' either way.
    """
    replies = {"answered_by": {"person": 2, "robot": 1}, "reply_ms": about(120_000, 120_000)}
    day, each = _three_of_a_day().total(), _three_of_a_day().total(EACH)
    assert (
        day == {"counted": 1, "timely": 0, "late": 1, "overdue": 0, "response_rate": 0.0} | replies
    )
    assert (
        each
        == {"counted": 3, "timely": 2, "late": 1, "overdue": 0, "response_rate": 0.6667} | replies
    )


def test_one_overdue_makes_the_day_overdue() -> None:
    """Before its deadline the day counts as its other inquiries."""
    chat = _three_of_a_day().inquired("2026-07-02T13:00:00")
    assert chat.counts(as_of="2026-07-02T05:05:00Z") == {A: (0, 1, 0)}
    assert chat.counts(as_of="2026-07-02T05:05:00.001Z") == {A: (0, 0, 1)}
    assert chat.counts(EACH, as_of="2026-07-02T05:05:00.001Z") == {A: (2, 1, 1)}


def test_days_and_buyers_are_counted_separately() -> None:
    """Days are local.

    00:30 belongs to the next one, if it is in service hours.
    """
    chat = (
        Chat()
        .inquired("2026-07-02T10:00:00")
        .wrote("2026-07-02T10:01:00")
        .inquired("2026-07-03T10:00:00")
        .wrote("2026-07-03T10:09:00")
    )
    chat.inquired("2026-07-02T10:00:00", buyer_id="b-8").wrote(
        "2026-07-02T10:01:00", buyer_id="b-8"
    )
    assert chat.counts() == {A: (2, 1, 0)}
    night = (
        Chat()
        .inquired("2026-07-02T23:59:59")
        .wrote("2026-07-03T00:01:00")
        .inquired("2026-07-03T00:30:00")
        .wrote("2026-07-03T00:31:00")
    )
    assert night.counts(Terms(opens_minute=22 * 60, closes_minute=60)) == {A: (2, 0, 0)}
    assert night.counts() == {}


@pytest.mark.parametrize(
    ("hours", "counted"),
    [("10:00-10:00", 3), ("00:00-24:00", 3), ("11:00-12:00", 1), ("12:00-11:00", 2)],
)
def test_hours_of_any_kind(hours: str, counted: int) -> None:
    """Equal ends are the whole day.

    Hours that end before they start span midnight.
    """
    assert (
        _three_of_a_day().total(Terms.of(300, hours, "Asia/Shanghai", "inquiry"))["counted"]
        == counted
    )


# --- cycles


def test_opened_in_one_cycle_and_answered_in_the_next() -> None:
    """It counts in the cycle of its opening, with its reply."""
    chat = Chat().inquired("2026-07-05T22:59:00").wrote("2026-07-06T09:00:00")
    assert chat.counts() == {A: (0, 1, 0)}
    assert chat.lists()["shop_service"][0]["inquiries"]["answered_by"] == {"person": 1, "robot": 0}


def test_a_day_over_the_edge_of_a_cycle() -> None:
    """It counts in the cycle of its earliest decided inquiry.

    Each reply counts in the cycle of its own inquiry.
    """
    always = Terms(opens_minute=0, closes_minute=0)
    chat = Chat().inquired("2026-07-06T09:00:00").wrote("2026-07-06T09:01:00", by="robot")
    assert chat.counts(always) == {B: (1, 0, 0)}
    chat.inquired("2026-07-06T07:59:59.999").wrote("2026-07-06T08:30:00")
    assert chat.counts(always) == {A: (0, 1, 0), B: (0, 0, 0)}
    found = [row["inquiries"]["answered_by"] for row in chat.lists(always)["shop_service"]]
    assert found == [{"person": 1, "robot": 0}, {"person": 0, "robot": 1}]
    assert [row["inquiries"]["response_rate"] for row in chat.lists(always)["shop_service"]] == [
        0.0,
        None,
    ]


# --- quantiles


@pytest.mark.parametrize(
    ("seconds", "p50", "p90"),
    [
        ([7], 7, 7),
        ([1, 9], 1, 1),
        ([3, 1, 2], 2, 2),
        (range(1, 12), 6, 10),
        (range(1, 11), 5, 9),
        (range(1, 22), 11, 19),
    ],
)
def test_quantiles_are_near_actual_values(seconds: list[int], p50: int, p90: int) -> None:
    """Each is within 1 % of the value at rank floor(q (n - 1)), counted from 0."""
    chat = Chat()
    for number, reply_s in enumerate(seconds):
        chat.inquired("2026-07-02T10:00:00", buyer_id=f"b-{number}").wrote(
            f"2026-07-02T10:00:{reply_s:02}", buyer_id=f"b-{number}"
        )
    assert chat.total()["reply_ms"] == about(p50 * 1000, p90 * 1000)
    assert Chat().inquired("2026-07-02T10:00:00").total(as_of=NEVER)["reply_ms"] is None


# --- the same message twice (S11)


def test_the_same_message_again_changes_nothing() -> None:
    """It is identified by source and id, not by `message_id`."""
    chat = (
        Chat()
        .inquired("2026-07-02T10:00:00", id="x")
        .inquired("2026-07-02T10:00:00", id="x")
        .wrote("2026-07-02T10:01:00", message_id="m")
    )
    chat.inquired("2026-07-02T11:00:00", message_id="m").wrote(
        "2026-07-02T11:01:00", message_id="m"
    )
    assert chat.counts(EACH) == {A: (2, 0, 0)}


def test_of_one_id_with_other_content_the_earlier_counts() -> None:
    """The sides may differ; at the same millisecond the first by content counts.

    There is no anomaly.
    """
    chat = (
        Chat()
        .inquired("2026-07-02T10:00:00")
        .wrote("2026-07-02T10:01:00", id="x")
        .wrote("2026-07-02T10:06:00", id="x")
    )
    assert chat.counts() == {A: (1, 0, 0)}
    chat.inquired("2026-07-02T10:00:30", id="x")
    assert chat.counts(as_of=NEVER) == {A: (0, 0, 1)}
    assert chat.lists()["anomalies"] == []
    two = (
        Chat()
        .inquired("2026-07-02T10:00:00")
        .wrote("2026-07-02T10:01:00", "robot", id="x")
        .wrote("2026-07-02T10:01:00", "person", id="x")
    )
    two.events[1]["message_id"] = two.events[2]["message_id"]
    assert two.total()["answered_by"] == {"person": 1, "robot": 0}


def test_ids_are_unique_within_a_conversation_only() -> None:
    """They are unique within their source only, too."""
    chat = (
        Chat()
        .inquired("2026-07-02T10:00:00", id="x")
        .inquired("2026-07-02T10:00:00", id="x", buyer_id="b-8")
    )
    chat.wrote("2026-07-02T10:01:00", id="x", source="/t").wrote(
        "2026-07-02T10:01:00", id="y", buyer_id="b-8"
    )
    assert chat.counts() == {A: (2, 0, 0)}


# --- clocks that change

BERLIN = Terms(zone="Europe/Berlin")
"""An hour ahead of UTC in winter and two in summer: from 2026-03-29T01:00Z to 2026-10-25T01:00Z."""


@pytest.mark.parametrize(
    ("opened", "is_open"),
    [
        ("2026-03-28T06:59:59.999Z", False),
        ("2026-03-28T07:00:00Z", True),
        ("2026-03-28T21:59:59.999Z", True),
        ("2026-03-28T22:00:00Z", False),
        ("2026-03-29T05:59:59.999Z", False),
        ("2026-03-29T06:00:00Z", True),
        ("2026-03-29T20:59:59.999Z", True),
        ("2026-03-29T21:00:00Z", False),
        ("2026-10-24T06:00:00Z", True),
        ("2026-10-24T21:00:00Z", False),
        ("2026-10-25T06:59:59.999Z", False),
        ("2026-10-25T07:00:00Z", True),
        ("2026-10-25T21:59:59.999Z", True),
    ],
)
def test_hours_are_local_time(opened: str, is_open: bool) -> None:  # noqa: FBT001
    """From 08:00 to 23:00 in Berlin, on the days before and after the clocks change."""
    assert bool(Chat().inquired(opened).counts(BERLIN, as_of=NEVER)) is is_open


@pytest.mark.parametrize(
    ("opened", "is_open"),
    [
        ("2026-03-29T00:59:59.999Z", False),
        ("2026-03-29T01:00:00Z", False),
        ("2026-10-24T23:59:59.999Z", False),
        ("2026-10-25T00:00:00Z", True),
        ("2026-10-25T00:59:59.999Z", True),
        ("2026-10-25T01:00:00Z", True),
        ("2026-10-25T01:59:59.999Z", True),
        ("2026-10-25T02:00:00Z", False),
    ],
)
def test_a_missing_and_a_repeated_hour(opened: str, is_open: bool) -> None:  # noqa: FBT001
    """Hours from 02:00 to 03:00 are none on the day in spring, two in autumn."""
    hours = Terms(opens_minute=120, closes_minute=180, zone="Europe/Berlin")
    assert bool(Chat().inquired(opened).counts(hours, as_of=NEVER)) is is_open


def test_a_day_of_25_hours_is_one_day() -> None:
    """In Berlin it is from 2026-10-24T22:00Z to 2026-10-25T23:00Z.

    The day in spring has 23 hours.
    """
    always = Terms(opens_minute=0, closes_minute=0, zone="Europe/Berlin")

    def units(*opened: str) -> int:
        chat = Chat()
        for at in opened:
            chat.inquired(at).wrote(at)
        counted: int = chat.total(always)["counted"]
        return counted

    assert units("2026-10-24T22:00:00Z", "2026-10-25T22:59:59.999Z") == 1
    assert units("2026-10-24T21:59:59.999Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z") == 3
    assert units("2026-03-28T23:00:00Z", "2026-03-29T21:59:59.999Z") == 1
    assert units("2026-03-28T22:59:59.999Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z") == 3


def test_reply_times_are_elapsed_time() -> None:
    """Five minutes over a change of clocks are five minutes."""
    always = Terms(opens_minute=0, closes_minute=0, zone="Europe/Berlin")
    chat = Chat().inquired("2026-03-29T00:58:00Z").wrote("2026-03-29T01:03:00Z")
    assert chat.total(always)["reply_ms"] == about(300_000, 300_000)
    assert chat.total(always)["timely"] == 1
