"""Bounds on data: whole numbers at the top of a module, with names that say what they bound."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from tests.house.sources import top_level

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.house.sources import Source

BOUND = re.compile(
    r"^_?(MOST|MAX|FEW)_|(_|^)(BYTES|RECORDS|CHARS|ROWS|ENTRIES|LINES|LIMIT|MOST|MAX)$"
)


def bounds(sources: Iterable[Source]) -> list[str]:
    """Every such constant, as `module.NAME`."""
    return [
        f"{source.module}.{name}"
        for source in sources
        for name, node in top_level(source.tree)
        if BOUND.search(name) and isinstance(node, (ast.Assign, ast.AnnAssign)) and _is_whole(node)
    ]


def _is_whole(node: ast.Assign | ast.AnnAssign) -> bool:
    """Whether the value is arithmetic with whole numbers alone."""
    if node.value is None:
        return False
    parts = list(ast.walk(node.value))
    return any(isinstance(part, ast.Constant) for part in parts) and all(
        isinstance(part, (ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop))
        or (isinstance(part, ast.Constant) and type(part.value) is int)
        for part in parts
    )
