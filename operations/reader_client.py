"""Gets answers from a reader over HTTP."""

from __future__ import annotations

import json
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from ssl import SSLCertVerificationError, create_default_context
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from schemas.errors import NetsoldError
from schemas.tokens import is_token

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


class NotTrusted(NoReader):
    """The reader's certificate isn't trusted."""


class ReaderNotReady(ReaderError):
    """The reader can't answer yet, or not as freshly as the request wants."""


class UnknownId(ReaderError):
    """No event names the id."""

    exit_code = 4


class BadRequest(ReaderError):
    """The reader refused the request."""

    exit_code = 2


class NoAccess(ReaderError):
    """The reader knows no such token, or the token doesn't allow it."""

    exit_code = 2


_BY_STATUS: Final = {
    401: NoAccess,
    403: NoAccess,
    404: UnknownId,
    422: BadRequest,
    429: ReaderNotReady,
    503: ReaderNotReady,
}
_REMEDIES: Final = {
    401: "set NETSOLD_READER_TOKEN or NETSOLD_READER_TOKEN_FILE to one of `netsold token new`",
    403: "set NETSOLD_READER_TOKEN or NETSOLD_READER_TOKEN_FILE to one with that scope",
}
"""What a sentence of the reader lacks for who calls a command."""


def get(
    settings: Settings,
    path: str,
    query: Mapping[str, str | int | None] = _NO_QUERY,
    timeout_s: float = TIMEOUT_S,
) -> dict[str, Any]:
    """The reader's answer to GET `path`; parameters that are None are left out.

    Raises NoReader, NoAccess, ReaderNotReady, UnknownId or BadRequest, each with a sentence.
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
    address, headers = _address(settings), _headers(settings)
    where, by = address.netloc, _setting_of(settings)
    given = urlencode(
        {name: value for name, value in query.items() if value is not None},
        errors="surrogateescape",
    )
    target = address.path.rstrip("/") + (f"{path}?{given}" if given else path)
    with closing(_connection(address, timeout_s)) as connection:
        try:
            connection.request("GET", target, headers=headers)
            response = connection.getresponse()
            if response.status == 200:  # noqa: PLR2004 - HTTP's own number
                yield response
                return
            detail = json.loads(response.read())["detail"]
        except TimeoutError as error:
            raise NoReader(
                f"the reader at {where} gave no answer within {timeout_s:g} s: see its log, and"
                " whether Kafka answers"
            ) from error
        except SSLCertVerificationError as error:
            raise NotTrusted(
                f"the certificate of the reader at {where} isn't trusted"
                f" ({error.verify_message}): set SSL_CERT_FILE to its authority's"
            ) from error
        except (OSError, HTTPException) as error:
            raise NoReader(
                f"no reader answers at {where}: start one with `netsold serve`, or set {by}"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise NoReader(f"what answers at {where} is no reader: set {by}") from error
    raise _BY_STATUS.get(response.status, NoReader)(
        f"{detail}: {_REMEDIES[response.status]}" if response.status in _REMEDIES else detail
    )


def _setting_of(settings: Settings) -> str:
    return "NETSOLD_READER_URL" if settings.reader_url else "NETSOLD_READER_HOST and _PORT"


def _address(settings: Settings) -> SplitResult:
    """Where the reader is: by NETSOLD_READER_URL, or else where one with these settings listens."""
    if settings.reader_url is not None:
        return urlsplit(settings.reader_url)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.reader_host, settings.reader_host)  # noqa: S104 - where it listens, not where to connect
    scheme = "https" if settings.reader_tls_certfile else "http"
    return urlsplit(f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.reader_port}")


def _connection(address: SplitResult, timeout_s: float) -> HTTPConnection:
    host = address.hostname or ""
    if address.scheme == "https":
        context = create_default_context()
        return HTTPSConnection(host, address.port, timeout=timeout_s, context=context)
    return HTTPConnection(host, address.port, timeout=timeout_s)


def _headers(settings: Settings) -> dict[str, str]:
    """The header with the token of the settings, if there is one. Raises NoAccess."""
    try:
        token = settings.reader_secret()
    except (OSError, UnicodeError) as error:
        raise NoAccess("the file of NETSOLD_READER_TOKEN_FILE can't be read") from error
    if token is None:
        return {}
    if not is_token(token):
        raise NoAccess(
            "NETSOLD_READER_TOKEN, or its file, has no whole token: it is `nst_` and 49 letters"
            " and digits"
        )
    return {"Authorization": f"Bearer {token}"}
