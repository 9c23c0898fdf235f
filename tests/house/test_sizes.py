"""Modules, classes, functions and lines stay small."""

import ast
import tomllib
from statistics import median

from tests.house.sources import ROOT, Source, definitions, length, listed, product, source

MOST_MODULE_LINES = 400
MOST_CLASS_LINES = 150
MOST_FUNCTION_LINES = 60
LINE_LENGTH = 100


def too_long(of: Source) -> list[str]:
    """Everything of a file that is too long, as `path:name: lines`."""
    lines = len(of.text.splitlines())
    found = [f"{of.name}: {lines}"] if lines > MOST_MODULE_LINES else []
    for name, node in definitions(of.tree):
        most = MOST_CLASS_LINES if isinstance(node, ast.ClassDef) else MOST_FUNCTION_LINES
        if length(node) > most:
            found.append(f"{of.name}:{name}: {length(node)}")
    return found


def test_modules_classes_and_functions_stay_small() -> None:
    """At most 400, 150 and 60 lines, docstrings included. The medians are printed."""
    modules = [len(one.text.splitlines()) for one in product()]
    functions = [
        length(node)
        for one in product()
        for _, node in definitions(one.tree)
        if not isinstance(node, ast.ClassDef)
    ]
    print(  # noqa: T201 - shown by pytest -s
        f"lines of modules: median {median(modules)}, most {max(modules)}; "
        f"of functions: median {median(functions)}, most {max(functions)}"
    )
    found = [long for one in product() for long in too_long(one)]
    assert not found, listed("split by meaning", found)


def test_what_is_too_long_is_found() -> None:
    """A method counts as a function, and a nested class as a class."""
    body = "\n".join(f"        x{number} = 0" for number in range(60))
    text = f"class C:\n    def f(self):\n{body}\n    class D:\n" + f"{body}\n" * 3
    assert too_long(source("tables/c.py", text)) == [
        "tables/c.py:C: 243",
        "tables/c.py:C.f: 61",
        "tables/c.py:C.D: 181",
    ]
    assert too_long(source("tables/long.py", "\n" * 401)) == ["tables/long.py: 401"]


def test_lines_have_at_most_100_characters() -> None:
    """Ruff checks it, for texts and comments as well; no room has a longer line of its own."""
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]
    assert ruff["line-length"] == LINE_LENGTH
    assert ruff["lint"].get("pycodestyle", {}).get("max-line-length", LINE_LENGTH) == LINE_LENGTH
    ignored = [ruff["lint"]["ignore"], *ruff["lint"]["per-file-ignores"].values()]
    assert not [rules for rules in ignored if {"E501", "W505"} & set(rules)]
