"""Kept answers are those of their own snapshot, and their JSON is that of the forms."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import http_limits, limits, times
from schemas.answers import Freshness
from schemas.names import DisplayName, encode_name, name_key
from serving import rendering
from serving.changes import Changes
from serving.fresh_json import json_of
from serving.kept_answers import KeptAnswer, KeptAnswers, KeptKey
from serving.rendering import json_text
from serving.subjects import PRODUCT, SHOP
from serving.top_lists import TopWanted, top_products, top_shops
from tables import sales
from tables.figures import FIGURES
from tests.flow import CYCLES, Record
from tests.properties.strategies import EDGE_MS, events
from tests.reading import Changelogs, FedReader, form_of, settings_in

if TYPE_CHECKING:
    from serving.answers import Answers
    from serving.subjects import Subject

SUBJECTS: dict[Subject[Any], tuple[str, ...]] = {
    PRODUCT: ("p-1", "p-2", "p-9", "p-none"),
    SHOP: ("s-1", "s-2", "s-none"),
}
STARTS = (None, CYCLES.start_of(EDGE_MS), CYCLES.start_of(EDGE_MS - 1))
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)


@st.composite
def changes(draw: st.DrawFn) -> dict[str, Any]:
    """An event, a name, or time that passes."""
    match draw(st.sampled_from(["event"] * 6 + ["name", "tick"])):
        case "event":
            event = draw(events())
            at_ms = EDGE_MS + draw(st.integers(-40 * 24, 40 * 24)) * times.HOUR_MS
            return event | {"occurred_at": times.format_ms(at_ms)}
        case "name":
            key = name_key(*draw(st.sampled_from([("product", "p-1"), ("shop", "s-1")])))
            return {"key": key, "value": encode_name(DisplayName(draw(TEXTS)))}
        case _:
            return {"tick": EDGE_MS + draw(st.integers(0, 40 * 24)) * times.HOUR_MS}


class Kept:
    """A reader whose answers are compared with those that are made anew."""

    def __init__(self, directory: Path) -> None:
        self.logs = Changelogs(settings_in(directory))
        self.reader = FedReader(settings_in(directory), self.logs)

    def write(self, change: dict[str, Any]) -> None:
        """Write a change to the logs."""
        if "key" in change:
            topic = self.logs.topics["names"]
            log = self.logs.changelogs[topic, 0]
            log.append(Record(topic, 0, len(log), 0, change["key"], change["value"], []))
        elif "tick" in change:
            self.logs.tick(change["tick"])
        else:
            self.logs.take([change])

    def agree(self, answers: Answers) -> None:
        """All answers of a snapshot are those that it gives without kept ones."""
        if answers.progress.of(*PRODUCT.tables).earliest_ms is None:
            return
        for subject, ids in SUBJECTS.items():
            for id_ in ids:
                for start_ms in STARTS:
                    _agree(answers, subject, id_, start_ms)
            page = top_products if subject is PRODUCT else top_shops
            for start_ms in STARTS:
                items = form_of(page(answers, TopWanted(start_ms=start_ms))).items
                for item in items:
                    id_ = getattr(item, subject.keyed_by)
                    at_ms = CYCLES.start_of_iso(item.cycle.start)
                    fields = answers.fields(subject.keyed_by, id_.encode(), at_ms, is_whole=False)
                    assert item.model_dump_json() == json_text(fields)


def _agree(answers: Answers, subject: Subject[Any], id_: str, start_ms: int | None) -> None:
    expected = answers.about(subject, id_, start_ms)
    found = rendering.about(answers, subject, id_, start_ms)
    assert (found is None) == (expected is None)
    if found is not None:
        assert form_of(found) == expected


@settings(max_examples=30, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.lists(st.tuples(changes(), st.sampled_from("wffffr")), min_size=3, max_size=14))
def test_a_kept_answer_is_the_one_that_its_snapshot_gives(
    happened: list[tuple[dict[str, Any], str]],
) -> None:
    """Also for an older snapshot, after newer ones have filled what is kept; and after a restart.

    Loose entries are few, so that rows by hour and day are read, too; and marks are shared.
    """
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "BRIEF_ENTRIES", 2)
        patch.setattr(limits, "LOOSE_ENTRIES", 2)
        patch.setattr(limits, "HOURS_DAYS", 1)
        patch.setattr(http_limits, "KEPT_MARKS", 3)
        patch.setattr("serving.reader.now_ms", lambda: EDGE_MS)
        kept = Kept(Path(directory))
        kept.reader.feed()
        for change, then in happened:
            kept.write(change)
            if then == "w":
                continue
            before = kept.reader.answers()
            kept.reader.feed()
            kept.agree(kept.reader.answers())
            kept.agree(before)
            del before  # its snapshot keeps the database open
            if then == "r":
                kept.reader.reopen()
                kept.agree(kept.reader.answers())
        kept.reader.close()


KEY = KeptKey("product_id", b"p-1", 0, None, "whole")


def test_an_answer_is_kept_until_its_id_is_marked() -> None:
    """Steps that are not shown, another store, and marks of all ids make it old as well."""
    changes = Changes()
    answers = KeptAnswers(changes)

    def step(*ids: bytes, is_shown: bool = True) -> None:
        changes.begin_step(is_shown=is_shown)
        for id_ in ids:
            changes.note("product_id", id_)
        changes.end_step()

    def is_kept(since: int) -> bool:
        """Whether an answer of a snapshot after this step is still that of now."""
        answers.put(KEY, KeptAnswer("{}", since))
        return answers.get(KEY, changes.ended) is not None

    step()
    assert is_kept(1)
    step(b"p-2")
    assert is_kept(1)
    step(b"p-1")
    assert not is_kept(2)
    assert is_kept(3)
    assert answers.get(KEY, 2) is None, "an older snapshot has an older answer"
    step(is_shown=False)
    assert not is_kept(3)
    changes.note_another_store()
    assert not is_kept(4)
    step()
    assert is_kept(5)
    changes.begin_step(is_shown=True)
    changes.note("product_id", b"p-1")
    assert not is_kept(5), "a step that isn't written yet may be in a snapshot"


def test_kept_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are read stay."""
    monkeypatch.setattr(http_limits, "KEPT_ANSWERS_BYTES", 100_000)
    changes = Changes()
    answers = KeptAnswers(changes)
    for number in range(1000):
        answers.put(KEY._replace(id=b"%d" % number), KeptAnswer("x" * 100, 0))
        assert answers.get(KEY._replace(id=b"0"), 0) is not None
    kept = [n for n in range(1000) if answers.get(KEY._replace(id=b"%d" % n), 0) is not None]
    assert 50 < len(kept) < 150


