"""Fetched records are read as aiokafka reads them.

Also with names of headers that aren't UTF-8.
"""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from streams.batches import TolerantRecords, _EscapingBatch

Row = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]
ROWS: list[Row] = [
    (b"o-1", b"{}", [("ce_id", b"e-1"), ("own", None)]),
    (None, b"", []),
    (b"k" * 300, None, [("caf\u00e9", b"\xff")]),
]


def fetched(codec: int, rows: list[Row] = ROWS) -> bytes:
    """Two batches of records as a broker returns them."""
    made = []
    for _ in range(2):
        builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, 0, 1_000_000)
        for number, (key, value, headers) in enumerate(rows):
            builder.append(number, 1_783_000_000_000 + number, key, value, headers)
        made.append(bytes(builder.build()))
    return b"".join(made)


def parsed(records: TolerantRecords | MemoryRecords) -> list[Any]:
    """The fields of every record that a consumer sees."""
    found = []
    while records.has_next():
        batch = records.next_batch()
        assert batch.validate_crc()
        found += [
            (one.offset, one.timestamp, one.key, one.value, list(one.headers)) for one in batch
        ]
    return found


@pytest.mark.parametrize("codec", [0, 4])
def test_usual_batches_are_read_as_aiokafka_reads_them(codec: int) -> None:
    """Batches are compressed or not, and read by either parser."""
    data = fetched(codec)
    assert parsed(TolerantRecords(data)) == parsed(MemoryRecords(data))
    half = len(data) // 2
    escaping = [
        (one.offset, one.timestamp, one.key, one.value, list(one.headers))
        for one in _EscapingBatch(data[:half])
    ]
    assert escaping == parsed(MemoryRecords(data[:half]))


def test_a_name_that_is_not_utf_8_is_escaped() -> None:
    """The record, its other headers and its neighbours are read."""
    rows: list[Row] = [*ROWS, (b"o-2", b"{}", [("kafe", b"x"), ("own", b"1")])]
    data = fetched(0, rows).replace(b"kafe", b"caf\xe9")
    with pytest.raises(UnicodeDecodeError):
        [list(batch) for batch in iter(MemoryRecords(data).next_batch, None)]
    records = TolerantRecords(data)
    found = []
    while records.has_next():
        found += [(one.offset, one.key, one.headers) for one in records.next_batch()]
    assert len(found) == 8
    assert found[3] == (3, b"o-2", [("caf\udce9", b"x"), ("own", b"1")])
    assert found[7] == found[3]


def test_a_record_of_another_length_is_corrupt() -> None:
    """Only names of headers are parsed leniently."""
    data = bytearray(fetched(0)[: len(fetched(0)) // 2])
    data[61] += 2  # the first record's length, zigzag
    with pytest.raises(CorruptRecordException):
        list(_EscapingBatch(bytes(data)))


def test_records_are_found_by_their_offsets() -> None:
    """In all batches, also after a name that isn't UTF-8; unknown offsets aren't found."""
    rows: list[Row] = [*ROWS, (b"o-2", b"{}", [("kafe", b"x"), ("own", b"1")]), (b"o-3", b"", [])]
    data = bytearray(fetched(0, rows).replace(b"kafe", b"caf\xe9"))
    half = len(data) // 2
    data[half : half + 8] = (len(rows)).to_bytes(8, "big")  # the second batch's first offset
    records = TolerantRecords(bytes(data))
    assert sum(1 for batch in iter(records.next_batch, None) for _ in batch) == 10
    found = records.at({0, 4, 8, 99})
    assert {offset: (one.key, one.value) for offset, one in found.items()} == {
        0: (b"o-1", b"{}"),
        4: (b"o-3", b""),
        8: (b"o-2", b"{}"),
    }
    assert dict(found[8].headers)["caf\udce9"] == b"x"


def test_unparsed_batches_are_items_of_their_own() -> None:
    """Each has its last record's offset, and gives its records when needed."""
    records = TolerantRecords(fetched(0))
    list(iter(records.next_batch, None))
    batches = [one for batch in iter(records.unparsed().next_batch, None) for one in batch]
    assert [batch.offset for batch in batches] == [2, 2]
    assert [[one.offset for one in batch.records()] for batch in batches] == [[0, 1, 2]] * 2
