"""Stories: some events, and the tables that they must lead to, for readers without Python.

    == S9, example 2: a refund of a difference reverses an amount and no units
    2026-07-01T08:00Z  placed    o-1  1:p-3:2x1000
    2026-07-02T08:00Z  received  o-1
    2026-07-05T08:00Z  refunded  o-1  r-1 short_weight  1:0:300
    then
    p-3  2026-06-06    2 0 0    CNY 1000 300 300

A line of an order is `line:product:quantity x price`, followed by `-discount` if it has one. A line
of a refund is `line:units:amount`. Words such as `shop=s-8`, `currency=USD`, `by=buyer`, `id=e-7`,
`source=/x`, `group_id=g-1` may follow, and `version=2` makes the event one of that version.

After `then` there is one row for each product (or shop, if its id starts with `s-`) and cycle:
units gross, reversed, booked, and for each currency the amounts gross, reversed, booked. `traded`
rows have the net units of all cycles, where they matter. `anomaly` rows have an order, its anomaly
and a line. Rows of products and anomalies are complete: a row that the story does not have must
not exist.
`shows` rows have the number that is shown as sold in a cycle, by the basis of the terms: where a
story has some, they are complete, and rows of products may be left out. `served nothing` says that
there is no row of service. Lines that start with `#` are comments.

    == R1: a question in the evening, answered at once
    rules    per=inquiry within=300 hours=08:00-23:00 zone=Asia/Shanghai
    2026-07-01T22:59:59+08:00  asked    s-7 b-9
    2026-07-01T23:03:00+08:00  replied  s-7 b-9 person
    2026-07-03T10:00:00+08:00  reviewed o-1 p-3 4
    as of 2026-07-04T00:00Z
    then
    served s-7  2026-06-06  inquiries=1 timely=1 reply.person=1

`rules` are optional. `as of` is the event time that all partitions have reached in the end. Rows of
service are complete if the story has any: `served` rows of a shop or product and cycle with their
columns (tables/service.py) without the bins of reply times, and `overdue` rows with shop and buyer.
`alert` rows have type, shop and buyer; they are the alerts, in order, if all events arrive in the
order of the story.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tables.service_hours import ServiceRules

if TYPE_CHECKING:
    from collections.abc import Iterator

Row = tuple[str, str, tuple[int, ...], dict[str, tuple[int, ...]]]


@dataclass
class Story:
    """Events, and the rows that they must lead to.

    `rows` are (id, cycle, units, {currency: amounts}); `shown` has the number of an id in a cycle.
    `serves`: whether rows of service are complete. `has_rules`: whether it names `rules`.
    """

    title: str
    events: list[dict[str, Any]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    shown: dict[tuple[str, str], int] = field(default_factory=dict)
    serves: bool = False
    traded: dict[str, int] = field(default_factory=dict)
    served: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)
    overdue: list[tuple[str, str]] = field(default_factory=list)
    alerts: list[tuple[str, str, str]] = field(default_factory=list)
    as_of: str = ""
    rules: ServiceRules = field(default_factory=ServiceRules)
    has_rules: bool = False
    anomalies: list[tuple[str, ...]] = field(default_factory=list)


def parse(text: str) -> Iterator[Story]:
    """The stories of one file. Raises ValueError with the words of a line that is none."""
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
            story.has_rules = True
            story.rules = _rules(dict(word.split("=", 1) for word in words[1:]))
        elif words[:2] == ["as", "of"]:
            story.as_of = words[2].replace("Z", ":00Z") if words[2].count(":") == 1 else words[2]
        elif then:
            _expect(story, words)
        else:
            story.events.append(event(words, number=len(story.events) + 1))
    yield story


def event(words: list[str], number: int = 1) -> dict[str, Any]:
    """The event of a story's line.

    Its id is `e-` and the number of the line unless the line has one.
    """
    at, verb, order_id, *more = words
    plain = [word for word in more if "=" not in word]
    given = dict(word.split("=", 1) for word in more if "=" in word)
    kind, own = _own_fields(verb, plain, given)
    occurred_at = at if at.count(":") > 1 + at.count("+") else at.replace("Z", ":00Z")
    common = {"type": kind, "id": f"e-{number}", "source": "/story", "occurred_at": occurred_at}
    if "message_id" in own:
        about = (
            {"shop_id": order_id, "order_id": given["order"]}
            if "order" in given
            else {"shop_id": order_id}
        )
        return (
            common
            | about
            | own
            | {name: value for name, value in given.items() if name in {"id", "source"}}
        )
    return (
        common
        | {"order_id": order_id}
        | (_versioned(kind, own, given["version"]) if "version" in given else own)
        | {
            name: value
            for name, value in given.items()
            if name in {"id", "source", "by", "parcel_id", "group_id"}
        }
    )


def _versioned(kind: str, own: dict[str, Any], version: str) -> dict[str, Any]:
    """The same fields as a producer of a later version writes them: all lines by their word."""
    listed = "lines" if kind.startswith("refund") else "line_ids"
    return {listed: "all"} | own | {"dataschema": f"urn:netsold:{kind}:{version}"}


def _own_fields(verb: str, words: list[str], given: dict[str, str]) -> tuple[str, dict[str, Any]]:  # noqa: C901, PLR0911, PLR0912 - a verb each
    match verb, words:
        case "placed", lines:
            who = {
                "shop_id": given.get("shop", "s-7"),
                "buyer_id": given.get("buyer", "b-9"),
                "currency": given.get("currency", "CNY"),
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
                "message_id": given.get("message", "m-1"),
            }
        case "replied", [buyer_id, by]:
            return "seller_replied", {
                "buyer_id": buyer_id,
                "message_id": given.get("message", "m-1"),
                "by": by,
            }
        case _:
            raise ValueError(f"no event has the verb {verb!r} with {words!r}")


def _rules(given: dict[str, str]) -> ServiceRules:
    usual = ServiceRules()
    within_ms = int(given["within"]) * 1000 if "within" in given else usual.reply_within_ms
    per: Any = given.get("per", usual.count_per)
    return ServiceRules(
        within_ms, given.get("hours", usual.hours), given.get("zone", usual.zone), per
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
        case ["anomaly", *what]:
            story.anomalies.append(tuple(what))
        case ["shows", subject, cycle, units]:
            story.shown[subject, _start(cycle)] = int(units)
        case ["served", "nothing"]:
            story.serves = True
        case ["served", subject, cycle, *counted]:
            story.serves = True
            named = dict(column.split("=") for column in counted)
            story.served[subject, _start(cycle)] = {
                name: int(number) for name, number in named.items()
            }
        case ["overdue", shop_id, buyer_id]:
            story.serves = True
            story.overdue.append((shop_id, buyer_id))
        case ["alert", name, shop_id, buyer_id]:
            story.alerts.append((name, shop_id, buyer_id))
        case [subject, cycle, gross, reversed_, booked, *money] if len(money) % 4 == 0:
            columns: dict[str, tuple[int, ...]] = {
                currency: (int(a), int(b), int(c))
                for currency, a, b, c in (money[at : at + 4] for at in range(0, len(money), 4))
            }
            story.rows.append(
                (subject, _start(cycle), (int(gross), int(reversed_), int(booked)), columns)
            )
        case _:
            raise ValueError(f"{story.title}: no row is expected by {words!r}")


def _start(cycle: str) -> str:
    return cycle if "T" in cycle else f"{cycle}T00:00:00Z"
