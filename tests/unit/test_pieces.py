"""Files are cut into lines or elements.

They may be compressed, and are refused in one sentence.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import sys
import threading
import tracemalloc
import zipfile
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operations.files import opening as event_files
from operations.files import pieces as event_pieces
from operations.files.opening import EventFileUnreadable, opened
from operations.files.pieces import Piece, pieces
from operations.writing import event_lines
from schemas.refusals import Refusal

MOST = 200
EVENT = (
    b'{"type":"order_paid","id":"e-%d","source":"/s","occurred_at":"2026-07-01T08:00:00Z","order_id":"o-1","amount":5,'
    b'"note":"a,[]{}\\"\\\\"}'
)
EVENTS = [EVENT % number for number in range(4)]


class Stream(io.RawIOBase):
    """A stream of given chunks, one per read, that counts its reads."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self.readings = 0

    def read1(self, _: int) -> bytes:
        self.readings += 1
        return next(self._chunks, b"")


def cut(chunks: Iterable[bytes], most: int = MOST) -> list[Piece]:
    """All pieces of a file that is read in these chunks."""
    return list(pieces("F", cast("IO[bytes]", Stream(chunks)), most))


def values(chunks: Iterable[bytes], most: int = MOST) -> list[bytes | None]:
    """The values of all pieces."""
    return [piece.value for piece in cut(chunks, most)]


@given(
    st.sampled_from(
        [
            b"\n".join(EVENTS),
            b"\r\n\r\n".join(EVENTS) + b"\r\n",
            b"[" + b",".join(EVENTS) + b"]",
            b"\xef\xbb\xbf [\n" + b" ,\r\n".join(EVENTS) + b"\n]\n",
        ]
    ),
    st.lists(st.integers(0, 700), max_size=20),
)
def test_pieces_do_not_depend_on_chunks(text: bytes, ends: list[int]) -> None:
    """Lines and elements have strings with JSON's own signs."""
    cuts = [0, *sorted(ends), len(text)]
    chunks = [text[begin:end] for begin, end in pairwise(cuts) if begin < end]
    assert values(chunks) == values(text[at : at + 1] for at in range(len(text))) == EVENTS


@settings(max_examples=30)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=6,
    ),
    st.integers(1, 9),
)
def test_an_array_has_the_elements_that_a_parser_finds(element: Any, step: int) -> None:  # noqa: ANN401 - any JSON value
    """Elements are any JSON value, compact or over many lines."""
    for indent in (None, 2):
        text = json.dumps([{"first": element}, element, {"x": element}], indent=indent).encode()
        found = values((text[at : at + step] for at in range(0, len(text), step)), 10**6)
        assert [json.loads(value or b"") for value in found] == [
            {"first": element},
            element,
            {"x": element},
        ]


def _xz_fast(content: bytes) -> bytes:
    return lzma.compress(content, preset=0)


def test_pieces_are_named() -> None:
    """Lines have their number in the file, from 1; elements their index, from 0."""
    assert [piece.at for piece in cut([b"\n" + EVENTS[0] + b"\n \r\n" + EVENTS[1]])] == [
        "F:2",
        "F:4",
    ]
    assert [piece.at for piece in cut([b"[" + b",".join(EVENTS) + b"]"])] == [
        "F[0]",
        "F[1]",
        "F[2]",
        "F[3]",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", [b""]),
        (b"\n \r\n", [b""]),
        (b"\xef\xbb\xbf", [b""]),
        (b"[]", [b""]),
        (b" [ ]\n", [b""]),
        (b"[{}]", [b"{}"]),
        (b"[{},]", [b"{}", b""]),
        (b"[{},,{}]", [b"{}", b"", b"{}"]),
        (b"[{} {}]", [b"{} {}"]),
        (b"[{}}, 1]", [b"{}}", b"1"]),
        (b"[1, 2]\n{}", [b"[1, 2]", b"{}"]),
        (b"[INFO] it begins\n{}\n[{}]", [b"[INFO] it begins", b"{}", b"[{}]"]),
        (b"{\n{}\n", [b"{", b"{}"]),
        (b'{"a":[\n{"a":1}\n', [b'{"a":[', b'{"a":1}']),
    ],
    ids=range(14),
)
def test_texts_on_the_edge(text: bytes, expected: list[bytes]) -> None:
    """A file without content has one empty piece.

    Only an array of objects is an array.
    """
    assert values([text]) == expected


