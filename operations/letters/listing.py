"""Dead letters in groups, and single ones, as JSON and for people."""

from __future__ import annotations

import base64
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from schemas import limits, times
from schemas.decisions import LETTER_STATES
from schemas.letters import UNNAMED, producer_of
from schemas.masking import masked_content

if TYPE_CHECKING:
    from collections.abc import Iterable

    from operations.letters.reading import Reading
    from schemas.decisions import Decision, LetterState
    from schemas.letters import Letter

_OTHERS: Final = "others"


@dataclass(slots=True)
class Group:
    """The letters of one reason, topic and producer, with the times at which they were parked."""

    reason: str
    topic: str
    producer: str
    first_ms: int
    last_ms: int
    open: int = 0
    requeued: int = 0
    discarded: int = 0

    def as_json(self) -> dict[str, Any]:
        """The group with its counts by state."""
        return {
            "reason": self.reason,
            "topic": self.topic,
            "source": self.producer,
            "first_parked": times.format_ms(self.first_ms),
            "last_parked": times.format_ms(self.last_ms),
            **{state: getattr(self, state) for state in LETTER_STATES},
        }


async def groups_of(reading: Reading, state: LetterState | None) -> list[Group]:
    """The groups of the letters, only of a state if one is given, the earliest first.

    Beyond `limits.LETTER_GROUPS` groups, the rest is in one of producer `others`.
    """
    groups: dict[tuple[str, str, str], Group] = {}
    async with aclosing(reading.each()) as letters:
        async for letter, its_state in letters:
            if state not in {None, its_state}:
                continue
            name = letter.reason, letter.topic, producer_of(letter)
            if name not in groups and len(groups) >= limits.LETTER_GROUPS:
                name = UNNAMED, UNNAMED, _OTHERS
            at_ms = letter.parked_at_ms
            group = groups.setdefault(name, Group(*name, at_ms, at_ms))
            group.first_ms, group.last_ms = min(group.first_ms, at_ms), max(group.last_ms, at_ms)
            setattr(group, its_state, getattr(group, its_state) + 1)
    return sorted(groups.values(), key=lambda group: group.first_ms)


def brief(letter: Letter, state: LetterState) -> dict[str, Any]:
    """A letter in one line: where it is, where its record is, and why it was refused."""
    return {
        "id": str(letter.position),
        "of": None if letter.source is None else str(letter.source),
        "reason": letter.reason,
        "detail": letter.detail,
        "source": producer_of(letter),
        "parked_at": times.format_ms(letter.parked_at_ms),
        "attempt": letter.attempt,
        "state": state,
    }


def whole(
    letter: Letter, state: LetterState, decided: Iterable[Decision], *, reveal: bool
) -> dict[str, Any]:
    """All of a letter; key, headers and value are masked unless `reveal`.

    Revealed bytes are given as text, and in base64 as they are.
    """
    key, value = letter.key, letter.value
    content: dict[str, Any]
    if reveal:
        content = {
            "key": _text(key),
            "key_base64": _base64(key),
            "headers": [[name, _text(raw)] for name, raw in letter.headers],
            "value": _text(value),
            "value_base64": _base64(value),
        }
    else:
        content = masked_content(letter, limits.DEAD_LETTER_BYTES)
    return {
        **brief(letter, state),
        "first_failed_at": letter.first_failed_at,
        "requeued_from": letter.requeued_from or None,
        "decisions": [
            {"decision": one.decision, "at": one.at, "by": one.by, "why": one.why}
            for one in decided
        ],
        "value_bytes": None if value is None else len(value),
        "masked": not reveal,
        **content,
    }


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode(errors="backslashreplace")


def _base64(raw: bytes | None) -> str | None:
    return None if raw is None else base64.b64encode(raw).decode()
