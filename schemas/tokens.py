"""Tokens of a reader: their form, their hashes, and the lines that grant a hash its scope.

A token is `nst_`, 256 random bits in 43 digits of base 62, and 6 digits of their CRC-32: scanners
for secrets find it by `nst_[0-9A-Za-z]{49}`, and a cut one is noticed. A reader knows only its
SHA-256. A slow hash would protect a guessable password; 256 random bits can't be guessed.
"""

import hashlib
import re
from enum import StrEnum
from typing import Final, NamedTuple
from zlib import crc32

from schemas import http_limits
from schemas.errors import NetsoldError

_PREFIX: Final = "nst_"
_SECRET_DIGITS: Final = 43
_CHECK_DIGITS: Final = 6
_FORM: Final = re.compile(r"nst_([0-9A-Za-z]{43})([0-9A-Za-z]{6})", re.ASCII)
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)

SECRET_SIZE: Final = 32
"""A token has this number of random bytes."""


class Scope(StrEnum):
    """What a token allows: to read answers, or all there is, with buyers' ids."""

    READ = "read"
    OPERATE = "operate"


class TokensUnusable(NetsoldError):
    """Lines of tokens that can't be read, or none at all."""

    exit_code = 2


class TokenLine(NamedTuple):
    """A token as a reader knows it: what it allows, its name, and the SHA-256 of its text."""

    scope: Scope
    name: str
    digest: bytes


def token_of(secret: bytes) -> str:
    """The token of SECRET_SIZE random bytes."""
    digits = _digits(int.from_bytes(secret), _SECRET_DIGITS)
    return f"{_PREFIX}{digits}{_check_of(digits)}"


def is_token(text: str) -> bool:
    """Whether a text has the form of a token, whole and with its check digits."""
    found = _FORM.fullmatch(text)
    return found is not None and found[2] == _check_of(found[1])


def is_token_name(name: str) -> bool:
    """Whether a token may have this name: 1 to 64 letters, digits, dots, hyphens, underscores."""
    return _NAME.fullmatch(name) is not None


def digest_of(token: str) -> bytes:
    """The SHA-256 of a token's text."""
    return hashlib.sha256(token.encode()).digest()


def line_of(scope: Scope, name: str, token: str) -> str:
    """The line that grants a token its scope: `scope:name:hash`."""
    return f"{scope}:{name}:{digest_of(token).hex()}"


def tokens_in(text: str) -> tuple[TokenLine, ...]:
    """The tokens of a text with a line for each, and comments after `#`.

    Raises TokensUnusable where a line can't be read, or where there is none. Its sentence has the
    number of the line and not its text, which may be a token by mistake.
    """
    if len(text) > http_limits.TOKENS_CHARS:
        raise TokensUnusable(f"they have more than {http_limits.TOKENS_CHARS:,} characters")
    found = tuple(
        _line(number, line)
        for number, whole in enumerate(text.splitlines(), 1)
        if (line := whole.partition("#")[0].strip())
    )
    if not found:
        raise TokensUnusable("there is no token in them")
    return found


def _line(number: int, line: str) -> TokenLine:
    scope, _, rest = line.partition(":")
    name, _, written = rest.partition(":")
    if scope not in set(Scope) or not is_token_name(name) or _HASH.fullmatch(written) is None:
        raise TokensUnusable(
            f"line {number} is no scope:name:hash: write what `netsold token new` prints"
            " after `line`"
        )
    return TokenLine(Scope(scope), name, bytes.fromhex(written))


def _check_of(digits: str) -> str:
    return _digits(crc32(digits.encode()), _CHECK_DIGITS)


def _digits(number: int, width: int) -> str:
    text = ""
    for _ in range(width):
        number, digit = divmod(number, len(_DIGITS))
        text = _DIGITS[digit] + text
    return text
