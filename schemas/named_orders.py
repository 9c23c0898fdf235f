"""The orders that a record names, also where it is refused as an event."""

from typing import Any

from schemas import limits
from schemas.cloudevents import ORDER_ATTRIBUTES, fields_of, headers_by_name, read_object
from schemas.envelope import Received, Record, Tick
from schemas.events import is_printable
from schemas.refusals import Refusal


def order_ids(record: Record, reading: Received | Tick | Refusal) -> frozenset[str]:
    """The ids of orders that a record of the topic `orders` names, which `read` gave this reading.

    An event names one. Of a refused record it is what the key and the content name, as far as
    either can be an id: a key may hold any bytes, and a content any JSON.
    """
    if isinstance(reading, Received):
        return frozenset((reading.order_id,))
    if isinstance(reading, Tick):
        return frozenset()
    named = [_text(record.key), _in_content(record)]
    return frozenset(text for text in named if isinstance(text, str) and _is_id(text))


def _in_content(record: Record) -> Any:  # noqa: ANN401 - any JSON
    headers = headers_by_name(record.headers)
    found = read_object(record.value)
    fields = fields_of({} if isinstance(found, Refusal) else found, headers, ORDER_ATTRIBUTES)
    return None if isinstance(fields, Refusal) else fields.get("order_id")


def _text(key: bytes | None) -> str | None:
    try:
        return None if key is None else key.decode()
    except UnicodeDecodeError:
        return None


def _is_id(text: str) -> bool:
    return 0 < len(text) <= limits.ID_CHARS and is_printable(text)
