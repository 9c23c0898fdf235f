"""Display names of simulated products and shops, drawn from their ids, so that they never change.

There are no pictures of them, so no name has one.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from schemas.names import DisplayName, NameRecord, encode_name, name_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from operations.simulation.market import Event

CHINESE: Final = 0.4
"""The share of products and shops with a Chinese name."""

_Products = tuple[tuple[str, tuple[str, ...]], ...]
"""Names, each with its sizes."""

_KINDS: Final = ("", "Organic ", "Classic ", "Premium ", "Family ", "Travel ")
_PRODUCTS: Final[_Products] = (
    ("Green tea", ("100 g", "250 g", "500 g")),
    ("Jasmine tea", ("100 g", "250 g")),
    ("Basmati rice", ("1 kg", "5 kg")),
    ("Walnuts", ("200 g", "1 kg")),
    ("Dried mango", ("150 g", "400 g")),
    ("Ground coffee", ("250 g", "1 kg")),
    ("Olive oil", ("500 ml", "1 l")),
    ("Bluetooth earphones", ("black", "white", "blue")),
    ("Phone case", ("clear", "black", "red")),
    ("USB-C cable", ("1 m", "2 m")),
    ("Desk lamp", ("white", "black")),
    ("Cotton T-shirt", ("S", "M", "L", "XL")),
    ("Running shoes", ("38", "40", "42", "44")),
    ("Wool socks", ("3 pairs", "6 pairs")),
    ("Bath towel", ("70 x 140 cm", "90 x 180 cm")),
    ("Storage box", ("5 l", "20 l")),
    ("Water bottle", ("500 ml", "750 ml")),
    ("Notebook A5", ("ruled", "squared", "plain")),
)
_CHINESE_KINDS: Final = ("", "有机", "特级", "新款", "家庭装", "便携")
_CHINESE_PRODUCTS: Final[_Products] = (
    ("龙井茶", (" 100克", " 250克", " 500克")),
    ("铁观音", (" 125克", " 250克")),
    ("东北大米", (" 5公斤", " 10公斤")),
    ("新疆红枣", (" 500克", " 1公斤")),
    ("蓝牙耳机", (" 黑色", " 白色")),
    ("手机壳", (" 透明", " 黑色")),
    ("充电宝", (" 10000毫安", " 20000毫安")),
    ("纯棉T恤", (" M", " L", " XL")),
    ("运动鞋", (" 40码", " 42码")),
    ("保温杯", (" 350毫升", " 500毫升")),
    ("毛巾", (" 2条", " 4条")),
    ("洗衣液", (" 2升", " 3升")),
)
_SHOPS: Final = ("Harbour", "Lantern", "Maple", "Riverside", "Sunrise", "Willow", "Cedar", "Comet")
_TRADES: Final = ("Tea House", "Electronics", "Outfitters", "Home", "Foods", "General Store")
_CHINESE_SHOPS: Final = ("江南", "长青", "云锦", "福满", "四季", "明月", "山海", "百味")
_CHINESE_TRADES: Final = ("茶庄", "数码专营店", "服饰旗舰店", "家居店", "食品店", "百货")


class Names:
    """The names of the products and shops of events, each once."""

    def __init__(self) -> None:
        self._named: set[str] = set()

    def of_event(self, event: Event) -> Iterator[NameRecord]:
        """The records of `names` for what an event names first."""
        for kind, id_ in self._new_in(event):
            named = DisplayName(display_name(kind, id_))
            yield NameRecord(name_key(kind, id_), encode_name(named))

    def lines_of_event(self, event: Event) -> Iterator[dict[str, str]]:
        """The same as lines of a file, as `netsold import` reads them."""
        for kind, id_ in self._new_in(event):
            yield {"type": f"{kind}_named", f"{kind}_id": id_, "name": display_name(kind, id_)}

    def _new_in(self, event: Event) -> Iterator[tuple[str, str]]:
        """(kind, id) of what an event names first."""
        if event["type"] != "order_placed":
            return
        for kind, id_ in (
            ("shop", event["shop_id"]),
            *(("product", line["product_id"]) for line in event["lines"]),
        ):
            if id_ not in self._named:
                self._named.add(id_)
                yield kind, id_


def display_name(kind: str, id_: str) -> str:
    """The name of a product or a shop (`kind`) with this id."""
    rng = Random(f"name {kind} {id_}")
    is_chinese = rng.random() < CHINESE
    if kind == "shop":
        names, trades = (_CHINESE_SHOPS, _CHINESE_TRADES) if is_chinese else (_SHOPS, _TRADES)
        return f"{rng.choice(names)}{'' if is_chinese else ' '}{rng.choice(trades)}"
    if is_chinese:
        what, sizes = rng.choice(_CHINESE_PRODUCTS)
        return f"{rng.choice(_CHINESE_KINDS)}{what}{rng.choice(sizes)}"
    what, sizes = rng.choice(_PRODUCTS)
    return f"{rng.choice(_KINDS)}{what} {rng.choice(sizes)}"
