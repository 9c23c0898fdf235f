"""`netsold rebuild start|status|diff|promote|rollback|drop`: versions beside the live one."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import typer

from operations.arguments import Json, NoInput, RulesFile, Yes
from operations.commands.rebuild_options import (
    AcceptDiff,
    CopyRate,
    Limit,
    NewName,
    NoWorker,
    Partitions,
    Rebuilt,
    VersionArgument,
    Why,
    Within,
    Without,
)
from operations.commands.worker import Rate, WorkerName
from operations.consent import confirm
from operations.letters.options import By, recorded
from operations.local.kafka import named_cluster
from operations.output import print_error, print_json
from operations.progress import Meter
from operations.versions import changing, copying, registering, showing
from operations.versions.comparing import compare_versions
from operations.versions.comparison import Comparison
from operations.versions.keeping_up import wait_until_it_keeps_up
from operations.versions.moments import NoMoment
from operations.versions.recording import diff_of
from operations.versions.registering import Signature
from operations.waiting import Interrupted, answer
from streams.copied import is_copied
from streams.rules import read_rules
from streams.versions import read_versions, record_diff, settings_of
from tables.catalogue import REPORT_LISTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemas.control import Act
    from streams.settings import Settings
    from streams.versions import Versions

app = typer.Typer()

DIFFERENCE: Final = 3
"""The exit code where versions differ."""


@app.command("start")
def start(  # noqa: PLR0917 - a parameter for each option
    name: NewName = None,
    rules: RulesFile = None,
    partitions: Partitions = None,
    without: Without = None,
    rate: Rate = None,
    worker_name: WorkerName = "1",
    no_worker: NoWorker = False,
    by: By = None,
    why: Why = "",
    yes: Yes = False,
    no_input: NoInput = False,
    as_json: Json = False,
) -> None:
    """Register a rebuild, create its topics, and run a worker of it until Ctrl-C.

    It counts the log from its beginning, by this program's rules, and then follows the traffic.
    Without --rules its terms are those of the version that is answered. With another number of
    partitions it counts a copy of the log: the copier runs here, and workers elsewhere. With --json
    one object once it is registered, and a line every ten seconds of a copier.
    """
    settings, sign = named_cluster(), _signature(by, why)
    other = None if rules is None else read_rules(rules)
    planned = registering.plan(
        settings, name, other, sign, partitions=partitions, without=without or ()
    )
    with _continued(_UNCHANGED):
        found = answer(settings, planned)
    version = found.version
    if found.known:
        print_error(f"netsold: {version.app} is registered already, and goes on")
    else:
        for line in found.lines():
            print_error(line)
        otherwise = f"version {version.app} would be registered: give --yes to do it"
        confirm("Register it and create its topics?", otherwise, yes=yes, no_input=no_input)
    with _continued(
        "the same command again registers it, or continues where it is registered; "
        "`netsold rebuild status` shows which"
    ):
        done = answer(settings, registering.register(settings, found, sign))
    if done.known and not found.known:
        print_error(f"netsold: {version.app} was registered alike meanwhile, and goes on")
    if as_json:
        print_json(showing.registered_json(done.version, known=done.known))
    of_version = settings_of(version, settings)
    _run(of_version, worker_name, rate, only_named=no_worker, as_json=as_json)


@app.command("copy")
def copy_log(name: VersionArgument, rate: CopyRate = None, as_json: Json = False) -> None:
    """Copy the log of a rebuild with another number of partitions, until Ctrl-C.

    Each record once, however often this is stopped or killed. It is needed as long as producers
    write the log that is copied. With --json, a line every ten seconds.
    """
    settings = named_cluster()
    versions = answer(settings, read_versions(settings))
    of_version = versions.settings_of(name, settings)
    if not is_copied(of_version):
        raise changing.ChangeRefused(
            f"version {of_version.app} counts the log that producers write: nothing is copied"
        )
    _copy(of_version, rate, as_json=as_json)


@contextmanager
def _continued(how: str) -> Iterator[None]:
    """Say, where Ctrl-C ends the block, how to continue."""
    try:
        yield
    except Interrupted:
        print_error(f"netsold: {how}")
        raise


_UNCHANGED: Final = "nothing was changed yet: run the same command again"
_IN_DOUBT: Final = (
    "`netsold rebuild status` shows whether it was done; if it was not, run the same command again"
)


def _run(
    settings: Settings, name: str, rate: float | None, *, only_named: bool, as_json: bool
) -> None:
    """Run what a new version needs first: its copier, or else a worker; or only name them."""
    go_on = f"`netsold worker --version {settings.app}`"
    if is_copied(settings):
        print_error(f"netsold: {_copies(settings.app)} fills its log; {go_on} counts it")
    if only_named:
        if not as_json:
            typer.echo(f"{settings.app} is registered; {go_on} counts the log")
    elif is_copied(settings):
        _copy(settings, rate, as_json=as_json)
    else:
        _work(settings, name, rate, go_on)


def _copies(name: str) -> str:
    return f"`netsold rebuild copy {name}`"


def _copy(settings: Settings, rate: float | None, *, as_json: bool) -> None:
    """Run a copier here, with its progress, until a signal."""

    def show(found: dict[str, Any]) -> None:
        if as_json:
            print_json({"version": settings.app} | found)
        else:
            print_error(copying.progress_line(settings.app, found))

    copying.copy(settings, rate, show)
    print_error(
        f"netsold: the copier of {settings.app} is stopped where it was: {_copies(settings.app)} "
        "continues"
    )


def _work(settings: Settings, name: str, rate: float | None, go_on: str) -> None:
    """Run a worker here, with its progress, until a signal."""
    from operations.local.data_dir import keep_private
    from operations.versions.progress import CatchUp
    from streams.app import run_worker

    keep_private()
    CatchUp(settings).start()
    try:
        run_worker(settings, name, rate)
    finally:
        print_error(f"netsold: {settings.app} is stopped where it was: {go_on} goes on")


@app.command("status")
def status(as_json: Json = False) -> None:
    """Show the versions, which one readers answer from, how far each is, and its workers."""
    settings = named_cluster()
    versions = answer(settings, read_versions(settings))
    states = answer(settings, showing.states(versions, settings))
    if as_json:
        print_json(showing.as_json(versions, states))
        return
    for line in showing.lines(versions, states):
        typer.echo(line)


@app.command("diff")
def diff(
    name: Rebuilt = None,
    within: Within = 30.0,
    limit: Limit = 20,
    by: By = None,
    as_json: Json = False,
) -> None:
    """Compare a rebuild with the version that is answered, while traffic flows.

    Exit code 3 if they differ or a list can't be compared, else 5 if rows were not compared. The
    first is the answered one. The result is recorded, and shown on the page.
    """
    settings, sign = named_cluster(), _signature(by, "")
    versions = answer(settings, read_versions(settings))
    rebuilt = changing.promotable(versions, name or changing.only_rebuild(versions))
    try:
        of_rebuilt = versions.settings_of(rebuilt, settings)
        wait_until_it_keeps_up(of_rebuilt)
    except changing.VersionBehind as error:
        print_error(f"netsold: {error}; until then, rows that it has not counted can't be compared")
    found = _compared(settings, versions, rebuilt, within)
    show(found, limit, as_json=as_json)
    answer(settings, record_diff(settings, diff_of(found, sign)))
    if found.differences() or found.left_out:
        raise typer.Exit(DIFFERENCE)
    if found.uncompared:
        raise typer.Exit(changing.Uncompared.exit_code)


def _compared(settings: Settings, versions: Versions, rebuilt: str, within_s: float) -> Comparison:
    live = versions.settings_of(versions.pointed, settings)
    return compared(live, versions.settings_of(rebuilt, settings), within_s)


def compared(first: Settings, second: Settings, within_s: float) -> Comparison:
    """The comparison of two versions, with a meter of the records read."""
    with Meter("records", None) as meter:
        count = answers = 0

        def read(records: int) -> None:
            nonlocal count, answers
            count, answers = count + records, answers + 1
            meter.at(count)

        def pending() -> tuple[object, str]:
            return answers, f"{count:,} records read"

        return answer(first, compare_versions(first, second, within_s, read), pending)


def show(found: Comparison, limit: int, *, as_json: bool) -> None:
    """Print a comparison, with at most `limit` rows of each list."""
    if as_json:
        print_json(found.as_json(limit))
        return
    for line in found.lines(limit):
        typer.echo(line)


@app.command("promote")
def promote(  # noqa: PLR0917 - a parameter for each option
    name: VersionArgument,
    accept_diff: AcceptDiff = False,
    within: Within = 30.0,
    by: By = None,
    why: Why = "",
    yes: Yes = False,
    no_input: NoInput = False,
    as_json: Json = False,
) -> None:
    """Let readers answer from a rebuild, and let it send the alerts from here on.

    Refused while it is behind, has no worker or rows that could not be compared (exit code 5), and
    where it differs or has other cycles (3). With --json one object, the act as it is recorded,
    once it is done.
    """
    settings, sign = named_cluster(), _signature(by, why)
    if accept_diff and not why.strip():
        raise typer.BadParameter("say why the difference is right", param_hint="--why")
    with _continued(_UNCHANGED):
        versions = answer(settings, read_versions(settings))
        rebuilt, live = changing.promotable(versions, name), versions.pointed
        of_rebuilt = versions.settings_of(rebuilt, settings)
        wait_until_it_keeps_up(of_rebuilt)
        try:
            found = _compared(settings, versions, rebuilt, within)
        except NoMoment as error:  # workers of the answered version may be refused, for ever
            if not accept_diff:
                raise
            found = Comparison(live, rebuilt, left_out=dict.fromkeys(REPORT_LISTS, str(error)))
        for line in found.lines(20):
            print_error(line)
        answer(settings, record_diff(settings, diff_of(found, sign)))
    if not accept_diff:
        changing.require_same(found, name)
    what = f"readers move from {live} to {rebuilt}, and {rebuilt} sends the alerts from now on"
    print_error(what)
    confirm("Promote it?", f"{what}: give --yes to do it", yes=yes, no_input=no_input)
    change = changing.point_at(
        settings,
        rebuilt,
        shown=live,
        act="promote",
        sign=_signature(by, why),  # comparing and a person's answer may have taken minutes
        comparison=found,
    )
    with _continued(_IN_DOUBT):
        act = answer(settings, change)
    _done(
        act,
        f"{rebuilt} is promoted: a reader answers from it once it has filled its tables; "
        f"`netsold rebuild rollback` goes back to {live}",
        as_json=as_json,
    )


def _done(act: Act, sentence: str, *, as_json: bool) -> None:
    """Print what was done."""
    if as_json:
        print_json(showing.act_json(act))
    else:
        typer.echo(sentence)


@app.command("rollback")
def rollback(
    by: By = None,
    why: Why = "",
    yes: Yes = False,
    no_input: NoInput = False,
    as_json: Json = False,
) -> None:
    """Let readers answer from the former version again, and let it send the alerts.

    With --json one object, the act as it is recorded, once it is done.
    """
    settings = named_cluster()
    with _continued(_UNCHANGED):
        versions = answer(settings, read_versions(settings))
        live, former = versions.pointed, changing.former_of(versions)
        of_former = versions.settings_of(former, settings)
        answer(settings, changing.require_topics(of_former))
        running = answer(settings, changing.members(of_former))
    what = f"readers move from {live} back to {former}, which sends the alerts from now on"
    print_error(what)
    if not running:
        print_error(
            f"netsold: no worker of {former} runs, so its tables and alerts stand still: start "
            f"one by `netsold worker --version {former}`"
        )
    confirm("Roll back?", f"{what}: give --yes to do it", yes=yes, no_input=no_input)
    sign = _signature(by, why)  # a person's answer may have taken minutes
    change = changing.point_at(settings, former, shown=live, act="rollback", sign=sign)
    with _continued(_IN_DOUBT):
        act = answer(settings, change)
    _done(act, f"rolled back to {former}", as_json=as_json)


@app.command("drop")
def drop(  # noqa: PLR0917 - a parameter for each option
    name: VersionArgument,
    by: By = None,
    why: Why = "",
    yes: Yes = False,
    no_input: NoInput = False,
    as_json: Json = False,
) -> None:
    """Delete a version that nobody points to: its topics, its group, its stores on this machine.

    With --json one object, the act as it is recorded and what was deleted, once it is done.
    """
    settings, sign = named_cluster(), _signature(by, why)
    with _continued(_UNCHANGED):
        versions = answer(settings, read_versions(settings))
        found = answer(settings, changing.removal(settings, versions, name, sign.at_ms))
    for line in found.lines():
        print_error(line)
    otherwise = f"version {found.app} would be deleted: give --yes to do it"
    confirm("Delete all that?", otherwise, yes=yes, no_input=no_input)
    with _continued("a part may be deleted: run the same command again, it deletes what is left"):
        act = answer(settings, changing.drop(settings, found, sign))
    if as_json:
        print_json(showing.act_json(act) | found.as_json())
    else:
        typer.echo(f"{found.app} is dropped")


def _signature(by: str | None, why: str) -> Signature:
    who, reason = recorded(by, why)
    return Signature(who, time.time_ns() // 1_000_000, reason)
