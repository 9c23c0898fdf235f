"""Names and pictures of products and shops, from the topic `names`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.names import decode_name
from serving import keys

if TYPE_CHECKING:
    from serving.store import Snapshot


def names_of(snapshot: Snapshot, keyed_by: str, id_: bytes) -> dict[str, str | None]:
    """The name and the picture's address of an id; None where there is none."""
    value = snapshot.get(keys.NAMES[keyed_by] + id_)
    if value is None:
        return {"name": None, "picture": None}
    named = decode_name(value)
    return {"name": named.name, "picture": named.picture}
