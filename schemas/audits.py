"""What the topic `control` records of audits: of each application the last one, by key."""

from typing import Final

import msgspec

_AUDIT: Final = b"audit/"


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The last audit of an application: when (RFC 3339), by which build, and what differed.

    `succeeded_at` is when an audit last found no difference, None if none ever did. `vector` has,
    by source partition such as `orders-3`, the least offset that its tables included.
    """

    app: str
    at: str
    build: str
    mismatches: int
    succeeded_at: str | None
    vector: dict[str, int] = {}


def audit_key(app: str) -> bytes:
    """The key of an application's record."""
    return _AUDIT + app.encode()


encode_audit: Final = msgspec.json.Encoder().encode
"""A record → bytes."""

decode_audit: Final = msgspec.json.Decoder(AuditRecord).decode
"""Bytes → the record; raises msgspec's errors."""
