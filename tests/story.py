"""Stories: a few lines of events and the tables they must lead to, written for people who know the shop and not Python.

    == S9, example 2: a difference made up takes money and no units
    2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
    2026-07-02T08:00Z  received  o-1
    2026-07-05T08:00Z  refunded  o-1  r-1 short_weight  1:0:300
    then
    p-3  2026-06-06    2 0 0    CNY 1000 300 300

A line of an order is `line:product:quantity x price`, with `-discount` behind it; a line of a refund is `line:units:amount`. Words
such as `shop=s-8`, `currency=USD`, `by=buyer`, `id=e-7`, `source=/x`, `group_id=g-1` may follow. After `then`: one row per product
(or shop, when its name starts with `s-`) and cycle, with units gross, reversed, booked, and for each currency money gross, reversed,
booked; what was `traded` of all time, where it matters; and what is `odd`. Rows and oddities are complete: what isn't written must
not be there.
Lines that start with `#` are for the reader.

    == R1: asked in the evening, answered at once
    rules    per=inquiry within=300 hours=08:00-23:00 zone=Asia/Shanghai
    2026-07-01T22:59:59+08:00  asked    s-7 b-9
    2026-07-01T23:03:00+08:00  replied  s-7 b-9 person
    2026-07-03T10:00:00+08:00  reviewed o-1 p-3 4
    as of 2026-07-04T00:00Z
    then
    served s-7  2026-06-06  inquiries=1 timely=1 reply.person=1

`rules` may be left out. Event time comes to `as of` in the end. Of service there may follow, and is complete if there is any:
`served` rows of a shop or product and cycle with their columns (tables/service.py), but for the bins of reply times; `overdue` with
shop and buyer; and `alert` with its type, shop and buyer, in order, when all arrives as it is told.
"""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tables.service_hours import ServiceRules

FOLDER = Path(__file__).parent / "stories"
MOST_ORDERS_OF_ARRIVAL = 120

Row = tuple[str, str, tuple[int, ...], dict[str, tuple[int, ...]]]


@dataclass
class Story:
    """What happened, and what the tables must say.

    `rows` are (id, cycle, units, {currency: money}).
    """

    title: str
    events: list[dict[str, Any]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    traded: dict[str, int] = field(default_factory=dict)
    served: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)
    overdue: list[tuple[str, str]] = field(default_factory=list)
    alerts: list[tuple[str, str, str]] = field(default_factory=list)
    as_of: str = ""
    rules: ServiceRules = field(default_factory=ServiceRules)
    odd: list[tuple[str, ...]] = field(default_factory=list)


def stories() -> list[Story]:
    """All stories of the folder, in the order of the files."""
    return [
        story
        for path in sorted(FOLDER.glob("*.story"))
        for story in parse(path.read_text(encoding="utf-8"))
    ]


def parse(text: str) -> Iterator[Story]:
    """The stories of one file; ValueError with the line that can't be understood."""
    story, then = Story(""), False
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "==":
            if story.title:
                yield story
            story, then = Story(line[2:].strip()), False
        elif words == ["then"]:
            then = True
        elif words[0] == "rules":
            story.rules = _rules(dict(word.split("=", 1) for word in words[1:]))
        elif words[:2] == ["as", "of"]:
            story.as_of = words[2].replace("Z", ":00Z") if words[2].count(":") == 1 else words[2]
        elif then:
            _expect(story, words)
        else:
            story.events.append(event(words, number=len(story.events) + 1))
    yield story


def event(words: list[str], number: int = 1) -> dict[str, Any]:
    """The event that a story's line tells.

    Its id is `e-` and the number of the line unless it says so itself.
    """
    at, verb, order_id, *more = words
    plain = [word for word in more if "=" not in word]
    said = dict(word.split("=", 1) for word in more if "=" in word)
    kind, own = _own_fields(verb, plain, said)
    occurred_at = at if at.count(":") > 1 + at.count("+") else at.replace("Z", ":00Z")
    common = {"type": kind, "id": f"e-{number}", "source": "/story", "occurred_at": occurred_at}
    if "message_id" in own:
        about = (
            {"shop_id": order_id, "order_id": said["order"]}
            if "order" in said
            else {"shop_id": order_id}
        )
        return (
            common
            | about
            | own
            | {name: value for name, value in said.items() if name in {"id", "source"}}
        )
    return (
        common
        | {"order_id": order_id}
        | own
        | {
            name: value
            for name, value in said.items()
            if name in {"id", "source", "by", "parcel_id", "group_id"}
        }
    )


