"""`netsold rules`: what it prints, and its exit codes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from operations import term_words
from operations.commands.rules import app
from schemas.columns import RULES
from streams.rules import TermValues, built_in, read_rules
from tests.terms import rules_file

if TYPE_CHECKING:
    from pathlib import Path


def run(*arguments: object, exit_code: int = 0) -> str:
    """What the command prints on stdout."""
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == exit_code, result.output
    return result.stdout


def answer(*arguments: object, exit_code: int = 0) -> dict[str, Any]:
    """The object that it prints with --json."""
    found: dict[str, Any] = json.loads(run(*arguments, "--json", exit_code=exit_code))
    return found


def test_show_prints_a_file_that_can_be_used(tmp_path: Path) -> None:
    """With its name and where it is from; what it prints has the same terms and examples."""
    text = run("show")
    assert text.startswith(f"# rules {RULES}, terms {built_in().terms.name}, from: built in\n")
    path = tmp_path / "rules.toml"
    path.write_text(text, encoding="utf-8")
    assert read_rules(path).terms == built_in().terms
    assert read_rules(path).examples == built_in().examples
    shown = answer("show", path)
    assert (shown["terms"], shown["source"]) == (built_in().terms.name, str(path))
    assert shown["values"]["cycle_anchor"] == "1970-01-01T00:00:00.000Z"
    assert shown["examples"] == [example.title for example in built_in().examples]


def test_diff_names_the_terms_and_what_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one file from the rules in use; exit code 3 where any differs."""
    weekly = rules_file(tmp_path / "weeks.toml", cycle_days=7)
    lines = run("diff", weekly, exit_code=3).splitlines()
    assert lines[0] == "cycle_days: 30, would be 7"
    assert lines[1].startswith("  every cycle is counted anew")
    assert lines[2].endswith(
        f"`netsold replay --dry-run --rules {weekly}` shows what the tables would have"
    )
    found = answer("diff", rules_file(tmp_path / "usual.toml"), weekly, exit_code=3)
    assert [one["term"] for one in found["differences"]] == ["cycle_days"]
    monkeypatch.setenv("NETSOLD_RULES", str(weekly))
    assert "have the same terms" in run("diff", weekly)
    same = rules_file(tmp_path / "later.toml", cycle_anchor="1970-01-31T00:00:00Z")
    assert answer("diff", tmp_path / "usual.toml", same)["differences"] == []


def test_each_term_names_what_another_value_changes() -> None:
    """No term is left out of a comparison."""
    assert set(term_words.CHANGES) == set(TermValues.model_fields)


def test_test_names_the_example_and_both_rows(tmp_path: Path) -> None:
    """What was expected, and what is found by these terms; exit code 3."""
    assert "all 8 pass by terms" in run("test")
    path = tmp_path / "rules.toml"
    path.write_text(built_in().text.replace('basis = "sale"', 'basis = "refund"'))
    lines = run("test", path, exit_code=3).splitlines()
    at = lines.index(
        "FAILED  Received in one cycle, refunded in the next: the first one shows less, "
        "the next one nothing"
    )
    assert lines[at + 1 : at + 5] == [
        "  expected  shows p-3  2026-06-06  2",
        "  expected  shows p-3  2026-07-06  0",
        "  found     shows p-3  2026-06-06  3",
        "  found     shows p-3  2026-07-06  -1",
    ]
    assert lines[-1].startswith("1 of 8 fail by terms ")
    failed = [
        one["title"] for one in answer("test", path, exit_code=3)["examples"] if one["differences"]
    ]
    assert len(failed) == 1


def test_a_file_without_examples_tests_nothing(tmp_path: Path) -> None:
    """It is no success."""
    result = CliRunner().invoke(app, ["test", str(rules_file(tmp_path / "rules.toml"))])
    assert "has no examples" in str(result.exception)
