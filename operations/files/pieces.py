"""The pieces of a file of events: its lines, or the elements of its JSON array.

It splits text, checks no event, and has one piece in memory at a time. A file of another form
(UTF-16, CSV, an object over many lines …) is refused before its first piece, with the remedy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import IO, TYPE_CHECKING, Final, cast

from operations.files.opening import STDIN, EventFileUnreadable, is_a_pipe, name_of, opened

if TYPE_CHECKING:
    import io

_READ_BYTES: Final = 262_144
_HEAD_BYTES: Final = 65_536
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_SPACE: Final = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class Piece:
    """A line or an element as it is written, without the spaces around.

    `at` is its place: `file:12` (lines from 1) or `file[11]` (elements from 0). `value` is None if
    it has more bytes than a piece may have.
    """

    at: str
    value: bytes | None
    size_bytes: int


def check(paths: Iterable[str]) -> None:
    """Check how files begin, except pipes and standard input, which can be read only once.

    Raises EventFileUnreadable for the first that is missing or of another form.
    """
    for path in paths:
        if is_a_pipe(path):
            continue
        with opened(path) as (stream, _):
            head = stream.read(_HEAD_BYTES).removeprefix(_BYTE_ORDER_MARK)
        if not _ARRAY.match(head):
            first, second, *_ = [
                *(line.strip(_SPACE) for line in head.split(b"\n") if not _is_blank(line)),
                b"",
                b"",
            ]
            _refuse_another_form(path, first, second)


def pieces(path: str, stream: IO[bytes], most_bytes: int) -> Iterator[Piece]:
    """The pieces of a file without blank lines, each as soon as it is complete.

    An empty file has one piece without bytes, which its reader refuses. Raises EventFileUnreadable.
    """
    name, head = name_of(path), _head(stream)
    chunks = chain([head.removeprefix(_BYTE_ORDER_MARK)], _chunks(stream))
    found = (
        _elements(name, chunks, most_bytes)
        if _ARRAY.match(head.removeprefix(_BYTE_ORDER_MARK))
        else _lines(name, chunks, most_bytes)
    )
    first = next(found, None)
    if first is None:
        yield Piece(name, b"", 0)
        return
    if first.value is None or _is_whole(first.value):
        yield first
    else:
        second = next(found, None)
        _refuse_another_form(path, first.value, (second.value if second else None) or b"")
        yield from [first] if second is None else [first, second]
    yield from found


# --- lines

_ARRAY: Final = re.compile(rb"[ \t\r\n]*\[[ \t\r\n]*[{\]]")
_UNDECIDED: Final = re.compile(rb"[ \t\r\n]*(\[[ \t\r\n]*)?")


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    """The stream in chunks, each as soon as it is available."""
    while chunk := cast("io.BufferedReader", stream).read1(_READ_BYTES):
        yield chunk


def _head(stream: IO[bytes]) -> bytes:
    """As many of the first bytes as decide between array and lines; empty only for no bytes."""
    head = b""
    for chunk in _chunks(stream):
        head += chunk
        text = head.removeprefix(_BYTE_ORDER_MARK)
        if len(head) > _HEAD_BYTES or not (
            _BYTE_ORDER_MARK.startswith(text) or _UNDECIDED.fullmatch(text)
        ):
            break
    return head


def _lines(name: str, chunks: Iterable[bytes], most_bytes: int) -> Iterator[Piece]:
    """Lines that aren't blank; the bytes of one that is too long are counted and dropped."""
    number, parts, size = 1, list[bytes](), 0
    for chunk in chain(chunks, [b"\n"]):
        first = True
        for part in chunk.split(b"\n"):
            if not first:
                if size > most_bytes + 1:  # one more, as a line may end with \r\n
                    yield Piece(f"{name}:{number}", None, size)
                elif not _is_blank(line := b"".join(parts)):
                    yield Piece(f"{name}:{number}", line.strip(_SPACE), size)
                number, parts, size = number + 1, [], 0
            first = False
            size += len(part)
            if size <= most_bytes + 1:
                parts.append(part)
            else:
                parts.clear()


def _is_blank(line: bytes) -> bool:
    return not line or line.isspace()


# --- the elements of an array

_BETWEEN: Final = re.compile(rb'["\[\]{},]')
_WITHIN: Final = re.compile(rb'["\[\]{}]')
_REST_OF_TEXT: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_ELEMENTS: Final = "'.[]'"


def _elements(name: str, chunks: Iterable[bytes], most_bytes: int) -> Iterator[Piece]:
    """The elements of a text that is one array."""
    scan = _Scan(most_bytes)
    for chunk in chunks:
        for value, size in scan.feed(chunk):
            yield Piece(f"{name}[{scan.count - 1}]", value, size)
        if scan.rest.strip(_SPACE):
            raise EventFileUnreadable(
                f"{name}: something follows after the end of its JSON array:"
                f" {_by_jq(_ELEMENTS, name)}"
            )
    if not scan.is_over:
        raise EventFileUnreadable(
            f"{name}: its JSON array has no end:"
            f" it is cut off in or after element {scan.count}; write it anew"
        )


