"""Pages of documentation that run: their commands, and the output that they show.

A block of `sh` is a script. Its last line may end in `# exit code N`; else that is 0. A block of
`text` behind it shows what it printed, with `…` on a line of its own for lines that are left out.
`<!-- do: NAME ARGUMENTS -->` on a line of its own names something that happens in between, such as
a fault; readers of the page don't see it. Everything else is prose.

Fresh output fits a page if it has the same shape: the same words, with other numbers and times.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

LEFT_OUT: Final = "…"

Span = tuple[int, int]
"""From a position of a text to another."""

_PART = re.compile(
    r"^```sh\n(?P<script>.*?)^```\n(?:\n?^```text\n(?P<shown>.*?)^```\n)?"
    r"|^<!-- do: (?P<action>.*?) -->\n",
    re.MULTILINE | re.DOTALL,
)
_EXIT = re.compile(r"# exit code (\d+)\s*\Z")
_SHAPES: Final = (
    # A partition's row in `netsold status`: its middle columns may be empty.
    (re.compile(r"^((?:orders|chats)-)\d+ .* (\S+)$"), r"\1N \2"),
    (re.compile(r", and \w+ has applied the least of it"), ""),
    (re.compile(r"-host-1-[ab]\b"), "-host-1-worker"),
    # Without a fault, the verdict of `netsold doctor` depends on warnings, as of a busy machine.
    (re.compile(r"^netsold: (?:ok|warning) (?=\()"), "netsold: without a fault "),
    (re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?Z?)?"), "TIME"),
    (re.compile(r"\b\d+\.\d+\.\d+(?:\+[0-9a-f]+)?\b"), "VERSION"),
    (re.compile(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{7,}\b"), "HEX"),
    (re.compile(r"\b\d[\d,.]*(?: ?(?:ms|s|min|h|d|KB|MB|GB|KiB|MiB|GiB|B))\b"), "N UNIT"),
    (re.compile(r"\bnothing behind|\b\d[\d,]* records? behind"), "N behind"),
    (re.compile(r"[-+]?\d[\d,.]*(?<=\d)"), "N"),
    (re.compile(r"N behind(?:, N events/s)?(?:, about N UNIT left)?"), "N behind"),
    (re.compile(r"(?:(?:CNY|USD|EUR|JPY) N ?)+"), "MONEY "),
    (re.compile(r"([▁▂▃▄▅▆▇█#=*─━-])\1*(?:[▁▂▃▄▅▆▇█]*)"), "-"),
    (re.compile(r"\s+"), " "),
)
"""What differs from run to run, and what stands for it in a shape, in this order."""


@dataclass(frozen=True, slots=True)
class Action:
    """Something that happens between two commands: a name and its arguments."""

    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """A block of commands: its text, its exit code, and the lines of its output in the page.

    `shown` is None if the page shows no output; `span` is where those lines stand in the page.
    """

    text: str
    exit_code: int
    shown: tuple[str, ...] | None
    span: Span


@dataclass(frozen=True, slots=True)
class Output:
    """What a script printed, on stdout and stderr together, and its exit code."""

    lines: tuple[str, ...]
    exit_code: int


def parts(page: str, span: Span | None = None) -> Iterator[Action | Script]:
    """The actions and scripts of a page, or of a span of it, in their order."""
    for found in _PART.finditer(page, *(span or ())):
        if found["action"]:
            name, *arguments = shlex.split(found["action"])
            yield Action(name, tuple(arguments))
            continue
        shown, code = found["shown"], _EXIT.search(found["script"])
        yield Script(
            found["script"],
            int(code[1]) if code else 0,
            None if shown is None else tuple(shown.splitlines()),
            found.span("shown"),
        )


def sections(page: str) -> dict[str, Span]:
    """Where the text below each heading of the second level stands, by heading."""
    heads = [*re.finditer(r"^## (.+)\n", page, re.MULTILINE)]
    ends = [*(head.start() for head in heads[1:]), len(page)]
    return {head[1]: (head.end(), end) for head, end in zip(heads, ends, strict=True)}


def shape(line: str) -> str:
    """A line without what differs from run to run."""
    for pattern, stands_for in _SHAPES:
        line = pattern.sub(stands_for, line)
    return line.strip()


def fitting(shown: Sequence[str], fresh: Sequence[str]) -> list[str] | None:
    """The fresh lines that stand where the page has the shown ones; None if they don't fit.

    Lines that are left out stay left out. Lines of one shape in a row, such as the rows of a table,
    fit any number of such lines; of these as many are kept as the page shows.
    """
    return _fitted(_runs(shown), _runs(fresh))


def _runs(lines: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Lines in a row that have one shape, with that shape."""
    return [(one, list(same)) for one, same in groupby(lines, shape)]


def _fitted(
    shown: list[tuple[str, list[str]]], fresh: list[tuple[str, list[str]]]
) -> list[str] | None:
    if not shown:
        return None if fresh else []
    wanted, lines = shown[0]
    if wanted == LEFT_OUT:
        for begin in range(len(fresh) + 1):
            rest = _fitted(shown[1:], fresh[begin:])
            if rest is not None:
                return [LEFT_OUT, *rest]
        return None
    if not fresh or fresh[0][0] != wanted:
        return None
    rest = _fitted(shown[1:], fresh[1:])
    return None if rest is None else [*fresh[0][1][: len(lines)], *rest]


def differences(script: Script, output: Output, *, of_codes_alone: bool = False) -> list[str]:
    """Why a script's output, or its exit code, isn't what the page states; empty if it is."""
    found = []
    if output.exit_code != script.exit_code:
        found.append(f"exit code {output.exit_code}, not {script.exit_code}")
    is_shown = script.shown is not None and not of_codes_alone
    if is_shown and fitting(script.shown or (), output.lines) is None:
        found.append("another output than the page shows")
    if not found:
        return []
    return [f"$ {script.text.strip()}", *found, "--- it printed", *output.lines]


def rewritten(page: str, outputs: Sequence[tuple[Script, Output]]) -> str:
    """The page with fresh outputs, where its scripts show any.

    Where the fresh lines fit, the same ones are left out; else all are shown.
    """
    for script, output in reversed(outputs):
        if script.shown is None:
            continue
        lines = fitting(script.shown, output.lines)
        if lines is None:
            lines = list(output.lines)
        text = "".join(f"{line}\n" for line in lines)
        begin, end = script.span
        page = page[:begin] + text + page[end:]
    return page


def run(
    wanted: Iterable[Action | Script],
    act: Callable[[Action], None],
    execute: Callable[[Script], Output],
) -> list[tuple[Script, Output]]:
    """Run parts of a page in their order; the scripts with their outputs."""
    outputs = []
    for part in wanted:
        if isinstance(part, Action):
            act(part)
        else:
            outputs.append((part, execute(part)))
    return outputs


def program(page: Path) -> dict[str, Any]:
    """What the only Python program of a page defines."""
    text = page.read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    found: dict[str, Any] = {}
    exec(code, found)  # noqa: S102 - our own page
    return found


def anchors(page: Path) -> set[str]:
    """The names of a page's headings in links.

    Lower case, spaces as hyphens, other signs left out.
    """
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
