"""Faults in simulated events: duplicates, disorder, lateness, conflicts, and records that are none.

It is pure and repeatable, like the traffic itself. Duplicates, disorder and lateness change no
table (S11-S13), except that late live events get an earlier `occurred_at` instead of a later
arrival.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from heapq import heappop, heappush
from random import Random
from typing import Any, Final

from operations.simulation.market import Event
from schemas.envelope import encode
from schemas.events import CHAT_TYPES, topic_of
from schemas.times import DAY_MS, HOUR_MS, format_ms, parse_ms

LATE_SHARE: Final = 0.02
"""The share of events that are late, if any are."""

_UNITS_MS: Final = {"s": 1000, "m": 60_000, "h": HOUR_MS, "d": DAY_MS}


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults: shares of all events, and the delay of late ones in milliseconds."""

    duplicates: float = 0.0
    out_of_order: float = 0.0
    late: int = 0
    poison: float = 0.0
    conflicts: float = 0.0


USUAL: Final = Faults(
    duplicates=0.02, out_of_order=0.2, late=3 * DAY_MS, poison=0.001, conflicts=0.001
)
"""The amount of a fault that is named without `=`."""


@dataclass(frozen=True, slots=True)
class Poison:
    """A record that is no event.

    `in_file` is whether its value is no event as a line of a file, either. `topic` is the record's
    topic, without the setting's prefix.
    """

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    in_file: bool = True
    topic: str = "orders"


def parse(texts: Iterable[str]) -> Faults:
    """Faults from texts such as `duplicates=2%`, `late=3d` or `poison`. Raises ValueError."""
    names = [field.name for field in fields(Faults)]
    found: dict[str, Any] = {}
    for text in texts:
        name, given, amount = text.partition("=")
        if name not in names:
            raise ValueError(f"{name!r} is no fault: there are {', '.join(names)}")
        if not given:
            found[name] = getattr(USUAL, name)
        elif name == "late":
            found[name] = _duration_ms(amount)
        else:
            found[name] = _share(amount)
    return Faults(**found)


def _share(text: str) -> float:
    if not re.fullmatch(r"\d{1,3}(\.\d+)?%", text) or not 0 <= float(text[:-1]) <= 100:  # noqa: PLR2004 - per cent
        raise ValueError(f"{text!r} is no share: write it as 2% or 0.1%")
    return float(text[:-1]) / 100


def _duration_ms(text: str) -> int:
    if not re.fullmatch(r"\d{1,6}[smhd]", text):
        raise ValueError(f"{text!r} is no duration: write it as 3d, 2h, 30m or 15s")
    return int(text[:-1]) * _UNITS_MS[text[-1]]


def disturbed(
    traffic: Iterable[tuple[int, Event]], faults: Faults, *, seed: int, day_ms: float, live: bool
) -> Iterator[tuple[int, Event | Poison]]:
    """The traffic with faults: (arrival in epoch milliseconds, event or poison), by arrival.

    Late events arrive later; with `live` they get an earlier `occurred_at` instead. Events out of
    order are delayed by up to two days in an order's life, which take `day_ms` each.
    """
    rng = Random(f"faults {seed}")
    waiting: list[tuple[float, int, Event | Poison]] = []
    count = 0
    for happened_ms, event in traffic:
        while waiting and waiting[0][0] <= happened_ms:
            at_ms, _, what = heappop(waiting)
            yield int(at_ms), what
        for at_ms, what in _disturb(rng, happened_ms, event, faults, day_ms, live):
            count += 1
            heappush(waiting, (at_ms, count, what))
    while waiting:
        at_ms, _, what = heappop(waiting)
        yield int(at_ms), what


def _disturb(  # noqa: PLR0917 - it has one caller
    rng: Random,
    at_ms: float,
    event: Event,
    faults: Faults,
    day_ms: float,
    live: bool,
) -> Iterator[tuple[float, Event | Poison]]:
    """One event, and the records that faults add to it, each with its time of arrival."""
    if faults.late and rng.random() < LATE_SHARE:
        if live:
            event = _moved(event, -faults.late)
        else:
            at_ms += faults.late
    if rng.random() < faults.out_of_order:
        at_ms += rng.random() * 2 * day_ms
    yield at_ms, event
    if rng.random() < faults.duplicates:
        yield at_ms + rng.random() * day_ms, event
    if rng.random() < faults.conflicts:
        yield at_ms + rng.random() * day_ms, _contradicted(rng, event)
    if rng.random() < faults.poison:
        poison = rng.choices(POISONS, cum_weights=_POISON_WEIGHTS)[0](rng, event)
        yield at_ms, replace(poison, topic=topic_of(event["type"]))


