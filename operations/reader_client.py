"""Gets answers from a reader over HTTP."""

from __future__ import annotations

import json
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from schemas.errors import NetsoldError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from http.client import HTTPResponse

    from streams.settings import Settings

TIMEOUT_S: Final = 20.0
"""Longer than a reader ever waits by itself."""

_NO_QUERY: Final[Mapping[str, str | int | None]] = MappingProxyType({})


class ReaderError(NetsoldError):
    """A reader gave no usable answer; the sentence says why."""

    exit_code = 5


class NoReader(ReaderError):
    """No reader answers at the address, or something else does."""


class ReaderNotReady(ReaderError):
    """The reader can't answer yet, or not as freshly as the request wants."""


class UnknownId(ReaderError):
    """No event names the id."""

    exit_code = 4


class BadRequest(ReaderError):
    """The reader refused the request."""

    exit_code = 2


_BY_STATUS: Final = {404: UnknownId, 422: BadRequest, 503: ReaderNotReady}


def get(
    settings: Settings,
    path: str,
    query: Mapping[str, str | int | None] = _NO_QUERY,
    timeout_s: float = TIMEOUT_S,
) -> dict[str, Any]:
    """The reader's answer to GET `path`; parameters that are None are left out.

    Raises NoReader, ReaderNotReady, UnknownId or BadRequest, each with a sentence.
    """
    with _response(settings, path, query, timeout_s) as response:
        answer: dict[str, Any] = json.loads(response.read())
    return answer


def get_lines(settings: Settings, path: str) -> Iterator[dict[str, Any]]:
    """The reader's answer in JSON lines, one by one; raises as `get`."""
    with _response(settings, path, _NO_QUERY, TIMEOUT_S) as response:
        for line in response:
            yield json.loads(line)


def in_path(id_: str) -> str:
    """An id as a part of a path, byte by byte, even if its bytes are no text of this locale."""
    return quote(id_, safe="", errors="surrogateescape")


@contextmanager
def _response(
    settings: Settings, path: str, query: Mapping[str, str | int | None], timeout_s: float
) -> Iterator[HTTPResponse]:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.reader_host, settings.reader_host)  # noqa: S104 - where it listens, not where to connect
    given = urlencode(
        {name: value for name, value in query.items() if value is not None},
        errors="surrogateescape",
    )
    where = f"{host}:{settings.reader_port}"
    with closing(HTTPConnection(host, settings.reader_port, timeout=timeout_s)) as connection:
        try:
            connection.request("GET", f"{path}?{given}" if given else path)
            response = connection.getresponse()
            if response.status == 200:  # noqa: PLR2004 - HTTP's own number
                yield response
                return
            detail = json.loads(response.read())["detail"]
        except (OSError, HTTPException) as error:
            raise NoReader(
                f"no reader answers at {where}: start one with `netsold serve`,"
                " or set NETSOLD_READER_HOST and _PORT"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise NoReader(
                f"what answers at {where} is no reader: set NETSOLD_READER_HOST and _PORT"
            ) from error
    raise _BY_STATUS.get(response.status, NoReader)(detail)
