"""The catalogue: every public topic, stage and table of the flow, with its names and keys.

Declared topics, stores, readers, reports, reference pages and the flow picture are made from it.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

ORDERS_TOPIC: Final = "orders"
CHATS_TOPIC: Final = "chats"
SALES_TOPIC: Final = "sales"
SHOP_ACTIVITY_TOPIC: Final = "shop-activity"
ALERTS_TOPIC: Final = "alerts"
DEAD_LETTERS_TOPIC: Final = "dead-letters"
DECISIONS_TOPIC: Final = "dead-letter-decisions"
NAMES_TOPIC: Final = "names"
CONTROL_TOPIC: Final = "control"
PRODUCT_SALES_TOPIC: Final = "product-sales"
SHOP_SALES_TOPIC: Final = "shop-sales"
CYCLES_TOPIC: Final = "cycles"

TopicKind = Literal[
    "source",
    "journal",
    "rows",
    "cycles",
    "alerts",
    "dead letters",
    "decisions",
    "names",
    "control",
]
RowForm = Literal["order", "conversation", "timer", "overdue", "sales", "service", "buyer", "share"]
"""What the rows of a table are: which module encodes them, and how a reader answers them."""


@dataclass(frozen=True, slots=True)
class PublicTopic:
    """A topic for producers or pipelines outside netsold.

    `name` is without the prefix of the settings. `key` is what the key of its records is. The
    `kind` decides its policy (streams/topics.py).
    """

    name: str
    kind: TopicKind
    key: str
    contents: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table, which its `stage` alone writes.

    `keyed_by` names the id in its keys; in a `windowed` table the start of a cycle follows it.
    `reader_space` is the byte that begins the keys of its rows in a reader's store, None for a
    table that readers do not follow.
    """

    name: str
    keyed_by: str
    windowed: bool
    stage: str
    form: RowForm
    contents: str
    reader_space: bytes | None = None