def _moved(event: Event, by_ms: int) -> Event:
    return event | {"occurred_at": format_ms(parse_ms(event["occurred_at"]) + by_ms)}


def _contradicted(rng: Random, event: Event) -> Event:
    """An event with the same id, or of the same refund, with other content (S11).

    Sometimes its time is the same, too.
    """
    if event["type"] == "order_placed":
        first, *others = event["lines"]
        other = event | {"lines": [first | {"quantity": first["quantity"] + 1}, *others]}
    elif event["type"] == "refund_succeeded":
        other = event | {"reason": "damaged_in_transit" if event["reason"] == "other" else "other"}
        if rng.random() < 0.5:  # noqa: PLR2004 - half of them under another id
            other["id"] += "-again"
    else:
        return _moved(event, HOUR_MS)
    return _moved(other, rng.choice((0, 60_000, -60_000)))


# --- poison


def _json(event: Event) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()


def _key(event: Event) -> bytes:
    return encode(event)[0]


def _subject(event: Event) -> str:
    """A required field of an event besides the common ones."""
    return "shop_id" if event["type"] in CHAT_TYPES else "order_id"


def _noise(rng: Random, event: Event) -> Poison:
    return Poison(_key(event), bytes(rng.choices(range(0x80, 0x100), k=rng.randint(1, 80))))


def _cut_off(rng: Random, event: Event) -> Poison:
    text = _json(event)
    return Poison(_key(event), text[: rng.randint(1, len(text) - 1)])


def _wrong_value(rng: Random, event: Event) -> Poison:
    field = rng.choice(("id", "source", "occurred_at", _subject(event)))
    value: object = rng.choice((None, True, 1.0, -1, 10**30, [], {}, "", "\x00", "\x7f", "x" * 300))
    return Poison(_key(event), _json(event | {field: value}))


def _wrong_number(rng: Random, event: Event) -> Poison:
    number = rng.choice(
        (b"-1", b"1.0", b"1e3", b"true", b'"5"', b"NaN", b"Infinity", b"1" * 40, b"9" * 5000)
    )
    head = _json(
        {name: event[name] for name in ("id", "source", "occurred_at", _subject(event))}
        | {"type": "order_paid"}
    )
    return Poison(_key(event), head[:-1] + b',"amount":' + number + b"}")


def _half_a_character(_: Random, event: Event) -> Poison:
    return Poison(_key(event), _json(event | {"remark": "\ud800"}))


def _long_text(rng: Random, event: Event) -> Poison:
    return Poison(_key(event), _json(event | {"remark": "x" * rng.randint(300_000, 1_000_000)}))


def _deep(rng: Random, event: Event) -> Poison:
    depth = rng.choice((1000, 100_000))
    return Poison(
        _key(event), _json(event)[:-1] + b',"remark":' + b"[" * depth + b"]" * depth + b"}"
    )


def _unknown_type(_: Random, event: Event) -> Poison:
    return Poison(_key(event), _json(event | {"type": "order_dreamt_of"}))


def _field_missing(rng: Random, event: Event) -> Poison:
    missing = rng.choice(("type", "id", "source", "occurred_at", _subject(event)))
    return Poison(
        _key(event), _json({name: value for name, value in event.items() if name != missing})
    )


def _no_object(rng: Random, event: Event) -> Poison:
    return Poison(
        _key(event),
        rng.choice((b"[]", b"null", b"17", b'"order_placed"', b"{}", b"[" + _json(event) + b"]")),
    )


def _wrong_key(_: Random, event: Event) -> Poison:
    return Poison(b"no such order", _json(event), in_file=False)


def _no_key(rng: Random, event: Event) -> Poison:
    return Poison(rng.choice((None, b"")), _json(event), in_file=False)


def _no_value(rng: Random, event: Event) -> Poison:
    return Poison(_key(event), rng.choice((None, b"")), in_file=False)


def _wrong_headers(rng: Random, event: Event) -> Poison:
    headers = [("ce_specversion", b"1.0"), ("ce_id", b"\xff"), ("ce_type", event["type"].encode())]
    if rng.random() < 0.5:  # noqa: PLR2004 - one or the other
        headers = [("ce_time", b"yesterday"), ("ce_id", event["id"].encode())]
    return Poison(_key(event), _json(event), tuple(headers), in_file=False)


POISONS: Final[tuple[Callable[[Random, Event], Poison], ...]] = (
    _noise,
    _cut_off,
    _wrong_value,
    _wrong_number,
    _half_a_character,
    _unknown_type,
    _field_missing,
    _no_object,
    _wrong_key,
    _no_key,
    _no_value,
    _wrong_headers,
    _deep,
    _long_text,
)
_POISON_WEIGHTS: Final = (*range(20, 260, 20), 250, 252)  # the last two are large, so they are rare
