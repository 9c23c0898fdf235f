"""Dead letters without Kafka: selections, keys, verdicts, masks, attempts, and decisions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec
import pytest
import typer
from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from operations.commands.dead_letters import in_lines
from operations.letters import changing, effects, listing
from operations.letters.deciding import Plan, Request
from operations.letters.effects import Effect
from operations.letters.options import spans_of
from operations.reader_client import NoReader, UnknownId
from schemas import decisions, envelope
from schemas.decisions import Decision
from schemas.letters import ATTEMPT, FIRST_FAILED_AT, REQUEUED_FROM, letter_of, producer_of
from schemas.limits import LABEL_CHARS, REQUEUE_ATTEMPTS
from schemas.masking import masked_header, masked_value
from schemas.positions import Position
from schemas.refusals import Reason, Refusal
from streams.dead_letters import parked_headers
from streams.letter_writer import DecisionsInDoubt, LetterWriter
from streams.partitioning import partition_of
from streams.settings import Settings
from streams.verdicts import Verdicts
from tables.requeueing import Selection, key_for, named_key, position_range, requeued_headers
from tests.memory_log import MemoryLog, MemoryProducer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from schemas.letters import Letter

NOW_MS = 1_783_000_000_000
PAID: dict[str, Any] = {
    "type": "order_paid",
    "id": "e-1",
    "source": "/pay",
    "occurred_at": "2026-07-01T08:00:00Z",
    "order_id": "o-1",
    "amount": 1,
}
MESSAGE: dict[str, Any] = {
    "type": "buyer_messaged",
    "id": "m-1",
    "source": "/im",
    "occurred_at": "2026-07-01T08:00:00Z",
    "message_id": "m-1",
    "shop_id": "s-1",
    "buyer_id": "b-1",
}
SETTINGS = Settings(_env_file=None, partitions=4)


class Parked(NamedTuple):
    """A record of the topic of dead letters."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def parked(
    event: dict[str, Any] | bytes,
    key: bytes | None = None,
    reason: Reason = Reason.MISSING_KEY,
    topic: str = "orders",
    own: Sequence[tuple[str, bytes]] = (),
) -> Letter:
    """The letter of an event, or of a value, that a worker refused at offset 12 of partition 3."""
    value, headers = (event, list(own)) if isinstance(event, bytes) else envelope.encode(event)[1:]
    record = Parked(topic, 3, 12, NOW_MS, key, value, [*headers, *own])
    added = parked_headers(record, Position(topic, 3, 12), Refusal(reason, "for now"), "netsold")
    return letter_of(Parked("dead-letters", 3, 7, NOW_MS, key, value, added))


def test_a_letter_has_the_refused_record_and_why_it_was_refused() -> None:
    """The headers of the record itself are apart from those that parking added."""
    letter = parked(PAID, b"k", Reason.KEY_MISMATCH)
    assert (str(letter.position), str(letter.source)) == ("dead-letters-3@7", "orders-3@12")
    assert (letter.reason, letter.topic, letter.attempt) == ("key_mismatch", "orders", 0)
    assert letter.detail.endswith("for now")
    assert list(letter.headers) == envelope.encode(PAID)[2]
    assert producer_of(letter) == "/pay"


@pytest.mark.parametrize(
    ("value", "producer"),
    [
        (b'{"source":"/a"}', "/a"),
        (b"?", "unknown"),
        (b'{"source":1}', "unknown"),
        (None, "unknown"),
    ],
)
def test_a_letter_of_another_program_is_read_too(value: bytes, producer: str) -> None:
    """It has no position of a record, and any headers; nothing is raised."""
    headers = [("x-dlq-id", b"nowhere"), (ATTEMPT, b"many"), ("n", None), ("caf\udce9", b"")]
    record = Parked("dead-letters", 0, 1, NOW_MS, None, value, cast("Any", headers))
    letter = letter_of(record)
    assert (letter.source, letter.attempt, letter.reason) == (None, 0, "unknown")
    assert [name for name, _ in letter.headers] == ["n", "caf\\udce9"]
    assert producer_of(letter) == producer
    assert listing.whole(letter, "open", (), reveal=False)["headers"][0] == ("n", None)
    assert Verdicts(SETTINGS).of(letter).outcome == "no_events"


