"""The result of a check: a level, one sentence with figures, and the remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Level = Literal["ok", "warning", "fault"]
LEVELS: Final[tuple[Level, ...]] = ("ok", "warning", "fault")
"""From the best to the worst."""

MEND: Final = "netsold doctor --mend"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found. `details` are the figures behind the sentence, with stable names."""

    check: str
    level: Level
    sentence: str
    remedy: str | None = None
    details: Sequence[Mapping[str, Any]] = ()


def ok(check: str, sentence: str, details: Sequence[Mapping[str, Any]] = ()) -> CheckResult:
    """As it should be."""
    return CheckResult(check, "ok", sentence, None, details)


def warning(
    check: str, sentence: str, remedy: str, details: Sequence[Mapping[str, Any]] = ()
) -> CheckResult:
    """Something to act on before it becomes a fault, or that could not be observed."""
    return CheckResult(check, "warning", sentence, remedy, details)


def fault(
    check: str, sentence: str, remedy: str, details: Sequence[Mapping[str, Any]] = ()
) -> CheckResult:
    """Something is wrong."""
    return CheckResult(check, "fault", sentence, remedy, details)


def worst(results: Iterable[CheckResult]) -> Level:
    """The worst level of some results."""
    return max((one.level for one in results), key=LEVELS.index, default="ok")
