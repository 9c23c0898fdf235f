"""The exceptions of the product, and which family each belongs to."""

from __future__ import annotations

import ast
import builtins
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.house.sources import Source


def exceptions(sources: Iterable[Source]) -> dict[str, tuple[str, set[str]]]:
    """Every exception class by `module.Class`, with its name and the names it derives from.

    Bases are followed by name through the product; a base of a library is one if its name ends
    in Error or Exception.
    """
    classes = {
        (source.module, node.name): [ast.unparse(base).rpartition(".")[2] for base in node.bases]
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef)
    }
    by_name: dict[str, set[str]] = {}
    for (_, name), bases in classes.items():
        by_name.setdefault(name, set()).update(bases)
    found = {}
    for (module, name), bases in classes.items():
        ancestors = _ancestors(bases, by_name)
        if any(map(_is_exception, ancestors)):
            found[f"{module}.{name}"] = (name, ancestors)
    return found


def _ancestors(bases: Iterable[str], by_name: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    left = list(bases)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += by_name.get(name, ())
    return found


def _is_exception(name: str) -> bool:
    known = getattr(builtins, name, None)
    if isinstance(known, type):
        return issubclass(known, BaseException)
    return name.endswith(("Error", "Exception"))


def outside(sources: Iterable[Source], family: str) -> list[str]:
    """Public exceptions that do not derive from the family's root, as `module.Class`.

    A private one never leaves its module, so nobody is shown it.
    """
    return sorted(
        where
        for where, (name, ancestors) in exceptions(sources).items()
        if not name.startswith("_") and name != family and family not in ancestors
    )


def sharing_a_name(sources: Iterable[Source]) -> list[str]:
    """Names that two exceptions of the product have."""
    names = [name for name, _ in exceptions(sources).values()]
    return sorted({name for name in names if names.count(name) > 1})


def reads_of_exit_code_by_getattr(sources: Iterable[Source]) -> list[str]:
    """Places that search an error for its exit code, as `path:line`; the family has one."""
    return [
        f"{source.name}:{node.lineno}"
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "getattr"
        and any(isinstance(arg, ast.Constant) and arg.value == "exit_code" for arg in node.args)
    ]
