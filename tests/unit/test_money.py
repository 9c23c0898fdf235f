"""Money as people read it: with its currency's decimals, in integers only."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.commands.get import MONEY
from schemas import limits
from schemas.events import MODELS, ClaimedLine, OrderPlaced, PlacedLine
from schemas.money import CURRENCIES, DECIMALS, shown


@pytest.mark.parametrize(
    ("currency", "minor", "text"),
    [
        ("USD", 2997, "29.97"),
        ("USD", 123_456_789, "1,234,567.89"),
        ("USD", 7, "0.07"),
        ("USD", -5, "-0.05"),
        ("CNY", 2000, "20.00"),
        ("JPY", 2997, "2,997"),
        ("JPY", 0, "0"),
        ("KRW", -1_000_000, "-1,000,000"),
        ("KWD", 3002, "3.002"),
        ("CLF", 12_345, "1.2345"),
        ("UYW", 1, "0.0001"),
        ("XAU", 1200, "1,200"),
        ("HUF", 150_000, "1,500.00"),
        ("UGX", 1500, "1,500"),
        ("ISK", 1500, "1,500"),
        ("BHD", limits.PAID_MINOR, "1,000,000,000,000,000.000"),
        (None, 2997, "2,997 minor units"),
        ("QQQ", 2997, "2,997 minor units"),
    ],
)
def test_money_has_the_decimals_of_its_currency(
    currency: str | None, minor: int, text: str
) -> None:
    """It has 0, 2, 3 or 4 of them, thousands apart and the sign first.

    Without a currency the text names the unit.
    """
    assert shown(currency, minor) == text


@given(st.sampled_from(CURRENCIES), st.integers(-(10**20), 10**20))
def test_what_is_shown_is_the_amount_to_the_last_unit(currency: str, minor: int) -> None:
    """The text read back is the same amount.

    Nothing is rounded, whatever the size.
    """
    text = shown(currency, minor)
    whole, _, part = text.replace(",", "").partition(".")
    assert len(part) == DECIMALS[currency]
    assert int(whole + part) == minor
    assert text.startswith("-") == (minor < 0)


def test_every_currency_that_an_event_may_name_has_decimals() -> None:
    """The table of decimals has exactly the currencies of events."""
    assert (
        set(DECIMALS)
        == set(get_args(OrderPlaced.model_fields["currency"].annotation))
        == set(CURRENCIES)
    )
    assert set(DECIMALS.values()) == {0, 2, 3, 4}


def test_the_fields_shown_as_money_are_the_money_fields() -> None:
    """Every field that may be larger than a count is money.

    This includes fields of events and of their lines.
    """

    def most(about: dict[str, Any]) -> int:
        return max([int(about.get("maximum", 0)), *map(most, about.get("anyOf", []))])

    models: list[type[Any]] = [*MODELS.values(), PlacedLine, ClaimedLine]
    fields = [
        (name, most(about))
        for model in models
        for name, about in model.model_json_schema()["properties"].items()
    ]
    assert {name for name, bound in fields if bound > limits.QUANTITY} == MONEY
