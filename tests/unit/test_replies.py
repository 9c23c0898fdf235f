"""Inquiries step by step against inquiries derived from all messages, and what changes against what counts before and after (R1, R2)."""

import random

import pytest

from tables import replies
from tables.conversations import BUYER, SHOP, Written, place
from tables.cycles import Calendar
from tables.replies import Inquiry
from tables.service import Columns
from tables.service_hours import ServiceRules

CALENDAR = Calendar(36 * 3_600_000)
RULES = [ServiceRules(), ServiceRules(count_per="inquiry"), ServiceRules(3_600_000, "23:00-08:00", "Europe/Berlin")]


def _some(chance: random.Random) -> list[Written]:
    """Messages of one conversation, in order, often close to each other."""
    at = [chance.randrange(5 * 86_400_000) // 60_000 * 60_000 + chance.randrange(3) for _ in range(chance.randrange(1, 25))]
    sides = [chance.choice([BUYER, SHOP]) for _ in at]
    found = [
        Written(at_ms, side, f"e-{n}", "/s", f"m-{n}", None, "robot" if side else None)
        for n, (at_ms, side) in enumerate(zip(at, sides, strict=True))
    ]
    return sorted(found, key=place)


def _counted(decided: list[Inquiry], rules: ServiceRules) -> dict[int, Columns]:
    return replies.difference([], 0, [], decided, rules, CALENDAR)


@pytest.mark.parametrize("seed", range(100))
def test_what_was_answered_before_a_message_stays(seed: int) -> None:
    """However early a message comes in, what is derived from then on is what all messages give."""
    chance = random.Random(seed)
    rules, written = chance.choice(RULES), _some(chance)
    new = written.pop(chance.randrange(len(written)))
    answered, _ = replies.inquiries(written, rules)
    written = sorted([*written, new], key=place)
    stay, changed, waiting = replies.again(answered, written, new.at_ms, rules)
    assert ([*answered[:stay], *changed], waiting) == replies.inquiries(written, rules)


@pytest.mark.parametrize("seed", range(100))
def test_what_changes_is_what_counts_after_less_what_counted_before(seed: int) -> None:
    """Of inquiries that change after some that don't; each row and column that changes is told, by cycle and by name, and no other."""
    chance = random.Random(seed)
    rules, written = chance.choice(RULES), _some(chance)
    after, waiting = replies.inquiries(written, rules)
    if waiting is not None:
        after.append(waiting)
    if not after:
        return
    first = chance.randrange(len(after))
    before = after[:first] + [one for one in after[first:] if chance.random() < 0.3]
    found = replies.difference(after, first, before[first:], after[first:], rules, CALENDAR)
    was, now = _counted(before, rules), _counted(after, rules)
    expected = {
        (start_ms, name): now.get(start_ms, {}).get(name, 0) - was.get(start_ms, {}).get(name, 0)
        for start_ms in was.keys() | now.keys()
        for name in was.get(start_ms, {}).keys() | now.get(start_ms, {}).keys()
    }
    told = [(start_ms, name) for start_ms, columns in found.items() for name in columns]
    assert told == sorted(told)
    assert {(start_ms, name): found[start_ms][name] for start_ms, name in told} == {at: n for at, n in expected.items() if n}
