"""Who imports whom: the graph of modules, its circles, and the libraries of a file."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tests.house.sources import Source

Graph = dict[str, set[str]]


def graph(sources: Iterable[Source]) -> Graph:
    """The modules among these that each module imports.

    Imports inside functions and under `TYPE_CHECKING` count like all others.
    """
    by_module = {source.module: source for source in sources}
    return {
        module: {
            found
            for name in _imported(source.tree)
            if (found := _module(name, by_module)) is not None and found != module
        }
        for module, source in by_module.items()
    }


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _module(name: str, known: Mapping[str, object]) -> str | None:
    """The module that an imported name is, or is in."""
    while name not in known:
        name, dot, _ = name.rpartition(".")
        if not dot:
            return None
    return name


def circles(edges: Graph) -> list[list[str]]:
    """The groups of modules that import each other, directly or by way of others."""
    reach = {module: _reachable(module, edges) for module in edges}
    groups = {
        tuple(sorted(other for other in reach[module] if module in reach[other]))
        for module in edges
        if module in reach[module]
    }
    return sorted(map(list, groups))


def _reachable(module: str, edges: Graph) -> set[str]:
    found: set[str] = set()
    left = [module]
    while left:
        new = edges[left.pop()] - found
        found |= new
        left += new
    return found


def documented(page: str) -> dict[str, set[str]]:
    """The imports that a page claims, by room: rooms, and modules as `streams.log`.

    They are the rows `| room | imports | never |` between `<!-- imports -->` and
    `<!-- /imports -->`. A cell lists rooms, and modules of a room behind a colon:
    `schemas, tables; streams: log, marks`. Other words, such as libraries, are skipped.
    """
    _, _, block = page.partition("<!-- imports -->")
    block, end, _ = block.partition("<!-- /imports -->")
    if not end:
        return {}
    rows = [line.strip().strip("|").split("|") for line in block.splitlines() if "|" in line]
    return {
        _word(cells[0]): _claims(cells[1])
        for cells in rows[1:]
        if not set(cells[0].strip()) <= set("-: ")
    }


def _claims(cell: str) -> set[str]:
    found = set()
    for part in cell.split(";"):
        room, colon, modules = part.partition(":")
        if colon:
            found |= {f"{_word(room)}.{_word(module)}" for module in modules.split(",")}
        else:
            found |= {_word(name) for name in part.split(",")}
    return found


def _word(text: str) -> str:
    return text.strip().strip("`*").strip()


def measured(edges: Graph, room: str, claims: Iterable[str]) -> set[str]:
    """What a room imports of the others, in the words of its claims.

    A room that is claimed by its modules is measured by modules, any other as a whole.
    """
    by_module = {claim.partition(".")[0] for claim in claims if "." in claim}
    found = set()
    for module, imported in edges.items():
        if module.partition(".")[0] != room:
            continue
        for other in imported:
            other_room, _, rest = other.partition(".")
            if other_room != room:
                found.add(
                    f"{other_room}.{rest}" if other_room in by_module and rest else other_room
                )
    return found
