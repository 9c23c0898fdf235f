"""The docs are true: what they name and quote is in the code, and their programs run."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from docs import lists
from operations.cli import COMMANDS
from operations.commands import up, up_view
from operations.local import stack
from schemas.columns import RULES
from schemas.events import MODELS, common_of
from schemas.refusals import Reason
from streams import topics
from streams.settings import Kafka, Settings
from tables.catalogue import STAGES
from tests.pages import anchors

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    page
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if "node_modules" not in page.parts
)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


PAGES_OF_CODE = lists.pages()
"""The reference pages as the code makes them, made once."""


@pytest.mark.parametrize("name", sorted(PAGES_OF_CODE))
def test_reference_pages_are_those_of_the_code(name: str) -> None:
    """After a change of a list, `make docs` has been run."""
    assert (lists.FOLDER / name).read_text(encoding="utf-8") == PAGES_OF_CODE[name]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page is a file, and where it names a heading, that file has it."""
    for target, heading in re.findall(
        r"\]\(([^)#]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8")
    ):
        if "://" not in target:
            there = page.parent / target if target else page
            assert there.exists(), target
            assert not heading or heading in anchors(there), f"{target}#{heading}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_files_that_are_named_exist(page: Path) -> None:
    """`room/file.py` in a page is a file of ours."""
    for name in re.findall(
        r"`((?:schemas|tables|streams|serving|operations|tests|bench|docs)/[\w/.-]+)`",
        page.read_text(encoding="utf-8"),
    ):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_names_behind_files_are_defined_there(page: Path) -> None:
    """`file.py`: `name`, or `Class.name`, in a page is a definition of that file."""
    text = page.read_text(encoding="utf-8")
    for file, names in re.findall(r"`([\w/]+\.py)`: ((?:`[\w.]+`(?:, )?)+)", text):
        defined = set(_defined(ast.parse((ROOT / file).read_text(encoding="utf-8"))))
        for name in re.findall(r"`([\w.]+)`", names):
            assert name in defined or (ROOT / name).exists(), (file, name)


def _defined(node: ast.AST, prefix: str = "") -> Iterator[str]:
    """Functions, classes and constants of a module, and the members of its classes."""
    for one in ast.iter_child_nodes(node):
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield prefix + one.name
        if isinstance(one, ast.ClassDef):
            yield from _defined(one, f"{one.name}.")
        elif isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            yield prefix + one.target.id
        elif isinstance(one, ast.Assign):
            yield from (
                prefix + target.id for target in one.targets if isinstance(target, ast.Name)
            )


def test_the_walk_has_eleven_steps_with_one_function_each() -> None:
    """Who reads eleven functions has followed an event from its bytes to the answer."""
    walk = (
        (ROOT / "docs" / "architecture.md")
        .read_text(encoding="utf-8")
        .split("## The walk of an event")[1]
        .split("\n## ")[0]
    )
    steps = re.findall(r"^\| (\d+) \| .* \| `[\w/]+\.py`: `[\w.]+` \|$", walk, re.MULTILINE)
    assert [int(number) for number in steps] == list(range(1, 12))


@pytest.mark.parametrize("page", lists.FLOW_PAGES, ids=lambda page: page.name)
def test_the_picture_of_the_flow_is_that_of_the_catalogue(page: Path) -> None:
    """README and the architecture show it between two marks; `make docs` writes it there."""
    text = page.read_text(encoding="utf-8")
    assert f"{lists.FLOW_BEGIN}\n{lists.flow()}{lists.FLOW_END}\n" in text


def test_the_page_of_tables_names_every_topic_that_a_stage_writes() -> None:
    """The journals that carry marks, and the topics for the outside, such as alerts."""
    page = PAGES_OF_CODE["tables.md"]
    for stage in STAGES:
        (row,) = re.findall(rf"^\| {stage.name} \| (.*) \|$", page, re.MULTILINE)
        assert set(re.findall(r"`([\w-]+)`", row)) == {stage.source, *stage.written}


def test_the_page_of_events_lists_the_fields_of_each_event() -> None:
    """Only fields that every event has are named as common to all.

    `order_id` is common to events of orders alone.
    """
    intro = " ".join(PAGES_OF_CODE["events.md"].split("\n## ")[0].split())
    of_all, of_orders = re.findall(r"(Every event has|Events of orders have) ([^.;]*)", intro)
    common: list[set[str]] = [set(common_of(name)) for name in MODELS]
    assert set(re.findall(r"`(\w+)`", of_all[1])) == common[0].intersection(*common)
    assert set(re.findall(r"`(\w+)`", of_orders[1])) == common[0].union(*common) - common[
        0
    ].intersection(*common)


