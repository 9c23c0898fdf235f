"""A replay from its beginning to its result: plan, steps, and what was found."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec

from operations.local.data_dir import write_whole
from operations.replaying.plan import STAGE_OF, Plan, feeding, stops_of, with_cuts
from operations.replaying.processes import Processes
from operations.replaying.source_fold import LogCut
from operations.replaying.tasks import (
    TABLE_RECORDS,
    LaneResult,
    result_of,
    steps,
    total_of,
)
from schemas.columns import RULES
from schemas.errors import NetsoldError
from streams.build import this_build
from streams.lanes import terms_of
from tables.catalogue import EVENT_TOPICS, STAGES
from tables.terms import differing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from operations.replaying.plan import TableMark
    from operations.replaying.work import Report, Work

_PLAN: Final = "plan.json"

MADE_ANEW: Final = (
    "the topic was deleted and created again, or no worker wrote this mark: restore the topic's"
    " records and run `netsold rebuild` (docs/runbook.md, Topic deleted and created again)"
)
"""Why a log can lack what tables include, and the remedy."""


class OtherTerms(NetsoldError):
    """The tables were made by other terms or rules, so they cannot be equal."""

    exit_code = 2


class Terms(msgspec.Struct, frozen=True):
    """What an interrupted replay must have in common with the one that continues it."""

    command: str
    build: str
    rules: int
    app: str
    sources: list[str]
    partitions: int
    terms: list[str]
    options: list[str]

    def unlike(self, known: Terms) -> str | None:
        """As `operations/local/resuming.py` wants it."""
        return None if known == self else "has other terms, or is of another build or command"


def replay_terms(work: Work, command: str, options: list[str]) -> Terms:
    """The terms of a replay; `options` are further ones of the command."""
    settings = work.settings
    return Terms(
        command,
        str(this_build()),
        RULES,
        settings.app,
        [settings.topic(topic) for topic in EVENT_TOPICS],
        settings.partitions,
        [work.stage(spec.name).terms for spec in STAGES],
        options,
    )


async def replay(
    work: Work, processes: int, begin: Callable[[str, int | None], Report]
) -> tuple[Work, dict[str, LaneResult]]:
    """Carry out all steps; the work with its plan, and the results by task.

    `begin` shows a step, from its unit and its total (None: not known), and gets how much more is
    done. Raises what
    reading raises, NoTables, LogCut and TaskFailed.
    """
    results: dict[str, LaneResult] = {}
    running = Processes(processes)
    try:
        for step, tasks in steps(work).items():
            report = begin(step, await total_of(work, step))
            left = [task for task in tasks if result_of(work, task) is None]
            await running.run(work, left, report)
            for task in tasks:
                found = result_of(work, task)
                if found is not None:
                    results[str(task)] = found
            if step == TABLE_RECORDS:
                work = replace(work, plan=await _planned(work, results))
    finally:
        running.stop()
    return work, results


async def _planned(work: Work, results: Mapping[str, LaneResult]) -> Plan:
    """The plan, made once: the log behind the tables grows meanwhile."""
    path = work.directory / _PLAN
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=Plan)
    marks = [mark for result in results.values() for mark in result.marks]
    if work.same_terms:
        _refuse_other_terms(work, marks)
    stops = stops_of(marks, shares=work.compares_journal)
    journals = {spec.name: spec.source for spec in STAGES if spec.source not in EVENT_TOPICS}
    beginnings, ends = await _bounds(work)
    _refuse_beyond(work, marks, ends)
    for lane, found in stops.items():
        name, _, number = lane.rpartition("-")
        if name in journals and work.ends is None:  # sums up to ends have whole transactions
            at = (work.settings.topic(journals[name]), int(number))
            known = {
                work.source(feeder, partition)
                for feeder in feeding(journals[name])
                for partition in range(work.settings.partitions)
            }
            stops[lane] = [
                with_cuts(
                    stop,
                    [one for one in await work.log.cuts(at, stop.offset) if one.source in known],
                    journals[name],
                    beginnings,
                )
                for stop in found
            ]
            for stop in stops[lane]:
                last = {source: cut.end for source, cut in stop.cuts.items()}
                _refuse_behind(ends, last, stop.tables[0], int(number))
    plan = Plan(marks, stops, beginnings)
    write_whole(path, msgspec.json.encode(plan))
    return plan


def _refuse_other_terms(work: Work, marks: Iterable[TableMark]) -> None:
    """Raises OtherTerms where the tables were made by other terms or rules than these."""
    for mark in marks:
        stage = work.stage(STAGE_OF[mark.table])
        partitioner = work.settings.partitioner_of(work.settings.topic(stage.spec.source))
        terms = terms_of(stage, partitioner)
        if (mark.terms, mark.rules) != (terms, RULES):
            lost, new = differing(f"rules {mark.rules}; {mark.terms}", f"rules {RULES}; {terms}")
            made_by = ", ".join(lost) or "other terms"
            raise OtherTerms(
                f"table {mark.table}-{mark.partition} was made by {made_by}, here are"
                f" {', '.join(new)}: use the rules file and the build of its workers, or `netsold"
                " replay --dry-run` to see what these would change"
            )


def _refuse_beyond(work: Work, marks: Iterable[TableMark], ends: Mapping[str, int]) -> None:
    """Raises LogCut where tables include what lies behind the end of its log: it never comes."""
    for mark in marks:
        source = work.source(STAGE_OF[mark.table], mark.partition)
        _refuse_behind(ends, {**mark.sources, source: mark.offset}, mark.table, mark.partition)


def _refuse_behind(
    ends: Mapping[str, int], offsets: Mapping[str, int], table: str, partition: int
) -> None:
    for source, offset in offsets.items():
        if offset >= ends.get(source, offset + 1):
            raise LogCut(
                f"{source}@{offset} is not in the log, which ends before offset {ends[source]}, and"
                f" table {table}-{partition} includes it: {MADE_ANEW}"
            )


async def _bounds(work: Work) -> tuple[dict[str, int], dict[str, int]]:
    """The first offsets of the logs that stages read, and those behind the last, by partition."""
    names = sorted({work.settings.topic(spec.source) for spec in STAGES})
    beginnings, ends = (
        {f"{topic}-{number}": offset for (topic, number), offset in found.items()}
        for found in await work.log.bounds(names)
    )
    return beginnings, ends