def test_a_piece_that_is_too_large_is_counted_and_dropped() -> None:
    """The bound is exact in lines and arrays.

    The pieces after it are read.
    """
    at_most = b'{"a":"' + b"x" * (MOST - 8) + b'"}'
    assert values([at_most + b"\r\n" + EVENTS[0]]) == [at_most, EVENTS[0]]
    for step in (1, 7, 10_000):
        line = b"\n".join([EVENTS[0], b"x" * 500, EVENTS[1]])
        assert cut(line[at : at + step] for at in range(0, len(line), step))[1] == Piece(
            "F:2", None, 500
        )
        assert values(line[at : at + step] for at in range(0, len(line), step)) == [
            EVENTS[0],
            None,
            EVENTS[1],
        ]
        array = b"[" + b",".join([EVENTS[0], b'"' + b"\\\\" * 500 + b'"', EVENTS[1]]) + b"]"
        assert values(array[at : at + step] for at in range(0, len(array), step)) == [
            EVENTS[0],
            None,
            EVENTS[1],
        ]


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, bz2.compress, _xz_fast], ids=["plain", "gzip", "bzip2", "xz"]
)
@pytest.mark.parametrize("begin", [b"", b'[{"a":"'], ids=["line", "element"])
@pytest.mark.parametrize("stdin", [False, True])
def test_a_bomb_takes_no_memory(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pack: Callable[[bytes], bytes],
    begin: bytes,
    stdin: bool,  # noqa: FBT001
) -> None:
    """A line of 16 MB, packed or not, is refused with less than 4 MB of memory."""
    size = 16 * 2**20
    end = b'"},' + EVENTS[0] + b"]" if begin else b"\n" + EVENTS[0]
    path = tmp_path / "bomb"
    path.write_bytes(pack(begin + b"0" * size + end))
    if stdin:
        monkeypatch.setattr(event_files, "_standard_input", lambda: path.open("rb"))
    tracemalloc.start()
    try:
        first, last = event_lines.lines(["-" if stdin else str(path)], "events")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(first.event, Refusal)
    assert first.event.reason == "too_large"
    assert first.at == ("standard input" if stdin else str(path)) + ("[0]" if begin else ":1")
    assert first.event.detail.endswith(" bytes, at most 262144")
    assert not isinstance(last.event, Refusal)
    assert peak_bytes < 4 * 2**20


def test_a_line_is_returned_at_once() -> None:
    """Reading waits neither for a full buffer nor for a second line.

    `tail -f` needs this.
    """
    stream = Stream([EVENTS[0] + b"\n", EVENTS[1], b"\n"])
    found = pieces("F", cast("IO[bytes]", stream), MOST)
    assert next(found).value == EVENTS[0]
    assert stream.readings == 1
    stream = Stream([b"[" + EVENTS[0] + b",", EVENTS[1] + b"]"])
    found = pieces("F", cast("IO[bytes]", stream), MOST)
    assert next(found).value == EVENTS[0]
    assert stream.readings == 1


def _zip(content: bytes, files: int = 1) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("folder")
        for number in range(files):
            archive.writestr(f"folder/events-{number}.jsonl", content)
    return packed.getvalue()


def _zstd(content: bytes) -> bytes:
    packed: bytes = pa.compress(content, codec="zstd", asbytes=True)
    return packed


def _with_password(packed: bytes) -> bytes:
    """The flag that says so, in the archive's own list of files."""
    at = packed.rindex(b"PK\x01\x02", 0, packed.rindex(b".jsonl")) + 8
    return packed[:at] + b"\x01" + packed[at + 1 :]


