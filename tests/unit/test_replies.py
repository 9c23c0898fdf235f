"""Inquiries step by step against inquiries derived from all messages, and what changes against what counts before and after (R1, R2)."""

import random
from collections import Counter

import pytest

from schemas.envelope import BUYER, SHOP, Written
from tables import replies
from tables.conversations import place
from tables.cycles import Calendar
from tables.replies import Inquiry
from tables.service import Columns
from tables.service_hours import ServiceRules

CALENDAR = Calendar(36 * 3_600_000)
RULES = [
    ServiceRules(),
    ServiceRules(count_per="inquiry"),
    ServiceRules(3_600_000, "23:00-08:00", "Europe/Berlin"),
]


def _some(chance: random.Random) -> list[Written]:
    """Messages of one conversation, in order, often close to each other."""
    at = [
        chance.randrange(5 * 86_400_000) // 60_000 * 60_000 + chance.randrange(3)
        for _ in range(chance.randrange(1, 25))
    ]
    sides = [chance.choice([BUYER, SHOP]) for _ in at]
    found = [
        Written(at_ms, side, f"e-{n}", "/s", f"m-{n}", None, "robot" if side else None)
        for n, (at_ms, side) in enumerate(zip(at, sides, strict=True))
    ]
    return sorted(found, key=place)


def _counted(decided: list[Inquiry], rules: ServiceRules) -> dict[int, Columns]:
    return replies.difference([], [], decided, rules, CALENDAR)


@pytest.mark.parametrize("seed", range(100))
def test_what_was_answered_before_a_message_stays(seed: int) -> None:
    """However early a message comes in, what is derived from then on is what all messages give, and so is who waits."""
    chance = random.Random(seed)
    rules, written = chance.choice(RULES), _some(chance)
    new = written.pop(chance.randrange(len(written)))
    at = replies.since(written, new.at_ms)
    stay, _ = replies.inquiries(written[:at], rules)
    written = sorted([*written, new], key=place)
    changed, waiting = replies.inquiries_from(written, at, rules)
    assert ([*stay, *changed], waiting) == replies.inquiries(written, rules)
    assert replies.waiting(written, rules) == waiting


@pytest.mark.parametrize("seed", range(100))
def test_only_those_of_the_same_day_are_beside(seed: int) -> None:
    """R1: of the inquiries before a place, the ones that opened on a local day of those that changed behind it."""
    chance = random.Random(seed)
    rules, written = chance.choice(RULES), _some(chance)
    at = replies.since(written, chance.choice(written).at_ms)
    before, _ = replies.inquiries(written[:at], rules)
    changed, _ = replies.inquiries_from(written, at, rules)
    if changed:
        days = {rules.day_of(one.opened_ms) for one in changed if rules.count_per == "buyer_day"}
        near = [one for one in before if rules.day_of(one.opened_ms) in days]
        assert replies.beside(replies.answered_near(written, at, rules), changed, rules) == near
        assert replies.beside(before, changed, rules) == near


@pytest.mark.parametrize("seed", range(20))
def test_an_inquiry_alone_is_told_by_names(seed: int) -> None:
    """R2: the same as the columns that change when nothing else was decided."""
    chance = random.Random(seed)
    rules, written = chance.choice(RULES), _some(chance)
    answered, waiting = replies.inquiries(written, rules)
    for one in (*answered, *([waiting] if waiting else [])):
        assert _counted([one], rules) == {
            CALENDAR.start_of(one.opened_ms): Counter(replies.alone(one))
        }


@pytest.mark.parametrize("seed", range(100))
def test_what_changes_is_what_counts_after_less_what_counted_before(seed: int) -> None:
    """Of inquiries that change after some that don't.

    Each row and column that changes is told, by cycle and by name, and no other.
    """
    chance = random.Random(seed)
    rules, written = chance.choice(RULES), _some(chance)
    after, waiting = replies.inquiries(written, rules)
    if waiting is not None:
        after.append(waiting)
    if not after:
        return
    first = chance.randrange(len(after))
    before = after[:first] + [one for one in after[first:] if chance.random() < 0.3]
    found = replies.difference(after[:first], before[first:], after[first:], rules, CALENDAR)
    was, now = _counted(before, rules), _counted(after, rules)
    expected = {
        (start_ms, name): now.get(start_ms, {}).get(name, 0) - was.get(start_ms, {}).get(name, 0)
        for start_ms in was.keys() | now.keys()
        for name in was.get(start_ms, {}).keys() | now.get(start_ms, {}).keys()
    }
    told = [(start_ms, name) for start_ms, columns in found.items() for name in columns]
    assert told == sorted(told)
    assert {(start_ms, name): found[start_ms][name] for start_ms, name in told} == {
        at: n for at, n in expected.items() if n
    }
