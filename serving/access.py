"""Who may read what of a reader: tokens with scopes, and rates of clients.

Without tokens, which is allowed on the loopback address alone, whoever reaches the reader may read
everything. With tokens each request needs one, but for probes, documents without data and, by
setting, badges.
"""

from __future__ import annotations

import ipaddress
import json
import re
import time
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from schemas import http_limits
from schemas.errors import NetsoldError
from schemas.tokens import Scope, TokensUnusable, is_token, tokens_in
from serving.problems import Kind, ProblemRaised
from serving.pseudonyms import Pseudonyms
from serving.rate import Buckets, OpenStreams
from serving.tokens_file import Tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from schemas.tokens import TokenLine
    from serving.security_headers import Headers
    from streams.settings import Settings

_BADGE: Final = re.compile(r"/v1/products/.+/badge(\.svg)?", re.DOTALL)
_PROBES: Final = frozenset({"/livez", "/readyz"})
OPEN_DOCUMENTS: Final = (
    "/",
    "/(products|shops|orders)/.+",
    "/(operations|overdue|runbook|search)",
    "/(docs|static)(/.+)?",
    r"/openapi\.json",
)
"""Patterns of documents without data, which browsers open: pages, their files, the contract.

A page sends a token with its own requests.
"""

_OPEN: Final = re.compile("|".join(OPEN_DOCUMENTS), re.DOTALL)
_OPERATING: Final = frozenset({"/v1/status", "/v1/dead-letters/samples"})
"""Addresses that name hosts of brokers and workers, or quote refused records: for operators."""


_PORT: Final = re.compile(r":\d*$")
_WRONG_HOST: Final = ProblemRaised(
    Kind.WRONG_HOST,
    "a reader without tokens answers to addresses and to names without a dot, as a page of another"
    " site could lead a browser to it by a name of its own: set NETSOLD_READER_TOKENS_FILE",
)
_BODY_REFUSED: Final = ProblemRaised(Kind.BODY_REFUSED, "send the request again without its body")
_BEARER: Final = (b"www-authenticate", b'Bearer realm="netsold"')
_NO_TOKEN: Final = ProblemRaised(
    Kind.NO_TOKEN, "send Authorization: Bearer with a token that this reader knows"
)
_SCOPE_TOO_SMALL: Final = ProblemRaised(
    Kind.SCOPE_TOO_SMALL, "this address needs a token of the scope operate"
)
_TOO_MANY: Final = ProblemRaised(
    Kind.TOO_MANY, "wait as long as Retry-After says, and send fewer requests per second"
)


class AccessUnset(NetsoldError):
    """A reader that other machines reach, without tokens."""

    exit_code = 2


class RequestHead(NamedTuple):
    """What of a request decides about it.

    In the path, zero bytes stand for encoded slashes (serving/paths.py); headers are by lower-case
    name; the address is the client's.
    """

    path: str
    query: bytes
    headers: Mapping[bytes, bytes]
    address: str

    @property
    def has_body(self) -> bool:
        """Whether something follows the head."""
        return (
            self.headers.get(b"content-length", b"0") != b"0"
            or b"transfer-encoding" in self.headers
        )

    def text(self, name: bytes) -> str:
        """A header as text; empty if there is none."""
        return self.headers.get(name, b"").decode("latin-1")


class Admitted(NamedTuple):
    """A request that may be answered: with what scope, for which client, and by a token or not.

    The answer gets these headers.
    """

    scope: Scope
    client: str
    by_token: bool
    headers: Headers


class Refused(NamedTuple):
    """A request that is answered by a problem, with headers."""

    problem: ProblemRaised
    headers: Headers


