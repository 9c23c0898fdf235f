"""Records are compressed with a codec that their readers have."""

from __future__ import annotations

from itertools import chain
from typing import get_args

import pytest
from aiokafka.record.default_records import DefaultRecordBatch

from streams import compression
from streams.producers import StrictProducer
from streams.settings import Compression, Kafka, Settings

HEADER_BYTES = 61
"""The bytes of a record batch before its records."""

FASTEST, SMALLEST = 4, 2
"""The byte of gzip's header that names the level, at level 1 and at level 9."""


def built(settings: Settings, topic: str) -> DefaultRecordBatch:
    """A batch for a topic with some records, as it is sent to the broker."""
    batch = StrictProducer(settings, "t").batch_for(topic)
    for number in range(100):
        assert batch.append(timestamp=number, key=b"k", value=b"value %d" % number) is not None
    return DefaultRecordBatch(bytes(batch._build()))


@pytest.mark.parametrize("name", get_args(Compression))
async def test_public_topics_are_compressed_by_setting_and_changelogs_are_not(
    name: Compression,
) -> None:
    """Readers of public topics need that codec.

    Only netsold reads changelogs.
    """
    settings = Settings(
        _env_file=None,
        app="a",
        topic_prefix="x.",
        compression=name,
        kafka=Kafka(bootstrap_servers="nowhere:1"),
    )
    for topic in ("x.sales", "x.shop-activity", "x.alerts", "x.dead-letters"):
        batch = built(settings, topic)
        assert batch.compression_type == compression._CODECS[name]
        assert batch.is_transactional
        assert [record.value for record in batch] == [b"value %d" % number for number in range(100)]
    assert built(settings, "a-orders-changelog").compression_type == DefaultRecordBatch.CODEC_ZSTD


def test_by_default_every_client_can_read_what_is_public() -> None:
    """Kafkajs reads gzip alone."""
    assert Settings(_env_file=None).compression == "gzip"


async def test_gzip_is_not_aiokafkas_slowest() -> None:
    """Its level is not aiokafka's 9.

    This fails if aiokafka renames its gzip function.
    """
    settings = Settings(_env_file=None, kafka=Kafka(bootstrap_servers="nowhere:1"))
    batch = StrictProducer(settings, "t").batch_for("sales")
    batch.append(
        timestamp=0, key=b"k", value=bytes(chain.from_iterable(range(256) for _ in range(8)))
    )
    how = bytes(batch._build())[HEADER_BYTES + 8]
    assert how not in {FASTEST, SMALLEST}