def test_what_another_program_wrote_is_one_short_line_at_a_terminal() -> None:
    """No control character of a header or of an event's source is printed, and no long text."""
    escape = b"\x1b]0;title\x07\n"
    headers = [
        ("x-dlq-reason", escape * 5000),
        ("__streams.errors.topic", escape),
        ("__streams.errors.message", b"\xff" + escape),
        (FIRST_FAILED_AT, escape),
        ("na\x1bme", escape),
    ]
    value = json.dumps({"source": "/pay\x1b[31m"}).encode()
    letter = letter_of(Parked("dead-letters", 0, 1, NOW_MS, escape, value, headers))
    texts = [letter.reason, letter.topic, letter.detail, letter.first_failed_at]
    assert all(text.isprintable() and len(text) <= LABEL_CHARS for text in texts)
    assert producer_of(letter) == "/pay\N{REPLACEMENT CHARACTER}[31m"
    for reveal in (True, False):
        shown = in_lines(listing.whole(letter, "open", (), reveal=reveal))
        assert all(line.isprintable() for line in shown.split("\n"))


HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["ce_id", "ce_source", "x-dlq-id", ATTEMPT, REQUEUED_FROM, "n", "\udce9"]),
        st.none() | st.binary(max_size=6) | st.sampled_from([b"orders-0@1", b"1", b"99999999999"]),
    ),
    max_size=6,
)
VALUES = st.none() | st.binary(max_size=30) | st.sampled_from(
    [b"[[1],{}]", b'{"id":{"id":1}}', b'"\\ud800"', b"1e999", b"[" * 5000, b'{"order_id":"o"}']
)  # fmt: skip


@given(HEADERS, VALUES, st.none() | st.binary(max_size=6))
def test_no_letter_breaks_a_command(headers: Any, value: bytes | None, key: bytes | None) -> None:  # noqa: ANN401 - what Kafka may have
    """Whatever another program wrote there: it can be shown and judged."""
    letter = letter_of(Parked("dead-letters", 0, 1, NOW_MS, key, value, headers))
    for reveal in (True, False):
        json.dumps(listing.whole(letter, "open", (), reveal=reveal))
    for topic in ("orders", "chats", "elsewhere"):
        claimed = msgspec.structs.replace(letter, topic=topic)
        verdict = Verdicts(SETTINGS).of(claimed)
        assert verdict.outcome != "accepted" or verdict.record is not None


def test_a_record_that_is_parked_again_counts_its_attempts_once() -> None:
    """Its headers of the former parking are replaced; the first failure keeps its time."""
    first = parked(PAID, own=[("trace", b"t")])
    headers = requeued_headers(first)
    record = Parked("orders", 1, 30, NOW_MS, b"o-1", first.value, headers)
    refusal = Refusal(Reason.INVALID_FIELD, "again")
    added = parked_headers(record, Position("orders", 1, 30), refusal, "netsold")
    names = [name for name, _ in added]
    assert len(names) == len(set(names))
    again = letter_of(Parked("dead-letters", 1, 9, NOW_MS, b"o-1", first.value, added))
    assert (again.attempt, again.requeued_from) == (1, "dead-letters-3@7")
    assert again.headers == first.headers
    assert again.first_failed_at == first.first_failed_at
    assert dict(requeued_headers(again))[ATTEMPT] == b"2"


