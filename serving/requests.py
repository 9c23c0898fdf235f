"""What requests have in common: parameters, the freshness they want, and responses with ETags."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar
from urllib.parse import urlencode

from fastapi import Depends, Query, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from schemas import times
from schemas.answers import JournalPage, OverduePage, TopProducts, TopShops
from serving.problems import Kind, ProblemRaised, invalid, quoted
from serving.reader import Reader

if TYPE_CHECKING:
    from pydantic import BaseModel

    from serving.answers import Answers
    from serving.subjects import Subject

MIN_POSITION_WAIT_S: Final = 10.0
"""The longest that a request waits for its `min_position`."""

SLASH: Final = "\x00"
"""In place of an encoded slash in a path (serving/paths.py); ids have no control characters."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h)", re.ASCII)
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_POSITION: Final = re.compile(r"(\S+-\d+):(\d{1,18})", re.ASCII)
_ZONE_OF_A_PLUS: Final = re.compile(r" (?=\d\d:\d\d$)")

MaxLag = Annotated[
    str | None,
    Query(description="Such as 5s, 500ms, 2m or 1h: an answer that is further behind is refused."),
]
MinPosition = Annotated[
    str | None,
    Query(description="Such as orders-0:1234, several by commas: wait until they are applied."),
]
CycleText = Annotated[
    str | None,
    Query(description="Any instant of the cycle, RFC 3339 with zone; absent: the current cycle."),
]


Body = TypeVar("Body", bound="BaseModel")


class FreshnessWanted:
    """The freshness that a request wants of the tables, and the response to it."""

    def __init__(
        self, request: Request, max_lag: MaxLag = None, min_position: MinPosition = None
    ) -> None:
        self.request = request
        self.reader: Reader = request.app.state.reader
        self._max_lag_s = None if max_lag is None else _seconds(max_lag)
        self._positions = {} if min_position is None else _positions(min_position)

    async def answers(self, *names: str) -> Answers:
        """Answers from a snapshot in which the tables of these names are as fresh as wanted.

        Raises ProblemRaised, NotReady.
        """
        if self._positions:
            await self._wait(names)
        answers = self.reader.answers()
        if self._max_lag_s is not None:
            lag_s = answers.freshness_of(*names).lag_seconds
            if lag_s is None or lag_s > self._max_lag_s:
                lag = (
                    "unknown, as the progress of a source partition is unknown"
                    if lag_s is None
                    else f"{lag_s:.1f} s"
                )
                raise ProblemRaised(
                    Kind.TOO_STALE, f"max_lag is {self._max_lag_s:g} s; the lag is {lag}"
                )
        return answers

    async def _wait(self, names: tuple[str, ...]) -> None:
        unknown = self._positions.keys() - self.reader.sources()
        if unknown:
            raise invalid(
                "min_position", f"there is no source partition {', '.join(sorted(unknown))}"
            )
        if not await self.reader.until(names, self._positions, MIN_POSITION_WAIT_S):
            applied = self.reader.answers().progress.of(*names).applied
            missing = [
                f"{source}:{offset} (at {applied.get(source, 'nothing')})"
                for source, offset in self._positions.items()
                if applied.get(source, -1) < offset
            ]
            raise ProblemRaised(
                Kind.NOT_APPLIED, f"waited {MIN_POSITION_WAIT_S:g} s for {', '.join(missing)}"
            )

    def response(self, answers: Answers, names: tuple[str, ...], body: BaseModel) -> Response:
        """The response with an answer from the tables of these names.

        Its ETag is made from the partitions of the tables, so the same state has the same ETag at
        every reader. It is weak, as the body's `lag_seconds` grows while nothing else changes. A
        page's `Link` has no host, so that it leads to the host which the client used.
        """
        etag = f'W/"{names[0]}-{answers.progress.of(*names).tag}-{answers.state}"'
        headers = {"ETag": etag, "Cache-Control": "no-cache"}
        if isinstance(body, _PAGES) and body.next_cursor is not None:
            query = urlencode(dict(self.request.query_params) | {"cursor": body.next_cursor})
            headers["Link"] = f'<{path_of(self.request)}?{query}>; rel="next"'
        known = self.request.headers.get("If-None-Match", "").split(",")
        if etag in [one.strip() for one in known]:
            return Response(status_code=304, headers=headers)
        return Response(body.model_dump_json(), headers=headers, media_type="application/json")


_PAGES: Final = (TopProducts, TopShops, JournalPage, OverduePage)

Wanted = Annotated[FreshnessWanted, Depends()]


def path_of(request: Request) -> str:
    """The path as the request has it, still encoded."""
    raw: bytes = request.scope["raw_path"]
    return raw.decode("ascii", "replace")


def id_of(text: str, subject: Subject[Any]) -> str:
    """The id that a path names.

    Raises ProblemRaised where no event can name it, HTTPException where it is empty.
    """
    id_ = text.replace(SLASH, "/")
    if not id_:
        raise HTTPException(404)
    if _CONTROL.search(id_):
        raise _unnamed(subject, id_)
    return id_


def found(body: Body | None, id_: str, subject: Subject[Any]) -> Body:
    """The answer about an id. Raises ProblemRaised where the id is unknown."""
    if body is None:
        raise _unnamed(subject, id_)
    return body


def _unnamed(subject: Subject[Any], id_: str) -> ProblemRaised:
    return ProblemRaised(subject.unknown, f"{subject.unknown.title}: {quoted(id_)}")


def start_of(reader: Reader, cycle: str | None) -> int | None:
    """The start of the cycle that contains an instant, None for the current one.

    Raises ProblemRaised.
    """
    if cycle is None:
        return None
    try:
        start_ms = reader.calendar.start_of(times.parse_any_ms(_ZONE_OF_A_PLUS.sub("+", cycle)))
    except ValueError as error:
        raise invalid("cycle", f"{quoted(cycle)} {error}") from error
    if not reader.calendar.holds_events(start_ms):
        raise invalid(
            "cycle",
            f"{quoted(cycle)} is in no cycle that may have events: they are from 1900 to 2199",
        )
    return start_ms


def _seconds(text: str) -> float:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise invalid("max_lag", f"{quoted(text)} is no duration, such as 5s, 500ms, 2m or 1h")
    return float(found[1]) * _SECONDS[found[2]]


def _positions(text: str) -> dict[str, int]:
    """The highest offset that the text names of each source partition."""
    wanted: dict[str, int] = {}
    for source, offset in map(_position, text.split(",")):
        wanted[source] = max(offset, wanted.get(source, 0))
    return wanted


def _position(text: str) -> tuple[str, int]:
    found = _POSITION.fullmatch(text.strip())
    if found is None:
        raise invalid(
            "min_position", f"{quoted(text)} is no source position, such as orders-0:1234"
        )
    return found[1], int(found[2])
