"""Badges: lines in two languages, rounding, widths, SVG, and their routes."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from serving import badges
from serving.api import make_app
from serving.badges import Counts, Language
from tests.reading import Changelogs, FedReader, settings_in
from tests.story import parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from httpx import Response

COUNTS = Counts(1204, 98311)
LANGUAGES: tuple[Language, ...] = ("en", "zh")
UNITS = {"k": 10**3, "M": 10**6, "B": 10**9, "万": 10**4, "亿": 10**8}
IMAGE = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
PAGE = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"
STORY = """== of the tests
2026-07-08T08:00Z  placed    o-1  1:p-3:1204x1000 2:p/4:7x100
2026-07-09T08:00Z  received  o-1
2026-07-10T08:00Z  placed    o-3  1:p-5:1x1000
"""
TICK_MS = 1_783_728_000_000


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """A client of a reader that has applied the story."""
    logs = Changelogs(settings_in(tmp_path))
    logs.take(next(parse(STORY)).events)
    logs.tick(TICK_MS)
    reader = FedReader(settings_in(tmp_path), logs)
    reader.feed()
    yield TestClient(make_app(reader), raise_server_exceptions=False)
    reader.close()


def test_lines() -> None:
    """The line of a product's page, exact and rounded."""
    assert badges.line(COUNTS, "en") == "1,204 sold monthly · 98,311 successfully traded"
    assert badges.line(COUNTS, "zh") == "月销 1,204 · 累计成交 98,311"
    assert (
        badges.line(COUNTS, "en", is_rounded=True)
        == "1,200+ sold monthly · 98k+ successfully traded"
    )
    assert badges.line(COUNTS, "zh", is_rounded=True) == "月销 1,200+ · 累计成交 9.8万+"


@pytest.mark.parametrize(
    ("count", "english", "chinese"),
    [
        (0, "0", "0"),
        (99, "99", "99"),
        (100, "100+", "100+"),
        (299, "200+", "200+"),
        (9_999, "9,900+", "9,900+"),
        (10_000, "10k+", "1万+"),
        (12_999, "12k+", "1.2万+"),
        (100_000, "100k+", "10万+"),
        (129_999, "120k+", "12万+"),
        (999_999, "990k+", "99万+"),
        (1_000_000, "1M+", "100万+"),
        (1_290_000, "1.2M+", "120万+"),
        (99_999_999, "99M+", "9900万+"),
        (100_000_000, "100M+", "1亿+"),
        (1_234_567_890, "1.2B+", "12亿+"),
    ],
)
def test_counts_are_rounded_down(count: int, english: str, chinese: str) -> None:
    """At each step."""
    assert badges.rounded(count, "en") == english
    assert badges.rounded(count, "zh") == chinese


@given(st.integers(0, 10**13), st.sampled_from(LANGUAGES))
def test_a_rounded_count_is_at_least_so_many(count: int, language: Language) -> None:
    """It is at most the count, and less by under a hundred or under a tenth of it."""
    text = badges.rounded(count, language)
    number = text.removesuffix("+").replace(",", "")
    size = UNITS.get(number[-1], 1)
    value = round(float(number.rstrip("kMB万亿")) * size)
    assert value <= count
    assert count - value < max(100, count // 10)
    assert text.endswith("+") == (count >= 100)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("is_rounded", [False, True])
def test_an_svg_is_accessible_and_needs_nothing_else(
    language: Language, *, is_rounded: bool
) -> None:
    """It has a role and a title, fits its text, and has no script and no address but its own."""
    line = badges.line(COUNTS, language, is_rounded=is_rounded)
    text = badges.svg(line, language)
    root = ET.fromstring(text)  # noqa: S314 - ours
    name = "{http://www.w3.org/2000/svg}"
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == root.findtext(f"{name}title") == line
    assert root.attrib["lang"] == language
    shown = root.find(f"{name}text")
    assert shown is not None
    assert shown.text == line
    assert float(root.attrib["width"]) == float(shown.attrib["textLength"]) + 16
    assert "prefers-color-scheme:dark" in text
    assert text.count("http") == 1
    assert "script" not in text
    assert "url(" not in text


def test_text_is_escaped() -> None:
    """Whatever the line is."""
    root = ET.fromstring(badges.svg("<b>\"a\" & 'b'", "en"))  # noqa: S314 - ours
    assert root.attrib["aria-label"] == "<b>\"a\" & 'b'"


def test_widths() -> None:
    """Chinese characters are as wide as high; every character of a line has its own width."""
    assert badges.width_px("月销") == 2 * 11
    assert badges.width_px("0123") == pytest.approx(4 * 0.635 * 11)
    known = set("0123456789,.+kMB")
    for language in LANGUAGES:
        known |= set(badges.line(COUNTS, language)) | set(badges.no_product(language))
    for character in known:
        width = badges.width_px(character)
        assert (width < 11) == (character < "\u2e80"), character


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("zh", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("ZH-Hant-TW", "zh"),
        ("en-GB,en;q=0.9,zh;q=0.8", "en"),
        ("de,fr;q=0.8", "en"),
        ("de, zh;q=0.5, en;q=0.3", "zh"),
        ("zh;q=0, *", "en"),
        ("*", "en"),
        ("zh;q=nonsense,en;q=0.1", "en"),
    ],
)
def test_the_language_is_the_one_preferred(header: str, language: str) -> None:
    """Of the two; English where neither is accepted."""
    assert badges.language_of(header) == language