def test_headers_of_our_names_that_a_producer_wrote_stay_its_own() -> None:
    """Only a record that was put back has a former parking."""
    own = [(ATTEMPT, b"7"), (FIRST_FAILED_AT, b"long ago")]
    record = Parked("orders", 0, 1, NOW_MS, b"k", b"?", own)
    added = parked_headers(record, Position("orders", 0, 1), Refusal(Reason.NOT_JSON, ""), "n")
    assert added[:2] == own
    letter = letter_of(Parked("dead-letters", 0, 0, NOW_MS, b"k", b"?", added))
    assert (letter.attempt, letter.first_failed_at != "long ago") == (0, True)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("orders-3@12", 12, 13),
        ("orders-3@10..12", 12, 13),
        ("orders-3@12..orders-3@90", 12, 91),
        ("dead-letters-3@7", 7, 8),
        ("a.b-c-3@12", 12, 11),
    ],
)
def test_a_range_of_positions_includes_both_ends(text: str, inside: int, outside: int) -> None:
    """It names one partition."""
    one = position_range(text)
    assert one.has(Position(one.first.topic, 3, inside))
    assert not one.has(Position(one.first.topic, 3, outside))
    assert not one.has(Position(one.first.topic, 2, inside))
    assert not one.has(None)
    assert position_range(str(one)) == one


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("orders", "is no position, such as orders-3@1841"),
        ("orders-3", "is no position"),
        ("orders-3@-1", "is no position"),
        ("orders-3@9..8", "ends before it begins"),
        ("orders-3@9..orders-2@10", "names two partitions"),
    ],
)
def test_what_names_no_positions_is_refused(text: str, fault: str) -> None:
    """The sentence shows the form."""
    with pytest.raises(ValueError, match=fault):
        position_range(text)
    with pytest.raises(typer.BadParameter) as raised:
        spans_of([text], "POSITION")
    assert raised.value.param_hint == "POSITION"


def selection(*texts: str, **more: Any) -> Selection:  # noqa: ANN401 - any part
    """A selection of positions, and more parts."""
    return Selection(spans=spans_of(texts, "POSITION"), **more)


@pytest.mark.parametrize(
    ("wanted", "selects"),
    [
        (selection(), True),
        (selection("orders-3@12"), True),
        (selection("dead-letters-3@7", "orders-0@1"), True),
        (selection("orders-3@7"), False),
        (selection(reasons=frozenset({"missing_key"})), True),
        (selection(reasons=frozenset({"not_json"})), False),
        (selection(producers=frozenset({"/pay"}), from_ms=NOW_MS), True),
        (selection(producers=frozenset({"/shop"})), False),
        (selection(to_ms=NOW_MS), False),
        (selection(to_ms=NOW_MS + 1, from_ms=NOW_MS), True),
        (selection("orders-3@12", reasons=frozenset({"not_json"})), False),
    ],
)
def test_a_letter_is_selected_by_every_part(wanted: Selection, selects: bool) -> None:  # noqa: FBT001 - the expected value
    """By its own position or its record's; times are half-open."""
    assert wanted.selects(parked(PAID)) == selects


def test_only_the_named_part_of_the_log_is_read() -> None:
    """Positions of records say nothing about where their letters are."""
    wanted = selection("dead-letters-3@7..9", "dead-letters-3@40")
    assert wanted.within("dead-letters", 3) == (7, 40)
    assert wanted.within("dead-letters", 2) == (0, -1)
    assert selection("dead-letters-3@7", "orders-0@1").within("dead-letters", 3) is None
    assert selection().within("dead-letters", 3) is None


@pytest.mark.parametrize(
    ("letter", "topic", "key", "with_given"),
    [
        (parked(PAID), "orders", b"o-1", b"given"),
        (parked(PAID, b"other"), "orders", b"o-1", b"given"),
        (parked(PAID, b"o-1"), "orders", b"o-1", b"o-1"),
        (parked(MESSAGE, topic="chats"), "chats", b"s-1/b-1", b"given"),
        (parked(b"?", b"k"), "orders", b"k", b"given"),
        (parked(b"?"), "orders", None, b"given"),
        (parked(b'{"order_id":3}'), "orders", None, b"given"),
    ],
)
def test_the_content_names_the_key(
    letter: Letter, topic: str, key: bytes | None, with_given: bytes
) -> None:
    """A given key replaces one that is missing or wrong, and no right one."""
    assert key_for(letter, topic, None) == key
    assert key_for(letter, topic, b"given") == with_given
    assert named_key(letter, topic) in {key, None}


