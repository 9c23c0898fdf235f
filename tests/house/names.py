"""The names of the house: words that it does not use, and names that two modules define."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from typing import TYPE_CHECKING

from tests.house.sources import top_level

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.house.sources import Source

INSTEAD = {
    "told": "emitted, reported, or what it is: event, alert, entry",
    "tell": "emit, report, explain",
    "tells": "emits, reports",
    "said": "event, message, or what the text is",
    "say": "report, write, or what the text is",
    "says": "reports, states",
    "taken": "intake, removed, reversed, refunded",
    "asked": "requested, or what it is: claim, question, request",
    "held": "kept, stored, owned",
    "heard": "received, seen",
    "look": "read, find, or what it answers",
    "looks": "reads, finds",
    "standing": "progress, stall",
    "extent": "progress, range",
    "oddity": "anomaly",
    "oddities": "anomalies",
}
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def words(name: str) -> list[str]:
    """The words of an identifier or a path, in lower case: split at `_` and at capitals."""
    return [word.lower() for word in WORD.findall(name)]


def identifiers(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that a file gives to something, with its line; names that it only uses are not."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name, node.lineno
            case ast.ClassDef(name=name):
                yield name, node.lineno
            case ast.arg(arg=name):
                yield name, node.lineno
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name, node.lineno
            case ast.ExceptHandler(name=str(name)):
                yield name, node.lineno
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name, node.lineno
            case ast.Import() | ast.ImportFrom():
                yield from ((alias.asname, node.lineno) for alias in node.names if alias.asname)
            case _:
                pass


def forbidden(sources: Iterable[Source], allowed: Iterable[str] = ()) -> list[str]:
    """Each use of a word that is not ours in a name that is, as `path:line: name: instead`."""
    passed = set(allowed)
    found = []
    for source in sources:
        names = [*identifiers(source.tree), (source.name.removesuffix(".py"), 1)]
        for name, line in sorted(set(names), key=lambda named: (named[1], named[0])):
            wrong = [word for word in words(name) if word in INSTEAD]
            if wrong and name not in passed:
                found.append(f"{source.name}:{line}: {name}: use {INSTEAD[wrong[0]]}")
    return found


def duplicates(sources: Iterable[Source], allowed: Iterable[str] = ()) -> dict[str, list[str]]:
    """Public top-level names that more than one module defines, with the modules."""
    found = defaultdict(set)
    for source in sources:
        for name, _ in top_level(source.tree):
            if not name.startswith("_"):
                found[name].add(source.module)
    passed = set(allowed)
    return {
        name: sorted(modules)
        for name, modules in sorted(found.items())
        if len(modules) > 1 and name not in passed
    }
