"""Instants as text and as milliseconds."""

import pytest

from schemas import limits, times


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.999Z", -1),
        ("2026-07-01T08:00:00Z", 1_782_892_800_000),
        ("2026-07-01T16:00:00+08:00", 1_782_892_800_000),
        ("2026-07-01T02:30:00-05:30", 1_782_892_800_000),
        ("2026-07-01t08:00:00z", 1_782_892_800_000),
        ("2026-07-01 08:00:00Z", 1_782_892_800_000),
        ("2026-07-01T08:00:00.5Z", 1_782_892_800_500),
        ("2026-07-01T08:00:00.0019999Z", 1_782_892_800_001),
        ("1900-01-01T00:00:00Z", limits.OCCURRED_FIRST_MS),
        ("2199-12-31T23:59:59.999Z", limits.OCCURRED_END_MS - 1),
        ("2200-01-01T07:59:59+08:00", limits.OCCURRED_END_MS - 1_000),
        ("2016-12-31T23:59:60Z", 1_483_228_799_999),
        ("2016-12-31T23:59:60.999Z", 1_483_228_799_999),
        ("2017-01-01T07:59:60+08:00", 1_483_228_799_999),
        ("2199-12-31T23:59:60Z", limits.OCCURRED_END_MS - 1),
    ],
)
def test_rfc_3339_is_read_to_the_millisecond(text: str, at_ms: int) -> None:
    """It may have any zone and any number of decimals; finer ones are cut off."""
    assert times.parse_ms(text) == times.parse_ms_plainly(text) == at_ms


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "5",
            "s",
            "-1s",
            "1 s",
            "1e3s",
            "٣s",
            "1.s",
            ".5s",
            "1,5h",
            "1.5.5h",
            "1.0000000000s",
        ),
        *("P", "PT", "P1H", "2H", "PT1M1H", "PT1.5H"),
    ],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    """Both routes raise ValueError.

    Cases have no zone, no such day, another form, or are out of bounds.
    """
    for parse in (times.parse_ms, times.parse_ms_plainly):
        with pytest.raises(ValueError):  # noqa: PT011 - which message doesn't matter
            parse(text)


def test_texts_are_written_in_utc() -> None:
    """Events have milliseconds.

    The start of a cycle on a whole second has none.
    """
    assert times.format_ms(-1) == "1969-12-31T23:59:59.999Z"
    assert times.format_short(-1) == "1969-12-31T23:59:59.999Z"
    assert times.format_ms(1_780_704_000_000) == "2026-06-06T00:00:00.000Z"
    assert times.format_short(1_780_704_000_000) == "2026-06-06T00:00:00Z"


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1500ms", 1500),
        ("90s", 90_000),
        ("0.5s", 500),
        ("1.5h", 5_400_000),
        ("0.0019s", 1),
        ("999999999.999999999d", 86_399_999_999_999_999),
        ("5m", 300_000),
        ("2h", 7_200_000),
        ("1d", 86_400_000),
        ("PT2H", 7_200_000),
        ("P1DT1M1S", 86_461_000),
    ],
)
def test_a_duration_is_read_in_either_form(text: str, ms: int) -> None:
    """It is a number with its unit, or ISO 8601; finer digits than milliseconds are cut off."""
    assert times.duration_ms(text) == ms


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "5",
            "s",
            "-1s",
            "1 s",
            "1e3s",
            "٣s",
            "1.s",
            ".5s",
            "1,5h",
            "1.5.5h",
            "1.0000000000s",
        ),
        *("P", "PT", "P1H", "2H", "PT1M1H", "PT1.5H"),
    ],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """No value is guessed."""
    with pytest.raises(ValueError, match="is no duration, such as 90s, 5m, 2h or PT2H"):
        times.duration_ms(text)
