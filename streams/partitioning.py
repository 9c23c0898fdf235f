"""Which partition a key belongs to, by the hash of the producers' partitioner.

Clients differ: Java's and most others choose by murmur2; librdkafka and clients built on it by
crc32, unless they are configured with `partitioner=murmur2_random`. All producers of a topic must
use the same one, or an order's events are in two partitions. netsold itself sends by murmur2; for
topics of events the partitioner is a setting.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Final, Literal
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Callable

Partitioner = Literal["murmur2", "crc32"]

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_WORD: Final = 0xFFFFFFFF
_SHORT: Final = 64
_UNPACK: Final = [Struct(f"<{words}I") for words in range(_SHORT)]
"""By number of four-byte words in a key."""

_REMEMBERED: Final = 65_536
"""Keys whose hash is cached: the same products and shops occur again and again."""


def partition_of(key: bytes, count: int, partitioner: Partitioner = "murmur2") -> int:
    """The partition, 0 to `count` - 1, to which producers with this partitioner send `key`.

    An exception: librdkafka sends an empty key to any partition.
    """
    return (_murmur2_again(key) if partitioner == "murmur2" else crc32(key)) % count


def murmur2(key: bytes) -> int:
    """The lower 31 bits of Kafka's MurmurHash2 of `key`, as Java's producers use it."""
    length = len(key)
    words = length // 4
    h = _SEED ^ length
    for k in (_UNPACK[words] if words < _SHORT else Struct(f"<{words}I")).unpack_from(key):
        k = k * _M & _WORD  # noqa: PLW2901 - the name of the published algorithm
        h = (h * _M ^ (k ^ k >> 24) * _M) & _WORD
    rest = key[words * 4 :]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * _M & _WORD
    h = (h ^ h >> 13) * _M & _WORD
    return (h ^ h >> 15) & 0x7FFFFFFF


_murmur2_again: Final = lru_cache(maxsize=_REMEMBERED)(murmur2)

HASHES: Final[dict[Partitioner, Callable[[bytes], int]]] = {"murmur2": murmur2, "crc32": crc32}
"""By partitioner, the hash of a key; modulo the number of partitions it is the partition."""
