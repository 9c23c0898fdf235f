"""The schemas of every release, kept in this package: a change is compared with all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from operations.contract import asyncapi, forms

KEPT: Final = Path(__file__).parent / "released"
"""A folder for each release, named by its version, with its schemas as they were exported."""

ASYNCAPI_FILE: Final = "asyncapi.json"


def written(value: object) -> str:
    """A JSON value as its file has it."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def files() -> dict[str, str]:
    """The contract's files by their names: all schemas, and the AsyncAPI document."""
    found = {name: written(schema) for name, schema in forms.schemas().items()}
    return found | {ASYNCAPI_FILE: written(asyncapi.document())}


def kept_schemas(kept: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """By release: its schemas by file name; none if the folder does not exist."""
    return {
        folder.name: {
            file.name: json.loads(file.read_text(encoding="utf-8"))
            for file in sorted(folder.glob("*.json"))
            if file.name != ASYNCAPI_FILE
        }
        for folder in sorted(kept.glob("*/"))
    }
