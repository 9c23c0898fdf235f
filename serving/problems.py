"""The problems that the API answers, as RFC 9457 has them: one list, each with a stable `type`.

The media type is `application/problem+json`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Final

from fastapi.responses import Response

from schemas import limits
from schemas.answers import Fault, Problem
from schemas.errors import NetsoldError
from serving.security_headers import security_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

RETRY_AFTER_S: Final = 2
_PASSING: Final = {429, 503}
"""The status of problems that time may end."""
_TYPES: Final = "urn:netsold:problem:"


@dataclass(frozen=True, slots=True)
class _Kind:
    status: int
    title: str


class Kind(Enum):
    """What can be wrong besides an unknown id.

    The name, in lower case with hyphens, ends the problem's `type`.
    """

    NO_SUCH_PAGE = _Kind(404, "there is nothing at this address")
    WRONG_METHOD = _Kind(405, "this address is for reading only")
    NO_REQUEST = _Kind(400, "the bytes received can't be read as an HTTP request")
    TOO_SLOW = _Kind(408, "the head of the request didn't arrive in time")
    NO_TOKEN = _Kind(401, "the request has no token that the reader knows")
    SCOPE_TOO_SMALL = _Kind(403, "the token doesn't allow this")
    BODY_REFUSED = _Kind(413, "no request has a body here")
    WRONG_HOST = _Kind(421, "the reader doesn't answer to this host")
    TOO_MANY = _Kind(429, "this client has more requests or streams than it may")
    INVALID_REQUEST = _Kind(422, "a part of the request can't be used")
    TOO_MUCH = _Kind(422, "the answer takes more work than one request may")
    OTHER_LOG = _Kind(422, "the position is in another log")
    NOT_READY = _Kind(503, "the tables aren't there yet")
    TOO_STALE = _Kind(503, "the tables are further behind than max_lag allows")
    NOT_APPLIED = _Kind(503, "min_position isn't applied yet")
    INDEX_BEHIND = _Kind(503, "the event index isn't as far as the tables yet")
    LOG_AWAY = _Kind(503, "the events can't be read from the log")
    BUSY = _Kind(503, "the reader serves as many requests as it may")
    FAILED = _Kind(500, "the reader has a fault")

    @property
    def type(self) -> str:
        """The problem's type: a name, not an address."""
        return f"{_TYPES}{self.name.lower().replace('_', '-')}"

    @property
    def status(self) -> int:
        """The status code of the response."""
        return self.value.status

    @property
    def title(self) -> str:
        """The problem in a few words."""
        return self.value.title


@dataclass(frozen=True, slots=True)
class UnknownId:
    """No event names an id: a kind of problem for each `word`, such as `product`."""

    word: str
    status: ClassVar[int] = 404

    @property
    def type(self) -> str:
        """The problem's type: a name, not an address."""
        return f"{_TYPES}unknown-{self.word}"

    @property
    def title(self) -> str:
        """The problem in a few words."""
        return f"no event names this {self.word}"


class ProblemRaised(NetsoldError):
    """A request that is answered by a problem."""

    def __init__(
        self, kind: Kind | UnknownId, detail: str, faults: list[Fault] | None = None
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.faults = faults


def invalid(where: str, detail: str) -> ProblemRaised:
    """The problem of a request with one part that can't be used."""
    return faulty([Fault(where=where, detail=detail)])


def faulty(faults: list[Fault]) -> ProblemRaised:
    """The problem of a request with some parts that can't be used."""
    return ProblemRaised(
        Kind.INVALID_REQUEST, "; ".join(f"{one.where}: {one.detail}" for one in faults), faults
    )


def quoted(text: str) -> str:
    """Text of a request for a sentence: in quotes, escaped where unprintable, cut where long."""
    return repr(text) if len(text) <= limits.QUOTED_CHARS else f"{text[: limits.QUOTED_CHARS]!r}…"


def response(problem: ProblemRaised, headers: Mapping[str, str] | None = None) -> Response:
    """The HTTP response of a problem."""
    kind = problem.kind
    body = Problem(
        type=kind.type,
        title=kind.title,
        status=kind.status,
        detail=problem.detail,
        errors=problem.faults,
    )
    more = {"Retry-After": str(RETRY_AFTER_S)} if kind.status in _PASSING else {}
    secure = {name.decode(): value.decode() for name, value in security_headers("data")}
    return Response(
        body.model_dump_json(exclude_none=True),
        kind.status,
        {"Cache-Control": "no-cache", **secure, **more, **(headers or {})},
        media_type="application/problem+json",
    )
