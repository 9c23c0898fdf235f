"""Compression of what we write: zstd for changelogs, which only we read; else the setting's."""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING, Final

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

if TYPE_CHECKING:
    from streams.settings import Compression

CHANGELOGS: Final[Compression] = "zstd"
"""aiokafka's lz4 is fixed at level 9, which is slow; its zstd is at level 3."""

GZIP_LEVEL: Final = 4
"""aiokafka's gzip is fixed at level 9, which is slow, and has no setting."""

_CODECS: Final = {
    "none": DefaultRecordBatch.CODEC_NONE,
    "gzip": DefaultRecordBatch.CODEC_GZIP,
    "snappy": DefaultRecordBatch.CODEC_SNAPPY,
    "lz4": DefaultRecordBatch.CODEC_LZ4,
    "zstd": DefaultRecordBatch.CODEC_ZSTD,
}


def batch(size: int, compression: Compression, *, transactional: bool) -> BatchBuilder:
    """An empty batch of at most `size` bytes, with its own compression instead of a producer's."""
    return BatchBuilder(size, _CODECS[compression], is_transactional=transactional)


def option(compression: Compression) -> str | None:
    """A compression in the form of aiokafka's option `compression_type`."""
    return None if compression == "none" else compression


def quicken() -> None:
    """Make all of aiokafka's producers of this process compress gzip at GZIP_LEVEL.

    They have no setting for the level.
    """
    sys.modules[DefaultRecordBatchBuilder.__module__].gzip_encode = _gzip  # type: ignore[attr-defined]  # a name of that module's own


def _gzip(payload: bytes) -> bytes:
    gzip_header = 16
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | gzip_header)
    return compressor.compress(payload) + compressor.flush()