JSONL = b"\n".join(EVENTS)
CSV = b"order_id,product_id,quantity\no-1,p-3,2\n"
_MANY_LINES = "is a JSON object over many lines; one event a line is wanted: jq -c ."
OTHERS = {
    "UTF-16 with mark": (
        JSONL.decode().encode("utf-16"),
        "is UTF-16; UTF-8 is wanted: iconv -f UTF-16LE -t UTF-8",
    ),
    "UTF-16LE": (
        JSONL.decode().encode("utf-16-le"),
        "is UTF-16; UTF-8 is wanted: iconv -f UTF-16LE",
    ),
    "UTF-16BE": (
        JSONL.decode().encode("utf-16-be"),
        "is UTF-16; UTF-8 is wanted: iconv -f UTF-16BE",
    ),
    "UTF-16BE with mark": (
        b"\xfe\xff" + JSONL.decode().encode("utf-16-be"),
        "is UTF-16; UTF-8 is wanted: iconv -f UTF-16BE",
    ),
    "UTF-16 array": (json.dumps([1]).encode("utf-16-le"), "is UTF-16"),
    "pretty": (
        json.dumps(json.loads(EVENTS[0]), indent=2).encode(),
        _MANY_LINES,
    ),
    "pretty with mark": (
        b"\xef\xbb\xbf" + json.dumps(json.loads(EVENTS[0]), indent=1).encode(),
        _MANY_LINES,
    ),
    "pretty, one by one": (
        b"".join(json.dumps(json.loads(one), indent=4).encode() + b"\n" for one in EVENTS),
        _MANY_LINES,
    ),
    "CSV": (CSV, "is CSV, no JSON"),
    "CSV of Excel": (b"\xef\xbb\xbf" + CSV.replace(b",", b";"), "is CSV"),
    "CSV in quotes": (b'"order_id","\xe5\x95\x86\xe5\x93\x81"\n"o-1","p-3"\n', "is CSV"),
    "CSV without a head": (b"o-1,2026-07-01 08:00:00,3,12.50\n", "is CSV"),
    "TSV": (CSV.replace(b",", b"\t"), "is CSV"),
    "HTML": (b"<!DOCTYPE html>\n<html>\n", "is HTML or XML"),
    "zip": (_zip(JSONL, 2), "is a zip archive of 2 files"),
    "zip with a password": (_with_password(_zip(JSONL)), "is a zip archive with a password"),
    "Parquet": (b"PAR1\x15\x04\x15\x00PAR1", "is Parquet"),
    "lz4": (b"\x04\x22M\x18\x04\x00", "is compressed by lz4"),
    "binary": (b"SQLite format 3\x00\x10\x00", "is binary, no text"),
}


@pytest.mark.parametrize(("content", "sentence"), OTHERS.values(), ids=OTHERS.keys())
def test_other_forms_are_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, sentence: str
) -> None:
    """The sentence has the remedy, also on standard input and in gzip."""

    def sentence_of(files: list[str]) -> str:
        with pytest.raises(EventFileUnreadable) as error:
            next(event_lines.lines(files, "events"))
        assert "\n" not in str(error.value)
        return str(error.value)

    good, bad, packed = tmp_path / "good", tmp_path / "bad", tmp_path / "packed"
    good.write_bytes(JSONL)
    bad.write_bytes(content)
    packed.write_bytes(gzip.compress(content))
    monkeypatch.setattr(event_files, "_standard_input", lambda: bad.open("rb"))
    assert sentence_of([str(good), str(bad)]).startswith(f"{bad}: {sentence}")
    assert sentence_of(["-"]).startswith(f"standard input: {sentence}")
    if not {"zip", "Parquet", "lz4"} & {*sentence.split()}:  # these are not packed twice
        assert sentence_of([str(good), str(packed)]).startswith(f"{packed}: {sentence}")


@pytest.mark.parametrize(
    "pack",
    [gzip.compress, bz2.compress, lzma.compress, _zstd],
    ids=["gzip", "bzip2", "xz", "zstd"],
)
def test_compressed_files_are_known_by_their_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    """The suffix doesn't matter.

    There may be several parts, also on standard input.
    """
    path = tmp_path / "events"
    path.write_bytes(pack(EVENTS[0] + b"\n" + EVENTS[1][:9]) + pack(EVENTS[1][9:]))
    expected = [event_lines.event_of(line) for line in EVENTS[:2]]
    assert [line.event for line in event_lines.lines([str(path)], "events")] == expected
    monkeypatch.setattr(event_files, "_standard_input", lambda: path.open("rb"))
    assert [line.event for line in event_lines.lines(["-"], "events")] == expected
    plain = tmp_path / "events.jsonl.gz"
    plain.write_bytes(b"\n".join(EVENTS[:2]))
    assert [line.event for line in event_lines.lines([str(plain)], "events")] == expected


@pytest.mark.parametrize(
    "pack",
    [gzip.compress, bz2.compress, lzma.compress, _zstd],
    ids=["gzip", "bzip2", "xz", "zstd"],
)
@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda packed: packed[:-9], "is cut off: its compressed data have no end; copy it anew"),
        (
            lambda packed: packed[:40] + b"\xff" * 40 + packed[80:],
            "its compressed data are damaged; copy it anew",
        ),
        (lambda packed: packed + b"junk", "its compressed data are damaged; copy it anew"),
    ],
    ids=["cut off", "damaged", "junk behind"],
)
def test_broken_compressed_files_are_one_sentence(
    tmp_path: Path, pack: Callable[[bytes], bytes], damage: Callable[[bytes], bytes], sentence: str
) -> None:
    """The sentence names the file and the damage."""
    path = tmp_path / "events"
    path.write_bytes(damage(pack(JSONL)))
    with pytest.raises(EventFileUnreadable) as error:
        list(event_lines.lines([str(path)], "events"))
    assert str(error.value) == f"{path}: {sentence}"


