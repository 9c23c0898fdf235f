"""Parts of Kafka's protocol that several requests have, as they are on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiokafka.protocol.types import CompactArray, CompactString, Int32, TaggedFields

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TEXT: Final = CompactString("utf-8")
TAGS: Final = ("tags", TaggedFields)
TOPIC_PARTITIONS: Final = CompactArray(("topic", TEXT), ("partitions", CompactArray(Int32)), TAGS)


def topic_partitions(partitions: Mapping[str, Sequence[int]]) -> list[tuple[Any, ...]]:
    """Partitions by topic in the form of TOPIC_PARTITIONS."""
    return [(topic, list(numbers), {}) for topic, numbers in partitions.items()]