@dataclass(frozen=True, slots=True)
class StageSpec:
    """A step of the flow: it reads one topic, writes its tables and sends records to topics.

    Topics are named without the prefix of the settings. A topic in `sends` also gets the progress
    marks of the stage; a topic in `emits` is for the outside and gets none. A topic in `publishes`
    is for the outside, too, and a record goes to the partition of what it was made from: there it
    is in order with how far that is complete.
    """

    name: str
    source: str
    sends: tuple[str, ...] = ()
    emits: tuple[str, ...] = ()
    publishes: tuple[str, ...] = ()

    @property
    def written(self) -> tuple[str, ...]:
        """The topics that this stage writes."""
        return (*self.sends, *self.emits, *self.publishes)

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables that this stage writes."""
        return tuple(table for table in TABLES if table.stage == self.name)


PUBLIC_TOPICS: Final = (
    PublicTopic(
        ORDERS_TOPIC,
        "source",
        "order_id",
        "events of orders from shops, logistics and payments: a source of truth",
    ),
    PublicTopic(
        CHATS_TOPIC,
        "source",
        "shop_id/buyer_id",
        "messages between buyers and shops: a source of truth",
    ),
    PublicTopic(
        SALES_TOPIC,
        "journal",
        "product_id",
        "the sales journal: an immutable entry per change of what counts, and per change of a"
        " product's service",
    ),
    PublicTopic(
        SHOP_ACTIVITY_TOPIC,
        "journal",
        "shop_id",
        "what a chunk changed of each shop: sums of its entries and replies, rows of its service,"
        " contacts and messages",
    ),
    PublicTopic(
        PRODUCT_SALES_TOPIC,
        "rows",
        "product_id@CYCLE or product_id@all",
        "each product's sales in each cycle and of all time, as the tables have them",
    ),
    PublicTopic(
        SHOP_SALES_TOPIC,
        "rows",
        "shop_id@CYCLE or shop_id@all",
        "each shop's sales in each cycle and of all time, as the tables have them",
    ),
    PublicTopic(
        CYCLES_TOPIC,
        "cycles",
        "product/ID, shop/ID or marketplace",
        "the sales of each product, shop and of the marketplace when a cycle ended, and each later"
        " change of them",
    ),
    PublicTopic(
        ALERTS_TOPIC,
        "alerts",
        "shop_id",
        "one alert per inquiry that became overdue, and one if it was answered late",
    ),
    PublicTopic(
        DEAD_LETTERS_TOPIC,
        "dead letters",
        "the parked record's",
        "records that were refused: unchanged, each with its reason",
    ),
    PublicTopic(
        DECISIONS_TOPIC,
        "decisions",
        "the dead letter's position",
        "which dead letters were put back or discarded, by whom and why",
    ),
    PublicTopic(
        NAMES_TOPIC,
        "names",
        "product/ID or shop/ID",
        "display names and pictures of products and shops, for readers alone; may be empty",
    ),
    PublicTopic(
        CONTROL_TOPIC,
        "control",
        "version/APP, pointer, act/…, diff/APP or audit/APP",
        "the versions of a family, which one readers answer from, and who changed that",
    ),
)
EVENT_TOPICS: Final = tuple(topic.name for topic in PUBLIC_TOPICS if topic.kind == "source")
"""The topics that producers outside write events to."""

FAMILY_TOPICS: Final = tuple(
    topic.name for topic in PUBLIC_TOPICS if topic.kind in {"source", "alerts", "names", "control"}
)
"""The topics that all versions of a family share."""

TABLES: Final = (
    ORDERS := Table(
        "orders",
        "order_id",
        windowed=False,
        stage="order",
        form="order",
        contents="the facts known about each order",
        reader_space=b"o",
    ),
    PRODUCT_CYCLES := Table(
        "product_cycles",
        "product_id",
        windowed=True,
        stage="product",
        form="sales",
        contents="each product's sales in each cycle",
        reader_space=b"c",
    ),
    PRODUCT_TOTALS := Table(
        "product_totals",
        "product_id",
        windowed=False,
        stage="product",
        form="sales",
        contents="each product's sales of all time",
    ),
    PRODUCT_SERVICE_CYCLES := Table(
        "product_service_cycles",
        "product_id",
        windowed=True,
        stage="product",
        form="service",
        contents="each product's reviews and complaints in each cycle",
        reader_space=b"C",
    ),
    MARKETPLACE_SHARES := Table(
        "marketplace_shares",
        "cycle",
        windowed=False,
        stage="product",
        form="share",
        contents="of each ended cycle, the sales of all products of a partition together",
    ),
    SHOP_CYCLES := Table(
        "shop_cycles",
        "shop_id",
        windowed=True,
        stage="shop",
        form="sales",
        contents="each shop's sales in each cycle",
        reader_space=b"s",
    ),
    SHOP_TOTALS := Table(
        "shop_totals",
        "shop_id",
        windowed=False,
        stage="shop",
        form="sales",
        contents="each shop's sales of all time",
    ),
    SHOP_SERVICE_CYCLES := Table(
        "shop_service_cycles",
        "shop_id",
        windowed=True,
        stage="shop",
        form="service",
        contents="each shop's service in each cycle",
        reader_space=b"S",
    ),
    SHOP_SERVICE_TOTALS := Table(
        "shop_service_totals",
        "shop_id",
        windowed=False,
        stage="shop",
        form="service",
        contents="each shop's service of all time",
        reader_space=b"E",
    ),
    SHOP_BUYERS := Table(
        "shop_buyers",
        "conversation",
        windowed=False,
        stage="shop",
        form="buyer",
        contents="each buyer's orders at each shop, and who wrote first",
    ),
    CHATS := Table(
        "chats",
        "conversation",
        windowed=False,
        stage="chat",
        form="conversation",
        contents="the messages between each shop and buyer",
    ),
    REPLY_TIMERS := Table(
        "reply_timers",
        "due",
        windowed=False,
        stage="chat",
        form="timer",
        contents="the timers of unanswered inquiries, by when they expire",
    ),
    OVERDUE_INQUIRIES := Table(
        "overdue",
        "conversation",
        windowed=False,
        stage="chat",
        form="overdue",
        contents="the inquiries whose time has passed without a reply",
        reader_space=b"v",
    ),
)
"""Every table. A row has a name where other code refers to that one table."""

READER_TABLES: Final = tuple(table for table in TABLES if table.reader_space is not None)
"""The tables that a reader follows. The totals of sales are not among them: a reader sums the
cycles, so that one answer comes from one partition at one mark."""

REPORT_LISTS: Final = {
    "products": PRODUCT_CYCLES,
    "shops": SHOP_CYCLES,
    "anomalies": ORDERS,
    "shop_service": SHOP_SERVICE_CYCLES,
    "shop_service_totals": SHOP_SERVICE_TOTALS,
    "product_service": PRODUCT_SERVICE_CYCLES,
    "overdue": OVERDUE_INQUIRIES,
}
"""The lists of a report (tables/report.py) in its order, each with the table it is made from.

