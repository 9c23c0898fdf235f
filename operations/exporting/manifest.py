"""What an export records about itself: plan, receipts, and `_COMPLETE.json`, written last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from schemas.columns import RULES
from schemas.errors import NetsoldError
from tables.terms import differing

if TYPE_CHECKING:
    from collections.abc import Collection

    from streams.settings import Settings

FORM: Final = 2
"""Version of the files' columns and of `_COMPLETE.json`."""

COMPLETE: Final = "_COMPLETE.json"
STAGED: Final = "_staged"
"""The directory of what is not yet complete."""

PLAN: Final = f"{STAGED}/plan.json"
RECEIPTS: Final = f"{STAGED}/receipts"
MERGED: Final = f"{STAGED}/merged"


class NoExport(NetsoldError):
    """A directory has no complete export."""

    exit_code = 4


class OtherExport(NetsoldError):
    """A directory has the export of another application, or by other settings or rules."""

    exit_code = 2


class ExportFile(msgspec.Struct, frozen=True):
    """A file of a dataset. `digest` is the sum of its rows' digests, in decimal."""

    path: str
    dataset: str
    cycle: str | None
    rows: int
    bytes: int
    sha256: str
    digest: str


class Terms(msgspec.Struct, frozen=True):
    """What all exports in one directory have in common."""

    form: int
    app: str
    journal: str
    partitions: int
    rules: int
    terms: str
    cycle_ms: int
    anchor_ms: int


class LaneMark(msgspec.Struct, frozen=True):
    """The mark at which the tables of a stage's partition are: what they include.

    `sources` has the last offset by source partition, such as `orders-3`. `in_part`: whether the
    lane had read a transaction in part, so that `sources` does not tell all.
    """

    stage: str
    partition: int
    topic: str
    topic_id: str
    offset: int
    watermark_ms: int | None
    sources: dict[str, int]
    build: str
    in_part: bool = False


class Merge(msgspec.Struct, frozen=True):
    """Files of a dataset of the journal, in one cycle, that become the file `path`."""

    path: str
    dataset: str
    cycle: str
    files: list[ExportFile]


class Plan(msgspec.Struct, frozen=True):
    """An export that has begun: the offsets of the journal that it adds, and its tables.

    `starts` and `ends` are by partition of the journal, half-open. `tables` are the files of all
    tables, new or kept; `replaced` the paths that are removed once it is complete. `first` is as in
    `Complete`.
    """

    number: int
    first: int
    terms: Terms
    starts: dict[str, int]
    ends: dict[str, int]
    marks: list[LaneMark]
    complete_through: str | None
    tables: list[ExportFile]
    merges: list[Merge]
    replaced: list[str]


class Receipt(msgspec.Struct, frozen=True):
    """The files of a part of a journal's partition, which are written: `start` ≤ offset < `end`."""

    partition: int
    start: int
    end: int
    unreadable: int
    files: list[ExportFile]


class Sum(msgspec.Struct, frozen=True):
    """The number of rows of a dataset, and their digest."""

    rows: int
    digest: str


class Complete(msgspec.Struct, frozen=True, kw_only=True):
    """A complete export, as `_COMPLETE.json` has it.

    `vector` has the next offset by partition of the journal: all rows before it are included.
    `unreadable` counts the records of the journal that are no rows of it. `first` is the number of
    the first export of these terms here: it replaced all files of those before.
    """

    number: int
    first: int
    terms: Terms
    written_at: str
    build: str
    vector: dict[str, int]
    complete_through: str | None
    unreadable: int
    datasets: dict[str, Sum]
    marks: list[LaneMark]
    files: list[ExportFile]


def terms_of(settings: Settings, journal: str) -> Terms:
    """The terms of an export of this application; `journal` is the topic on the cluster."""
    return Terms(
        FORM,
        settings.app,
        journal,
        settings.partitions,
        RULES,
        settings.terms.text,
        settings.terms.calendar.length_ms,
        settings.terms.calendar.anchor_ms,
    )


def refuse_other(known: Terms, terms: Terms, where: str) -> None:
    """Raises OtherExport where the terms of an export are not these."""
    if known == terms:
        return
    before, now = differing(_text_of(known), _text_of(terms))
    raise OtherExport(
        f"{where} has an export with {', '.join(before)} instead of {', '.join(now)}:"
        " export to another directory, or empty this one"
    )


def _text_of(terms: Terms) -> str:
    """Terms in clauses; the text of `terms` has the cycles, too."""
    others = ("form", "app", "journal", "partitions", "rules")
    return "; ".join([*(f"{name} {getattr(terms, name)}" for name in others), terms.terms])


def other_version(known: Terms, terms: Terms, family: Collection[str]) -> bool:
    """Whether the terms are of two versions of one family, whose applications are given."""
    return known.app != terms.app and known.form == terms.form and known.app in family


def sums_of(files: list[ExportFile], names: Any) -> dict[str, Sum]:  # noqa: ANN401 - any iterable
    """The sums of the files of each dataset."""
    return {
        name: Sum(
            sum(one.rows for one in files if one.dataset == name),
            str(sum(int(one.digest) for one in files if one.dataset == name)),
        )
        for name in names
    }
