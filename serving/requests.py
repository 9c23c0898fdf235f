"""What requests have in common: parameters, the freshness they want, and responses with ETags."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar
from urllib.parse import urlencode

from fastapi import Depends, Path, Query, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from schemas import http_limits, limits, times
from schemas.tokens import Scope
from serving.access import Access
from serving.conditional import fresh_response, rendered
from serving.problems import Kind, ProblemRaised, invalid, quoted
from serving.progress import FOLLOWED
from serving.reader import Reader
from tables.catalogue import NAMES_TOPIC

if TYPE_CHECKING:
    from collections.abc import Mapping

    from serving.answers import Answers
    from serving.conditional import Fresh, Rendered
    from serving.progress import ReaderProgress
    from serving.security_headers import Headers
    from serving.subjects import Subject

MIN_POSITION_WAIT_S: Final = 10.0
"""The longest that a request waits for its `min_position`."""

SLASH: Final = "\x00"
"""In place of an encoded slash in a path (serving/paths.py); ids have no control characters."""

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
"""A character that no id has."""
_POSITION: Final = re.compile(r"(\S+-\d+):(\d{1,18})", re.ASCII)
_ONE_POSITION: Final = r"[^\s,]+-[0-9]+:[0-9]{1,18}"
_ZONE_OF_A_PLUS: Final = re.compile(r" (?=\d\d:\d\d$)")

INSTANT: Final[dict[str, Any]] = {"format": "date-time"}
"""What the contract has of a parameter that is an instant."""

MaxLag = Annotated[
    str | None,
    Query(
        description="Such as 5s, 500ms, 2m or 1h: an answer that is further behind is refused.",
        json_schema_extra={"pattern": times.DURATION_FORM},
    ),
]
MinPosition = Annotated[
    str | None,
    Query(
        description="Such as orders-0:1234, several by commas: wait until they are applied;"
        " of names, too.",
        json_schema_extra={"pattern": f"^{_ONE_POSITION}(,{_ONE_POSITION})*$"},
    ),
]
CycleText = Annotated[
    str | None,
    Query(
        description="Any instant of the cycle, RFC 3339 with zone; absent: the current cycle.",
        json_schema_extra=INSTANT,
    ),
]


Id = Annotated[str, Path(description="Any id; `/` as it is or as %2F.")]
Limit = Annotated[int, Query(ge=1, le=http_limits.PAGE_ITEMS, description="Most items of a page.")]


def _opened_cursor(
    request: Request,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
) -> str | None:
    access: Access = request.app.state.access
    return None if cursor is None else access.opened(request.state.scope, cursor)


Cursor = Annotated[str | None, Depends(_opened_cursor)]

Body = TypeVar("Body")


class FreshnessWanted:
    """The freshness that a request wants of the tables, and the response to it."""

    def __init__(
        self, request: Request, max_lag: MaxLag = None, min_position: MinPosition = None
    ) -> None:
        self.request = request
        self.reader: Reader = request.app.state.versions.answering
        self._access: Access = request.app.state.access
        self._scope: Scope = request.state.scope
        self._max_lag_s = None if max_lag is None else _seconds(max_lag)
        self._positions = {} if min_position is None else positions_of("min_position", min_position)

    @property
    def is_demanding(self) -> bool:
        """Whether the request wants some freshness: then no cache may answer the next one."""
        return self._max_lag_s is not None or bool(self._positions)

    async def answers(self, *names: str) -> Answers:
        """Answers from a snapshot in which the tables of these names are as fresh as wanted.

        Raises ProblemRaised, NotReady.
        """
        if self._positions:
            await self._wait(names)
        return self.answers_now(*names)

    def answers_now(self, *names: str) -> Answers:
        """As `answers`, without waiting for positions."""
        answers = self.reader.answers()
        if self._max_lag_s is not None:
            lag_s = answers.freshness_of(*names).lag_seconds
            if lag_s is None or lag_s > self._max_lag_s:
                lag = (
                    "unknown: a source partition has no event that is applied"
                    if lag_s is None
                    else f"{lag_s:.1f} s"
                )
                raise ProblemRaised(
                    Kind.TOO_STALE, f"max_lag is {self._max_lag_s:g} s; the lag is {lag}"
                )
        return answers

    async def _wait(self, names: tuple[str, ...]) -> None:
        of_names = _names_applied(self.reader)
        unknown = self._positions.keys() - self.reader.sources(*FOLLOWED) - of_names.keys()
        if unknown:
            raise invalid(
                "min_position", f"there is no source partition {', '.join(sorted(unknown))}"
            )
        own = self.reader.sources(*names) | of_names.keys()
        # What these tables never contain needs no waiting.
        positions = {name: offset for name, offset in self._positions.items() if name in own}

        def missing(progress: ReaderProgress) -> list[str]:
            applied = progress.of(*names).applied if progress.complete else {}
            return unapplied(applied | _names_applied(self.reader), positions)

        def is_applied(progress: ReaderProgress) -> bool:
            return not missing(progress)

        if not await self.reader.until_progress(is_applied, MIN_POSITION_WAIT_S):
            left = ", ".join(missing(self.reader.answers().progress))
            raise ProblemRaised(Kind.NOT_APPLIED, f"waited {MIN_POSITION_WAIT_S:g} s for {left}")

    def response(self, body: Fresh | Rendered) -> Response:
        """The response with an answer: with an ETag, or a 304 if the client has it.

        A page's `Link` has no host, so that it leads to the host which the client used.
        """
        headers: Headers = []
        answer = rendered(body)
        if answer.next_cursor is not None:
            cursor = self._access.sealed(self._scope, answer.next_cursor)
            query = urlencode(dict(self.request.query_params) | {"cursor": cursor})
            link = f'<{path_of(self.request)}?{query}>; rel="next"'
            headers.append((b"link", link.encode("latin-1")))
        return fresh_response(
            self.request,
            answer,
            headers,
            lambda text: self._access.for_scope(self._scope, answer.form, text),
        )

    def shown(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row as the request's scope is shown it."""
        return self._access.shown(self._scope, row)


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
    if CONTROL.search(id_):
        raise unnamed(subject, id_)
    return id_


