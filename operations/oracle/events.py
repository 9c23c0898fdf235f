"""The events that recount accepts: a plain check of fields and bounds, not shared with `schemas`.

The fields are those of docs/reference/events.md. It reads bare JSON and CloudEvents in structured
mode (`data`, or `data_base64` whatever its content type), with or without a byte order mark. An
accepted event is a dict of its known fields as written, except that `occurred_at` is an int of
epoch milliseconds (finer digits cut off), and that an optional field given as null is left out.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

Event = dict[str, Any]

MAX_BYTES: Final = 262_144
MAX_DEPTH: Final = 200
_MAX_QUANTITY: Final = 1_000_000
_MAX_PRICE: Final = 10**12
_MAX_REVENUE: Final = 10**15
_MAX_PAID: Final = 10**18
_FIRST_YEAR: Final = 1900
_END_YEAR: Final = 2200

_CODES: Final = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD "
    "BTN BWP BYN BZD CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD "
    "EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD "
    "IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL "
    "MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN "
    "PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN "
    "SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES "
    "VND VUV WST XAD XAF XAG XAU XBA XBB XBC XBD XCD XCG XDR XOF XPD XPF XPT XSU XTS "
    "XUA XXX YER ZAR ZMW ZWG"
)
_CURRENCIES: Final = frozenset(_CODES.split())
_REASONS: Final = frozenset(
    {
        "short_weight",
        "damaged_in_transit",
        "wrong_goods",
        "late_delivery",
        "quality",
        "changed_mind",
        "other",
    }
)
_RECEIVED_BY: Final = frozenset({"logistics", "buyer", "timeout"})
_CANCEL_REASONS: Final = frozenset({"unpaid", "group_not_filled", "buyer", "shop", "platform"})
_FAILURES: Final = frozenset({"rejected", "withdrawn", "lapsed", "bank"})
_REPLIED_BY: Final = frozenset({"person", "robot"})
_BEST_RATING: Final = 5

_CONTROL: Final = re.compile("[\x00-\x1f\x7f]")
_TIME: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,40}))?"
    r"(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII,
)


class Invalid(Exception):
    """Not an acceptable event; the message says which field and why."""


class UnknownType(Invalid):
    """An event of a type that isn't known."""


class UnknownVersion(Invalid):
    """An event of a version that isn't known."""


class NotJson(Invalid):
    """A line that isn't JSON, or too large or too deep to be read."""


# --- kinds of fields: each maps a value to the accepted one, or raises Invalid


def _text(most: int) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= most or _CONTROL.search(value):
            raise Invalid(f"not a text of 1 to {most} characters without control characters")
        return value

    return check


