"""The words of display names and of searches.

Words are casefolded and in compatibility form (NFKC), so full-width letters are found as others.
Whatever is no letter, mark or digit separates words. Scripts without spaces (Chinese, Japanese,
Thai and the like) have no such words: there, each position begins one.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from unicodedata import category, normalize

from schemas import http_limits

_UNSPACED: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]+"
)


@lru_cache(maxsize=10_000)
def searched_words(text: str) -> tuple[str, ...]:
    """The words of a search, in their order; a run of an unspaced script is one word."""
    folded = normalize("NFKC", normalize("NFKC", text).casefold())
    spaced = "".join(letter if category(letter)[0] in "LMN" else " " for letter in folded)
    return tuple(_UNSPACED.sub(r" \g<0> ", spaced).split())


def name_words(name: str) -> set[str]:
    """The words by which a name is found, each cut to `http_limits.WORD_CHARS` characters.

    At most one for each character of the name's folded form.
    """
    return {
        word[start : start + http_limits.WORD_CHARS]
        for word in searched_words(name)
        for start in range(len(word) if _UNSPACED.match(word) else 1)
    }


def is_found(name: str, words: tuple[str, ...]) -> bool:
    """Whether each word begins a word of the name, at its first `WORD_CHARS` characters."""
    known = name_words(name)
    return all(
        any(one.startswith(word[: http_limits.WORD_CHARS]) for one in known) for word in words
    )
