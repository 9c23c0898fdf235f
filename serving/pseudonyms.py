"""Pseudonyms of buyers: the same buyer has the same one, and only the key leads back to it.

A pseudonym is `buyer-` and 16 hexadecimal digits of BLAKE2b with a key. Cursors name rows of the
store, whose keys have buyers' ids, and would also show how ids sort. So they are sealed: a keyed
hash of the cursor, and the cursor itself under a key stream made from that hash (as SIV of
RFC 5297 does, with BLAKE2b in place of AES). A sealed cursor can be neither read nor made up.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from contextlib import suppress
from hmac import compare_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from schemas.errors import NetsoldError
from serving.pages import BadCursor

if TYPE_CHECKING:
    from streams.settings import Settings

KEY_FILE: Final = "pseudonym.key"
"""Below the data directory: the random key of a reader without a configured one."""

_KEY_SIZE: Final = 32
_TAG_SIZE: Final = 16
_BLOCK_SIZE: Final = 64

_OF_EVENTS: Final = frozenset({"facts", "fields"})
"""Where answers have the fields of events."""

_HARMLESS: Final = frozenset(
    {
        "type",
        "id",
        "source",
        "occurred_at",
        "shop_id",
        "buyer_id",  # replaced by its pseudonym
        "currency",
        "lines",
        "line_id",
        "line_ids",
        "product_id",
        "quantity",
        "unit_price",
        "discount",
        "amount",
        "refund_id",
        "reason",
        "cause",
        "by",
        "rating",
        "group_id",
        "parcel_id",
        "carrier",
    }
)
"""The fields of events that stay; all others, such as a tracking number, are masked."""

_FREE_TEXTS: Final = frozenset({"detail", "put_back_from"})
"""Texts in answers that quote what a record contains."""


class PseudonymKeyUnusable(NetsoldError):
    """The key of pseudonyms is too short, or can't be read or written."""

    exit_code = 2


class Pseudonyms:
    """Replaces buyers' ids in answers by pseudonyms, and seals cursors."""

    def __init__(self, key: bytes) -> None:
        self._of_ids = _derived(key, b"buyers")
        self._of_tags = _derived(key, b"tags")
        self._of_streams = _derived(key, b"streams")

    @classmethod
    def of_settings(cls, settings: Settings) -> Pseudonyms:
        """Those by the configured key, or by the random one of the data directory.

        Raises PseudonymKeyUnusable.
        """
        try:
            configured = settings.key_of_pseudonyms()
        except OSError as error:
            raise PseudonymKeyUnusable(
                f"the file of NETSOLD_PSEUDONYM_KEY_FILE can't be read: {error.strerror}"
            ) from error
        except ValueError as error:
            raise PseudonymKeyUnusable(str(error)) from error
        if configured is not None:
            return cls(configured.encode())
        return cls(_kept_key(settings.data_dir / KEY_FILE))

    def of(self, buyer_id: str) -> str:
        """The pseudonym of a buyer."""
        digest = hashlib.blake2b(buyer_id.encode(), digest_size=8, key=self._of_ids)
        return f"buyer-{digest.hexdigest()}"

    def shown(self, value: Any, name: str = "") -> Any:  # noqa: ANN401 - any JSON
        """JSON of an answer, or of a field with this name, without buyers' ids."""
        if isinstance(value, dict):
            within = self._field if name in _OF_EVENTS else self.shown
            return {key: within(one, key) for key, one in value.items()}
        if isinstance(value, list):
            return [self.shown(one, name) for one in value]
        return self._text(value, name) if isinstance(value, str) else value

    def _text(self, text: str, name: str) -> str:
        if name == "buyer_id":
            return self.of(text)
        if name == "next_cursor":
            return self.seal(text)
        return _masked(text) if name in _FREE_TEXTS else text

    def _field(self, value: Any, name: str) -> Any:  # noqa: ANN401 - any JSON
        """A field of an event, at any depth."""
        if isinstance(value, dict):
            return {key: self._field(one, key) for key, one in value.items()}
        if isinstance(value, list):
            return [self._field(one, name) for one in value]
        if name == "buyer_id":
            return self.of(str(value))
        return value if name in _HARMLESS or value is None else _masked(str(value))

    def seal(self, cursor: str) -> str:
        """A cursor that only `opened` can read."""
        text = cursor.encode()
        tag = self._tag(text)
        return urlsafe_b64encode(tag + self._mixed(tag, text)).decode().rstrip("=")

    def opened(self, sealed: str) -> str:
        """The cursor in a sealed one. Raises BadCursor where no answer gave it."""
        try:
            data = urlsafe_b64decode(sealed.encode() + b"=" * (-len(sealed) % 4))
        except (NotBase64, UnicodeEncodeError) as error:
            raise BadCursor("no answer gave this cursor") from error
        tag, hidden = data[:_TAG_SIZE], data[_TAG_SIZE:]
        text = self._mixed(tag, hidden)
        if not compare_digest(tag, self._tag(text)):
            raise BadCursor("no answer gave this cursor to a token that only reads")
        return text.decode()

    def _tag(self, text: bytes) -> bytes:
        return hashlib.blake2b(text, digest_size=_TAG_SIZE, key=self._of_tags).digest()

    def _mixed(self, tag: bytes, text: bytes) -> bytes:
        """A text and the key stream of its tag, bit by bit; done twice it is the text again."""
        stream = b"".join(
            hashlib.blake2b(tag + number.to_bytes(4), key=self._of_streams).digest()
            for number in range(-(-len(text) // _BLOCK_SIZE))
        )
        return bytes(one ^ other for one, other in zip(text, stream, strict=False))


def _derived(key: bytes, use: bytes) -> bytes:
    """The key of one use: of any length of key, and apart from those of the other uses."""
    return hashlib.blake2b(key, digest_size=_KEY_SIZE, person=use).digest()


def _masked(text: str) -> str:
    return f"<{len(text):,} characters>"


def _kept_key(file: Path) -> bytes:
    """The key in a file; a new random one if there is none. Raises PseudonymKeyUnusable."""
    try:
        if not file.exists():
            _keep(secrets.token_bytes(_KEY_SIZE), file)
        key = file.read_bytes()
    except OSError as error:
        raise PseudonymKeyUnusable(
            f"{file} can't be used ({error.strerror}): give this user the right to it,"
            " or set NETSOLD_PSEUDONYM_KEY"
        ) from error
    if len(key) != _KEY_SIZE:
        raise PseudonymKeyUnusable(
            f"{file} has {len(key)} bytes, and a key of pseudonyms {_KEY_SIZE}: remove it, and all"
            " buyers get new pseudonyms"
        )
    return key


def _keep(key: bytes, file: Path) -> None:
    """Write a key for this user alone, whole, unless another process did first."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(key)
            opened.flush()
            os.fsync(opened.fileno())
        with suppress(FileExistsError):
            os.link(new, file)
    finally:
        new.unlink(missing_ok=True)
