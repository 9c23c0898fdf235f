"""Badges: a product page's line as text and as an SVG, in English and Chinese.

A badge has no name of a product and no text of a request, so it depends on two counts alone.
"""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Language = Literal["en", "zh"]
Form = Literal["text", "svg"]

MEDIA_TYPES: Final[Mapping[Form, str]] = {
    "text": "text/plain; charset=utf-8",
    "svg": "image/svg+xml",
}


class Counts(NamedTuple):
    """Units sold in a cycle, and of all time (C4)."""

    sold_monthly: int
    successfully_traded: int


_LINES: Final[Mapping[Language, str]] = {
    "en": "{} sold monthly · {} successfully traded",
    "zh": "月销 {} · 累计成交 {}",
}
_NO_PRODUCT: Final[Mapping[Language, str]] = {"en": "no sales known", "zh": "暂无销量"}
_UNITS: Final[Mapping[Language, tuple[tuple[int, str], ...]]] = {
    "en": ((10**9, "B"), (10**6, "M"), (10**3, "k")),
    "zh": ((10**8, "亿"), (10**4, "万")),
}
_EXACT_BELOW: Final = 100
_UNITS_FROM: Final = 10_000

_FONT_PX: Final = 11
_HEIGHT_PX: Final = 20
_MARGIN_PX: Final = 8
_WIDE_FROM: Final = "\u2e80"
"""Characters from here on are as wide as high: Chinese, and its punctuation."""

_EM_WIDTHS: Final = {
    character: width / 1000
    for width, characters in {
        278: "l",
        318: " ,.·",
        352: "f",
        392: "t",
        411: "r",
        521: "s",
        550: "c",
        579: "k",
        592: "y",
        615: "aoe",
        635: "hnudp0123456789",
        686: "B",
        818: "w",
        838: "+",
        863: "M",
        974: "m",
    }.items()
    for character in characters
}
"""Widths of the characters of badges in DejaVu Sans, in ems; Verdana has nearly the same."""

_SVG: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img" \
aria-label="{text}" lang="{language}"><title>{text}</title><style>\
rect{{fill:#f6f8fa;stroke:#d0d7de}}text{{fill:#1f2328;font:{font}px Verdana,"DejaVu Sans",\
"PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif}}\
@media(prefers-color-scheme:dark){{rect{{fill:#161b22;stroke:#30363d}}text{{fill:#e6edf3}}}}\
</style><rect x=".5" y=".5" width="{inner_width}" height="{inner_height}" rx="4"/>\
<text x="{margin}" y="14" textLength="{text_width}" aria-hidden="true">{text}</text></svg>
"""
_QUALITY: Final = re.compile(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", re.ASCII)


def line(counts: Counts, language: Language, *, is_rounded: bool = False) -> str:
    """The line of a product's page."""
    texts = [rounded(one, language) if is_rounded else f"{one:,}" for one in counts]
    return _LINES[language].format(*texts)


def no_product(language: Language) -> str:
    """The line of a product that no event names."""
    return _NO_PRODUCT[language]


def rounded(count: int, language: Language) -> str:
    """A count rounded down, as marketplaces show it: at least so many.

    Exact below 100, then to whole hundreds, from 10,000 on to two digits and a unit.
    """
    if count < _EXACT_BELOW:
        return str(count)
    step = max(_EXACT_BELOW, 10 ** (len(str(count)) - 2))
    floor = count - count % step
    for size, unit in _UNITS[language] if floor >= _UNITS_FROM else ():
        if floor >= size:
            whole, tenths = divmod(floor * 10 // size, 10)
            return f"{whole}.{tenths}{unit}+" if tenths else f"{whole}{unit}+"
    return f"{floor:,}+"


def svg(text: str, language: Language) -> str:
    """A line as an SVG: no script, no external resource, in the colours that the reader prefers.

    Its text is fitted to the measured width, whichever font of the stack shows it.
    """
    text_width = round(width_px(text))
    width = text_width + 2 * _MARGIN_PX
    return _SVG.format(
        text=escape(text),
        language=language,
        font=_FONT_PX,
        width=width,
        height=_HEIGHT_PX,
        inner_width=width - 1,
        inner_height=_HEIGHT_PX - 1,
        margin=_MARGIN_PX,
        text_width=text_width,
    )


def width_px(text: str) -> float:
    """The width of a text in a badge; an unknown character counts as wide as high."""
    return _FONT_PX * sum(
        1.0 if character >= _WIDE_FROM else _EM_WIDTHS.get(character, 1.0) for character in text
    )


def language_of(accept_language: str) -> Language:
    """The language that a client prefers of those that badges have, by `Accept-Language`."""
    best: tuple[float, Language] = (0.0, "en")
    for tag, quality in _accepted(accept_language):
        language: Language | None = {"en": "en", "zh": "zh", "*": "en"}.get(tag.partition("-")[0])  # type: ignore[assignment]
        if language is not None and quality > best[0]:
            best = quality, language
    return best[1]


def form_of(accept: str) -> Form:
    """SVG where a client prefers it to text by `Accept`, as an `<img>` does; else text."""
    qualities = dict(_accepted(accept))

    def quality(media_type: str) -> float:
        group = media_type.partition("/")[0]
        for one in (media_type, f"{group}/*", "*/*"):
            if one in qualities:
                return qualities[one]
        return 0.0

    return "svg" if quality("image/svg+xml") > quality("text/plain") else "text"


def _accepted(header: str) -> Iterable[tuple[str, float]]:
    """The values of a header in lower case with their quality; those without a sense are left."""
    for one in header.lower().split(","):
        value, _, parameter = one.partition(";")
        found = _QUALITY.fullmatch(parameter)
        if found is not None or not parameter:
            yield value.strip(), 1.0 if found is None else float(found[1])
