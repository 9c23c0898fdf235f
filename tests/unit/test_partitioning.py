"""Keys are hashed as Kafka's own clients hash them."""

from __future__ import annotations

import random

import pytest
from aiokafka.partitioner import murmur2 as plain_murmur2

from streams.partitioning import murmur2, partition_of


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        # Kafka's own cases (clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java), as
        # Java's signed ints
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_hashes_as_kafkas_java_client(key: bytes, hashed: int) -> None:
    """The hash is that of Kafka's test cases, without its sign."""
    assert murmur2(key) == hashed & 0x7FFFFFFF


@pytest.mark.parametrize("length", [*range(40), 128, 1000])
def test_hashes_any_bytes_as_aiokafka(length: int) -> None:
    """Random keys of every length modulo four hash as by aiokafka's plain copy of the Java code."""
    rng = random.Random(length)
    for _ in range(50):
        key = rng.randbytes(length)
        assert murmur2(key) == plain_murmur2(key) & 0x7FFFFFFF


def test_partition_is_the_positive_hash_modulo_the_count() -> None:
    """A hash whose top bit is set gives a partition within the count, too.

    aiokafka gives the same partition.
    """
    for number in range(2000):
        key = f"o-{number}".encode()
        assert partition_of(key, 7) == (plain_murmur2(key) & 0x7FFFFFFF) % 7
    assert {partition_of(str(number).encode(), 4) for number in range(100)} == {0, 1, 2, 3}
