"""What the stages behind a journal share: its records → sums by the id in their key."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from schemas import limits, row_versions
from schemas.journal import ProgressMark
from schemas.refusals import Reason, Refusal
from schemas.row_versions import UnknownRow
from tables import catalogue, watermarks
from tables.catalogue import StageSpec, Table
from tables.ending import CycleEnding, Walk
from tables.formats import UnreadableFormatError
from tables.intake import RecordIntake
from tables.outcome import Outcome, Readings, States
from tables.publishing import Publisher, by_topic
from tables.restatements import Restatements
from tables.sales import ImpossibleTallyError, Tally
from tables.service import ImpossibleServiceError
from tables.terms import Terms
from tables.watermarks import Progress, SourceProgress


class Addition(Protocol):
    """A journal record that was read: what to add to which sums."""

    @property
    def key(self) -> bytes:
        """The id whose sums change."""

    @property
    def about(self) -> str:
        """The same for errors and logs, such as `product p-1`."""


class KeyedValue(Protocol):
    """The parts of a record that are read here."""

    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102


class KeyedRow(NamedTuple):
    """A record's key, and its value in the version that this build writes."""

    key: bytes | None
    value: bytes


class ChunkSums(Protocol):
    """The sums that one chunk changes."""

    def add(self, addition: Any, /) -> None:  # noqa: ANN401 - an Addition of its stage
        """Add one record. Raises ImpossibleTallyError or ImpossibleServiceError."""

    def writes(self) -> dict[str, dict[bytes, bytes | None]]:
        """The changed states, by table."""

    def sales(self) -> Iterable[tuple[Table, Mapping[bytes, Tally]]]:
        """The changed rows of each table of sales."""


class RowReader(NamedTuple):
    """How the rows of a journal are read."""

    decode: Callable[[bytes], Any]
    """A record's bytes → a row. Raises msgspec's errors."""

    subject: Callable[[Any], str]
    """The id of a row."""


class JournalStage:
    """Records of a journal → sums by the id in their key.

    It has no state: one serves all partitions.
    """

    def __init__(
        self,
        spec: StageSpec,
        terms: Terms,
        refusals_in_a_row: int,
        rows: RowReader,
        partitions: int | None = None,
    ) -> None:
        """`partitions` is the number of partitions of each topic.

        A stage without it publishes nothing, and ends no cycle.
        """
        self.spec = spec
        self._id_name = catalogue.key_of(spec.source)
        self._terms, self._calendar = terms, terms.calendar
        self._refusals_in_a_row = refusals_in_a_row
        self._rows = rows
        self._publisher: Publisher | None = None
        self._ending: CycleEnding | None = None
        if partitions is not None:
            self._publisher = Publisher(spec, self._calendar, partitions)
            self._ending = CycleEnding(spec, self._calendar, self._publisher)

    @property
    def terms(self) -> str:
        """The terms by which the tables are made."""
        return self._terms.text

    def _sums(self, states: States, restatements: Restatements | None) -> ChunkSums:
        """The sums that a chunk changes, in these states."""
        raise NotImplementedError

    def _addition(self, key: bytes, row: Any, value: bytes) -> Addition:  # noqa: ANN401 - a row of its stage
        """A row with the keys of its sums; ValueError if it names a cycle of another calendar."""
        raise NotImplementedError

    def read(self, record: KeyedValue) -> Addition | ProgressMark | UnknownRow | Refusal:  # noqa: PLR0911 - one return a reason
        """A record, decoded. Never raises."""
        value, key = record.value, record.key
        if not value:
            return Refusal(Reason.EMPTY_VALUE, "no bytes")
        try:
            row = self._rows.decode(value)
        except msgspec.ValidationError as error:
            other = row_versions.as_written(value)
            if isinstance(other, bytes):
                return self.read(KeyedRow(key, other))
            return other or Refusal(Reason.INVALID_FIELD, str(error)[: limits.DETAIL_CHARS])
        except (msgspec.DecodeError, ValueError, RecursionError, MemoryError) as error:
            return Refusal(Reason.NOT_JSON, str(error)[: limits.DETAIL_CHARS])
        if type(row) is ProgressMark:
            return row
        if not key:
            return Refusal(Reason.MISSING_KEY, f"expected the {self._id_name}")
        if key != self._rows.subject(row).encode():
            return Refusal(Reason.KEY_MISMATCH, f"the record's key isn't the {self._id_name}")
        try:
            return self._addition(key, row, value)
        except ValueError as error:
            return Refusal(Reason.INVALID_FIELD, f"cycle: {error}"[: limits.DETAIL_CHARS])

    def fold(
        self, place: str, readings: Readings, states: States, progress: Progress | None
    ) -> Outcome:
        """The changes by a chunk of the partition `place`, such as `sales-3`.

        Raises ImpossibleTallyError or ImpossibleServiceError if a sum leaves its bounds: then the
        journal was read twice or with a gap. UnreadableFormatError for a row of a later version.
        """
        progress = progress or watermarks.START
        intake = RecordIntake(progress, self._refusals_in_a_row)
        accepted = intake.accept(readings, ProgressMark)
        # ---- nothing is refused past this line ----
        sources, confirmed_ms = dict(progress.sources), progress.confirmed_ms
        restatements = self._restatements(place, states, progress)
        sums, marks = self._sums(states, restatements), 0
        for offset, row in accepted:
            if type(row) is UnknownRow:
                raise UnreadableFormatError(f"{place}@{offset}, a row of {row.type},", row.type)
            if type(row) is ProgressMark:
                marks += 1
                sources[f"{row.topic}-{row.partition}"] = SourceProgress(
                    row.offset, row.watermark_ms
                )
                confirmed_ms = watermarks.latest(confirmed_ms, row.confirmed_ms)
                continue
            try:
                sums.add(row)
            except (ImpossibleTallyError, ImpossibleServiceError) as error:
                raise type(error)(f"{place}@{offset}, {row.key.decode()}: {error}") from error
        after = Progress(
            intake.offset,
            watermarks.least([source.watermark_ms for source in sources.values()]),
            intake.refused_in_a_row,
            sources,
            confirmed_ms,
            ends=progress.ends,
        )
        writes, sends = sums.writes(), {}
        if self._publisher is not None and restatements is not None:
            rows = [
                record
                for table, tallies in sums.sales()
                for record in self._publisher.rows(table, tallies.items())
            ]
            rows.append(self._publisher.complete(after))
            sends = by_topic(self._publisher, rows, restatements.records)
            writes |= restatements.writes()
        return Outcome(
            writes=writes,
            sends=sends,
            parked=intake.parked,
            progress=after,
            counts={
                "added": len(accepted) - marks,
                "skipped": intake.skipped,
                "marks": marks,
            },
            records_covered=intake.records,
            paused=intake.paused,
        )

    def _restatements(self, place: str, states: States, progress: Progress) -> Restatements | None:
        if self._publisher is None:
            return None
        return Restatements(self._publisher, progress.ends, place, states, self.spec)

    def must_end_cycles(self, progress: Progress) -> bool:
        """Whether cycles have ended whose ends were not sent yet."""
        return self._ending is not None and self._ending.is_due(progress)

    def end_cycles(self, place: str, walk: Walk, states: States, progress: Progress) -> Outcome:
        """The next step of the ends of cycles, in one transaction; `must_end_cycles` says when."""
        if self._ending is None:
            raise AssertionError("a stage that publishes nothing ends no cycle")
        return self._ending.step(place, walk, states, progress)
