"""Traces by OpenTelemetry: whether they are on, and the span of a transaction.

They are on where OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set. While
they are off, nothing of OpenTelemetry is imported. A span is made when what it shows has ended,
from the instants that were noted (`streams/traced.py`); `streams/spans.py` makes them.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from schemas.errors import NetsoldError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from streams.fetched import Chunk
    from streams.lanes import Lane
    from streams.spans import Spans
    from streams.traced import Steps

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL: Final = "http/protobuf"


class TracesUnusable(NetsoldError):
    """Traces are wanted and can't be made; the sentence says what to do."""

    exit_code = 2


class _Traces:
    """This process's spans; None while traces are off."""

    spans: Spans | None = None


def spans() -> Spans | None:
    """What makes this process's spans; None while traces are off."""
    return _Traces.spans


def switch_on(process: str, name: str = "", environ: Mapping[str, str] = os.environ) -> None:
    """Switch traces on where the environment wants them.

    `process` is `worker` or `reader`, `name` which one. Raises TracesUnusable.
    """
    if not is_wanted(environ):
        return
    protocol = next((found for one in _PROTOCOLS if (found := environ.get(one))), _PROTOCOL)
    if protocol != _PROTOCOL:
        raise TracesUnusable(
            f"netsold sends traces by {_PROTOCOL}, not by {protocol}: unset"
            " OTEL_EXPORTER_OTLP_PROTOCOL, and name the collector's port for HTTP (4318)"
        )
    try:
        from streams.spans import exported
    except ImportError as error:
        raise TracesUnusable(
            "traces need OpenTelemetry: run `pip install 'netsold[otel]'`, or unset"
            f" OTEL_EXPORTER_OTLP_ENDPOINT ({error})"
        ) from error
    use(exported(process, name))


def is_wanted(environ: Mapping[str, str]) -> bool:
    """Whether OpenTelemetry's variables switch traces on."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return False
    return any(environ.get(one, "").strip() for one in _ENDPOINTS)


def use(made: Spans | None) -> None:
    """Make spans by these from now on; None = make none."""
    _Traces.spans = made


@contextmanager
def transaction(lane: Lane, chunk: Chunk, steps: Steps, group: str) -> Iterator[None]:
    """Make the span of a chunk's transaction when the block ends, with the error that ended it."""
    made = _Traces.spans
    if made is None or chunk.reading is None:
        yield
        return
    failure: BaseException | None = None
    try:
        yield
    except BaseException as error:
        failure = error
        raise
    finally:
        made.chunk(lane, chunk, steps, group, failure)
