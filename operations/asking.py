"""Questions to a reader, over HTTP, and how its answers are shown to people."""

from __future__ import annotations

import json
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from schemas.errors import NetsoldError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.client import HTTPResponse

    from streams.settings import Settings

TIMEOUT_S = 20.0
"""More than a reader ever waits by itself."""


class NoReader(NetsoldError):
    """No reader answers, or not as one."""

    exit_code = 5


class ReaderNotReady(NetsoldError):
    """The reader can't answer yet, or not as freshly as asked for."""

    exit_code = 5


class Unknown(NetsoldError):
    """No event names what was asked for."""

    exit_code = 4


class BadRequest(NetsoldError):
    """The question can't be answered as it is."""

    exit_code = 2


_BY_STATUS = {404: Unknown, 422: BadRequest, 503: ReaderNotReady}


def ask(settings: Settings, path: str, **query: str | int | None) -> dict[str, Any]:
    """The reader's answer to GET `path`.

    Raises NoReader, ReaderNotReady, Unknown or BadRequest, each with a sentence.
    """
    with _asked(settings, path, query) as response:
        answer: dict[str, Any] = json.loads(response.read())
    return answer


def ask_lines(settings: Settings, path: str) -> Iterator[dict[str, Any]]:
    """The reader's answer in JSON lines, one by one; raises as `ask`."""
    with _asked(settings, path, {}) as response:
        for line in response:
            yield json.loads(line)


def in_path(id_: str) -> str:
    """An id as a part of a path, byte by byte as it was given, also where it is no text of this locale."""
    return quote(id_, safe="", errors="surrogateescape")


@contextmanager
def _asked(
    settings: Settings, path: str, query: dict[str, str | int | None]
) -> Iterator[HTTPResponse]:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.reader_host, settings.reader_host)  # noqa: S104 - where it listens, not where to ask
    given = urlencode(
        {name: value for name, value in query.items() if value is not None},
        errors="surrogateescape",
    )
    where = f"{host}:{settings.reader_port}"
    with closing(HTTPConnection(host, settings.reader_port, timeout=TIMEOUT_S)) as connection:
        try:
            connection.request("GET", f"{path}?{given}" if given else path)
            response = connection.getresponse()
            if response.status == 200:  # noqa: PLR2004 - HTTP's own number for fine
                yield response
                return
            detail = json.loads(response.read())["detail"]
        except (OSError, HTTPException) as error:
            raise NoReader(
                f"no reader answers at {where}: start one with `netsold serve`, or set NETSOLD_READER_HOST and _PORT"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise NoReader(
                f"what answers at {where} is no reader: set NETSOLD_READER_HOST and _PORT"
            ) from error
    raise _BY_STATUS.get(response.status, NoReader)(detail)


def freshness_line(freshness: dict[str, Any]) -> str:
    """Freshness in a few words."""
    if freshness["as_of"] is None:
        return f"{freshness['state']}; not every source partition has been heard of"
    return f"{freshness['state']}; complete through {freshness['as_of']}, {duration(freshness['lag_seconds'])} behind"


def duration(seconds: float) -> str:
    """So many seconds in words that fit their size: 0.4 s, 3 min, 2.5 h, 81 days."""
    if seconds < 90:  # noqa: PLR2004 - one and a half of the next unit, here and below
        return f"{seconds:.1f} s"
    if seconds < 5_400:  # noqa: PLR2004
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 129_600 else f"{seconds / 86_400:,.0f} days"  # noqa: PLR2004


def span(cycle: dict[str, str]) -> str:
    """A cycle in a few words."""
    return f"{cycle['start']} until {cycle['end']}"
