"""The house rules, read from the sources by `ast`: directions, purity, words, rule ids.

`tests/house` checks circles of imports, sizes, names, unused definitions, errors and bounds.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("schemas", "tables", "streams", "serving", "operations")
PURE = ("schemas", "tables")
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
NAMES = [str(path.relative_to(ROOT)) for path in SOURCES]

# A room may import itself and the rooms named here.
MAY_IMPORT = {
    "schemas": set(),
    "tables": {"schemas"},
    "streams": {"schemas", "tables"},
    "serving": {"schemas", "tables", "streams"},
    "operations": {"schemas", "tables", "streams"},
}
# Outside the standard library, pure rooms may import these and no others.
PURE_LIBRARIES = {
    "schemas": {"msgspec", "pydantic", "pydantic_core", "annotated_types"},
    "tables": {"msgspec", "ddsketch"},
}
PURE_STANDARD = {
    "bisect",
    "collections",
    "dataclasses",
    "datetime",
    "enum",
    "functools",
    "hashlib",
    "heapq",
    "operator",
    "re",
    "types",
    "typing",
    "zlib",
    "zoneinfo",
}
READ_OUT = {
    "tables/figures.py",
    "tables/reply_times.py",
}  # shares and quantiles: fractions by nature, and no state has one
PACKAGE_DATA = {"tables/time_zones.py"}  # reads the data of the pinned package `tzdata`
FAUST_FILES = {f"streams/{name}.py" for name in ("app", "agents", "chunks", "faust_tables")}


def trees() -> Iterator[tuple[str, ast.Module]]:
    """Every source, parsed, by its path from the root."""
    for name, path in zip(NAMES, SOURCES, strict=True):
        yield name, ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.AST, *, for_types: bool = True) -> set[str]:
    """The top-level names of all imports of a module; without `for_types`, of those that run."""
    found = set()
    unseen = (
        set()
        if for_types
        else {
            id(node) for block in ast.walk(tree) if _is_for_types(block) for node in ast.walk(block)
        }
    )
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their room"
            found.add((node.module or "").partition(".")[0])
    return found


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


@pytest.mark.parametrize("name", NAMES)
def test_imports_go_one_way(name: str) -> None:
    """A room imports only those before it: schemas, tables, streams, then serving or operations."""
    room = name.partition("/")[0]
    rooms = imported(ast.parse((ROOT / name).read_text(encoding="utf-8"))) & set(ROOMS)
    assert rooms <= MAY_IMPORT[room] | {room}


@pytest.mark.parametrize("name", [name for name in NAMES if name.partition("/")[0] in PURE])
def test_pure_rooms_know_no_world(name: str) -> None:
    """They use no clock, random, environment, files, network or asyncio.

    Times are those of events.
    """
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    outside = imported(tree) - set(ROOMS)
    if name in PACKAGE_DATA:
        outside -= {"importlib"}
    assert outside <= PURE_STANDARD | PURE_LIBRARIES[name.partition("/")[0]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {
                "open",
                "input",
                "print",
                "eval",
                "exec",
                "__import__",
                "float",
                "hash",
                "id",
                "globals",
            }, called
            assert not re.search(r"\b(now|utcnow|today|fromtimestamp|getenv|urandom)$", called), (
                f"{called}: event time decides"
            )
        assert not isinstance(node, (ast.AsyncFunctionDef, ast.Await)), "asyncio belongs to streams"
        if name not in READ_OUT:
            assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), (
                "money and time are integers"
            )
            assert not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)), (
                "money and time are integers: divide by //"
            )


def test_faust_is_in_four_files() -> None:
    """Kafka's client is in streams alone. Imports for type checkers do not count."""
    for name, tree in trees():
        modules = imported(tree, for_types=False)
        assert not modules & {"faust", "mode"} or name in FAUST_FILES, name
        assert "aiokafka" not in modules or name.startswith("streams/"), name


def test_the_core_loads_without_faust_and_kafka() -> None:
    """Importing the pure rooms in a fresh interpreter loads neither of them, nor asyncio."""
    import subprocess
    import sys

    code = (
        "import sys, tables.stages, tables.report; "
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout.split()
    assert not {
        "faust",
        "mode",
        "aiokafka",
        "rocksdict",
        "asyncio",
        "streams",
        "serving",
        "operations",
    } & set(loaded)


@pytest.mark.parametrize("name", NAMES)
def test_words(name: str) -> None:
    """Each module has a docstring, a name that says what is inside, and no unfinished work."""
    text = (ROOT / name).read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)) or not text.strip()
    assert not {"utils", "helpers", "common", "manager"} & set(re.split(r"[/._]", name))
    assert not re.search(
        r"\b(TODO|FIXME|XXX\b(?! [A-Z]{3})|HACK)\b", text.replace("XUA XXX YER", "")
    )


def test_every_test_has_a_sentence() -> None:
    """Each test has a docstring: the sentence that it proves."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith(
                "test_"
            ):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"


RULES = [
    *(f"S{n}" for n in range(1, 14)),
    *(f"C{n}" for n in range(1, 5)),
    *(f"R{n}" for n in range(1, 7)),
]


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_in_the_core_and_in_a_test(rule: str) -> None:
    """A rule's id is at its check in tables/, and in a story or a test."""
    word = re.compile(rf"\b{rule}\b")
    assert any(
        word.search(path.read_text(encoding="utf-8")) for path in (ROOT / "tables").glob("*.py")
    )
    tests = [
        path
        for path in (ROOT / "tests").rglob("*")
        if path.suffix in {".py", ".story"} and path.name != "test_house.py"
    ]
    assert any(word.search(path.read_text(encoding="utf-8")) for path in tests)


def test_what_is_sold_is_decided_in_counting_and_in_rule_order() -> None:
    """S1 to S9 first appear in `counting._sales` in the order in which they apply to a line.

    S8 and S9 cut a refund before S6 and S7 book it. Docstrings don't count.
    """
    source = (ROOT / "tables" / "counting.py").read_text(encoding="utf-8")
    (sales,) = (
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == "_sales"
    )
    body = "\n".join(source.splitlines()[sales.body[1].lineno - 1 : sales.end_lineno])
    first = {rule: body.find(f"S{rule}:") for rule in (1, 2, 3, 4, 5, 8, 9, 6, 7)}
    assert -1 not in first.values()
    assert list(first.values()) == sorted(first.values())


@pytest.mark.parametrize("number", range(1, 8))
def test_every_example_is_a_story(number: int) -> None:
    """Each example of the rules is a story, with its number in the title."""
    stories = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "stories").glob("*.story")
    )
    assert re.search(rf"^== .*\bexample {number}\b", stories, re.MULTILINE)
