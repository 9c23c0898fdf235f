"""Public definitions that nothing in the product uses.

A function, class or constant counts as used where another module imports it, or where its own
module names it outside of its definition. A method counts as used where anything in the product
names an attribute like it outside of its definition.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from typing import TYPE_CHECKING

from tests.house.sources import top_level

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from tests.house.sources import Function, Source


def unused(
    sources: Iterable[Source], hooks: AbstractSet[str], routes: AbstractSet[str]
) -> list[str]:
    """The unused definitions, as `module.name` and `module.Class.method`.

    Methods of a class with a base from one of the libraries `hooks` are called by the library.
    What a decorator registers, whose name is in `routes`, is called by whoever registers it.
    """
    files = list(sources)
    attributes = _attributes(files)
    imported = _imported(files)
    found = []
    for source in files:
        library_names = _library_names(source.tree, hooks)
        names = _names(source.tree)
        for name, node in top_level(source.tree):
            if name.startswith("_") or _registered(node, routes):
                continue
            if (source.module, name) not in imported and _only_within(node, names[name]):
                found.append(f"{source.module}.{name}")
            if isinstance(node, ast.ClassDef) and not _is_hooked(node, library_names):
                found += [
                    f"{source.module}.{name}.{method.name}"
                    for method in _methods(node, routes)
                    if _only_within(method, attributes[method.name], source.module)
                ]
    return found


def _methods(node: ast.ClassDef, routes: AbstractSet[str]) -> Iterator[Function]:
    for method in node.body:
        if (
            isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef))
            and not method.name.startswith("_")
            and not _registered(method, routes)
        ):
            yield method


def _names(tree: ast.AST) -> Mapping[str, list[tuple[str, int]]]:
    """The lines at which a file reads each name."""
    found = defaultdict(list)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found[node.id].append(("", node.lineno))
    return found


def _attributes(sources: Iterable[Source]) -> Mapping[str, list[tuple[str, int]]]:
    """Where the product reads an attribute of each name: modules and lines."""
    found = defaultdict(list)
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                found[node.attr].append((source.module, node.lineno))
    return found


def _imported(sources: Iterable[Source]) -> set[tuple[str, str]]:
    """The (module, name) pairs that modules import, or read as an attribute of a module."""
    found = set()
    for source in sources:
        modules = {}
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    found.add((node.module or "", alias.name))
                    modules[alias.asname or alias.name] = f"{node.module}.{alias.name}"
            elif isinstance(node, ast.Import):
                modules |= {alias.asname or alias.name: alias.name for alias in node.names}
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Attribute) and (owner := _dotted(node.value)) in modules:
                found.add((modules[owner], node.attr))
    return found


def _dotted(node: ast.expr) -> str:
    """A name, or names with dots between them; empty for any other expression."""
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value)
        return owner and f"{owner}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _only_within(node: ast.stmt, uses: Iterable[tuple[str, int]], module: str = "") -> bool:
    last = node.end_lineno or node.lineno
    return all(where == module and node.lineno <= line <= last for where, line in uses)


def _registered(node: ast.stmt, routes: AbstractSet[str]) -> bool:
    return any(
        isinstance(part, ast.expr) and _dotted(part).rpartition(".")[2] in routes
        for decorator in getattr(node, "decorator_list", ())
        for part in ast.walk(decorator)
    )


def _library_names(tree: ast.AST, hooks: AbstractSet[str]) -> set[str]:
    """The names under which a file knows something of these libraries."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {
                alias.asname or alias.name.partition(".")[0]
                for alias in node.names
                if alias.name.partition(".")[0] in hooks
            }
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in hooks:
            found |= {alias.asname or alias.name for alias in node.names}
    return found


def _is_hooked(node: ast.ClassDef, library_names: AbstractSet[str]) -> bool:
    return any(
        ast.unparse(base).partition(".")[0].partition("[")[0] in library_names | {"Protocol"}
        for base in node.bases
    )
