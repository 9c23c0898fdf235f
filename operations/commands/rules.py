"""`netsold rules show|diff|test`: the terms by which tables are made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from operations.arguments import Json
from operations.output import print_json
from operations.stories.running import run_all
from operations.term_words import differences
from schemas.columns import RULES
from schemas.errors import NetsoldError
from streams.rules import read_rules
from streams.settings import Settings

if TYPE_CHECKING:
    from operations.stories.running import Ran
    from streams.rules import Rules

app = typer.Typer()

DIFFERENCE: Final = 3
"""The exit code where terms differ, or an example is not what the tables show."""

File = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", help="A rules file; else the one in use."),
]


class NoExamples(NetsoldError):
    """A rules file has no example to run."""

    exit_code = 4


@app.command("show")
def show(file: File = None, as_json: Json = False) -> None:
    """Print the terms in use, where they are from, and their name, as a rules file.

    Every journal row has that name beside the version of the rules. Write the output into a file
    to change it, and name that file by NETSOLD_RULES.
    """
    rules = _rules(file)
    if as_json:
        print_json(
            _about(rules)
            | {
                "values": msgspec.to_builtins(rules.values.written()),
                "examples": [example.title for example in rules.examples],
            }
        )
        return
    typer.echo(f"# rules {RULES}, terms {rules.terms.name}, from: {rules.source}")
    typer.echo(rules.text.rstrip("\n"))


@app.command("diff")
def diff(
    first: Annotated[Path, typer.Argument(metavar="FILE", help="A rules file.")],
    second: Annotated[
        Path | None,
        typer.Argument(metavar="OTHER", help="Compared with it; else FILE with the one in use."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show which terms differ, and what that changes; exit code 3 if any does.

    With one file: from the rules in use to that file.
    """
    one, other = (_rules(None), _rules(first)) if second is None else map(_rules, (first, second))
    found = differences(one, other)
    if as_json:
        listed = [each._asdict() for each in found]
        print_json({"first": _about(one), "second": _about(other), "differences": listed})
    elif not found:
        typer.echo(f"{one.source} and {other.source} have the same terms, {one.terms.name}")
    else:
        for each in found:
            typer.echo(f"{each.term}: {each.first}, would be {each.second}")
            typer.echo(f"  {each.changes}")
        typer.echo(
            f"terms {one.terms.name} would be {other.terms.name}: "
            f"`netsold replay --dry-run --rules {other.source}` shows what the tables would have"
        )
    if found:
        raise typer.Exit(DIFFERENCE)


@app.command("test")
def run_examples(file: File = None, as_json: Json = False) -> None:
    """Run the examples of a rules file by its terms; exit code 3 if one isn't what it says.

    Each runs through the workers' stages in memory, and by the recount.
    """
    rules = _rules(file)
    if not rules.examples:
        raise NoExamples(
            f"{rules.source} has no examples: write some as `netsold rules show` has them with the "
            "built-in rules"
        )
    ran = run_all(rules)
    failed = [one for one in ran if one.differences or one.by_recount]
    if as_json:
        examples = [one._asdict() | {"passed": one not in failed} for one in ran]
        print_json(_about(rules) | {"examples": examples})
    else:
        for one in ran:
            _print(one, passed=one not in failed)
        count = f"{len(failed)} of {len(ran)} fail" if failed else f"all {len(ran)} pass"
        typer.echo(f"{count} by terms {rules.terms.name}, from: {rules.source}")
    if failed:
        raise typer.Exit(DIFFERENCE)


def _print(one: Ran, *, passed: bool) -> None:
    typer.echo(f"{'passed' if passed else 'FAILED'}  {one.title}")
    for line in one.differences:
        typer.echo(f"  {line}")
    for line in one.by_recount:
        typer.echo(f"  {line}  (recount)")


def _rules(file: Path | None) -> Rules:
    return Settings().rules if file is None else read_rules(file)


def _about(rules: Rules) -> dict[str, Any]:
    return {"rules": RULES, "terms": rules.terms.name, "source": rules.source}
