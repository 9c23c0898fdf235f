"""The runbook as a page: what findings and dead letters lead to is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from schemas.refusals import Reason
from serving.runbook import anchor, document
from serving.site import PAGE

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"docs/runbook\.md, ([A-Z][a-z ]*[a-z])(?=[,;\"])")


def anchors() -> list[str]:
    """The anchors of the document."""
    return re.findall(r'<h\d id="([^"]+)">', document())


def test_what_the_runbook_links_to_is_there() -> None:
    """Each anchor once; other files of the documentation are no links."""
    found = anchors()
    assert len(set(found)) == len(found) > 50
    links = re.findall(r'<a href="([^"]+)"', document())
    assert {one[1:] for one in links if one.startswith("#")} <= set(found)
    others = {one for one in links if not one.startswith(("#", "http://127.0.0.1:"))}
    assert others == {"/", "/operations"}


def test_each_section_that_a_finding_names_is_there() -> None:
    """By the sentences in the sources of the reader."""
    named = {
        name
        for path in (ROOT / "serving").glob("*.py")
        for name in NAMED.findall(path.read_text(encoding="utf-8"))
    }
    assert len(named) > 8
    assert {anchor(name) for name in named} <= set(anchors())


def test_each_reason_of_dead_letters_has_its_section() -> None:
    """Under its own name."""
    assert set(Reason) <= set(anchors())


@pytest.mark.parametrize(
    ("heading", "link"),
    [
        ("A disk is full", "a-disk-is-full"),
        ("Messages, A to Z", "messages-a-to-z"),
        ("A reader isn't ready", "a-reader-isnt-ready"),
        ("not_json", "not_json"),
    ],
)
def test_anchors_are_those_of_github(heading: str, link: str) -> None:
    """So that the file's own links work in both places."""
    assert anchor(heading) == link


def test_nothing_in_it_runs_or_is_styled_here() -> None:
    """The content security policy of pages allows neither."""
    assert "<script>" not in document()
    assert " style=" not in document()


def codes() -> set[str]:
    """The codes of findings in the sources of the reader."""
    found = set()
    for path in (ROOT / "serving").glob("judging*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = {
            node.target.id: node.value
            for node in tree.body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }
        for node in ast.walk(tree):
            makers: list[ast.expr] = []
            match node:
                case ast.Call(func=ast.IfExp(), args=[code, *_]):
                    makers = [code]
                case ast.Call(func=ast.Name(id="fault" | "notice"), args=[code, *_]):
                    makers = [code]
                case ast.Tuple(elts=[code, *_, ast.Name(id="fault" | "notice")]):
                    makers = [code]
            for one in makers:
                value = constants[one.id] if isinstance(one, ast.Name) else one
                if isinstance(value, ast.Constant):
                    found.add(str(value.value))
    return found


def test_the_page_knows_a_section_for_each_finding() -> None:
    """And no section that is not there."""
    text = (PAGE / "lib" / "findings.js").read_text(encoding="utf-8")
    sections = dict(re.findall(r'^  (\w+): "([\w-]+)",$', text, re.MULTILINE))
    assert sections.keys() == codes()
    assert set(sections.values()) <= set(anchors())
