"""The incremental form of R1 and R2 (`nearby_inquiries`) equals the plain one (`replies`).

So do changes of columns and the columns before and after.
"""

import random
from collections import Counter

import pytest

from schemas.envelope import BUYER, SHOP, Written
from tables import nearby_inquiries, replies
from tables.conversations import place
from tables.cycles import Calendar
from tables.replies import Inquiry
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


@pytest.mark.parametrize("seed", range(100))
def test_inquiries_before_a_new_message_stay_the_same(seed: int) -> None:
    """Deriving from the first affected place on equals deriving from all messages.

    The inquiry that waits is the same, too.
    """
    chance = random.Random(seed)
    rules, written = chance.choice(RULES), _some(chance)
    new = written.pop(chance.randrange(len(written)))
    at = nearby_inquiries.first_affected(written, new.at_ms)
    unchanged, _ = replies.inquiries(written[:at], rules)
    written = sorted([*written, new], key=place)
    changed, waiting = nearby_inquiries.inquiries_from(written, at, rules)
    assert ([*unchanged, *changed], waiting) == replies.inquiries(written, rules)
    assert nearby_inquiries.waiting_inquiry(written, rules) == waiting


@pytest.mark.parametrize("seed", range(100))
def test_only_inquiries_of_one_local_day_share_a_unit(seed: int) -> None:
    """R1: earlier inquiries share a unit with those that opened on the same local day."""
    chance = random.Random(seed)
    rules, written = chance.choice(RULES), _some(chance)
    at = nearby_inquiries.first_affected(written, chance.choice(written).at_ms)
    before, _ = replies.inquiries(written[:at], rules)
    changed, _ = nearby_inquiries.inquiries_from(written, at, rules)
    if changed:
        days = {rules.day_of(one.opened_ms) for one in changed if rules.count_per == "buyer_day"}
        sharing = [one for one in before if rules.day_of(one.opened_ms) in days]
        answered = nearby_inquiries.answered_before(written, at, rules)
        assert nearby_inquiries.sharing_units(answered, changed, rules) == sharing
        assert nearby_inquiries.sharing_units(before, changed, rules) == sharing


@pytest.mark.parametrize("seed", range(20))
def test_an_inquiry_alone_counts_by_names(seed: int) -> None:
    """R2: the names of an inquiry's columns are the plain counts of that inquiry alone."""
    chance = random.Random(seed)
    rules, written = chance.choice(RULES), _some(chance)
    answered, waiting = replies.inquiries(written, rules)
    for one in (*answered, *([waiting] if waiting else [])):
        assert replies.counted([one], rules, CALENDAR) == {
            CALENDAR.start_of(one.opened_ms): Counter(nearby_inquiries.columns_alone(one))
        }


@pytest.mark.parametrize("seed", range(100))
def test_changes_are_the_counts_after_minus_the_counts_before(seed: int) -> None:
    """Some inquiries change after others that do not.

    Each changed column is listed once, in the order of cycle and name, and no other.
    """
    chance = random.Random(seed)
    rules, written = chance.choice(RULES), _some(chance)
    after, waiting = replies.inquiries(written, rules)
    if waiting is not None:
        after.append(waiting)
    if not after:
        return
    first = chance.randrange(len(after))
    unchanged = after[:first]
    before = [one for one in after[first:] if chance.random() < 0.3]
    found = replies.column_changes(before, after[first:], rules, CALENDAR, unchanged)
    counts_before = _columns([*unchanged, *before], rules)
    counts_after = _columns(after, rules)
    changed = [(start_ms, name) for start_ms, columns in found.items() for name in columns]
    assert changed == sorted(changed)
    assert {at: found[at[0]][at[1]] for at in changed} == {
        at: change
        for at in counts_before.keys() | counts_after.keys()
        if (change := counts_after.get(at, 0) - counts_before.get(at, 0))
    }


def _columns(decided: list[Inquiry], rules: ServiceRules) -> dict[tuple[int, str], int]:
    """The plain counts by the cycle's start and name."""
    counted = replies.counted(decided, rules, CALENDAR)
    return {
        (start_ms, name): number
        for start_ms, columns in counted.items()
        for name, number in columns.items()
    }
