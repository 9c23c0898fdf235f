"""Marks, headers of dead letters, fencing and kill points: parts that recovery needs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any, cast

import msgspec
import pytest
from aiokafka.errors import InvalidProducerEpoch, KafkaError, ProducerFenced

from schemas.positions import Position
from schemas.refusals import Reason, Refusal
from streams.dead_letters import parked_headers
from streams.lanes import Lane
from streams.marks import decode_mark, encode_mark, progress_of
from streams.producers import OutcomeUnknown, is_fenced
from tables.stages import stages
from tables.watermarks import Furthest, Progress, SourceProgress
from tests.flow import TERMS, Record


def test_a_mark_keeps_its_progress() -> None:
    """Progress → mark → bytes → mark → progress loses nothing."""
    progress = Progress(
        41,
        1_783_000_000_000,
        3,
        {"orders-0": SourceProgress(7, 12), "orders-1": SourceProgress(9, None)},
        11,
        Furthest("o-1", 12),
        "netsold.r1",
    )
    lane = Lane(
        stages(TERMS, 1000)[0],
        "orders",
        "id-1",
        2,
        cast("Any", None),
        {},
        progress,
        42,
        partitions=4,
        partitioner="crc32",
    )
    mark = lane.mark(progress)
    assert (mark.topic, mark.topic_id, mark.partition, mark.partitions) == ("orders", "id-1", 2, 4)
    assert mark.terms.endswith("; keys by crc32")
    assert lane.layout == f"partitions=4 terms={TERMS.name}"
    assert decode_mark(encode_mark(mark)) == mark
    assert progress_of(mark) == progress


def test_a_mark_from_before_the_first_handover_names_no_speaker() -> None:
    """So does one of a build that knew none."""
    mark = decode_mark(b'{"topic":"chats","topic_id":"i","partition":0,"offset":3}')
    assert progress_of(mark) == Progress(3)


def test_bytes_that_are_no_mark_are_refused() -> None:
    """A mark that lacks a field stops the worker; the field is not read as 0."""
    with pytest.raises(msgspec.ValidationError):
        decode_mark(b'{"topic":"sales","partition":2}')


def test_a_dead_letter_has_reason_position_and_the_original_headers() -> None:
    """The original headers don't change.

    The headers of Kafka Streams and netsold's follow them.
    """
    record = Record("orders", 3, 1841, 0, b"o-1", b"\xff", [("ce_id", b"e-1")])
    headers = parked_headers(
        record, Position("orders", 3, 1841), Refusal(Reason.NOT_JSON, "invalid utf-8"), "netsold"
    )
    assert headers[0] == ("ce_id", b"e-1")
    added = {name: value.decode() for name, value in headers[1:]}
    assert added["x-dlq-id"] == "orders-3@1841"
    assert added["x-dlq-reason"] == "not_json"
    assert added["x-dlq-app"] == "netsold"
    assert added["x-dlq-first-failed-at"].endswith("Z")
    assert added["__streams.errors.message"] == f"{Reason.NOT_JSON.sentence} invalid utf-8"
    assert (
        added["__streams.errors.topic"],
        added["__streams.errors.partition"],
        added["__streams.errors.offset"],
    ) == ("orders", "3", "1841")


def test_fencing_is_found_among_the_causes() -> None:
    """Aiokafka's sender wraps its errors: a fence anywhere in the chain counts."""
    wrapped = KafkaError("Unexpected error during batch delivery")
    wrapped.__cause__ = ProducerFenced()
    assert is_fenced(wrapped)
    assert is_fenced(InvalidProducerEpoch())
    assert not is_fenced(OutcomeUnknown("no answer"))


@pytest.mark.parametrize("setting", ["after_commit:2", "before_begin", "after_offsets:1:stop"])
def test_a_kill_point_acts_at_the_given_pass(setting: str) -> None:
    """It sends SIGKILL (or SIGSTOP) at the n-th pass of its point, and at no other."""
    point, count, how = {1: (setting, "1", "kill"), 2: (*setting.split(":"), "kill")}.get(
        len(setting.split(":")), setting.split(":")
    )
    code = "from streams.failpoints import Point, reach\n"
    code += f"for _ in range({int(count) - 1}): reach(Point('{point}'))\n"
    code += "reach(Point('in_init')); print('passed', flush=True); "
    code += f"reach(Point('{point}')); print('too far', flush=True)"
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "NETSOLD_FAILPOINT": setting},
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"passed\n"
    if how == "stop":
        _, status = os.waitpid(child.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        child.kill()
        child.wait()
    else:
        assert child.wait() == -signal.SIGKILL
        assert child.stdout.read() == b""
    child.stdout.close()


def test_an_unknown_kill_point_is_refused() -> None:
    """A typing mistake must not make a fault test pass."""
    child = subprocess.run(
        [sys.executable, "-c", "import streams.failpoints"],
        env={**os.environ, "NETSOLD_FAILPOINT": "nowhere:1"},
        capture_output=True,
        check=False,
    )
    assert child.returncode != 0
    assert b"nowhere" in child.stderr
