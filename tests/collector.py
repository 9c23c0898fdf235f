"""Traces for tests: kept in memory, or collected by OTLP over HTTP at a port of this machine."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from operations.local.ports import LOCALHOST
from streams import tracing
from streams.spans import Spans

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Collector:
    """The spans that arrived, each with the name of its service."""

    address: str
    spans: list[tuple[str, Any]] = field(default_factory=list)

    def named(self, service: str, name: str) -> list[Any]:
        """The spans of a service with a name."""
        return [span for of, span in [*self.spans] if (of, span.name) == (service, name)]

    def children(self, parent: Any) -> list[Any]:  # noqa: ANN401 - a span of the protocol
        """The spans within another one, by their begin."""
        found = [span for _, span in [*self.spans] if span.parent_span_id == parent.span_id]
        return sorted(found, key=lambda span: span.start_time_unix_nano)


def attributes(span: Any) -> dict[str, Any]:  # noqa: ANN401 - a span or a resource of the protocol
    """The attributes of a span."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that accepts spans until the block is left."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Accept a batch."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = ExportTraceServiceRequest.FromString(body)
            assert self.path == "/v1/traces"
            for resource in request.resource_spans:
                service = attributes(resource.resource)["service.name"]
                for scope in resource.scope_spans:
                    found.spans += [(service, span) for span in scope.spans]
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer((LOCALHOST, 0), Handler)
    found = Collector(f"http://{LOCALHOST}:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def kept_spans(process: str, name: str) -> Iterator[InMemorySpanExporter]:
    """Traces of this process are on, and kept in memory, until the block is left."""
    kept = InMemorySpanExporter()
    tracing.use(Spans(process, name, SimpleSpanProcessor(kept)))
    try:
        yield kept
    finally:
        tracing.use(None)