def found(body: Body | None, id_: str, subject: Subject[Any]) -> Body:
    """The answer about an id. Raises ProblemRaised where the id is unknown."""
    if body is None:
        raise unnamed(subject, id_)
    return body


def unnamed(subject: Subject[Any], id_: str) -> ProblemRaised:
    """The problem of an id that is unknown."""
    return ProblemRaised(subject.unknown, f"{subject.unknown.title}: {quoted(id_)}")


def event_instant_of(where: str, text: str) -> int:
    """The same of an instant that an event may have, or of the end of these. Raises as that."""
    at_ms = instant_of(where, text)
    if not limits.OCCURRED_FIRST_MS <= at_ms <= limits.OCCURRED_END_MS:
        raise invalid(where, f"{quoted(text)} is outside the years 1900 to 2199")
    return at_ms


def instant_of(where: str, text: str) -> int:
    """The instant of a parameter, in epoch milliseconds. Raises ProblemRaised."""
    try:
        return times.parse_any_ms(_ZONE_OF_A_PLUS.sub("+", text))
    except ValueError as error:
        raise invalid(where, f"{quoted(text)} {error}") from error


def start_of(reader: Reader, cycle: str | None) -> int | None:
    """The start of the cycle that contains an instant, None for the current one.

    Raises ProblemRaised.
    """
    if cycle is None:
        return None
    start_ms = reader.calendar.start_of(instant_of("cycle", cycle))
    if not reader.calendar.holds_events(start_ms):
        raise invalid(
            "cycle",
            f"{quoted(cycle)} is in no cycle that may have events: they are from 1900 to 2199",
        )
    return start_ms


def _names_applied(reader: Reader) -> dict[str, int]:
    """The last offset that was read of each partition of `names`, -1 before the first one."""
    topic = reader.settings.topic(NAMES_TOPIC)
    return {
        f"{topic}-{at[1]}": position - 1
        for at, (position, _) in reader.behind().items()
        if at[0] == topic
    }


def _seconds(text: str) -> float:
    try:
        return times.duration_ms(text) / 1000
    except ValueError as error:
        fault = f"{quoted(text)} is no duration, such as 5s, 500ms, 2m or 1h"
        raise invalid("max_lag", fault) from error


def unapplied(applied: Mapping[str, int], wanted: Mapping[str, int]) -> list[str]:
    """The wanted offsets that aren't applied, each with the one that is."""
    return [
        f"{source}:{offset} (at {applied.get(source, 'nothing')})"
        for source, offset in wanted.items()
        if applied.get(source, -1) < offset
    ]


def positions_of(where: str, text: str) -> dict[str, int]:
    """The highest offset that a parameter's text names of each partition. Raises ProblemRaised."""
    wanted: dict[str, int] = {}
    for part in text.split(","):
        found = _POSITION.fullmatch(part.strip())
        if found is None:
            raise invalid(where, f"{quoted(part)} is no source position, such as orders-0:1234")
        wanted[found[1]] = max(int(found[2]), wanted.get(found[1], 0))
    return wanted
