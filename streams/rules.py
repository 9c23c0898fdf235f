"""The rules file: the terms by which tables are made, and examples of what they make of events.

It is TOML: the `version` of the rules that it was written for, a table `terms`, and `examples`.
What isn't understood is refused with the place and the nearest name. Nothing is left to a default:
a file has every term.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import msgspec
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from schemas import times
from schemas.columns import RULES
from schemas.control import VersionTerms
from schemas.errors import NetsoldError
from schemas.times import DAY_MS
from streams.value_words import must_be, shortened, shown_value
from tables.cycles import Calendar
from tables.sales import Basis
from tables.service_hours import CountPer, ServiceRules
from tables.terms import Terms

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

BUILT_IN: Final = Path(__file__).with_name("rules.toml")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_AND_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]")


class RulesUnusable(NetsoldError):
    """A rules file can't be read, or has what isn't understood."""

    exit_code = 2


class TermValues(BaseModel):
    """The terms as they are written, by the names that records of versions have, too."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cycle_days: int = Field(ge=1, le=3660, strict=True, description="length of a cycle in days")
    cycle_anchor: AwareDatetime = Field(description="an instant at which a cycle starts")
    sold_monthly_basis: Basis = Field(
        description=(
            "in which cycle a refund takes units off sold_monthly: in that of its sale, or in the "
            "one in which the refund happened (S6)"
        )
    )
    reply_within_seconds: int = Field(
        ge=1, le=30 * 86_400, strict=True, description="a reply within this is timely (R1)"
    )
    service_hours: str = Field(
        description="inquiries that open in these hours count; local wall time, end left out (R1)"
    )
    service_zone: str = Field(
        description="the time zone of service hours and of a buyer's day (R1)"
    )
    count_inquiries_per: CountPer = Field(
        description="one count per buyer, shop and local day, or per inquiry (R1)"
    )

    @field_validator("cycle_anchor", mode="before")
    @classmethod
    def _anchor_is_written_out(cls, anchor: object) -> object:
        """Refuse a bare number, and a text with a date alone.

        Pydantic would read them as seconds since 1970, and as midnight.
        """
        if isinstance(anchor, int | float) or (
            isinstance(anchor, str) and _YEAR_AND_TIME.match(anchor) is None
        ):
            raise ValueError(
                f"{anchor!r} is no instant with its zone, such as 2026-01-01T00:00:00Z"
            )
        return anchor

    @model_validator(mode="after")
    def _terms_can_be(self) -> Self:
        try:
            self.terms()
        except ValueError as error:
            raise ValueError(f"service_hours or service_zone: {error}") from error
        return self

    def terms(self) -> Terms:
        """The terms as the tables need them; anchors of the same cycles are the same."""
        length_ms = self.cycle_days * DAY_MS
        return Terms(
            Calendar(length_ms, self.anchor_ms % length_ms),
            ServiceRules(
                self.reply_within_seconds * 1000,
                self.service_hours,
                self.service_zone,
                self.count_inquiries_per,
            ),
            self.sold_monthly_basis,
        )

    @property
    def anchor_ms(self) -> int:
        """The anchor in epoch milliseconds, cut to its millisecond: a float would miss some."""
        return (self.cycle_anchor - _EPOCH) // timedelta(milliseconds=1)

    def written(self) -> VersionTerms:
        """The same as records have them."""
        own = self.model_dump() | {"cycle_anchor": times.format_ms(self.anchor_ms)}
        return msgspec.convert(own, VersionTerms)


class Example(BaseModel):
    """Some events and the rows that they must lead to, as a story; `title` says it in words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field(min_length=1, max_length=200)
    story: str


class _File(BaseModel):
    """A rules file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = Field(strict=True)
    terms: TermValues
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """Terms, and where they are from; `examples` and `text` are those of the file."""

    values: TermValues
    terms: Terms
    source: str
    examples: tuple[Example, ...] = ()
    text: str = ""


def rules_of(recorded: VersionTerms, source: str) -> Rules:
    """The rules of a version as its record has them."""
    values = TermValues.model_validate(msgspec.structs.asdict(recorded))
    return Rules(values, values.terms(), source)


@cache
def built_in() -> Rules:
    """The rules that netsold brings along."""
    return replace(read_rules(BUILT_IN), source="built in")


def read_rules(path: Path) -> Rules:
    """The rules of a file. Raises RulesUnusable."""
    text = _text(path)
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RulesUnusable(f"{path} is no TOML: {error}") from error
    version = found.get("version")
    if version is None or (type(version) is int and version != RULES):
        written = "no rules that it names" if version is None else f"rules {version}"
        raise RulesUnusable(
            f"{path} is written for {written}, and this netsold has rules {RULES}: see in "
            f"CHANGELOG.md what they change, then write version = {RULES}"
        )
    try:
        file = _File.model_validate(found)
    except ValidationError as error:
        faults = "; ".join(map(_fault, error.errors()))
        raise RulesUnusable(f"{path} can't be used: {faults}") from error
    return Rules(file.terms, file.terms.terms(), str(path), file.examples, text)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RulesUnusable(f"{path} is no text in UTF-8: {error}") from error
    except OSError as error:
        raise RulesUnusable(
            f"{path} can't be read ({error.strerror}): `netsold rules show` prints rules to begin "
            "with"
        ) from error


def _fault(fault: ErrorDetails) -> str:
    """One fault in words: its place, the value and what it must be."""
    place, kind = fault["loc"], fault["type"]
    at = ".".join(map(str, place))
    models: dict[str, type[BaseModel]] = {"terms": TermValues, "examples": Example}
    model = models.get(str(place[0]), _File) if len(place) > 1 else _File
    fields = model.model_fields
    name = str(place[-1]) if place else ""
    if kind == "missing":
        return f"{at} is missing; `netsold rules show` prints it"
    if kind == "extra_forbidden":
        near = get_close_matches(name, list(fields), n=1)
        advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(fields)}"
        return f"{at} is unknown: {advice}"
    if kind == "value_error":
        return shortened(f"{at}: {fault['msg'].removeprefix('Value error, ')}")
    if name in fields and model is not Example:
        return f"{at} is {shown_value(fault['input'])}, but must be {must_be(fields[name])}"
    return shortened(f"{at}: {fault['msg']}")