def _own_fields(verb: str, words: list[str], said: dict[str, str]) -> tuple[str, dict[str, Any]]:  # noqa: C901, PLR0911, PLR0912 - a verb each
    match verb, words:
        case "placed", lines:
            who = {
                "shop_id": said.get("shop", "s-7"),
                "buyer_id": said.get("buyer", "b-9"),
                "currency": said.get("currency", "CNY"),
            }
            return "order_placed", who | {"lines": [_line(word) for word in lines]}
        case "paid", [amount]:
            return "order_paid", {"amount": int(amount)}
        case "shipped", line_ids:
            return "order_shipped", _named(line_ids)
        case "received", line_ids:
            return "receipt_confirmed", {"by": "logistics"} | _named(line_ids)
        case "cancelled", [reason]:
            return "order_cancelled", {"reason": reason}
        case "refused", [reason, *line_ids]:
            return "delivery_refused", {"reason": reason} | _named(line_ids)
        case "reissued", [reason, *line_ids]:
            return "reissue_shipped", {"reason": reason} | _named(line_ids)
        case (("refund-requested" | "refunded"), [refund_id, reason, *lines]):
            kind = "refund_succeeded" if verb == "refunded" else "refund_requested"
            return kind, {"refund_id": refund_id, "reason": reason} | (
                {"lines": [_refund_line(word) for word in lines]} if lines else {}
            )
        case "refund-failed", [refund_id, cause]:
            return "refund_failed", {"refund_id": refund_id, "cause": cause}
        case "refund-returned", [refund_id]:
            return "refund_reversed", {"refund_id": refund_id}
        case "reviewed", [product_id, rating]:
            return "review_posted", {"product_id": product_id, "rating": int(rating)}
        case "asked", [buyer_id]:
            return "buyer_messaged", {
                "buyer_id": buyer_id,
                "message_id": said.get("message", "m-1"),
            }
        case "replied", [buyer_id, by]:
            return "seller_replied", {
                "buyer_id": buyer_id,
                "message_id": said.get("message", "m-1"),
                "by": by,
            }
        case _:
            raise ValueError(f"no event is told by {verb!r} with {words!r}")


def _rules(said: dict[str, str]) -> ServiceRules:
    usual = ServiceRules()
    within_ms = int(said["within"]) * 1000 if "within" in said else usual.reply_within_ms
    per: Any = said.get("per", usual.count_per)
    return ServiceRules(
        within_ms, said.get("hours", usual.hours), said.get("zone", usual.zone), per
    )


def _line(word: str) -> dict[str, Any]:
    line_id, product_id, price = word.split(":")
    price, _, discount = price.partition("-")
    quantity, unit_price = price.split("x")
    line = {
        "line_id": line_id,
        "product_id": product_id,
        "quantity": int(quantity),
        "unit_price": int(unit_price),
    }
    return line | ({"discount": int(discount)} if discount else {})


def _refund_line(word: str) -> dict[str, Any]:
    line_id, units, amount = word.split(":")
    return {"line_id": line_id, "quantity": int(units), "amount": int(amount)}


def _named(line_ids: list[str]) -> dict[str, Any]:
    return {"line_ids": line_ids} if line_ids else {}


def _expect(story: Story, words: list[str]) -> None:
    match words:
        case ["traded", subject, units]:
            story.traded[subject] = int(units)
        case ["odd", *what]:
            story.odd.append(tuple(what))
        case ["served", subject, cycle, *counted]:
            named = dict(column.split("=") for column in counted)
            story.served[subject, f"{cycle}T00:00:00Z"] = {
                name: int(number) for name, number in named.items()
            }
        case ["overdue", shop_id, buyer_id]:
            story.overdue.append((shop_id, buyer_id))
        case ["alert", name, shop_id, buyer_id]:
            story.alerts.append((name, shop_id, buyer_id))
        case [subject, cycle, gross, taken, booked, *money] if len(money) % 4 == 0:
            start = cycle if "T" in cycle else f"{cycle}T00:00:00Z"
            columns: dict[str, tuple[int, ...]] = {
                currency: (int(a), int(b), int(c))
                for currency, a, b, c in (money[at : at + 4] for at in range(0, len(money), 4))
            }
            story.rows.append((subject, start, (int(gross), int(taken), int(booked)), columns))
        case _:
            raise ValueError(f"{story.title}: nothing is expected by {words!r}")


def told(
    report: dict[str, list[dict[str, Any]]],
) -> tuple[list[Row], list[Row], dict[str, int], list[tuple[str, ...]]]:
    """A report in the words of stories.

    Rows of products and of shops, what was traded of all time, and what is odd.
    """
    traded = {
        row[name]: row["successfully_traded"] for part, name in _PARTS for row in report[part]
    }
    products, shops = ([_row(row, name) for row in report[part]] for part, name in _PARTS)
    return products, shops, traded, [tuple(odd.values()) for odd in report["anomalies"]]


_PARTS = (("products", "product_id"), ("shops", "shop_id"))
_COLUMNS = ("gross", "reversed", "reversals_booked")


def _row(row: dict[str, Any], name: str) -> Row:
    money = {
        currency: tuple(columns[column] for column in _COLUMNS)
        for currency, columns in row["revenue"].items()
    }
    return (
        row[name],
        row["cycle"]["start"],
        tuple(row["units"][column] for column in _COLUMNS),
        money,
    )


def arrivals(events: list[dict[str, Any]], seed: int = 0) -> Iterator[list[dict[str, Any]]]:
    """The events as told, backwards, and in all (or many) other orders, some of them twice.

    The same for the same seed.
    """
    yield events
    yield events[::-1]
    chance = random.Random(seed)
    if len(events) <= 4:
        orders = list(itertools.permutations(events))
    else:
        orders = [tuple(chance.sample(events, len(events))) for _ in range(MOST_ORDERS_OF_ARRIVAL)]
    for order in orders:
        arrival = list(order)
        for again in chance.sample(events, chance.randint(0, len(events))):
            arrival.insert(chance.randint(0, len(arrival)), again)
        yield arrival
