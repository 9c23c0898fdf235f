"""The one list of stages and tables: what feeds what, under which names and keys. Topics, stores, readers and docs are made from it."""

from dataclasses import dataclass
from typing import Final

ORDERS_TOPIC: Final = "orders"
SALES_TOPIC: Final = "sales"
SHOP_ACTIVITY_TOPIC: Final = "shop-activity"


@dataclass(frozen=True, slots=True)
class Table:
    """A table: `keyed_by` names the id in its keys, `windowed` whether a cycle's start follows it there; `stage` alone writes it."""

    name: str
    keyed_by: str
    windowed: bool
    stage: str
    holds: str


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the flow: reads one topic, writes its tables, sends to topics (names without the setting's prefix)."""

    name: str
    source: str
    sends: tuple[str, ...]

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables that this stage writes."""
        return tuple(table for table in TABLES if table.stage == self.name)


ORDERS: Final = Table("orders", "order_id", windowed=False, stage="order", holds="the facts known about each order")
PRODUCT_CYCLES: Final = Table("product_cycles", "product_id", windowed=True, stage="product", holds="each product's sales in each cycle")
PRODUCT_TOTALS: Final = Table("product_totals", "product_id", windowed=False, stage="product", holds="each product's sales of all time")
SHOP_CYCLES: Final = Table("shop_cycles", "shop_id", windowed=True, stage="shop", holds="each shop's sales in each cycle")
SHOP_TOTALS: Final = Table("shop_totals", "shop_id", windowed=False, stage="shop", holds="each shop's sales of all time")

TABLES: Final = (ORDERS, PRODUCT_CYCLES, PRODUCT_TOTALS, SHOP_CYCLES, SHOP_TOTALS)

ORDER_STAGE: Final = Stage("order", ORDERS_TOPIC, sends=(SALES_TOPIC, SHOP_ACTIVITY_TOPIC))
PRODUCT_STAGE: Final = Stage("product", SALES_TOPIC, sends=())
SHOP_STAGE: Final = Stage("shop", SHOP_ACTIVITY_TOPIC, sends=())

STAGES: Final = (ORDER_STAGE, PRODUCT_STAGE, SHOP_STAGE)


def cycle_key(subject: bytes, start_ms: int) -> bytes:
    """The key of a windowed table: the id, `@`, the cycle's start in epoch milliseconds."""
    return b"%b@%d" % (subject, start_ms)


def split_cycle_key(key: bytes) -> tuple[str, int]:
    """(id, cycle's start) of a windowed table's key; the id may hold `@` itself."""
    subject, _, start_ms = key.rpartition(b"@")
    return subject.decode(), int(start_ms)