def test_steps_of_the_commit_are_those_of_the_code() -> None:
    """The table of steps has as many as the function numbers."""
    steps = re.findall(
        r"^\s+# (\d)\. ",
        (ROOT / "streams" / "transactions.py").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    page = (
        (ROOT / "docs" / "architecture.md")
        .read_text(encoding="utf-8")
        .split("## Exactly once")[1]
        .split("\n## ")[0]
    )
    assert re.findall(r"^\| (\d) \|", page, re.MULTILINE) == steps


@pytest.mark.parametrize("reason", Reason)
def test_every_refusal_has_a_heading_in_the_runbook(reason: Reason) -> None:
    """Who finds a reason in a dead letter finds it in the runbook."""
    assert f"\n### {reason.value}\n" in (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")


def test_headings_that_the_code_names_exist() -> None:
    """A sentence that sends a person to the runbook names a heading of it."""
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    named = {
        heading
        for text in _texts()
        for heading in re.findall(r"docs/runbook\.md, ([A-Z][\w ]+)", text)
    }
    assert named
    for heading in named:
        assert f"\n## {heading}\n" in runbook


def _texts() -> Iterator[str]:
    """Every text in our sources, with `…` for what is filled in."""
    for path in (
        file
        for room in ("streams", "serving", "operations")
        for file in (ROOT / room).rglob("*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "…"
                    for part in node.values
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_the_runbook_quotes_messages_of_the_code() -> None:
    """Whatever stands in quotation marks after *Message:* is in the code, letter by letter."""
    text = re.sub(
        r"^ *```.*?^ *```$",
        "",
        (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8"),
        flags=re.MULTILINE | re.DOTALL,
    )
    quoted = [
        " ".join(one.split())
        for part in re.findall(r"^\*Message:\*.*?\n\n", text, re.MULTILINE | re.DOTALL)
        for one in re.findall(r'"([^"]+)"', part)
    ]
    assert len(quoted) > 20
    texts = set(_texts())
    for one in quoted:
        assert any(one in text for text in texts), one


def test_commands_in_the_pages_exist() -> None:
    """Each `netsold X` of a page is a command with known options, each `make X` a target."""
    known = {command.name for command in COMMANDS} | set(lists.GROUPS)
    options = set(re.findall(r"`(--[\w-]+)`", PAGES_OF_CODE["commands.md"]))
    targets = set(
        re.findall(r"^(\w+):.* ## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    used = []
    for page in PAGES:
        text = _code(page)
        for name, rest in re.findall(r"(?:^|&& )netsold ([\w-]+)([^#\n&]*)", text, re.MULTILINE):
            used.append(name)
            assert name in known, (page.name, name)
            assert set(re.findall(r"--[\w-]+", rest)) <= options, (page.name, rest)
        assert set(re.findall(r"^make (\w+)", text, re.MULTILINE)) <= targets, page.name
    assert set(used) == known


def _code(page: Path) -> str:
    """What a page shows as shell code, in blocks or within sentences, one piece a line."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(
        r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    )
    return "\n".join([*blocks, *inline])


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_shell_blocks_can_be_parsed(page: Path) -> None:
    """Bash reads each of them without an error."""
    for block in re.findall(
        r"^```sh\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        parsed = subprocess.run(["bash", "-n"], input=block, text=True, check=False)
        assert parsed.returncode == 0, block


def test_the_commands_on_files_run_in_order(tmp_path: Path) -> None:
    """README simulates a file and recounts it; the other commands need Kafka and have own tests."""
    text = _code(ROOT / "README.md")
    ran = []
    for line in re.findall(r"^netsold ((?:simulate|recount) [^#\n]*)", text, re.MULTILINE):
        command = line.replace("--events 100000", "--events 300").split()
        done = subprocess.run(
            [sys.executable, "-m", "operations", *command],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (line, done.stderr)
        ran.append(command[0])
    assert ran == ["simulate", "recount"]


def test_every_guarantee_names_a_test() -> None:
    """README has it behind each row; that the test exists is checked with all such names."""
    guarantees = (ROOT / "README.md").read_text(encoding="utf-8").split("## Guarantees")[1]
    rows = re.findall(r"^\| (.*) \|$", guarantees, re.MULTILINE)[2:]
    assert len(rows) > 5
    for row in rows:
        assert re.search(r"`tests/[\w/]+\.py`: `test_\w+`$", row), row


UNUSED = r"\b(?:told|said|asked|heard|oddity|laid|comes? of|goes on|went on|so many)\b"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_pages_use_plain_words(page: Path) -> None:
    """Code and quotations aside, no page has the words that the glossary replaces."""
    text = page.read_text(encoding="utf-8").partition("## Words we do not use")[0]
    assert not re.findall(UNUSED, _prose(text))


def _prose(text: str) -> str:
    """A page without code and quotations.

    They end within their paragraph, list item or row: a mark without its pair hides nothing else.
    """
    prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    blocks = re.split(r"\n(?=\s*(?:\n|[|#-]))", prose)
    for block in blocks:
        assert block.count("`") % 2 == block.count('"') % 2 == 0, f"a mark has no pair: {block}"
    return "\n".join(re.sub(r"`[^`]+`|\"[^\"]+\"", "", block) for block in blocks)


def test_a_mark_without_its_pair_is_found() -> None:
    """Words between code are prose; those in code, and in blocks of code, are not."""
    page = '`said` told\n```\nsaid `\n```\n- "said" `a\nsaid` asked'
    assert _prose(page).split() == ["told", "-", "asked"]
    for text in ("a ` said\n\nb ` told", '- a " said\n- b " told', "| ` |\n| ` |"):
        with pytest.raises(AssertionError, match="a mark has no pair"):
            _prose(text)


def test_settings_in_the_pages_exist() -> None:
    """Every NETSOLD_… of a page is a variable that the reference has."""
    known = set(re.findall(r"`(NETSOLD_\w+)`", PAGES_OF_CODE["settings.md"]))
    for page in PAGES:
        used = set(re.findall(r"\bNETSOLD_[A-Z_]*[A-Z]", page.read_text(encoding="utf-8")))
        assert used <= known, page.name


def test_metrics_in_the_pages_exist() -> None:
    """Every metric of a page, and every label that a query selects by, is in the reference."""
    page = PAGES_OF_CODE["metrics.md"]
    known = dict(re.findall(r"^\| `(netsold_\w+)` \| \w+ \| (.*?) \|", page, re.MULTILINE))
    for text in (page.read_text(encoding="utf-8") for page in PAGES):
        for name, query in re.findall(r"\b(netsold_[a-z_]+)\b(?:\{(\w+)=)?", text):
            assert name in known, name
            assert not query or query in known[name].split(", "), (name, query)


def test_addresses_in_the_readme_are_answered() -> None:
    """Every address in a curl command is one of the reader's, with parameters that it takes."""
    page = PAGES_OF_CODE["api.md"]
    addresses = re.findall(
        r"http://127\.0\.0\.1:8640(/[^'\s]+)", (ROOT / "README.md").read_text(encoding="utf-8")
    )
    assert addresses
    for path, _, query in (one.partition("?") for one in addresses):
        row = next(
            row
            for row in re.findall(r"^\| `(/.*?)` \| (.*) \|$", page, re.MULTILINE)
            if _fits(row[0], path)
        )
        assert set(re.findall(r"(\w+)=", query)) <= set(
            re.findall(r"`(\w+)`", row[1].partition("Takes ")[2])
        ), path


def _fits(template: str, path: str) -> bool:
    return bool(re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path))


def test_the_sample_of_up_has_the_form_of_what_it_prints() -> None:
    """README shows the lines that `up` prints with its defaults, in their order.

    Only numbers differ.
    """
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (sample,) = re.findall(r"^```\n(starting Kafka.*?)^```$", text, re.MULTILINE | re.DOTALL)
    defaults = {
        name: parameter.default for name, parameter in signature(up.command).parameters.items()
    }
    settings = Settings(_env_file=None, kafka=Kafka(bootstrap_servers="127.0.0.1:9"))
    items = tuple(
        {"product_id": f"p-{rank}", "sold_monthly": 300 - rank, "successfully_traded": 300 - rank}
        for rank in (1, 2)
    )
    console = Console(width=120, no_color=True)
    with console.capture() as shown:
        console.print(up_view.picture(up_view.View(items, "live", 0.8, 8805, 10, 40, 37, 7), 200.0))
    printed = [
        "starting Kafka (the first time its jars are fetched)",
        f"created {len(topics.declared(settings))} topics",
        *stack.summary(settings, defaults["workers"], defaults["rate"], is_local=True),
        stack.LAST_LINE,
        *(line.rstrip() for line in shown.get().splitlines()),
    ]
    assert _without_numbers(sample.replace("…\n", "")) == _without_numbers(
        "\n".join(printed) + "\n"
    )
    texts = set(_texts())
    assert printed[0] in texts
    assert "created … topics" in texts


def _without_numbers(text: str) -> str:
    return re.sub(r"(?<!p-)\d[\d,.]*(?<=\d)", "N", text)


def test_the_changelog_names_the_version_of_the_rules() -> None:
    """State of another version needs a rebuild, so who upgrades must find it there."""
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"The rules have version {RULES};" in changes


def test_figures_of_the_benchmark_are_those_of_its_last_run() -> None:
    """Each engine of bench/results.json has its row: rate, CPU and memory."""
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    results = json.loads((ROOT / "bench" / "results.json").read_text(encoding="utf-8"))
    engines = [one for one in results.values() if "events_per_s" in one]
    assert len(engines) > 1
    for one in engines:
        figures = (one["events_per_s"], one["cpu_s_per_million"], one["peak_rss_mb"])
        assert f"| {' | '.join(f'{figure:,}' for figure in figures)} |" in page


def test_pages_name_no_place_of_the_machine_that_wrote_them() -> None:
    """No path of a machine, and no document that isn't here."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"(?<![\w.:])/(?:work|tmp|root|home|Users)/", text), page.name
        for name in re.findall(r"\b([A-Z]{4,}\.md)\b", text):
            assert (ROOT / name).exists(), (page.name, name)


def test_every_decision_is_listed() -> None:
    """The index of decisions leads to each note."""
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    notes = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
    assert notes
    for note in notes:
        assert f"({note.name})" in index


def test_commands_name_values_and_what_is_required() -> None:
    """An optional option has its values too."""
    page = PAGES_OF_CODE["commands.md"]
    assert "| Only those; else all. One of `open`, `requeued`, `discarded`. |" in page
    assert "| `--since` | required |" in page
