"""The shops and products of a simulated marketplace."""

from __future__ import annotations

import math
from bisect import bisect
from itertools import accumulate
from random import Random
from typing import Any

Event = dict[str, Any]
"""An event in its bare JSON form."""


class Market:
    """Which shop sells which product at which price; a few products sell most (Zipf)."""

    def __init__(self, shops: int, products: int, buyers: int) -> None:
        rng = Random(f"market {shops} {products}")
        self.buyers = buyers
        self.weights = list(accumulate(1 / rank**1.1 for rank in range(1, products + 1)))
        self.prices = [round(math.exp(rng.gauss(7.5, 1.0))) + 1 for _ in range(products)]
        self.shop_of = [rng.randrange(shops) for _ in range(products)]
        self.sold_by: dict[int, list[int]] = {}
        for product, shop in enumerate(self.shop_of):
            self.sold_by.setdefault(shop, []).append(product)
        self.currency = rng.choices(("CNY", "USD", "EUR", "JPY"), (85, 7, 5, 3), k=shops)

    def draw(self, rng: Random) -> int:
        """The index of a random product, popular ones more often."""
        return bisect(self.weights, rng.random() * self.weights[-1])
