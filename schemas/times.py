"""Instants: RFC 3339 text in JSON and on screens, int epoch milliseconds in the code.

All rooms use this parser and this form.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from schemas import limits

DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
NO_INSTANT_MS: Final = 2**63
"""After every instant, in epoch milliseconds: "it did not happen"."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,40}))?"
    r"(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII,
)
_UNITS_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": HOUR_MS, "d": DAY_MS}
_DURATION: Final = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,9}))?(ms|s|m|h|d)")
_ISO_DURATION: Final = re.compile(
    r"P(?=.)(?:([0-9]{1,9})D)?"
    r"(?:T(?=.)(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,9})S)?)?"
)
DURATION_FORM: Final = f"^(?:{_DURATION.pattern}|{_ISO_DURATION.pattern})$"
"""A regular expression of `duration_ms`, in JSON Schema's dialect as well as Python's."""

_LEAP_SECOND: Final = "60"
_DAY: Final = r"\d{4}-\d\d-\d\d"
_NEAR_MISSES: Final = tuple(
    (re.compile(form, re.ASCII), fault)
    for form, fault in (
        (_DAY, "has no time of day and no zone: write it as 2026-07-01T08:00:00Z"),
        (
            _DAY + r"[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?",
            "has no zone: write it as 2026-07-01T08:00:00Z or 2026-07-01T16:00:00+08:00",
        ),
        (
            _DAY + r"[Tt ]\d\d:\d\d([Zz]|[+-]\d\d:\d\d)",
            "has no seconds: write it as 2026-07-01T08:00:00Z",
        ),
        (
            _DAY + r"[Tt ]\d\d:\d\d:\d\d(\.\d+)?[+-]\d\d(\d\d)?",
            "has a zone without colon: write it as +08:00",
        ),
    )
)
"""Forms that people write by mistake, and what is wrong with each."""

# The usual form, "2026-07-01T08:00:00Z" with or without three decimals, is parsed and written by
# looking up its parts.
_SECONDS: Final = {f":{s // 60:02}:{s % 60:02}": s * 1000 for s in range(3600)}
_TAILS: Final = {"Z": 0} | {f".{ms:03}Z": ms for ms in range(1000)}
_SECOND_TEXTS: Final = tuple(_SECONDS)
_TAIL_TEXTS: Final = tuple(f".{ms:03}Z" for ms in range(1000))


def parse_ms(text: str) -> int:
    """Epoch milliseconds of an RFC 3339 text with a zone; finer digits are cut off.

    ValueError if the text has another form or is out of bounds.
    """
    try:
        return _hour_ms(text[:13]) + _SECONDS[text[13:19]] + _TAILS[text[19:]]
    except (KeyError, ValueError):
        return parse_ms_plainly(text)


def parse_ms_plainly(text: str) -> int:
    """The same as `parse_ms` for every text, without its fast path: its plain twin."""
    at_ms = parse_any_ms(text)
    if not limits.OCCURRED_FIRST_MS <= at_ms < limits.OCCURRED_END_MS:
        raise ValueError("is outside the years 1900 to 2199")
    return at_ms


def parse_any_ms(text: str) -> int:
    """As `parse_ms`, for any year from 1 to 9999: a cycle may start before the first valid event.

    A leap second, 23:59:60 UTC at a month's end, becomes the last millisecond of 23:59:59: it stays
    in its day and its cycle.
    """
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise ValueError(_fault_of_form(text))
    year, month, day, hour, minute, second, fraction, sign, zone_hours, zone_minutes = (
        found.groups()
    )
    is_leap = second == _LEAP_SECOND
    try:
        local = datetime(
            int(year),
            int(month),
            int(day),
            int(hour),
            int(minute),
            59 if is_leap else int(second),
            tzinfo=UTC,
        )
    except ValueError as error:
        raise ValueError("names a day or a time of day that there is not") from error
    at_ms = (local - _EPOCH) // _MILLISECOND + (
        999 if is_leap else int((fraction or "0")[:3].ljust(3, "0"))
    )
    if sign is not None:
        ahead_ms = (int(zone_hours) * 60 + int(zone_minutes)) * 60_000
        at_ms += ahead_ms if sign == "-" else -ahead_ms
    if is_leap and not _starts_a_month(at_ms + 1):
        raise ValueError("has a leap second elsewhere than at 23:59:60 UTC on a month's last day")
    return at_ms


def _starts_a_month(at_ms: int) -> bool:
    """Whether an instant is the first millisecond of a month in UTC."""
    days, of_day_ms = divmod(at_ms, DAY_MS)
    return of_day_ms == 0 and (_EPOCH + timedelta(days=days)).day == 1


def _fault_of_form(text: str) -> str:
    """What is wrong with a text's form, as the rest of a sentence that starts with the text."""
    for form, fault in _NEAR_MISSES:
        if form.fullmatch(text):
            return fault
    return "is not an RFC 3339 time with zone, such as 2026-07-01T08:00:00Z"


@lru_cache(maxsize=4096)
def _hour_ms(hour: str) -> int:
    """Epoch milliseconds of the start of an hour in UTC, written YYYY-MM-DDTHH; else ValueError."""
    return parse_ms_plainly(f"{hour}:00:00Z")


def format_ms(at_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds: 2026-07-01T08:00:00.000Z."""
    hours, of_hour_ms = divmod(at_ms, HOUR_MS)
    return _hour_text(hours) + _SECOND_TEXTS[of_hour_ms // 1000] + _TAIL_TEXTS[of_hour_ms % 1000]


def format_short(at_ms: int) -> str:
    """RFC 3339 in UTC, without milliseconds if they are 0: 2026-07-06T00:00:00Z."""
    text = format_ms(at_ms)
    return text.removesuffix(".000Z") + "Z" if text.endswith(".000Z") else text


@lru_cache(maxsize=4096)
def _hour_text(hours: int) -> str:
    """The text YYYY-MM-DDTHH for a number of hours since the epoch."""
    return (_EPOCH + timedelta(hours=hours)).isoformat()[:13]


def duration_ms(text: str) -> int:
    """Milliseconds of a duration such as 90s, 1.5h or PT2H30M; else ValueError.

    Finer digits are cut off, as those of instants are.
    """
    found = _DURATION.fullmatch(text)
    if found is not None:
        whole, fraction, unit = found.groups()
        return int(whole + (fraction or "").ljust(9, "0")) * _UNITS_MS[unit] // 10**9
    found = _ISO_DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no duration, such as 90s, 5m, 2h or PT2H")
    return sum(
        int(part or 0) * _UNITS_MS[unit]
        for part, unit in zip(found.groups(), ("d", "h", "m", "s"), strict=True)
    )