FRESHNESS = st.builds(
    Freshness,
    as_of=st.none() | st.integers(0, 2**42).map(times.format_ms),
    applied=st.dictionaries(
        st.from_regex(r"[a-zA-Z0-9._-]+-[0-9]", fullmatch=True), st.integers(0, 2**62), max_size=3
    ),
    lag_seconds=st.none() | st.integers(0, 10**15).map(lambda ms: ms / 1000),
    state=st.sampled_from(["live", "restoring", "behind", "stalled", "unknown"]),
    version=st.sampled_from(["base", "rules-2"]),
)


@given(FRESHNESS)
def test_the_text_of_a_freshness_is_that_of_its_form(freshness: Freshness) -> None:
    """Byte by byte."""
    assert json_of(freshness).json == freshness.model_dump_json()


SUMS = st.integers(0, 2**70)
AMOUNTS = st.dictionaries(st.sampled_from(["CNY", "USD"]), st.tuples(SUMS, SUMS), max_size=2)


@given(st.dictionaries(TEXTS, SUMS), AMOUNTS, TEXTS)
def test_fields_have_the_json_of_the_form(
    columns: dict[str, int], amounts: dict[str, tuple[int, int]], name: str
) -> None:
    """Sums of any size, shares, and names in any script."""
    currencies = {
        currency: sales.CurrencySums(units_gross=units, amount_gross=amount)
        for currency, (units, amount) in amounts.items()
    }
    tally = sales.Tally(currencies=currencies)
    service = {
        "reviews": sum(columns.values()) + 1,
        "reviews.good": sum(columns.values()),
        **{f"refusal.{reason}": count for reason, count in columns.items() if "." not in reason},
    }
    span = {"start": "2026-07-06T00:00:00Z", "end": "2026-08-05T00:00:00Z"}
    fields = {
        "name": name,
        "picture": None,
        "restatements": 0,
        "same_point": None,
        "product_id": name,
        "cycle": span,
        **tally.of_cycle(),
        "sold_monthly": tally.net,
        "successfully_traded": tally.net,
        "service": FIGURES["product_id"](service),
    }
    form: Any = PRODUCT.form
    fresh = Freshness(as_of=None, applied={}, lag_seconds=None, state="live", version="base")
    found = form(**fields, freshness=fresh)
    assert found.model_dump_json(exclude={"freshness"}) == json_text(fields)