def test_an_accepted_letter_is_written_to_the_partition_of_its_key() -> None:
    """Value, own headers and event id are those of the refused record."""
    letter = parked(PAID)
    verdict = Verdicts(SETTINGS).of(letter)
    record = verdict.record
    assert record is not None
    assert (verdict.outcome, record.topic, record.key) == ("accepted", "orders", b"o-1")
    assert record.partition == partition_of(b"o-1", 4)
    assert (record.value, record.headers[: len(letter.headers)]) == (
        letter.value,
        list(letter.headers),
    )
    assert dict(record.headers)[REQUEUED_FROM] == b"dead-letters-3@7"


@pytest.mark.parametrize(
    ("letter", "outcome", "reason", "detail"),
    [
        (parked(b"?", b"k"), "refused", "not_json", ""),
        (parked(PAID | {"amount": -1}), "refused", "invalid_field", "amount"),
        (parked(PAID | {"occurred_at": "2150-01-01T00:00:00Z"}), "refused", "in_the_future", ""),
        (parked(PAID, b"o-1", Reason.ORDER_FULL), "refused", "order_full", "stays full"),
        (parked(b"{}", topic="sales"), "no_events", "", "sales is no topic of events"),
        (parked(b"?"), "no_key", "", "give --key"),
        (parked(MESSAGE, topic="chats"), "accepted", "", ""),
    ],
)
def test_the_workers_rules_judge_a_letter(
    letter: Letter, outcome: str, reason: str, detail: str
) -> None:
    """The present decoder and admission, and what never changes."""
    verdict = Verdicts(SETTINGS).of(letter)
    assert (verdict.outcome, verdict.reason) == (outcome, reason)
    assert detail in verdict.detail


def test_another_key_than_the_contents_is_refused() -> None:
    """The worker would refuse it, too."""
    verdict = Verdicts(SETTINGS, b"o-2").of(parked(PAID))
    assert (verdict.outcome, verdict.reason) == ("refused", "key_mismatch")


@pytest.mark.parametrize("attempt", range(REQUEUE_ATTEMPTS + 1))
def test_a_record_is_put_back_a_few_times_only(attempt: int) -> None:
    """After that it needs force."""
    own = [(REQUEUED_FROM, b"dead-letters-0@1"), (ATTEMPT, b"%d" % attempt)]
    verdict = Verdicts(SETTINGS).of(parked(PAID, own=own))
    assert verdict.outcome == ("attempts" if attempt >= REQUEUE_ATTEMPTS else "accepted")


