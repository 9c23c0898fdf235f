"""The cost of the pure stages per event and per journal entry: one core, no Kafka and no store.

`python -m bench.stages`.
"""

import gc
import random
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from operations.simulation.traffic import Plan
from operations.simulation.traffic import traffic as simulated
from schemas import envelope, times
from schemas.events import topic_of
from tables.catalogue import PRODUCT_STAGE
from tables.chat_stage import ChatStage
from tables.order_stage import OrderStage
from tables.outcome import Outcome
from tables.shop_stage import ShopStage
from tables.stages import AnyStage
from tables.summing_stage import SummingStage
from tables.terms import Terms
from tests.flow import Record, Rows, reading

ORDERS = 20_000
CHUNK = 4_000
PASSES = 5
DAY_MS = times.DAY_MS
BEGIN_MS = 1_782_864_000_000  # 2026-07-01T00:00Z


def events_of(order: int, chance: random.Random) -> Iterator[tuple[int, dict[str, Any]]]:
    """(time, event) of one order.

    It has 1.6 lines on average; most are received, 15 % refunded, some events are sent twice or
    with other content.
    """
    order_id, placed_ms = f"order-{order:08}", BEGIN_MS + chance.randrange(20 * DAY_MS)
    shop = chance.randrange(200)
    lines = [
        {
            "line_id": str(n + 1),
            "product_id": f"product-{int(5000 * chance.random() ** 3)}",
            "quantity": chance.randint(1, 3),
            "unit_price": 100 * chance.randint(1, 500),
        }
        for n in range(chance.choices((1, 2, 3, 4), (60, 25, 10, 5))[0])
    ]

    def event(kind: str, after_ms: int, source: str, **own: object) -> tuple[int, dict[str, Any]]:
        at_ms = placed_ms + after_ms
        common = {
            "type": kind,
            "id": f"{kind}-{order_id}",
            "source": source,
            "occurred_at": times.format_ms(at_ms),
            "order_id": order_id,
        }
        return at_ms, common | own

    yield event(
        "order_placed",
        0,
        f"/shops/{shop}/till",
        shop_id=f"shop-{shop}",
        buyer_id=f"buyer-{chance.randrange(50_000)}",
        currency="CNY",
        lines=lines,
    )
    if chance.random() < 0.04:
        yield event("order_cancelled", DAY_MS, "/orders", reason="unpaid")
        return
    paid = event("order_paid", 60_000, "/payments", amount=100_000)
    yield paid
    if chance.random() < 0.02:
        yield paid[0] + 5_000, paid[1]  # delivered twice
    yield event(
        "order_shipped",
        DAY_MS,
        "/warehouse",
        parcel_id=f"parcel-{order}",
        carrier="sf",
        tracking_no=f"SF{order:012}",
    )
    received_ms = chance.randrange(2 * DAY_MS, 6 * DAY_MS)
    received = event("receipt_confirmed", received_ms, "/logistics/sf", by="logistics")
    yield received
    if chance.random() < 0.01:
        # The same id with other content.
        yield event("receipt_confirmed", received_ms + 1, "/logistics/sf", by="buyer")
    if chance.random() < 0.15:
        lines_refunded = [
            {"line_id": "1", "quantity": chance.randint(0, 1), "amount": chance.randint(100, 5000)}
        ]
        yield event(
            "refund_requested",
            received_ms + DAY_MS,
            "/service",
            refund_id=f"r-{order}",
            reason="quality",
            lines=lines_refunded,
        )
        yield event(
            "refund_succeeded",
            received_ms + 3 * DAY_MS,
            "/payments",
            refund_id=f"r-{order}",
            reason="quality",
            lines=lines_refunded,
        )


def traffic(*, bare: bool) -> list[Record]:
    """The events of all orders by the time they happened, as records of one partition."""
    chance = random.Random(1)
    events = sorted(
        (one for order in range(ORDERS) for one in events_of(order, chance)), key=lambda one: one[0]
    )
    records = []
    for offset, (at_ms, event) in enumerate(events):
        key, value, headers = envelope.encode(event)
        if bare:
            value, headers = msgspec.json.encode(event), []
        records.append(Record("orders", 0, offset, at_ms, key, value, headers))
    return records


def messages() -> list[Record]:
    """As many messages of buyers and shops as there are orders, as records of one partition."""
    plan = Plan(seed=1, run="bench", start_ms=BEGIN_MS, every_ms=20 * DAY_MS / ORDERS)
    chats = islice((one for one in simulated(plan) if topic_of(one[1]["type"]) == "chats"), ORDERS)
    return [
        Record("chats", 0, offset, at_ms, *envelope.encode(event))
        for offset, (at_ms, event) in enumerate(chats)
    ]


def run(stage: AnyStage, records: list[Record]) -> tuple[float, float, list[Outcome]]:
    """Seconds spent in `read` and in `fold` over all records, chunk by chunk, and the outcomes."""
    tables = {table.name: Rows() for table in stage.spec.tables}
    read_s = fold_s = 0.0
    progress, outcomes = None, []
    for at in range(0, len(records), CHUNK):
        chunk = records[at : at + CHUNK]
        started_s = time.process_time()
        readings = reading(stage, chunk)
        read_s += time.process_time() - started_s
        started_s = time.process_time()
        outcome = stage.fold("orders-0", readings, tables, progress)
        fold_s += time.process_time() - started_s
        progress = outcome.progress
        for name, writes in outcome.writes.items():
            tables[name].update(writes)
        outcomes.append(outcome)
    return read_s, fold_s, outcomes


def sent(outcomes: list[Outcome], topic: str) -> list[Record]:
    """The records that the outcomes send to a topic, as records of one partition."""
    items = [item for outcome in outcomes for item in outcome.sends[topic]]
    return [
        Record(topic, 0, offset, 0, key, value, []) for offset, (key, value) in enumerate(items)
    ]


def line(name: str, stage: AnyStage, records: list[Record]) -> list[Outcome]:
    """Run a stage PASSES times and print the best."""
    read_us = fold_us = float("inf")
    outcomes: list[Outcome] = []
    for _ in range(PASSES):
        outcomes.clear()
        read_s, fold_s, outcomes = run(stage, records)
        read_us, fold_us = (
            min(read_us, read_s / len(records) * 1e6),
            min(fold_us, fold_s / len(records) * 1e6),
        )
    print(f"{name:34} {len(records):9,} {read_us:8.2f} {fold_us:8.2f} {read_us + fold_us:8.2f}")
    return outcomes


def main() -> None:
    """Print CPU microseconds per record of each stage."""
    terms = Terms()
    forms = {
        "orders, CloudEvents binary": traffic(bare=False),
        "orders, bare JSON": traffic(bare=True),
    }
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)  # as the worker does
    print(f"{'CPU microseconds per record':34} {'records':>9} {'read':>8} {'fold':>8} {'both':>8}")
    outcomes: list[Outcome] = []
    for name, records in forms.items():
        outcomes = line(name, OrderStage(terms, 1000), records)
    line("entries → products", SummingStage(PRODUCT_STAGE, terms, 1000), sent(outcomes, "sales"))
    line("activity of orders → shops", ShopStage(terms, 1000), sent(outcomes, "shop-activity"))
    outcomes = line("messages, CloudEvents binary", ChatStage(terms, 1000), messages())
    line("activity of chats → shops", ShopStage(terms, 1000), sent(outcomes, "shop-activity"))


if __name__ == "__main__":
    main()
