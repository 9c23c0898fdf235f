"""What the stages behind a journal share: its records → sums by the id in their key."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from schemas import limits, row_versions
from schemas.journal import ProgressMark
from schemas.refusals import Reason, Refusal
from schemas.row_versions import UnknownRow
from tables import catalogue, sales, service, watermarks
from tables.catalogue import StageSpec
from tables.formats import UnreadableFormatError
from tables.intake import RecordIntake
from tables.outcome import Outcome, Readings, States, Stored
from tables.sales import ImpossibleTallyError, Tally
from tables.service import ImpossibleServiceError, ServiceTally
from tables.terms import Terms
from tables.watermarks import Progress, SourceProgress

_State = TypeVar("_State")


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


class JournalStage:
    """Records of a journal → sums by the id in their key.

    It has no state: one serves all partitions.
    """

    def __init__(
        self,
        spec: StageSpec,
        terms: Terms,
        refusals_in_a_row: int,
        decode: Callable[[bytes], Any],
        subject: Callable[[Any], str],
    ) -> None:
        """`decode` makes a row of a record's bytes, `subject` gives the row's id."""
        self.spec = spec
        self._id_name = catalogue.key_of(spec.source)
        self._terms, self._calendar = terms, terms.calendar
        self._refusals_in_a_row = refusals_in_a_row
        self._decode = decode
        self._subject = subject

    @property
    def terms(self) -> str:
        """The terms by which the tables are made."""
        return self._terms.text

    def _sums(self, states: States) -> ChunkSums:
        """The sums that a chunk changes, in these states."""
        raise NotImplementedError

    def _addition(self, key: bytes, row: Any) -> Addition:  # noqa: ANN401 - a row of its stage
        """A row with the keys of its sums; ValueError if it names a cycle of another calendar."""
        raise NotImplementedError

    def read(self, record: KeyedValue) -> Addition | ProgressMark | UnknownRow | Refusal:  # noqa: PLR0911 - one return a reason
        """A record, decoded. Never raises."""
        value, key = record.value, record.key
        if not value:
            return Refusal(Reason.EMPTY_VALUE, "no bytes")
        try:
            row = self._decode(value)
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
        if key != self._subject(row).encode():
            return Refusal(Reason.KEY_MISMATCH, f"the record's key isn't the {self._id_name}")
        try:
            return self._addition(key, row)
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
        sums, marks = self._sums(states), 0
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
        return Outcome(
            writes=sums.writes(),
            sends={},
            parked=intake.parked,
            progress=Progress(
                intake.offset,
                watermarks.least([source.watermark_ms for source in sources.values()]),
                intake.refused_in_a_row,
                sources,
                confirmed_ms,
            ),
            counts={
                "added": len(accepted) - marks,
                "skipped": intake.skipped,
                "marks": marks,
            },
            records_covered=intake.records,
            paused=intake.paused,
        )


class TouchedStates(dict[bytes, _State]):
    """Decoded states by key, read when first touched; every touched one is written."""

    def __init__(
        self, states: Stored, new: Callable[[], _State], decode: Callable[[bytes], _State]
    ) -> None:
        super().__init__()
        self._states = states
        self._new = new
        self._decode = decode

    def __missing__(self, key: bytes) -> _State:
        state = self._states[key]
        found = self[key] = self._new() if state is None else self._decode(state)
        return found

    def encoded(self, encode: Callable[[_State], bytes]) -> dict[bytes, bytes | None]:
        """The touched states' bytes."""
        return {key: encode(state) for key, state in self.items()}


def touched_tallies(states: Stored) -> TouchedStates[Tally]:
    """The sums of sales that a chunk changes."""
    return TouchedStates(states, Tally, sales.decode)


def touched_services(states: Stored) -> TouchedStates[ServiceTally]:
    """The sums of service columns that a chunk changes."""
    return TouchedStates(states, ServiceTally, service.decode)
