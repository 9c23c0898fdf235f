"""The record of a handover, as it is written; `envelope.read_chat` reads it."""

from schemas import times
from schemas.cloudevents import CONTENT_TYPE, JSON
from schemas.envelope import HANDOVER


def handover(speaker: str, at_ms: int | None) -> tuple[bytes, list[tuple[str, bytes]]]:
    """(value, headers) of a handover to an application at a time; its record has no key."""
    named = [] if at_ms is None else [("ce_time", times.format_ms(at_ms).encode())]
    return b"{}", [
        ("ce_specversion", b"1.0"),
        ("ce_id", f"handover-{speaker}".encode()),
        ("ce_source", b"/netsold"),
        ("ce_type", HANDOVER.encode()),
        ("ce_subject", speaker.encode()),
        *named,
        (CONTENT_TYPE, JSON),
    ]
