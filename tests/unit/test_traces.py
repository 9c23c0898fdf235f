"""Traces: off without a word, and of chunks, steps and requests while they are on."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import TopicPartition
from opentelemetry.trace import SpanKind, StatusCode

from schemas import limits
from serving.follow import AppliedStep, trace_step
from streams import tracing
from streams.fetched import Chunk
from streams.traced import ChunkReading, Steps, TracedDecoder
from tests.collector import kept_spans
from tests.monitoring import DEPLOY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACE, WRITER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{WRITER}-01"
SECOND_NS = 1_000_000_000
BEGAN_NS = 1_800_000_000 * SECOND_NS
LANE: Any = SimpleNamespace(topic="orders", partition=3, spec=SimpleNamespace(name="order"))


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    """Traces are on, and kept in memory."""
    with kept_spans("worker", "a") as kept:
        yield kept


def chunk(*writers: tuple[int, bytes]) -> Chunk:
    """A chunk of orders-3 from offset 10 to 20, read in a second."""
    reading = ChunkReading(BEGAN_NS, BEGAN_NS + SECOND_NS, writers)
    nothing: Any = None
    return Chunk(TopicPartition("orders", 3), [(12, 1), (19, 1)], 10, 20, nothing, reading)


def made(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    """The spans by name."""
    return {span.name: span for span in exporter.get_finished_spans()}


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({ENDPOINT: " "}, False),
        ({ENDPOINT: "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({ENDPOINT: "http://collector:4318", "OTEL_SDK_DISABLED": "True"}, False),
        ({ENDPOINT: "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_the_standard_variables_switch_traces_on(
    variables: dict[str, str],
    wanted: bool,  # noqa: FBT001 - a case
) -> None:
    """Those of the specification, and no setting of ours."""
    assert tracing.is_wanted(variables) is wanted


def test_nothing_is_imported_while_traces_are_off() -> None:
    """A worker and a reader start without OpenTelemetry's SDK."""
    code = (
        "import sys, streams.app, serving.server\n"
        "from streams import tracing\n"
        "tracing.switch_on('worker', 'a', {})\n"
        "assert tracing.spans() is None\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=DEPLOY.parent, capture_output=True, text=True, check=True
    ).stdout
    assert printed == "[]\n"


def test_another_protocol_is_refused_in_one_sentence() -> None:
    """Instead of spans that no collector understands."""
    with pytest.raises(tracing.TracesUnusable, match="by http/protobuf, not by grpc: unset"):
        tracing.switch_on(
            "worker", "a", {ENDPOINT: "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
        )


def test_an_installation_without_the_extra_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With what to install."""
    monkeypatch.setitem(sys.modules, "streams.spans", None)
    with pytest.raises(tracing.TracesUnusable, match=r"run `pip install 'netsold\[otel\]'`"):
        tracing.switch_on("worker", "a", {ENDPOINT: "http://c"})


def test_a_transaction_is_a_span_with_its_steps(exporter: InMemorySpanExporter) -> None:
    """Each step begins where the one before it ended."""
    steps = Steps([("wait", BEGAN_NS + 2 * SECOND_NS), ("fold", BEGAN_NS + 5 * SECOND_NS)])
    with tracing.transaction(LANE, chunk((12, PARENT.encode())), steps, "netsold"):
        steps.end("begin")
    spans = made(exporter)
    root = spans["process orders"]
    assert root.kind is SpanKind.CONSUMER
    assert root.attributes is not None
    assert root.attributes["messaging.destination.partition.id"] == "3"
    assert root.attributes["messaging.batch.message_count"] == 2
    assert root.attributes["netsold.stage"] == "order"
    assert root.status.status_code is StatusCode.UNSET
    inside = [spans[name] for name in ("fetch", "wait", "fold", "begin")]
    assert [
        ((one.start_time or 0) - BEGAN_NS, (one.end_time or 0) - BEGAN_NS) for one in inside[:3]
    ] == [(0, SECOND_NS), (SECOND_NS, 2 * SECOND_NS), (2 * SECOND_NS, 5 * SECOND_NS)]
    assert {one.parent and one.parent.span_id for one in inside} == {root.context.span_id}
    (link,) = root.links
    assert f"{link.context.trace_id:032x}" == TRACE
    assert f"{link.context.span_id:016x}" == WRITER
    assert root.resource.attributes["service.name"] == "netsold-worker"
    assert root.resource.attributes["service.instance.id"] == "a"


def test_a_transaction_that_fails_is_an_error(exporter: InMemorySpanExporter) -> None:
    """With what it failed with, and the steps that had ended."""

    def fail() -> None:
        with tracing.transaction(LANE, chunk(), Steps(), "netsold"):
            raise TimeoutError("no answer")

    with pytest.raises(TimeoutError):
        fail()
    spans = made(exporter)
    assert spans.keys() == {"process orders", "fetch"}
    assert spans["process orders"].status.status_code is StatusCode.ERROR
    assert spans["process orders"].events[0].name == "exception"


def test_links_are_of_the_records_of_this_part_and_of_real_spans(
    exporter: InMemorySpanExporter,
) -> None:
    """A chunk that is cut has several transactions; what is no traceparent is no link."""
    writers = [(9, PARENT), (20, PARENT.replace("0a", "0b")), (15, "garbage"), (16, "\xff")]
    one = chunk(*[(offset, value.encode("latin-1")) for offset, value in writers])
    with tracing.transaction(LANE, one, Steps(), "netsold"):
        pass
    assert made(exporter)["process orders"].links == ()


def test_writers_are_noted_each_once_and_not_more_than_fit() -> None:
    """By W3C's header, or by the one of CloudEvents."""

    def record(offset: int, name: str, value: bytes) -> Any:  # noqa: ANN401 - what a decoder needs
        return SimpleNamespace(offset=offset, headers=[("ce_id", b"1"), (name, value)])

    decode = TracedDecoder(lambda record: record.offset)
    assert decode(record(1, "traceparent", b"x")) == 1
    assert decode(record(2, "traceparent", b"x")) == 2
    assert decode(record(3, "ce_traceparent", b"y")) == 3
    assert decode(record(4, "other", b"z")) == 4
    assert decode.reading().writers == ((1, b"x"), (3, b"y"))
    for number in range(100):
        decode(record(number, "traceparent", b"%d" % number))
    assert len(decode.reading().writers) == limits.TRACE_LINKS


def test_an_applied_step_is_a_span_and_an_empty_one_is_none(
    exporter: InMemorySpanExporter,
) -> None:
    """Two empty steps a second would bury the others."""
    trace_step("tables", AppliedStep(0, 0, 0.1))
    trace_step("tables", AppliedStep(7, 9, 0.5))
    (span,) = exporter.get_finished_spans()
    assert span.name == "apply tables"
    assert span.attributes == {"netsold.store": "tables", "netsold.records": 7}
    assert (span.end_time or 0) - (span.start_time or 0) == SECOND_NS // 2