class Access:
    """Decides about requests, and how answers are shown to a scope."""

    def __init__(self, settings: Settings) -> None:
        self._tokens = _tokens_of(settings)
        self._pseudonyms = None if self._tokens is None else Pseudonyms.of_settings(settings)
        self._public_badges = settings.reader_public_badges
        rate = settings.requests_per_second
        self._buckets = Buckets(rate, time.monotonic) if rate else None
        self.streams = OpenStreams(settings.streams_of_a_client)

    @property
    def fault(self) -> str | None:
        """Why the file of tokens, as it is now, can't be read; None where it can be."""
        return None if self._tokens is None else self._tokens.fault

    @property
    def tokens_version(self) -> int:
        """How often the file of tokens was read again; it is, once it has changed."""
        return 0 if self._tokens is None else self._tokens.version

    @property
    def is_rated(self) -> bool:
        """Whether the requests of each client are counted."""
        return self._buckets is not None

    def _token_of(self, authorization: str) -> TokenLine | None:
        kind, _, token = authorization.partition(" ")
        if self._tokens is None or kind.lower() != "bearer" or not is_token(token.strip()):
            return None
        return self._tokens.find(token.strip())

    def admit(self, head: RequestHead) -> Admitted | Refused:
        """Decide about a request before anything is read for it."""
        if head.has_body:
            return Refused(_BODY_REFUSED, [(b"connection", b"close")])
        client = f"address {_client_of(head.address)}"
        if head.path in _PROBES and not head.query:
            return Admitted(Scope.READ, client, by_token=False, headers=[])
        scope = self._scope_without_token(head.path)
        by_token = scope is None
        if by_token and (found := self._token_of(head.text(b"authorization"))) is not None:
            client, scope = f"token {found.name}", found.scope
        headers: Headers = []
        if self._buckets is not None:
            wait_s, headers = self._buckets.spend(client)
            if wait_s:
                return Refused(_TOO_MANY, [(b"retry-after", str(wait_s).encode()), *headers])
        if scope is None:
            return Refused(_NO_TOKEN, [_BEARER, *headers])
        problem = self._problem(head, scope)
        return Refused(problem, headers) if problem else Admitted(scope, client, by_token, headers)

    def _scope_without_token(self, path: str) -> Scope | None:
        if self._tokens is None:
            return Scope.OPERATE
        is_open = _OPEN.fullmatch(path) or (self._public_badges and is_badge(path))
        return Scope.READ if is_open else None

    def _problem(self, head: RequestHead, scope: Scope) -> ProblemRaised | None:
        """Why a request with this scope is refused; None if it isn't."""
        if head.path in _OPERATING and scope is not Scope.OPERATE:
            return _SCOPE_TOO_SMALL
        return _WRONG_HOST if self._tokens is None and _may_be_rebound(head.text(b"host")) else None

    def still_admits(self, authorization: str, scope: Scope) -> bool:
        """Whether requests with this `Authorization` have this scope now, as tokens are revoked."""
        if self._tokens is None:
            return scope is Scope.OPERATE
        found = self._token_of(authorization)
        return found is not None and found.scope is scope

    # --- what a scope is shown

    def for_scope(self, scope: Scope, form: type[BaseModel], content: str) -> str:
        """The JSON of an answer of a form, as a scope is shown it."""
        if scope is Scope.OPERATE or not _names_buyers(form):
            return content
        shown = self._buyers.shown(json.loads(content))  # with integers of any size
        return json.dumps(shown, ensure_ascii=False, separators=(",", ":"))

    def shown(self, scope: Scope, row: dict[str, Any]) -> dict[str, Any]:
        """A row as a scope is shown it."""
        return row if scope is Scope.OPERATE else self._buyers.shown(row)

    def sealed(self, scope: Scope, cursor: str) -> str:
        """The cursor of an answer, as a scope is shown it."""
        return cursor if scope is Scope.OPERATE else self._buyers.seal(cursor)

    def opened(self, scope: Scope, cursor: str) -> str:
        """The cursor of a request, as the store has it. Raises BadCursor."""
        return cursor if scope is Scope.OPERATE else self._buyers.opened(cursor)

    @property
    def _buyers(self) -> Pseudonyms:
        if self._pseudonyms is None:
            raise AssertionError("without tokens every request operates")
        return self._pseudonyms


def require_tokens(settings: Settings) -> None:
    """Raise AccessUnset where other machines reach a reader without tokens."""
    if not settings.is_on_loopback and not _has_tokens(settings):
        raise AccessUnset(
            f"NETSOLD_READER_HOST is {settings.reader_host}, which other machines reach, so the"
            " reader needs tokens: make one by `netsold token new --scope read`, and put its line"
            " into a file that NETSOLD_READER_TOKENS_FILE names"
        )


def is_badge(path: str) -> bool:
    """Whether a path is that of a product's badge."""
    return _BADGE.fullmatch(path) is not None


def _has_tokens(settings: Settings) -> bool:
    return settings.reader_tokens is not None or settings.reader_tokens_file is not None


def _tokens_of(settings: Settings) -> Tokens | None:
    """The tokens of the settings, None where none are set. Raises TokensUnusable."""
    if not _has_tokens(settings):
        return None
    configured: tuple[TokenLine, ...] = ()
    if settings.reader_tokens is not None:
        lines = settings.reader_tokens.get_secret_value().replace(",", "\n")
        try:
            configured = tokens_in(lines)
        except TokensUnusable as error:
            raise TokensUnusable(f"NETSOLD_READER_TOKENS can't be used: {error}") from error
    return Tokens(configured, settings.reader_tokens_file)


@lru_cache(http_limits.RATED_CLIENTS)
def _client_of(address: str) -> str:
    """A client by its address: of IPv6 by its network of 64 bits, which one client has whole."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    network = isinstance(found, ipaddress.IPv6Address)
    return str(ipaddress.ip_network((found, 64), strict=False) if network else found)


@lru_cache(http_limits.REQUEST_FIELDS)
def _may_be_rebound(host: str) -> bool:
    """Whether a page of another site may have led a browser here, by a name of its own.

    Such a name has a dot. An address, and a name of this machine or its network, can't be one.
    """
    name = _PORT.sub("", host).rstrip(".").lower()
    if "." not in name or name.endswith(".localhost"):
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return True
    return False


@cache
def _names_buyers(form: type[BaseModel]) -> bool:
    """Whether answers of a form may have something that `Pseudonyms.shown` replaces."""
    schema = json.dumps(form.model_json_schema(mode="serialization"))
    return any(
        mark in schema for mark in ('"buyer_id"', '"next_cursor"', '"additionalProperties": true')
    )
