"""Dead letters by topic and reason, and the newest ones of a group, masked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from schemas import limits, times
from schemas.letter_answers import LetterGroups, LetterSample, LetterSamples
from schemas.letters import letter_of, producer_of
from schemas.masking import masked_content
from schemas.status import DeadLetterStatus
from serving.event_index import READ_S
from serving.problems import Kind, ProblemRaised
from serving.walks import one_more_walk
from streams.log import READING_FAILS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from schemas.letters import Letter
    from schemas.positions import Position
    from serving.reader import Reader
    from streams.log import At

router = APIRouter(prefix="/v1")

Topic = Annotated[
    str, Query(max_length=limits.LABEL_CHARS, description="The topic of the refused records.")
]
Reason = Annotated[
    str, Query(max_length=limits.LABEL_CHARS, description="The reason of the dead letters.")
]
_NO_CACHE: Final = {"Cache-Control": "no-cache"}


@router.get("/dead-letters", response_model=LetterGroups)
async def dead_letters(request: Request) -> Response:
    """Refused records, counted by source topic and reason, each with what was decided of them.

    `uncounted` says why they aren't all counted; null where they are.
    """
    reader: Reader = request.app.state.versions.answering
    body = LetterGroups(items=counted(reader), uncounted=reader.watch.letters.uncounted)
    return Response(body.model_dump_json(), headers=_NO_CACHE, media_type="application/json")


@router.get("/dead-letters/samples", response_model=LetterSamples)
async def dead_letter_samples(request: Request, topic: Topic, reason: Reason) -> Response:
    """The newest open dead letters of a topic and reason, the newest first, masked.

    At most five. None where nothing was refused so, or all is decided.
    """
    reader: Reader = request.app.state.versions.answering
    with one_more_walk(request):
        letters = await _letters(reader, _newest(reader, topic, reason))
    body = LetterSamples(items=[_sample(letter) for letter in letters])
    return Response(body.model_dump_json(), headers=_NO_CACHE, media_type="application/json")


def counted(reader: Reader) -> list[DeadLetterStatus]:
    """The counts of dead letters, sorted by topic and reason."""
    return [
        DeadLetterStatus(
            topic=one.topic,
            reason=one.reason,
            count=one.count,
            open=one.open,
            requeued=one.requeued,
            discarded=one.discarded,
            since_start=one.since_start,
            oldest=times.format_ms(one.oldest_ms),
            newest=times.format_ms(one.newest_ms),
        )
        for one in reader.watch.letters.parked
    ]


def _newest(reader: Reader, topic: str, reason: str) -> list[Position]:
    return [
        position
        for one in reader.watch.letters.parked
        if (one.topic, one.reason) == (topic, reason)
        for position in one.recent
    ]


async def _letters(reader: Reader, positions: Iterable[Position]) -> list[Letter]:
    """The letters at these positions, the newest first; those that are gone are left out."""
    wanted: dict[At, list[int]] = {}
    for one in positions:
        wanted.setdefault((one.topic, one.partition), []).append(one.offset)
    if not wanted:
        return []
    try:
        read = await reader.index.log.read(wanted, READ_S)
    except (*READING_FAILS, TimeoutError) as error:
        why = str(error) or "Kafka gave no answer in time"
        raise ProblemRaised(Kind.LOG_AWAY, f"the dead letters can't be read: {why}") from None
    found = [
        letter_of(_Placed(*at, one.offset, one.timestamp, one.key, one.value, one.headers))
        for at, records in read.items()
        for one in records.values()
    ]
    return sorted(found, key=lambda letter: letter.parked_at_ms, reverse=True)


class _Placed(NamedTuple):
    """A record with the partition that it is in."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def _sample(letter: Letter) -> LetterSample:
    return LetterSample(
        id=str(letter.position),
        of=None if letter.source is None else str(letter.source),
        source=producer_of(letter),
        detail=letter.detail,
        parked_at=times.format_ms(letter.parked_at_ms),
        attempt=letter.attempt,
        value_bytes=None if letter.value is None else len(letter.value),
        **masked_content(letter, limits.RECENT_LETTER_BYTES),
    )
