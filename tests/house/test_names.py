"""One word for each thing, and one module for each name."""

import pytest

from tests.house.names import INSTEAD, duplicates, forbidden, identifiers, words
from tests.house.sources import CORE_ROOMS, beside_the_product, listed, planted, product, source

ALLOWED_WORDS: dict[str, str] = {
    # name: why it is not ours to choose
}
ALLOWED_TWICE = {
    "encode": "the form of one value is a pair of functions in its module: `orders.encode`",
    "decode": "as for encode",
    "VERSION": "the version of that form, in the same modules",
    "log": "structlog's logger of a module",
}


def test_names_use_the_words_of_the_field() -> None:
    """No name of the product, its tests or its benchmarks has a word that means everything."""
    found = forbidden([*product(), *beside_the_product()], ALLOWED_WORDS)
    assert not found, listed("rename", found)


@pytest.mark.parametrize(
    "text",
    [
        "def told(): ...",
        "class ToldOnce: ...",
        "def f(what_was_said): ...",
        "def f(*, taken=1): ...",
        "def f(*asked): ...",
        "HELD = 1",
        "for heard in x: ...",
        "self.look_up = 1",
        "x: Extent\nclass C:\n    extent: int",
        "import streams.log as standing",
        "try: ...\nexcept E as oddity: ...",
        "match x:\n    case [says, *_]: ...",
        "y = [said for said in x]",
        "with f() as (held, _): ...",
    ],
)
def test_a_word_in_a_name_is_found(text: str) -> None:
    """In every place that gives a name."""
    assert len(forbidden([source("tables/x.py", text)])) == 1


def test_a_word_in_the_name_of_a_file_is_found() -> None:
    """And what to use instead."""
    (found,) = forbidden([source("serving/asked.py", "")])
    assert found.startswith("serving/asked.py:1: serving/asked: use requested")


def test_names_that_are_only_used_are_not_ours() -> None:
    """Attributes and functions of libraries may be called whatever they are called."""
    text = "f.tell()\nfrom x import look\nlook(said=1)\nlookup = outlook = 1"
    assert forbidden([source("tables/x.py", text)]) == []
    assert forbidden([source("tables/x.py", "def tell(self): ...")], {"tell"}) == []


def test_names_are_split_at_capitals_and_underscores() -> None:
    """So that a part of a word is no word."""
    assert words("HTTPRefused_toldOff2") == ["http", "refused", "told", "off", "2"]
    assert "tell" in INSTEAD
    assert "tell" not in words("intellect")


def test_exceptions_are_still_needed() -> None:
    """A name that is allowed is in use."""
    used = {name for one in product() for name, _ in identifiers(one.tree)}
    assert set(ALLOWED_WORDS) <= used
    core = [one for one in product() if one.room in CORE_ROOMS]
    assert set(ALLOWED_TWICE) <= set(duplicates(core))


def test_a_public_name_is_defined_in_one_module() -> None:
    """In schemas, tables and streams: whoever reads a name knows which one it is."""
    core = [one for one in product() if one.room in CORE_ROOMS]
    found = [
        f"{name}: {', '.join(where)}" for name, where in duplicates(core, ALLOWED_TWICE).items()
    ]
    assert not found, listed("rename in all modules but one", found)


def test_a_name_in_two_modules_is_found() -> None:
    """Functions, classes, constants and types; private names and imports are no public names."""
    sources = planted(
        tables__a="A, B = 1, 2\nC: int = 3\ndef d(): ...\n_E = 1\nfrom x import F\nG = 1",
        streams__b="A = B = C = 1\nclass d: ...\n_E = 2\nfrom x import F\ndef g():\n    G = 1",
    )
    assert list(duplicates(sources)) == ["A", "B", "C", "d"]
    assert list(duplicates(sources, {"A": "a reason"})) == ["B", "C", "d"]
