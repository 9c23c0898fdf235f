"""The last audit of an application, as it is recorded in the topic `control`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from schemas.audits import AuditRecord, audit_key, decode_audit, encode_audit
from streams import log, topics
from streams.log_writer import Writer
from streams.versions import CONTROL_PARTITION
from tables.catalogue import CONTROL_TOPIC

if TYPE_CHECKING:
    from streams.settings import Settings


async def last_audit(settings: Settings) -> AuditRecord | None:
    """The record of the last audit; None if there is none, or no topic `control`.

    Raises KafkaUnreachable and aiokafka's KafkaError.
    """
    topic, key = settings.topic(CONTROL_TOPIC), audit_key(settings.app)
    found: AuditRecord | None = None
    if topic not in await topics.topic_ids(settings):
        return found
    async for records in log.records(settings, topic):
        for one in records:
            if one.key == key and one.value is not None:
                try:
                    found = decode_audit(one.value)
                except msgspec.MsgspecError:
                    continue  # of another program
    return found


async def record_audit(settings: Settings, record: AuditRecord) -> bool:
    """Record an audit; False if there is no topic `control`.

    Raises KafkaUnreachable and WriteFailed.
    """
    topic = settings.topic(CONTROL_TOPIC)
    if topic not in await topics.topic_ids(settings):
        return False
    async with Writer(settings) as writer:
        await writer.send(topic, audit_key(record.app), encode_audit(record), [], CONTROL_PARTITION)
    return True
