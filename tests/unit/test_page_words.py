"""The page's words: both languages have the same ones, and the page names no others."""

from __future__ import annotations

import re

from serving.site import PAGE

_WORD = re.compile(r'^  "?([\w.-]+)"?: "(.*)",$', re.MULTILINE)
_NAMED = re.compile(r"""\bt\(\s*["']([\w.-]+)["']""")


def _words(language: str) -> dict[str, str]:
    text = (PAGE / "words" / f"{language}.js").read_text(encoding="utf-8")
    words = dict(_WORD.findall(text))
    assert len(words) == len(text.splitlines()) - 2, "one word a line, each once"
    return words


def test_both_languages_have_the_same_words() -> None:
    """In the same order, each with the same places for values; Chinese has no form of one."""
    english, chinese = _words("en"), _words("zh")
    of_one = {name for name in english if name.endswith(".one")}
    assert {name.removesuffix(".one") for name in of_one} <= set(english)
    assert [name for name in english if name not in of_one] == list(chinese)
    for name, text in english.items():
        if name in of_one:
            continue
        places = set(re.findall(r"{\w+}", text))
        assert set(re.findall(r"{\w+}", chinese[name])) == places, name


def test_the_page_names_known_words_only() -> None:
    """Those that a module builds from codes are not seen here."""
    modules = [path for part in ("lib", "views") for path in (PAGE / part).glob("*.js")]
    named = {
        name
        for path in (*modules, PAGE / "app.js")
        for name in _NAMED.findall(path.read_text(encoding="utf-8"))
    }
    assert named
    assert named <= set(_words("en"))