The name of a list of sales is also a part of the reader's address: `/v1/products/{product_id}`.
"""

STAGES: Final = (
    ORDER_STAGE := StageSpec("order", ORDERS_TOPIC, sends=(SALES_TOPIC, SHOP_ACTIVITY_TOPIC)),
    CHAT_STAGE := StageSpec(
        "chat", CHATS_TOPIC, sends=(SHOP_ACTIVITY_TOPIC,), emits=(ALERTS_TOPIC,)
    ),
    PRODUCT_STAGE := StageSpec(
        "product", SALES_TOPIC, publishes=(PRODUCT_SALES_TOPIC, CYCLES_TOPIC)
    ),
    SHOP_STAGE := StageSpec(
        "shop", SHOP_ACTIVITY_TOPIC, publishes=(SHOP_SALES_TOPIC, CYCLES_TOPIC)
    ),
)
"""Every stage, in the order of the flow."""


def key_of(topic: str) -> str:
    """What the key of a public topic's records is, such as `product_id`."""
    return next(one.key for one in PUBLIC_TOPICS if one.name == topic)


def _check() -> None:
    """Raises TypeError if the lists don't fit together: the import of a wrong catalogue fails."""
    journals = {topic.name for topic in PUBLIC_TOPICS if topic.kind == "journal"}
    sources = {stage.source for stage in STAGES}
    sent = {topic for stage in STAGES for topic in stage.sends}
    if sent != journals or sources != {*journals, *EVENT_TOPICS}:
        raise TypeError(
            "every journal needs a stage that sends to it and one that reads it: journals"
            f" {sorted(journals)}, sent {sorted(sent)}, read {sorted(sources)}"
        )
    rows = {topic.name for topic in PUBLIC_TOPICS if topic.kind == "rows"}
    if sorted(rows) != sorted(name for stage in STAGES for name in stage.publishes if name in rows):
        raise TypeError(f"every topic of rows needs one stage that publishes them: {sorted(rows)}")
    if {table.stage for table in TABLES} != {stage.name for stage in STAGES}:
        raise TypeError("every table needs a stage, and every stage a table")


_check()


def event_topics(stage: str) -> tuple[str, ...]:
    """The topics of events that reach a stage, directly or through other stages."""
    source = next(one.source for one in STAGES if one.name == stage)
    return tuple(
        topic for one in STAGES if source in one.sends for topic in event_topics(one.name)
    ) or (source,)


@cache
def find_table(keyed_by: str, form: RowForm, *, windowed: bool) -> Table | None:
    """The table with this key and these rows, None if there is none."""
    return next(
        (
            table
            for table in TABLES
            if (table.keyed_by, table.form, table.windowed) == (keyed_by, form, windowed)
        ),
        None,
    )


def conversation_key(shop_id: str, buyer_id: str) -> bytes:
    """The key of a conversation: shop and buyer, with a control character between them.

    Ids have no control characters, so no two pairs have the same key.
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
    """(id, cycle's start) of a windowed table's key; the id may contain `@` itself."""
    subject, _, start_ms = key.rpartition(b"@")
    return subject.decode(), int(start_ms)
