"""All errors that leave their module are of one family, which has the exit code."""

import ast

from tests.house.errors import (
    exceptions,
    outside,
    reads_of_exit_code_by_getattr,
    sharing_a_name,
)
from tests.house.sources import listed, planted, product

FAMILY = "NetsoldError"
ALLOWED = {
    "streams.producers.OutcomeUnknown": "derives from Kafka's error; a lane is opened again",
    "streams.stores.StoreDamaged": "the store is wiped and restored; no user sees it",
    "tables.sales.ImpossibleTallyError": "a fault of ours: its traceback must be seen",
    "tables.service.ImpossibleServiceError": "a fault of ours: its traceback must be seen",
    "streams.transactions.LaneClosed": "the next owner of the partition repeats the chunk",
    "operations.oracle.events.Invalid": "the oracle imports nothing of ours",
    "operations.oracle.events.NotJson": "the oracle imports nothing of ours",
    "operations.oracle.events.UnknownType": "the oracle imports nothing of ours",
    "operations.oracle.events.UnknownVersion": "the oracle imports nothing of ours",
}


def test_every_exception_is_of_the_family() -> None:
    """Private ones apart: they never leave their module, so nobody is shown them."""
    wrong = [where for where in outside(product(), FAMILY) if where not in ALLOWED]
    assert not wrong, listed(f"derive from {FAMILY}", wrong)


def test_no_two_exceptions_have_one_name() -> None:
    """Not even in different rooms: a name in a log or a traceback means one thing."""
    found = sharing_a_name(product())
    assert not found, listed("rename in all modules but one", found)


def test_the_family_has_the_exit_code() -> None:
    """Its root declares it, so that nobody searches an error for one."""
    roots = [
        node
        for one in product()
        for node in ast.walk(one.tree)
        if isinstance(node, ast.ClassDef) and node.name == FAMILY
    ]
    assert len(roots) == 1, f"one class {FAMILY}, not {len(roots)}"
    (root,) = roots
    assert "exit_code" in {part.id for part in ast.walk(root) if isinstance(part, ast.Name)} | {
        part.attr for part in ast.walk(root) if isinstance(part, ast.Attribute)
    }
    assert reads_of_exit_code_by_getattr(product()) == []


def test_an_exception_outside_of_the_family_is_found() -> None:
    """Also one that derives from another of ours, and one with a library's base."""
    sources = planted(
        schemas__errors="class NetsoldError(Exception):\n    exit_code = 1",
        streams__a=(
            "class Good(NetsoldError): ...\n"
            "class Better(Good, ValueError): ...\n"
            "class Bad(Exception): ...\n"
            "class Worse(Bad): ...\n"
            "class Foreign(aiokafka.errors.KafkaError): ...\n"
            "class _Own(Exception): ...\n"
            "class Table(dict): ...\n"
        ),
        serving__b="class Good(NetsoldError): ...\ngetattr(error, 'exit_code', 1)",
    )
    assert outside(sources, FAMILY) == ["streams.a.Bad", "streams.a.Foreign", "streams.a.Worse"]
    assert sharing_a_name(sources) == ["Good"]
    assert reads_of_exit_code_by_getattr(sources) == ["serving/b.py:2"]
    assert "streams.a.Table" not in exceptions(sources)