def test_a_zip_archive_of_one_file_is_read(tmp_path: Path) -> None:
    """Folders in it are passed over; damage is one sentence; a pipe can't be one."""
    path = tmp_path / "events"
    path.write_bytes(_zip(JSONL))
    expected = [event_lines.event_of(line) for line in EVENTS]
    assert [line.event for line in event_lines.lines([str(path)], "events")] == expected
    packed = _zip(JSONL)
    for damaged in (packed[:-30], packed[:110] + b"\xff" * 20 + packed[130:]):
        path.write_bytes(damaged)
        with pytest.raises(EventFileUnreadable, match="compressed data are damaged; copy it anew"):
            list(event_lines.lines([str(path)], "events"))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(_zip(JSONL),))
    writer.start()
    with pytest.raises(EventFileUnreadable, match="read from a file and not from a pipe: name it"):
        list(event_lines.lines([str(pipe)], "events"))
    writer.join(10)


def test_an_xz_file_that_wants_gigabytes_does_not_get_them(tmp_path: Path) -> None:
    """The memory for unpacking is bounded, and the sentence has the bound."""
    path = tmp_path / "greedy"
    path.write_bytes(
        lzma.compress(
            JSONL,
            filters=[
                {
                    "id": lzma.FILTER_LZMA2,
                    "dict_size": 2**29,
                    "mode": lzma.MODE_FAST,
                    "mf": lzma.MF_HC3,
                }
            ],
        )
    )
    with pytest.raises(EventFileUnreadable, match="needs more than 128 MiB to be unpacked"):
        list(event_lines.lines([str(path)], "events"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            b"[{}] {}",
            "something follows after the end of its JSON array: jq -c '.[]' F | netsold … -",
        ),
        (
            b"[{}]\n[{}]",
            "something follows after the end of its JSON array: jq -c '.[]' F | netsold … -",
        ),
        (b"[{},{", "its JSON array has no end: it is cut off in or after element 1; write it anew"),
    ],
)
def test_an_array_is_the_whole_file(text: bytes, sentence: str) -> None:
    """A text after it, or a missing end, is refused."""
    for step in (1, 100):
        with pytest.raises(EventFileUnreadable, match=r".*") as error:
            cut(text[at : at + step] for at in range(0, len(text), step))
        assert str(error.value) == f"F: {sentence}"


def test_files_are_checked_before_the_first_event(tmp_path: Path) -> None:
    """A folder or a missing file ends it in one sentence.

    A pipe isn't read.
    """
    good = tmp_path / "good"
    good.write_bytes(JSONL)
    with pytest.raises(
        EventFileUnreadable, match=r"is a folder: name the files in it, as .*/\*\.jsonl"
    ):
        next(event_lines.lines([str(good), str(tmp_path)], "events"))
    with pytest.raises(EventFileUnreadable, match="No such file"):
        next(event_lines.lines([str(good), str(tmp_path / "missing")], "events"))
    event_pieces.check(["-", "/dev/null", str(good)])


def test_a_closed_standard_input_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell's `<&-` closes it."""
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(EventFileUnreadable, match="standard input: is closed"):
        next(event_lines.lines(["-"], "events"))


def test_an_empty_file_is_refused_and_the_next_is_read(tmp_path: Path) -> None:
    """Only the empty file is refused, by its name."""
    empty, good = tmp_path / "empty", tmp_path / "good"
    empty.touch()
    good.write_bytes(JSONL)
    first, *others = event_lines.lines([str(empty), str(good)], "events")
    assert (first.at, first.event) == (str(empty), Refusal("empty_value", "nothing is there"))  # type: ignore[arg-type]
    assert not any(isinstance(line.event, Refusal) for line in others)
    assert len(others) == 4


def test_progress_is_in_bytes_on_disk(tmp_path: Path) -> None:
    """It covers all files; for standard input the total is unknown."""
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.write_bytes(gzip.compress(JSONL))
    files = [str(path) for path in paths]
    *_, last = event_lines.lines(files, "events")
    assert (
        last.done_bytes
        == event_lines.total_bytes(files, "events")
        == sum(path.stat().st_size for path in paths)
    )
    assert event_lines.total_bytes([*files, "-"], "events") is None
    with opened(files[0]) as (stream, read_bytes):
        assert read_bytes() > 0
        assert stream.read() == JSONL