def _int(least: int, most: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        if type(value) is not int or not least <= value <= most:
            raise Invalid(f"not an integer from {least} to {most}")
        return value

    return check


def _one_of(allowed: frozenset[str]) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise Invalid("not one of the known values")
        return value

    return check


def _list_of(item: Callable[[object], Any]) -> Callable[[object], list[Any]]:
    def check(value: object) -> list[Any]:
        if not isinstance(value, list) or not value:
            raise Invalid("not a list of 1 or more")
        return [item(each) for each in value]

    return check


def time_ms(value: object) -> int:
    """Epoch milliseconds of an RFC 3339 time with zone, finer digits cut off. Raises Invalid."""
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise Invalid("not a time with zone, such as 2026-07-01T08:00:00Z")
    year, month, day, hour, minute, second, fraction, sign, ahead_hours, ahead_minutes = (
        found.groups()
    )
    leap = second == "60"
    try:
        at = datetime(
            int(year),
            int(month),
            int(day),
            int(hour),
            int(minute),
            59 if leap else int(second),
            tzinfo=UTC,
        )
        if sign:
            ahead = timedelta(hours=int(ahead_hours), minutes=int(ahead_minutes))
            at = at - ahead if sign == "+" else at + ahead
    except (ValueError, OverflowError) as error:
        raise Invalid("no such day or time of day") from error
    if leap:
        if (at.hour, at.minute, (at + timedelta(seconds=1)).day) != (23, 59, 1):
            raise Invalid("a second 60 elsewhere than at 23:59:60 UTC on a month's last day")
        fraction = "999"  # the last millisecond before it, so that it stays in its day
    if not _FIRST_YEAR <= at.year < _END_YEAR:
        raise Invalid("outside of the years 1900 to 2199")
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + int((fraction or "").ljust(3, "0")[:3])


def _fields(value: object, kinds: Mapping[str, Callable[[object], Any]]) -> Event:
    """The known fields of an object; a name that ends in `?` is optional, and null is absent."""
    if not isinstance(value, dict):
        raise Invalid("not an object")
    kept = {}
    for name, kind in kinds.items():
        field = name.removesuffix("?")
        if value.get(field) is None:
            if field == name:
                raise Invalid(f"{field}: absent")
            continue
        try:
            kept[field] = kind(value[field])
        except Invalid as fault:
            raise Invalid(f"{field}: {fault}") from fault
    return kept


_id = _text(128)

_PLACED_LINE: Final = {
    "line_id": _id,
    "product_id": _id,
    "quantity": _int(1, _MAX_QUANTITY),
    "unit_price": _int(0, _MAX_PRICE),
    "discount?": _int(0, _MAX_REVENUE),
}
_REFUND_LINE: Final = {
    "line_id": _id,
    "quantity": _int(0, _MAX_QUANTITY),
    "amount": _int(0, _MAX_REVENUE),
}


def _placed_line(value: object) -> Event:
    line = _fields(value, _PLACED_LINE)
    price = line["quantity"] * line["unit_price"]
    if price > _MAX_REVENUE:
        raise Invalid(f"quantity times unit_price is more than {_MAX_REVENUE}")
    if line.get("discount", 0) > price:
        raise Invalid("discount is more than quantity times unit_price")
    return line


def _placed_lines(value: object) -> list[Event]:
    lines = _list_of(_placed_line)(value)
    if sum(line["quantity"] * line["unit_price"] for line in lines) > _MAX_PAID:
        raise Invalid(f"quantity times unit_price of all lines is more than {_MAX_PAID}")
    if len({line["line_id"] for line in lines}) < len(lines):
        raise Invalid("two lines have one line_id")
    return lines


def _refund_line(value: object) -> Event:
    return _fields(value, _REFUND_LINE)


_COMMON: Final = {"id": _id, "source": _text(256), "occurred_at": time_ms}
_OF_ORDER: Final = {"order_id": _id}
_MESSAGE: Final = {"shop_id": _id, "buyer_id": _id, "message_id": _id, "order_id?": _id}
_LINE_IDS: Final = {"line_ids?": _list_of(_id)}
_REASON: Final = {"reason": _one_of(_REASONS)}
_REFUND: Final = {"refund_id": _id, **_REASON, "lines?": _list_of(_refund_line)}
TYPES: Final[dict[str, dict[str, Callable[[object], Any]]]] = {
    "order_placed": {
        **_OF_ORDER,
        "shop_id": _id,
        "buyer_id": _id,
        "currency": _one_of(_CURRENCIES),
        "group_id?": _id,
        "lines": _placed_lines,
    },
    "order_paid": {"amount": _int(0, _MAX_PAID)},
    "order_shipped": {"parcel_id?": _id, **_LINE_IDS, "carrier?": _id, "tracking_no?": _id},
    "receipt_confirmed": {**_LINE_IDS, "parcel_id?": _id, "by": _one_of(_RECEIVED_BY)},
    "order_cancelled": {"reason": _one_of(_CANCEL_REASONS)},
    "delivery_refused": {**_LINE_IDS, **_REASON},
    "refund_requested": _REFUND,
    "refund_succeeded": _REFUND,
    "refund_failed": {"refund_id": _id, "cause": _one_of(_FAILURES)},
    "refund_reversed": {"refund_id": _id},
    "reissue_shipped": {**_LINE_IDS, **_REASON, "parcel_id?": _id},
    "review_posted": {"product_id": _id, "rating": _int(1, _BEST_RATING)},
    "buyer_messaged": {},
    "seller_replied": {"by": _one_of(_REPLIED_BY)},
}
"""The fields of each type besides the common ones and those of its order or conversation."""

_ALL: Final = "all"


def _all_or(listed: Callable[[object], Any]) -> Callable[[object], Any]:
    """A list, or the word that stands for all lines."""
    return lambda value: _ALL if value == _ALL else listed(value)


_LATER: Final[dict[tuple[str, str], dict[str, Callable[[object], Any]]]] = {
    ("receipt_confirmed", "2"): {"line_ids": _all_or(_list_of(_id))},
    ("delivery_refused", "2"): {"line_ids": _all_or(_list_of(_id))},
    ("refund_requested", "2"): {"lines": _all_or(_list_of(_refund_line))},
    ("refund_succeeded", "2"): {"lines": _all_or(_list_of(_refund_line))},
}
"""By type and version after the first: the fields that differ from those of the first."""

_OURS: Final = "urn:netsold:"

MESSAGES: Final = frozenset({"buyer_messaged", "seller_replied"})
"""The types that belong to a conversation; all others belong to an order."""


def accept(raw: object) -> Event:
    """The event of a JSON object, bare or a structured CloudEvent.

    Raises Invalid, or its subclasses UnknownType and UnknownVersion.
    """
    if not isinstance(raw, dict):
        raise Invalid("not an object")
    if "specversion" in raw:
        raw = _bare(raw)
    name = raw.get("type")
    if not isinstance(name, str):
        raise Invalid("type: absent or not a text")
    if name not in TYPES:
        raise UnknownType(f"type: {ascii(name)[:128]} isn't known")
    subject = _MESSAGE if name in MESSAGES else _OF_ORDER
    own = _fields(raw, _kinds(name, raw.get("dataschema")))
    return {
        "type": name,
        **_fields(raw, _COMMON | subject),
        # all lines of an order are named by no list, in every version
        **{field: value for field, value in own.items() if value != _ALL or field not in _LISTS},
    }


_LISTS: Final = ("line_ids", "lines")


def _kinds(name: str, schema: object) -> dict[str, Callable[[object], Any]]:
    """The fields of a type in the version that its schema names; a foreign schema names none."""
    first = TYPES[name]
    if not isinstance(schema, str) or not schema.startswith(_OURS):
        return first
    version = schema.removeprefix(f"{_OURS}{name}:")
    if version == "1":
        return first
    if (name, version) not in _LATER:
        raise UnknownVersion(f"dataschema: {ascii(schema)[:128]} isn't known")
    later = _LATER[name, version]
    return {field: kind for field, kind in first.items() if field.strip("?") not in later} | later


_ATTRIBUTES: Final = {
    "type": "type",
    "id": "id",
    "source": "source",
    "time": "occurred_at",
    "dataschema": "dataschema",
}


def _bare(cloud_event: Mapping[str, Any]) -> dict[str, Any]:
    """The event in bare form: its data, overridden by its attributes; null is absent."""
    data, packed = cloud_event.get("data"), cloud_event.get("data_base64")
    if packed is not None:
        if data is not None:
            raise Invalid("data and data_base64: one of them is wanted")
        try:
            data = parse(base64.b64decode(packed, validate=True))
        except (ValueError, TypeError) as error:
            raise Invalid("data_base64: not base64") from error
    elif data is None:
        data = {}
    if not isinstance(data, dict):
        raise Invalid("data: not an object")
    event = {
        **data,
        **{
            name: cloud_event[attribute]
            for attribute, name in _ATTRIBUTES.items()
            if cloud_event.get(attribute) is not None
        },
    }
    is_message = isinstance(event.get("type"), str) and event["type"] in MESSAGES
    if not is_message and cloud_event.get("subject") is not None:
        event["order_id"] = cloud_event["subject"]
    return event


def parse(line: bytes) -> object:
    """The value of one line of strict JSON in UTF-8. Raises NotJson."""
    if len(line) > MAX_BYTES:
        raise NotJson(f"more than {MAX_BYTES} bytes")
    line = line.removeprefix(b"\xef\xbb\xbf")
    try:
        value = json.loads(line.decode(), parse_constant=_no_constant)
        if b"\\ud" in line or b"\\uD" in line:
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair has no UTF-8
    except (ValueError, RecursionError) as error:
        raise NotJson(f"not JSON: {error}") from error
    if line.count(b"[") + line.count(b"{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise NotJson(f"nested deeper than {MAX_DEPTH}")
    return value


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _depth(value: object) -> int:
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return depth
