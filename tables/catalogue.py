"""The one list of stages and tables: what feeds what, under which names and keys.

Topics, stores, readers and docs are made from it.
"""

from dataclasses import dataclass
from typing import Final

ORDERS_TOPIC: Final = "orders"
CHATS_TOPIC: Final = "chats"
SALES_TOPIC: Final = "sales"
SHOP_ACTIVITY_TOPIC: Final = "shop-activity"
ALERTS_TOPIC: Final = "alerts"


@dataclass(frozen=True, slots=True)
class Table:
    """A table: `keyed_by` names the id in its keys, `windowed` whether a cycle's start follows it there; `stage` alone writes it."""

    name: str
    keyed_by: str
    windowed: bool
    stage: str
    holds: str


@dataclass(frozen=True, slots=True)
class StageSpec:
    """A step of the flow: reads one topic, writes its tables, sends to topics (names without the setting's prefix).

    In the topics that it `sends` to it also marks how far it is; those that it only `emits` to are for the outside.
    """

    name: str
    source: str
    sends: tuple[str, ...] = ()
    emits: tuple[str, ...] = ()

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables that this stage writes."""
        return tuple(table for table in TABLES if table.stage == self.name)


ORDERS: Final = Table(
    "orders", "order_id", windowed=False, stage="order", holds="the facts known about each order"
)
CHATS: Final = Table(
    "chats",
    "conversation",
    windowed=False,
    stage="chat",
    holds="the messages between each shop and buyer",
)
REPLY_TIMERS: Final = Table(
    "reply_timers",
    "due",
    windowed=False,
    stage="chat",
    holds="which conversations to look at again, and when",
)
OVERDUE: Final = Table(
    "overdue",
    "conversation",
    windowed=False,
    stage="chat",
    holds="the inquiries whose time has passed without a reply",
)
PRODUCT_CYCLES: Final = Table(
    "product_cycles",
    "product_id",
    windowed=True,
    stage="product",
    holds="each product's sales in each cycle",
)
PRODUCT_TOTALS: Final = Table(
    "product_totals",
    "product_id",
    windowed=False,
    stage="product",
    holds="each product's sales of all time",
)
PRODUCT_SERVICE_CYCLES: Final = Table(
    "product_service_cycles",
    "product_id",
    windowed=True,
    stage="product",
    holds="each product's reviews and complaints in each cycle",
)
SHOP_CYCLES: Final = Table(
    "shop_cycles", "shop_id", windowed=True, stage="shop", holds="each shop's sales in each cycle"
)
SHOP_TOTALS: Final = Table(
    "shop_totals", "shop_id", windowed=False, stage="shop", holds="each shop's sales of all time"
)
SHOP_SERVICE_CYCLES: Final = Table(
    "shop_service_cycles",
    "shop_id",
    windowed=True,
    stage="shop",
    holds="each shop's service in each cycle",
)
SHOP_SERVICE_TOTALS: Final = Table(
    "shop_service_totals",
    "shop_id",
    windowed=False,
    stage="shop",
    holds="each shop's service of all time",
)
SHOP_BUYERS: Final = Table(
    "shop_buyers",
    "conversation",
    windowed=False,
    stage="shop",
    holds="what each buyer bought of each shop, and who wrote",
)

TABLES: Final = (
    ORDERS,
    CHATS,
    REPLY_TIMERS,
    OVERDUE,
    PRODUCT_CYCLES,
    PRODUCT_TOTALS,
    PRODUCT_SERVICE_CYCLES,
    SHOP_CYCLES,
    SHOP_TOTALS,
    SHOP_SERVICE_CYCLES,
    SHOP_SERVICE_TOTALS,
    SHOP_BUYERS,
)

ORDER_STAGE: Final = StageSpec("order", ORDERS_TOPIC, sends=(SALES_TOPIC, SHOP_ACTIVITY_TOPIC))
CHAT_STAGE: Final = StageSpec(
    "chat", CHATS_TOPIC, sends=(SHOP_ACTIVITY_TOPIC,), emits=(ALERTS_TOPIC,)
)
PRODUCT_STAGE: Final = StageSpec("product", SALES_TOPIC)
SHOP_STAGE: Final = StageSpec("shop", SHOP_ACTIVITY_TOPIC)

STAGES: Final = (ORDER_STAGE, CHAT_STAGE, PRODUCT_STAGE, SHOP_STAGE)


def event_topics(stage: str) -> tuple[str, ...]:
    """The topics of events that a stage of this name is fed by, be it through other stages."""
    source = next(one.source for one in STAGES if one.name == stage)
    return tuple(
        topic for one in STAGES if source in one.sends for topic in event_topics(one.name)
    ) or (source,)


def conversation_key(shop_id: str, buyer_id: str) -> bytes:
    """The key of what is between a shop and a buyer.

    Ids have no control characters, so no two pairs have the same.
    """
    return f"{shop_id}\x1f{buyer_id}".encode()


def split_conversation_key(key: bytes) -> tuple[str, str]:
    """(shop_id, buyer_id) of a key that `conversation_key` made."""
    shop_id, _, buyer_id = key.decode().partition("\x1f")
    return shop_id, buyer_id


def cycle_key(subject: bytes, start_ms: int) -> bytes:
    """The key of a windowed table: the id, `@`, the cycle's start in epoch milliseconds."""
    return b"%b@%d" % (subject, start_ms)


def split_cycle_key(key: bytes) -> tuple[str, int]:
    """(id, cycle's start) of a windowed table's key; the id may hold `@` itself."""
    subject, _, start_ms = key.rpartition(b"@")
    return subject.decode(), int(start_ms)
