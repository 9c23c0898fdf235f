"""The freshness of an answer as text: the JSON of `Freshness`, and the headers that repeat it.

What depends on the tables' progress alone is made once for each step; the lag is each answer's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from schemas import http_limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.answers import Freshness, State
    from serving.security_headers import Headers


class ProgressText(NamedTuple):
    """What a freshness has of the tables' progress: the begin of its JSON, and its headers."""

    json: str
    headers: Headers


class FreshJson(NamedTuple):
    """A freshness: its JSON, its state and version, and its headers in their order on the wire."""

    json: str
    state: State
    version: str
    headers: Headers


def progress_text(as_of: str | None, applied: Mapping[str, int]) -> ProgressText:
    """The text of `Freshness.as_of` and `Freshness.applied`."""
    headers: Headers = []
    if as_of is not None:
        headers.append((b"netsold-as-of", as_of.encode()))
    sources = ",".join(f"{source}:{offset}" for source, offset in applied.items())
    if sources and len(sources) <= http_limits.APPLIED_HEADER_CHARS:
        headers.append((b"netsold-applied", sources.encode("latin-1")))
    begin = msgspec.json.encode({"as_of": as_of, "applied": applied}).decode()
    return ProgressText(f'{begin[:-1]},"lag_seconds":', headers)


def fresh_json(
    progress: ProgressText, lag_seconds: float | None, state: State, version: str
) -> FreshJson:
    """A freshness with this progress."""
    lag = msgspec.json.encode(lag_seconds).decode()
    names = [(b"netsold-version", version.encode()), (b"netsold-state", state.encode())]
    return FreshJson(
        f'{progress.json}{lag},"state":"{state}","version":"{version}"}}',
        state,
        version,
        [*names, *progress.headers],
    )


def json_of(freshness: Freshness) -> FreshJson:
    """The same of the model."""
    progress = progress_text(freshness.as_of, freshness.applied)
    return fresh_json(progress, freshness.lag_seconds, freshness.state, freshness.version)
