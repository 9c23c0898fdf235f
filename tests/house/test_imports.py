"""Who imports whom: no circle anywhere, and no import that the documentation does not name."""

from functools import cache

import pytest

from tests.house.imports import Graph, circles, documented, graph, measured
from tests.house.sources import ROOMS, ROOT, listed, planted, product

CLAIMS = documented((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))


@cache
def edges() -> Graph:
    """The imports of the product."""
    return graph(product())


def test_no_modules_import_each_other() -> None:
    """The graph of all imports has no circle; imports for type checkers count, too."""
    found = [" ↔ ".join(modules) for modules in circles(edges())]
    assert not found, listed("move what both need to a third module", found)


def test_a_circle_is_found() -> None:
    """Directly, by way of a third module, in a function, and for type checkers alone."""
    found = circles(
        graph(
            planted(
                streams__a="from streams import b",
                streams__b="def f():\n    from streams.c import x",
                streams__c="if TYPE_CHECKING:\n    import streams.a",
                streams__d="import streams.a\nimport asyncio",
                streams__e="from streams.f import g",
                streams__f="from streams.e import h",
            )
        )
    )
    assert found == [["streams.a", "streams.b", "streams.c"], ["streams.e", "streams.f"]]


def test_the_oracle_is_independent() -> None:
    """`operations/oracle` imports nothing of ours but `operations/files` and itself."""
    allowed = ("operations.oracle", "operations.files")
    wrong = {
        (module, other)
        for module, imported in edges().items()
        for other in imported
        if module.startswith("operations.oracle") and not other.startswith(allowed)
    }
    assert wrong == set()


@pytest.mark.parametrize("room", ROOMS)
def test_the_imports_of_a_room_are_those_of_the_page(room: str) -> None:
    """docs/architecture.md has a row for each room, and it is complete."""
    assert room in CLAIMS, f"no row of {room} between <!-- imports --> and <!-- /imports -->"
    ours = {claim for claim in CLAIMS[room] if claim.partition(".")[0] in ROOMS}
    assert ours == measured(edges(), room, ours)


def test_a_wrong_claim_is_found() -> None:
    """A module that the page leaves out, and one that nobody imports, are differences."""
    page = """
<!-- imports -->
| room | imports | never |
| --- | --- | --- |
| `tables` | `schemas`, msgspec | `streams` |
| `serving` | `schemas`, `tables`; `streams`: `log`, `marks` | faust |
<!-- /imports -->
| others | tables |
"""
    claims = documented(page)
    assert claims == {
        "tables": {"schemas", "msgspec"},
        "serving": {"schemas", "tables", "streams.log", "streams.marks"},
    }
    found = graph(
        planted(
            schemas__a="",
            tables__b="from schemas import a",
            serving__c="import tables.b\nfrom streams import log\nfrom streams.rocks import x",
            streams__log="",
            streams__rocks="",
        )
    )
    assert measured(found, "tables", claims["tables"]) == {"schemas"}
    assert measured(found, "serving", claims["serving"]) == {
        "tables",
        "streams.log",
        "streams.rocks",
    }
