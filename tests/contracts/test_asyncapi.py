"""AsyncAPI's own parser reads the document of the topics, docs/reference/asyncapi.json."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from tables import catalogue

ROOT: Final = Path(__file__).parents[2]
FILE: Final = ROOT / "docs" / "reference" / "asyncapi.json"
PARSER: Final = Path(__file__).parent / "asyncapi"


def parsed(text: str) -> dict[str, Any]:
    """What the parser makes of a document: `faults`, and `channels` with their messages."""
    node = shutil.which("node")
    if node is None or not (PARSER / "node_modules").exists():
        pytest.skip("node is not installed, or `make clients` was not run")
    done = subprocess.run(
        [node, "parse.js"],
        input=text,
        cwd=PARSER,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_parser_finds_every_topic_and_no_fault() -> None:
    """Neither an error nor a warning; each topic has records."""
    found = parsed(FILE.read_text(encoding="utf-8"))
    assert found["faults"] == []
    assert list(found["channels"]) == [topic.name for topic in catalogue.PUBLIC_TOPICS]
    assert all(found["channels"].values())
    assert found["channels"]["sales"] == ["entry", "service", "mark"]


def test_the_parser_finds_a_fault() -> None:
    """A reference that leads nowhere, and a payload that is no schema."""
    document = json.loads(FILE.read_text(encoding="utf-8"))
    document["channels"]["sales"]["messages"]["mark"]["$ref"] += "s"
    document["components"]["schemas"]["alert"]["type"] = "record"
    assert len(parsed(json.dumps(document))["faults"]) >= 2
