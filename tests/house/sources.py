"""The sources of the house, parsed once: every check of the house reads them from here."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parent.parent.parent
ROOMS = ("schemas", "tables", "streams", "serving", "operations")
CORE_ROOMS = ("schemas", "tables", "streams")
Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef


@dataclass(frozen=True, slots=True)
class Source:
    """One file: its path from the root, its text and its tree."""

    name: str
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The first folder of the path."""
        return self.name.partition("/")[0]

    @property
    def module(self) -> str:
        """The dotted name by which the file is imported."""
        return self.name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def source(name: str, text: str) -> Source:
    """A source from its text. Tests of checks use it to plant a mistake."""
    return Source(name, text, ast.parse(text))


def planted(**texts: str) -> list[Source]:
    """Sources by dotted module name, with `__` for the dot."""
    return [source(f"{name.replace('__', '/')}.py", text) for name, text in texts.items()]


def read(folders: Iterable[str]) -> list[Source]:
    """All Python files below some folders, in the order of their paths."""
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return [
        source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        for path in paths
    ]


@cache
def product() -> list[Source]:
    """The sources of the five rooms."""
    return read(ROOMS)


@cache
def beside_the_product() -> list[Source]:
    """The sources of tests, benchmarks and documentation."""
    return read(("tests", "bench", "docs"))


def listed(what_to_do: str, found: Iterable[str]) -> str:
    """The message of a check: what to do with everything that it has found."""
    return "\n".join([f"{what_to_do}:", *found])


def definitions(tree: ast.AST) -> Iterator[tuple[str, Definition]]:
    """Every function and class with its name, methods and nested ones as `Class.method`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name, node
            for name, inner in definitions(node):
                yield f"{node.name}.{name}", inner
        else:
            yield from definitions(node)


def length(node: Definition) -> int:
    """Lines of a definition from its `def` or `class` on, docstring included."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def top_level(tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    """Every name that a module defines at its top, with its statement; imports define none."""
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name, node
            case ast.Assign():
                for target in node.targets:
                    for name in ast.walk(target):
                        if isinstance(name, ast.Name):
                            yield name.id, node
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name, node
            case _:
                pass
