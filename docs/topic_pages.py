"""The facts in the pages of topics, docs/topics/*.md, from the catalogue, policies and forms.

A page's prose is written by hand; its facts stand between two marks.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from docs import fields
from operations.contract import forms
from streams import topics
from streams.settings import Settings
from tables import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from operations.contract.forms import Form

FOLDER: Final = Path(__file__).parent / "topics"
BEGIN: Final = "<!-- facts -->"
END: Final = "<!-- /facts -->"
PAGES: Final = tuple(FOLDER / f"{topic.name}.md" for topic in catalogue.PUBLIC_TOPICS)


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table of Markdown; a cell is one line."""
    lines = [
        list(head),
        *([str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows),
    ]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def facts(name: str) -> str:
    """The facts about a topic (without prefix): key, policy, who writes and reads, its forms."""
    settings = Settings(_env_file=None)
    (declared,) = (one for one in topics.declared(settings) if one.name == name)
    writers = [f"the {one.name} stage" for one in catalogue.STAGES if name in one.written]
    readers = [f"the {one.name} stage" for one in catalogue.STAGES if one.source == name]
    rows = [
        ("holds", declared.meaning),
        ("key", declared.key),
        ("partitions", f"{settings.partitions_of(name)}, by `NETSOLD_PARTITIONS`"),
        ("policy", ", ".join(f"`{key}={text}`" for key, text in declared.configs.items())),
        *([("written by", ", ".join(writers))] if writers else []),
        *([("read by", ", ".join(readers))] if readers else []),
    ]
    own = [form for form in forms.FORMS if name in form.topics]
    return table(("", f"`{name}`"), rows) + "".join(_form(form) for form in own)


def _form(form: Form) -> str:
    schema = forms.schema_of(form)
    about = " ".join(str(schema["description"]).split("\n\n", 1)[0].split())
    link = f"[{form.file}](../reference/schemas/{form.file})"
    head = f"\n### `{form.title}`\n\n{about} Schema: {link}.\n"
    if form.part == "bare":
        return head
    if form.part == "data":
        return f"{head.rstrip()} Fields: [events](../reference/events.md#{form.name}).\n"
    if form.part == "headers":
        rows = [(one[0], one[1], one[3]) for one in fields.rows(schema)]
        return f"{head}\n{table(('header', '', 'meaning'), rows)}"
    return f"{head}\n{table(('field', '', 'kind', 'meaning'), fields.rows(schema))}"


def with_facts(page: str, name: str) -> str:
    """The text of a topic's page with its facts between the marks."""
    made = f"\n{facts(name)}"
    return re.sub(f"(?<={BEGIN}\n).*?(?={END})", lambda _: made, page, flags=re.DOTALL)