class _Scan:
    """The state of a scanner of an array's text.

    That is the depth within an element, whether it is within a string, and the element's bytes so
    far.
    """

    def __init__(self, most_bytes: int) -> None:
        self.count = 0
        self.is_over = False
        self.rest = b""
        self._most_bytes = most_bytes
        self._depth = -1
        self._in_string = self._in_escape = False
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[tuple[bytes | None, int]]:
        """The elements that end in a chunk, each with its size; None for one that is too large.

        The bytes after the array are in `rest`.
        """
        begin = at = 0
        while at < len(chunk) and not self.is_over:
            if self._in_string:
                at = self._through_string(chunk, at)
                continue
            found = (_WITHIN if self._depth > 0 else _BETWEEN).search(chunk, at)
            if found is None:
                break
            at, sign = found.end(), found[0]
            if sign == b'"':
                self._in_string = True
            elif sign in b"[{":
                self._depth += 1
                begin = at if self._depth == 0 else begin
            elif self._depth > 0:
                self._depth -= 1
            elif sign != b"}":  # a comma, or the end; a stray brace is the decoder's to refuse
                self.is_over = sign == b"]"
                self._add(chunk[begin : at - 1])
                begin = at
                yield from self._element()
        if self.is_over:
            self.rest = chunk[begin:]
        else:
            self._add(chunk[begin:])

    def _through_string(self, chunk: bytes, at: int) -> int:
        """Where a string ends, or the chunk does."""
        if self._in_escape:
            self._in_escape = False
            at += 1
        found = _REST_OF_TEXT.match(chunk, at)
        if found:
            self._in_string = False
            return found.end()
        backslashes = len(chunk) - max(at, len(chunk.rstrip(b"\\")))
        self._in_escape = backslashes % 2 == 1
        return len(chunk)

    def _add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= self._most_bytes:
            self._parts.append(part)
        else:
            self._parts.clear()

    def _element(self) -> Iterator[tuple[bytes | None, int]]:
        """The element that ends here; none for an empty array."""
        value = b"".join(self._parts).strip(_SPACE) if self._size <= self._most_bytes else None
        size, self._parts, self._size = self._size, [], 0
        if value != b"" or not self.is_over or self.count:
            self.count += 1
            yield value, size


# --- other forms

_CSV: Final = re.compile(r'"?[\w .:/()-]+"?([,;\t|]"?[\w .:/()-]*"?)+')
_UTF_16: Final = {b"\xff\xfe": "UTF-16LE", b"\xfe\xff": "UTF-16BE"}


def _is_whole(line: bytes) -> bool:
    """Whether a line is likely an object, so that the next line isn't needed to decide."""
    return line[:1] == b"{" and line[-1:] == b"}"


def _refuse_another_form(path: str, first: bytes, second: bytes) -> None:
    """Raise EventFileUnreadable if a text's first two lines show another form than an event a line.

    A line that doesn't exist is empty.
    """
    name = name_of(path)
    encoding = (
        _UTF_16.get(first[:2])
        or {b"\0": "UTF-16BE"}.get(first[:1])
        or {b"\0": "UTF-16LE"}.get(first[1:2])
    )
    if encoding:
        raise EventFileUnreadable(
            f"{name}: is UTF-16; UTF-8 is wanted:"
            f" iconv -f {encoding} -t UTF-8 {_argument(name)} | netsold … -"
        )
    if b"\0" in first:
        raise EventFileUnreadable(f"{name}: is binary, no text; one JSON object a line is wanted")
    if first[:1] == b"<":
        raise EventFileUnreadable(
            f"{name}: is HTML or XML, perhaps a server's page of an error;"
            " one JSON object a line is wanted"
        )
    if first[:1] == b"{" and first[-1:] in (b"{", b"[", b",", b":") and second[:1] != b"{":
        raise EventFileUnreadable(
            f"{name}: is a JSON object over many lines; one event a line is wanted:"
            f" {_by_jq('.', name)}"
        )
    if second[:1] != b"{" and _CSV.fullmatch(first.decode("utf-8", "replace")):
        raise EventFileUnreadable(
            f"{name}: is CSV, no JSON; one JSON object a line is wanted,"
            " with the fields of docs/reference/events.md, or a mapping: docs/import.md"
        )


def _by_jq(program: str, name: str) -> str:
    return f"jq -c {program} {_argument(name)} | netsold … -"


def _argument(name: str) -> str:
    return "FILE" if name == name_of(STDIN) else name
