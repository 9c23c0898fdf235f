"""How what we write is compressed: changelogs, which we alone read, with zstd.

Public topics as the setting says.
"""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING, Final

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

if TYPE_CHECKING:
    from streams.settings import Compression

CHANGELOGS: Final[Compression] = "zstd"
"""aiokafka's lz4 (level 9) takes twice as long as its zstd (level 3), for more bytes."""

GZIP_LEVEL: Final = 4
"""aiokafka's gzip is level 9, and has no setting. This one takes as long as zstd, a third of
that, for a fifth more bytes."""

_CODECS: Final = {
    "none": DefaultRecordBatch.CODEC_NONE,
    "gzip": DefaultRecordBatch.CODEC_GZIP,
    "snappy": DefaultRecordBatch.CODEC_SNAPPY,
    "lz4": DefaultRecordBatch.CODEC_LZ4,
    "zstd": DefaultRecordBatch.CODEC_ZSTD,
}


def batch(size: int, compression: Compression, *, transactional: bool) -> BatchBuilder:
    """An empty batch of at most so many bytes, as a producer makes it, but with a compression of its own."""
    return BatchBuilder(size, _CODECS[compression], is_transactional=transactional)


def option(compression: Compression) -> str | None:
    """A compression as aiokafka's producers take it."""
    return None if compression == "none" else compression


def quicken() -> None:
    """Let all of aiokafka's producers of this process compress gzip by this module.

    They have no setting for it.
    """
    sys.modules[DefaultRecordBatchBuilder.__module__].gzip_encode = _gzip  # type: ignore[attr-defined]  # a name of its own there


def _gzip(payload: bytes) -> bytes:
    compressor = zlib.compressobj(
        GZIP_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | 16
    )  # 16: with gzip's header
    return compressor.compress(payload) + compressor.flush()