PLACED: dict[str, Any] = {
    "type": "order_placed", "id": "e-0", "source": "/shop", "occurred_at": "2026-07-01T07:00:00Z",
    "shop_id": "s-1", "buyer_id": "b-1", "currency": "CNY",
    "lines": [{"line_id": "1", "product_id": "p-1", "quantity": 2, "unit_price": 4500}],
}  # fmt: skip
RECEIVED: dict[str, Any] = {
    "type": "receipt_confirmed", "id": "e-2", "source": "/logistics",
    "occurred_at": "2026-07-02T07:00:00Z", "order_id": "o-1", "by": "buyer",
}  # fmt: skip
REFUNDED: dict[str, Any] = {
    "type": "refund_succeeded", "id": "e-3", "source": "/pay", "refund_id": "r-1",
    "occurred_at": "2026-07-03T07:00:00Z", "order_id": "o-1", "reason": "quality",
    "lines": [{"line_id": "1", "quantity": 1, "amount": 4500}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "letters", "found"),
    [
        ([PLACED], [RECEIVED], [Effect(2, {"CNY": 9000})]),
        ([PLACED], [RECEIVED, REFUNDED], [Effect(2, {"CNY": 9000}), Effect(-1, {"CNY": -4500})]),
        ([PLACED], [REFUNDED, RECEIVED], [Effect(), Effect(1, {"CNY": 4500})]),
        ([PLACED], [PAID], [Effect()]),
        ([], [RECEIVED], [Effect()]),
    ],
)
def test_a_preview_foresees_what_events_change(
    monkeypatch: pytest.MonkeyPatch,
    facts: list[dict[str, Any]],
    letters: list[dict[str, Any]],
    found: list[Effect],
) -> None:
    """By the rules, on a reader's facts of the order; each letter after the one before."""
    monkeypatch.setattr(effects, "get", lambda _, path: {"/v1/orders/o-1": {"facts": facts}}[path])
    judged = [
        (letter, Verdicts(SETTINGS).of(letter))
        for letter in (
            replace(parked(value), position=Position("dead-letters", 3, at))
            for at, value in enumerate(letters)
        )
    ]
    changes, why = effects.effects_of(SETTINGS, judged)
    assert (list(changes.values()), why) == (found, None)
    assert not any(one is effects.COUNTED_ALREADY for one in changes.values())


def test_a_preview_names_events_that_are_counted_already(monkeypatch: pytest.MonkeyPatch) -> None:
    """By id and source among the facts of the order."""
    facts = [{name: value for name, value in PAID.items() if name != "order_id"}]
    monkeypatch.setattr(effects, "get", lambda *_: {"facts": facts})
    letter = parked(PAID)
    changes, _ = effects.effects_of(SETTINGS, [(letter, Verdicts(SETTINGS).of(letter))])
    assert [one is effects.COUNTED_ALREADY for one in changes.values()] == [True]


@pytest.mark.parametrize(
    ("answer", "known", "why"),
    [
        (UnknownId("no event names it"), [Effect()], None),
        (NoReader("no reader answers"), [], "no reader answers"),
        ({"facts": [PAID | {"amount": "many"}]}, [], None),
    ],
)
def test_a_preview_without_the_order_foresees_nothing(
    monkeypatch: pytest.MonkeyPatch,
    answer: Any,  # noqa: ANN401 - an answer or an error
    known: list[Effect],
    why: str | None,
) -> None:
    """An order that nothing names begins with the letter; else nothing is foreseen."""

    def get(*_: object) -> Any:  # noqa: ANN401 - any answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(effects, "get", get)
    letter = parked(PAID)
    changes, found = effects.effects_of(SETTINGS, [(letter, Verdicts(SETTINGS).of(letter))])
    assert (list(changes.values()), found) == (known, why)


CHANGES = (
    f"would go to orders-{partition_of(b'o-1', 4)} with the key o-1, and change its order by"
    " +2 units, CNY +90.00\n"
)


@pytest.mark.parametrize(
    ("letter", "force", "line"),
    [
        (parked(PAID), False, CHANGES),
        (parked(b"x"), False, "missing_key: stays: its content names no key: give --key"),
        (parked(b"x", b"o-1"), False, "missing_key: stays: not_json: "),
        (parked(b"x", b"o-1"), True, "with the key o-1, by --force: not_json: "),
    ],
)
def test_a_preview_shows_what_would_become_of_each_letter(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    letter: Letter,
    force: bool,  # noqa: FBT001 - an option
    line: str,
) -> None:
    """Where it would go with which key, or that it stays, and why."""
    found = {str(letter.position): Effect(2, {"CNY": 9000})}
    monkeypatch.setattr(changing, "effects_of", lambda *_: (found, None))
    plan = Plan(shown=[(letter, Verdicts(SETTINGS).of(letter))])
    request = Request("requeued", Selection(), "me", "", force=force)
    changing._show_preview(SETTINGS, request, plan, as_json=False)
    assert line in capsys.readouterr().out