@pytest.mark.parametrize(
    ("header", "form"),
    [
        ("", "text"),
        ("*/*", "text"),
        (PAGE, "text"),
        (IMAGE, "svg"),
        ("image/svg+xml", "svg"),
        ("image/*", "svg"),
        ("text/plain, image/svg+xml;q=0.5", "text"),
        ("application/json", "text"),
    ],
)
def test_an_image_is_an_svg(header: str, form: str) -> None:
    """Where a client prefers it, as browsers do for images."""
    assert badges.form_of(header) == form


def get(client: TestClient, address: str, **headers: str) -> Response:
    """A badge's response."""
    response: Response = client.get(f"/v1/products/{address}", headers=headers)
    return response


def test_a_badge_is_text_or_an_image(client: TestClient) -> None:
    """By address or by `Accept`, in a language by parameter or by `Accept-Language`."""
    text = get(client, "p-3/badge")
    assert text.text == "1,204 sold monthly · 1,204 successfully traded"
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert text.headers["content-language"] == "en"
    assert text.headers["vary"] == "Accept, Accept-Language"
    assert "stale-while-revalidate" in text.headers["cache-control"]
    fresh = client.get("/v1/products/p-3/badge?min_position=orders-0:0")
    assert fresh.headers["cache-control"] == "no-cache", "no cache knows how old it is"
    image = get(client, "p-3/badge", Accept=IMAGE)
    assert image.headers["content-type"] == "image/svg+xml"
    assert image.text == get(client, "p-3/badge.svg").text
    chinese = get(client, "p-3/badge?round=true&lang=zh")
    assert chinese.text == "月销 1,200+ · 累计成交 1,200+"
    assert chinese.headers["vary"] == "Accept"
    accepted = get(client, "p-3/badge.svg", **{"Accept-Language": "zh-CN"})
    assert accepted.headers["content-language"] == "zh"
    assert accepted.headers["vary"] == "Accept-Language"
    assert "vary" not in get(client, "p-3/badge.svg?lang=en").headers


def test_a_badge_of_a_cycle(client: TestClient) -> None:
    """In a cycle without sales nothing was sold monthly; all time stays."""
    badge = get(client, "p-3/badge?cycle=2026-01-01T00:00:00Z")
    assert badge.text == "0 sold monthly · 1,204 successfully traded"
    assert get(client, "p%2F4/badge").text == "7 sold monthly · 7 successfully traded"
    assert get(client, "p/4/badge").text == "7 sold monthly · 7 successfully traded"
    assert get(client, "p-5/badge").text == "0 sold monthly · 0 successfully traded"


def test_an_unknown_product_has_a_neutral_image(client: TestClient) -> None:
    """With the status that says so; as text it is a problem like elsewhere."""
    image = get(client, "p-99/badge.svg")
    assert image.status_code == 404
    assert ">no sales known</text>" in image.text
    text = get(client, "p-99/badge")
    assert text.status_code == 404
    assert text.headers["content-type"] == "application/problem+json"


def test_a_badge_that_did_not_change_is_not_sent_again(client: TestClient) -> None:
    """Its ETag is of its content: it differs by language and form."""
    etags = {
        get(client, address).headers["etag"]
        for address in ("p-3/badge", "p-3/badge?lang=zh", "p-3/badge.svg", "p-3/badge?round=true")
    }
    assert len(etags) == 4
    etag = get(client, "p-3/badge").headers["etag"]
    again = get(client, "p-3/badge", **{"If-None-Match": etag})
    assert again.status_code == 304
    assert not again.content
    assert again.headers["vary"] == "Accept, Accept-Language"
    assert get(client, "p-5/badge", **{"If-None-Match": etag}).status_code == 200


@pytest.mark.parametrize("query", ["lang=de", "round=maybe", "size=3", "lang=en&lang=zh"])
def test_unknown_parameters_are_refused(client: TestClient, query: str) -> None:
    """Like everywhere."""
    assert get(client, f"p-3/badge?{query}").status_code == 422
