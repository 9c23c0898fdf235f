"""The headers of records: CloudEvents' attributes, and those of a dead letter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from schemas import envelope, letters
from schemas.cloudevents import CONTENT_TYPE
from tables import catalogue

_SOURCES: Final = (catalogue.ORDERS_TOPIC, catalogue.CHATS_TOPIC)
_ATTRIBUTES: Final = {
    "ce_specversion": "`1.0`",
    "ce_id": "the event's `id`: unique within `ce_source`; a duplicate has the same",
    "ce_source": "the system that sent the event",
    "ce_type": "the event's type",
    "ce_subject": "what it is about: in `orders` the order's id; a handover's application",
    "ce_time": "when it happened (event time), RFC 3339 with zone",
    "ce_dataschema": "id of the JSON Schema of the value, such as `urn:netsold:order_paid:1`",
    CONTENT_TYPE: "`application/json`",
}
"""By header of an event: its meaning."""


@dataclass(frozen=True, slots=True)
class HeadersForm:
    """The headers of some records: by name what each means, and which are always there.

    `constants` have one value.
    """

    name: str
    topics: tuple[str, ...]
    description: str
    meanings: dict[str, str]
    required: tuple[str, ...]
    constants: dict[str, str]

    def schema(self) -> dict[str, Any]:
        """Its JSON Schema: an object of texts. Other headers are allowed."""
        properties: dict[str, Any] = {}
        for name, meaning in self.meanings.items():
            properties[name] = {"type": "string", "description": meaning}
            if name in self.constants:
                properties[name]["const"] = self.constants[name]
        return {
            "description": self.description,
            "type": "object",
            "properties": properties,
            "required": list(self.required),
        }


HEADERS: Final = (
    HeadersForm(
        "event_headers",
        _SOURCES,
        "The headers of an event in CloudEvents' binary mode, each a UTF-8 text.",
        _ATTRIBUTES,
        ("ce_type", "ce_id", "ce_source", "ce_time"),
        {},
    ),
    HeadersForm(
        "time_tick",
        _SOURCES,
        "The headers of a time tick, which netsold writes into an idle partition. It has no key, "
        "and `{}` as its value. It is no event: skip it, or let it advance event time.",
        {name: _ATTRIBUTES[name] for name in ("ce_specversion", "ce_id", "ce_source", "ce_type")}
        | {name: _ATTRIBUTES[name] for name in ("ce_time", CONTENT_TYPE)},
        ("ce_type", "ce_time"),
        {"ce_type": envelope.TICK},
    ),
    HeadersForm(
        "handover",
        (catalogue.CHATS_TOPIC,),
        "The headers of a handover: from here on the application in `ce_subject` sends the alerts. "
        "It has no key, and `{}` as its value. It is no event: skip it.",
        {name: _ATTRIBUTES[name] for name in ("ce_specversion", "ce_id", "ce_source", "ce_type")}
        | {name: _ATTRIBUTES[name] for name in ("ce_subject", CONTENT_TYPE)},
        ("ce_type", "ce_subject"),
        {"ce_type": envelope.HANDOVER},
    ),
    HeadersForm(
        "dead_letter",
        (catalogue.DEAD_LETTERS_TOPIC,),
        "The headers that a dead letter has beside those of the refused record, each a UTF-8 text. "
        "Key and value are the refused record's, unchanged.",
        letters.ADDED_HEADERS,
        tuple(name for name in letters.ADDED_HEADERS if name != letters.REQUEUED_FROM),
        {},
    ),
)
"""The forms of headers."""
