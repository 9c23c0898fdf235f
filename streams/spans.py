"""The spans of a process, made by OpenTelemetry's SDK. Only `streams/tracing.py` imports this.

Names and attributes follow OpenTelemetry's conventions for messaging and HTTP. No attribute has an
id of an order, a product, a shop or a buyer.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace import set_span_in_context as within
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from streams.build import this_build

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span

    from streams.fetched import Chunk
    from streams.lanes import Lane
    from streams.traced import Steps

_NANOSECONDS: Final = 1_000_000_000
_SERVER_ERROR: Final = 500
_PROPAGATOR: Final = TraceContextTextMapPropagator()
_PROPAGATED: Final = frozenset({b"traceparent", b"tracestate"})


def exported(process: str, name: str) -> Spans:
    """Spans that are sent to the collector that OTEL_… variables name, from a thread of their own.

    What the variables say of the service has precedence over `process` and `name`.
    """
    return Spans(process, name, BatchSpanProcessor(OTLPSpanExporter()))


class Spans:
    """Makes spans of what has ended, and hands them to a processor of the SDK.

    The environment names the sampler, the limits and the service (OTEL_TRACES_SAMPLER,
    OTEL_SERVICE_NAME …).
    """

    def __init__(self, process: str, name: str, processor: SpanProcessor) -> None:
        own = {
            "service.name": f"netsold-{process}",
            "service.version": str(this_build()),
            "service.instance.id": name,
        }
        given = OTELResourceDetector().detect().attributes
        resource = Resource.create(
            {key: value for key, value in own.items() if value and key not in given}
        )
        provider = TracerProvider(resource=resource)
        provider.add_span_processor(processor)
        self._tracer = provider.get_tracer("netsold", this_build().version)

    def chunk(
        self, lane: Lane, chunk: Chunk, steps: Steps, group: str, failure: BaseException | None
    ) -> None:
        """A chunk's transaction, with its steps as children, linked to who wrote its records."""
        reading = chunk.reading
        if reading is None:
            return
        root = self._tracer.start_span(
            f"process {lane.topic}",
            kind=SpanKind.CONSUMER,
            start_time=reading.began_ns,
            links=list(_links(chunk)),
            attributes={
                "messaging.system": "kafka",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.destination.name": lane.topic,
                "messaging.destination.partition.id": str(lane.partition),
                "messaging.consumer.group.name": group,
                "messaging.batch.message_count": len(chunk.readings),
                "messaging.kafka.offset": chunk.start,
                "netsold.end_offset": chunk.end,
                "netsold.stage": lane.spec.name,
            },
        )
        if root.is_recording():
            inside, began_ns = within(root), reading.began_ns
            for name, ended_ns in [("fetch", reading.ended_ns), *steps.ends]:
                self._child(name, inside, began_ns, ended_ns)
                began_ns = ended_ns
        _end(root, failure)

    def step(self, store: str, records: int, seconds: float) -> None:
        """A step that a reader applied just now to one of its stores."""
        now_ns = time.time_ns()
        span = self._tracer.start_span(
            f"apply {store}",
            start_time=now_ns - int(seconds * _NANOSECONDS),
            attributes={"netsold.store": store, "netsold.records": records},
        )
        span.end(now_ns)

    def request(self, scope: Mapping[str, Any], route: str, status: int, seconds: float) -> None:
        """A request whose answer began just now; the client's span is its parent."""
        now_ns, method = time.time_ns(), scope["method"]
        span = self._tracer.start_span(
            f"{method} {route}",
            kind=SpanKind.SERVER,
            context=_context(
                {
                    name.decode(): value.decode("latin-1")
                    for name, value in scope["headers"]
                    if name in _PROPAGATED
                }
            ),
            start_time=now_ns - int(seconds * _NANOSECONDS),
            attributes={
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
                "url.scheme": scope.get("scheme", "http"),
            },
        )
        if status >= _SERVER_ERROR:
            span.set_status(Status(StatusCode.ERROR))
        span.end(now_ns)

    def _child(self, name: str, inside: Context, began_ns: int, ended_ns: int) -> None:
        self._tracer.start_span(name, context=inside, start_time=began_ns).end(ended_ns)


def _end(span: Span, failure: BaseException | None) -> None:
    if failure is not None:
        span.record_exception(failure)
        span.set_status(Status(StatusCode.ERROR, repr(failure)))
    span.end(time.time_ns())


def _context(carrier: Mapping[str, str]) -> Context:
    return _PROPAGATOR.extract(carrier)


def _links(chunk: Chunk) -> Iterator[Link]:
    """Links to the spans that wrote some of a chunk's records; what is no span is left out."""
    reading = chunk.reading
    for offset, value in () if reading is None else reading.writers:
        if chunk.start <= offset < chunk.end:
            context = _context({"traceparent": value.decode("latin-1")})
            writer = get_current_span(context).get_span_context()
            if writer.is_valid:
                yield Link(writer)
