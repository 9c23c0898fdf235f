"""The docs are true: made pages are up to date, links and names resolve, every refusal has its heading."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs import lists
from operations.cli import COMMANDS
from schemas.refusals import Reason

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


@pytest.mark.parametrize("name", sorted(lists.pages()))
def test_reference_pages_are_those_of_the_code(name: str) -> None:
    """After a change of a list, `make docs` has been run."""
    assert (lists.FOLDER / name).read_text(encoding="utf-8") == lists.pages()[name]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page is a file."""
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_files_that_are_named_exist(page: Path) -> None:
    """`room/file.py` in a page is a file of ours."""
    for name in re.findall(
        r"`((?:schemas|tables|streams|serving|operations|tests|bench|docs)/[\w/.-]+)`", page.read_text(encoding="utf-8")
    ):
        assert (ROOT / name).exists(), name


def test_functions_of_the_walk_exist() -> None:
    """Each name behind a file in the walk stands in that file."""
    walk = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    found = re.findall(r"`(\w+/\w+\.py)`: `(\w+)`", walk)
    assert len(found) >= 8
    for file, name in found:
        assert re.search(rf"^\s*(?:def|class|async def) {name}\b", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), (file, name)


@pytest.mark.parametrize("reason", Reason)
def test_every_refusal_has_a_heading_in_the_runbook(reason: Reason) -> None:
    """Who finds a reason in a dead letter finds it in the runbook."""
    assert f"\n### {reason.value}\n" in (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")


def test_headings_that_the_code_names_exist() -> None:
    """A sentence that sends a person to the runbook names a heading of it."""
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    named = {
        heading
        for file in (ROOT / "streams").glob("*.py")
        for heading in re.findall(r"docs/runbook\.md, ([A-Z][\w ]+)\)", file.read_text(encoding="utf-8"))
    }
    assert named
    for heading in named:
        assert f"\n## {heading}\n" in runbook


def test_commands_in_the_readme_exist() -> None:
    """`netsold X` in a shell block is a command."""
    known = {command.name for command in COMMANDS} | {"kafka", "topics"}
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    used = set(re.findall(r"^netsold (\w+)", text, re.MULTILINE))
    assert used
    assert used <= known


def test_every_decision_is_listed() -> None:
    """The index of decisions leads to each note."""
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    notes = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
    assert notes
    for note in notes:
        assert f"({note.name})" in index
