"""The headers by which browsers keep answers from being misused."""

from __future__ import annotations

from typing import Final, Literal

Form = Literal["data", "page", "badge"]
"""JSON, text and problems; HTML; or the line of a product, which other origins embed."""

Headers = list[tuple[bytes, bytes]]

_EVERYWHERE: Final[Headers] = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
]
_BY_FORM: Final[dict[Form, Headers]] = {
    "data": [
        (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
        (b"cross-origin-resource-policy", b"same-origin"),
    ],
    "page": [
        (
            b"content-security-policy",
            b"; ".join(
                (
                    b"default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'",
                    b"img-src 'self' data: https:; connect-src 'self'",
                    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                )
            ),
        ),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"cross-origin-opener-policy", b"same-origin"),
    ],
    "badge": [  # an SVG has its style within
        (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; sandbox"),
        (b"cross-origin-resource-policy", b"cross-origin"),
    ],
}
_MADE: Final = {form: [*_EVERYWHERE, *headers] for form, headers in _BY_FORM.items()}

HSTS: Final = (b"strict-transport-security", b"max-age=31536000")
"""For answers by https: this host has nothing by http for a year."""


def security_headers(form: Form) -> Headers:
    """The headers of an answer of a form, in lower case; not to be changed."""
    return _MADE[form]
