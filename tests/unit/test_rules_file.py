"""The rules file: what is understood, what is refused, and with which sentence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from operations.stories.running import ExampleUnusable, run_all
from schemas.columns import RULES
from streams.rules import RulesUnusable, built_in, read_rules, rules_of
from streams.settings import Settings
from tables.terms import Terms, in_words
from tests.terms import changed, rules_file

if TYPE_CHECKING:
    from pathlib import Path


def written(path: Path, **instead: str) -> Path:
    """The built-in rules, with other texts for some of its parts."""
    text = built_in().text
    for part, other in instead.items():
        before = {"version": "version = 8", "days": "cycle_days = 30"}.get(part, part)
        assert before in text
        text = text.replace(before, other)
    path.write_text(text, encoding="utf-8")
    return path


def test_the_built_in_rules_are_the_usual_terms() -> None:
    """Those that the tables have where nothing is given; all of their examples are right."""
    assert built_in().terms == Terms()
    ran = run_all(built_in())
    assert len(ran) >= 8
    assert [one for one in ran if one.differences or one.by_recount] == []


def test_a_file_is_named_by_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its terms are those of every process that has the setting."""
    monkeypatch.setenv("NETSOLD_RULES", str(rules_file(tmp_path / "weeks.toml", cycle_days=7)))
    settings = Settings(_env_file=None)
    assert settings.terms.calendar.length_ms == 7 * 86_400_000
    assert settings.rules.source == str(tmp_path / "weeks.toml")


@pytest.mark.parametrize(
    ("part", "other", "why"),
    [
        ("version", "version = 7", f"is written for rules 7, and this netsold has rules {RULES}"),
        ("version", "", "is written for no rules that it names"),
        ("version", 'version = "8"', "version is '8', but must be a whole number"),
        ("days", "cycle_day = 30", "terms.cycle_day is unknown: did you mean cycle_days?"),
        ("days", "", "terms.cycle_days is missing; `netsold rules show` prints it"),
        ("days", "cycle_days = 0", "terms.cycle_days is 0, but must be a whole number from 1 to"),
        ("days", 'cycle_days = "30"', "terms.cycle_days is '30', but must be a whole number"),
        ("days", "cycle_days = true", "terms.cycle_days is True, but must be a whole number"),
        ("days", "cycle_days = 30\ncycle_days = 7", "is no TOML: Cannot overwrite a value"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, part: str, other: str, why: str) -> None:
    """With its place, the nearest name, and what it must be."""
    path = written(tmp_path / "rules.toml", **{part: other})
    with pytest.raises(RulesUnusable) as raised:
        read_rules(path)
    assert str(path) in str(raised.value)
    assert why in str(raised.value)


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("1970-01-01T00:00:00Z ", "1970-01-01 ", "must be an instant with its zone"),
        ("1970-01-01T00:00:00Z ", "1970-01-01T00:00:00 ", "must be an instant with its zone"),
        ("1970-01-01T00:00:00Z ", "0 ", "0 is no instant with its zone, such as 2026-01-01"),
        ('basis = "sale"', 'basis = "both"', "is 'both', but must be one of sale, refund"),
        ('"08:00-23:00"', '"8-23"', "service hours are written like 08:00-23:00, not '8-23'"),
        ("Asia/Shanghai", "Atlantis", "there is no time zone 'Atlantis'"),
        ("title = ", "titel = ", "examples.0.titel is unknown: did you mean title?"),
        ("[terms]", "[term]", "terms is missing"),
    ],
)
def test_each_term_has_its_values(tmp_path: Path, before: str, after: str, why: str) -> None:
    """Others are refused, and never guessed."""
    path = tmp_path / "rules.toml"
    path.write_text(built_in().text.replace(before, after), encoding="utf-8")
    with pytest.raises(RulesUnusable) as raised:
        read_rules(path)
    assert why in str(raised.value)


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    """Missing, or no text."""
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    for name, why in (
        ("missing.toml", "can't be read"),
        ("binary.toml", "is no text in UTF-8"),
    ):
        with pytest.raises(RulesUnusable, match=why):
            read_rules(tmp_path / name)


BUILT_IN = built_in().values.model_dump()
TERMS = st.fixed_dictionaries(
    {
        "cycle_days": st.integers(1, 3660),
        "cycle_anchor": st.datetimes(timezones=st.timezones()),
        "sold_monthly_basis": st.sampled_from(["sale", "refund"]),
        "reply_within_seconds": st.integers(1, 30 * 86_400),
        "service_hours": st.sampled_from(["08:00-23:00", "22:00-06:00", "00:00-24:00"]),
        "service_zone": st.sampled_from(["Asia/Shanghai", "UTC", "America/New_York"]),
        "count_inquiries_per": st.sampled_from(["buyer_day", "inquiry"]),
    }
)


@given(TERMS, TERMS)
@example(BUILT_IN | {"cycle_anchor": datetime(2038, 2, 1, microsecond=2001, tzinfo=UTC)}, BUILT_IN)
def test_equal_terms_have_equal_names(one: dict[str, object], other: dict[str, object]) -> None:
    """A version's record gives the same terms; other terms have another name."""
    first, second = (changed(built_in(), **values) for values in (one, other))
    assert rules_of(first.values.written(), "a record").terms == first.terms
    assert len(first.terms.name) == 8
    assert (first.terms.name == second.terms.name) == (first.terms == second.terms)


@pytest.mark.parametrize(
    ("clause", "words"),
    [
        ("cycles of 2592000000 ms from 0", "cycles of 30 days from 1970-01-01T00:00:00Z"),
        ("cycles of 86400000 ms from 1500", "cycles of 24 h from 1970-01-01T00:00:01.500Z"),
        ("reply within 300000 ms, 08:00-23:00", "reply within 5 min, 08:00-23:00"),
        ("reply within 5400000 ms, x", "reply within 90 min, x"),
        ("reply within 100000 ms, x", "reply within 100 s, x"),
        ("sold_monthly by sale", "sold_monthly by sale"),
    ],
)
def test_clauses_are_read_as_people_write_them(clause: str, words: str) -> None:
    """Durations in the largest unit that has no fraction, so that two never read alike."""
    assert in_words(clause) == words


def test_anchors_of_the_same_cycles_are_the_same_terms() -> None:
    """Only what is left of an anchor within a cycle matters (C1)."""
    later = changed(built_in(), cycle_anchor="1970-01-31T00:00:00Z")
    assert later.terms == built_in().terms
    assert changed(built_in(), cycle_anchor="1970-01-30T00:00:00Z").terms != built_in().terms


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("2026-07-01T08:00Z  plcaed  o-1", "no event has the verb 'plcaed'"),
        ("2026-07-01T08:00  placed  o-1  1:p-3:2x1000", "is no story"),
        ("2026-07-01T08:00Z  placed  o-1  1:p-3:0x1000", "has an event that is refused"),
        ("2026-07-01T08:00Z", "is no story"),
        ("rules per=inquiry", "has a line `rules`: its terms are those of the file"),
        ("then\np-3 2026-06-06", "no row is expected by"),
    ],
)
def test_an_example_that_is_no_story_is_named(tmp_path: Path, line: str, why: str) -> None:
    """Its title is in the sentence."""
    path = rules_file(tmp_path / "rules.toml")
    more = f'[[examples]]\ntitle = "this one"\nstory = """\n{line}\n"""\n'
    path.write_text(path.read_text(encoding="utf-8") + more, encoding="utf-8")
    with pytest.raises(ExampleUnusable, match="the example 'this one'") as raised:
        run_all(read_rules(path))
    assert why in str(raised.value)
