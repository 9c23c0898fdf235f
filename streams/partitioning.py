"""Which partition a key belongs to: the same as Kafka's default partitioner in Java (murmur2), so that any producer agrees."""

from __future__ import annotations

from functools import lru_cache
from struct import unpack_from
from typing import Final

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_WORD: Final = 0xFFFFFFFF
_REMEMBERED: Final = 65_536
"""Keys whose hash is kept: one costs about 1.5 µs to compute, and products and shops come again and again."""


def partition_of(key: bytes, count: int) -> int:
    """The partition, 0 to `count` - 1, to which Kafka's default partitioner sends `key`."""
    return (murmur2(key) & 0x7FFFFFFF) % count


@lru_cache(maxsize=_REMEMBERED)
def murmur2(key: bytes) -> int:
    """Kafka's 32-bit MurmurHash2 of `key`, as an unsigned number."""
    length = len(key)
    words = length // 4
    h = _SEED ^ length
    for k in unpack_from(f"<{words}I", key):
        k = k * _M & _WORD  # noqa: PLW2901 - the name of the published algorithm
        h = (h * _M & _WORD) ^ ((k ^ k >> 24) * _M & _WORD)
    rest = key[words * 4 :]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * _M & _WORD
    h = (h ^ h >> 13) * _M & _WORD
    return h ^ h >> 15