def test_a_masked_value_shows_its_form_and_no_content() -> None:
    """What identifies the event stays, and so do names, true, false and null."""
    value = {
        "id": "e-1",
        "type": "order_paid",
        "buyer": {"name": "Li", "vip": True, "id": "e-2"},
        "amounts": [1, 1.5, None, "x"],
    }
    assert masked_value(json.dumps(value).encode()) == {
        "id": "e-1",
        "type": "order_paid",
        "buyer": {"name": "<2 characters>", "vip": True, "id": "e-2"},
        "amounts": ["<integer>", "<number>", None, "<1 characters>"],
    }
    assert masked_value(b"\xff\xfe") == "<2 bytes, no JSON>"
    assert masked_value(None) is None
    assert (masked_header("ce_id", b"e-1"), masked_header("trace", b"abc")) == ("e-1", "<3 bytes>")


def decision(letter: Letter) -> Decision:
    """The decision to put a letter back."""
    return Decision(
        letter.position, "id", "requeued", letter.topic, letter.reason, letter.source, 1,
        "ann", "", "2026-07-01T08:00:00.000Z",
    )  # fmt: skip


def test_a_decision_survives_its_record() -> None:
    """Another program's record is no decision."""
    one = decision(parked(PAID))
    key, value = decisions.encode(one)
    assert (key, decisions.decode(value)) == (b"dead-letters-3@7", one)
    assert [decisions.decode(other) for other in (None, b"", b"{}", b"[]", b"\xff")] == [None] * 5


def writer(log: MemoryLog, step: Callable[[str], Awaitable[None]]) -> LetterWriter:
    """A writer to a log in memory; `step` is called around each request."""

    def connect(_: Settings, transactional_id: str) -> Any:  # noqa: ANN401 - for the real one
        return MemoryProducer(log, transactional_id, step)

    return LetterWriter(SETTINGS, connect)


async def _fine(_: str) -> None:
    pass


def counts(log: MemoryLog) -> tuple[int, int]:
    """How many records of `orders`, and how many decisions, readers see."""
    return tuple(
        sum(len(log.read(TopicPartition(topic, at), 0, 100)[0]) for at in range(4))
        for topic in ("orders", "dead-letter-decisions")
    )  # type: ignore[return-value]  # two topics


@pytest.mark.parametrize(
    "lost", ["before produce to orders-0", "after produce to dead-letter-decisions-3",
             "before commit", "after commit"],
)  # fmt: skip
async def test_a_record_and_its_decision_are_written_together_or_not_at_all(lost: str) -> None:
    """Whatever request fails; the next writer settles what the failed one left open."""
    letter = parked(PAID)
    record = Verdicts(SETTINGS).of(letter).record
    assert record is not None
    log, where = MemoryLog(), f"orders-{record.partition}"

    async def step(what: str) -> None:
        if what == lost.replace("orders-0", where):
            raise OSError(what)

    async with writer(log, step) as failing:
        with pytest.raises(DecisionsInDoubt, match="run the same command again"):
            await failing.commit([record], [decision(letter)])
    async with writer(log, _fine) as again:
        seen = counts(log)
        assert seen == ((1, 1) if lost == "after commit" else (0, 0))
        await again.commit([record], [decision(letter)])
        assert counts(log) == (seen[0] + 1, seen[1] + 1)


async def test_a_newer_command_ends_an_older_one() -> None:
    """Two at once would put a letter back twice."""
    letter, log = parked(PAID), MemoryLog()
    record = Verdicts(SETTINGS).of(letter).record
    assert record is not None
    async with writer(log, _fine) as older, writer(log, _fine):
        with pytest.raises(DecisionsInDoubt, match="another command decides"):
            await older.commit([record], [decision(letter)])
    assert counts(log) == (0, 0)
