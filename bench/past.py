"""The costs of explanations and of earlier moments: one product and its shop with many entries.

`python -m bench.past [ENTRIES]`. It needs no Kafka: the records are made here, and applied as
fetched ones are.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from bench.reader_store import START_MS, STEP, Bench, timed
from schemas import journal, times
from schemas.columns import RULES, ZERO
from schemas.journal import Entry, ProgressMark
from serving.past import PastWanted
from serving.past_answers import PastAnswers
from serving.progress import SALES_JOURNAL
from serving.subjects import PRODUCT, SHOP
from serving.turns import whole
from streams.log import FollowStep
from streams.marks import MARK_KEY, Mark, encode_mark
from tables import catalogue, sales
from tables.sales import CurrencySums, Tally
from tables.terms import Terms
from tables.watermarks import SourceProgress
from tests.flow import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

PRODUCT_ID, SHOP_ID = "p-1", "s-1"
HOUR_MS = 3_600_000


def entries(count: int) -> Iterator[bytes]:
    """Sales of two units each over the 30 days of a cycle; every tenth has a refund of one unit."""
    refund = {"units_reversed": 1, "units_booked": 1, "amount_reversed": 990, "amount_booked": 990}
    for number in range(count):
        is_refund = number % 10 == 9
        at = times.format_ms(START_MS + number * 30 * 24 * HOUR_MS // count)
        columns = (
            dict(refund) if is_refund else {"units_gross": 2, "amount_gross": 1980, "orders": 1}
        )
        yield journal.encode(
            Entry(
                product_id=PRODUCT_ID,
                currency="CNY",
                cycle=times.format_short(START_MS),
                restates=number % 100 == 0,
                id=f"orders-0@{number}#0",
                shop_id=SHOP_ID,
                buyer_id="b-1",
                order_id=f"order-2026-{number - is_refund}",
                line_id="1",
                sold_at=at,
                event_type="refund_succeeded" if is_refund else "receipt_confirmed",
                event_id=f"e-{number}",
                event_source="/logistics",
                occurred_at=at,
                rules=RULES,
                terms=Terms().name,
                refund_id=f"r-{number}" if is_refund else None,
                refunded_at=at if is_refund else None,
                **{name: columns.get(name, 0) for name in ZERO.__struct_fields__},
            )
        )


class PastBench(Bench):
    """A reader with the journal of one product and shop, and with the rows that it adds up to."""

    def apply_journal(self, count: int) -> float:
        """Apply entries, and the marks behind them; the seconds of applying."""
        at, offset, seconds = self.at[SALES_JOURNAL], 0, 0.0
        rows = entries(count)
        while offset < count:
            records = [
                Record(at[0], 0, offset + number, 0, PRODUCT_ID.encode(), value, [])
                for number, value in zip(range(STEP - 1), rows, strict=False)
            ]
            offset += len(records)
            mark = journal.encode(ProgressMark("orders", 0, offset - 1, START_MS))
            records.append(Record(at[0], 0, offset, 0, None, mark, []))
            seconds += self.step(records)
        return seconds

    def step(self, records: list[Record]) -> float:
        """Apply one step of records of one partition; its seconds."""
        at = records[0].topic, 0
        self.ends[at] = records[-1].offset + 1
        started_s = time.perf_counter()
        ends = dict(self.ends)
        whole(self.applier.apply(FollowStep({at: records}, ends, ends, frozenset())))
        return time.perf_counter() - started_s

    def rows(self, name: str, id_: str, count: int) -> None:
        """The row of the table that all entries add up to, with a mark at the last offset."""
        refunds = count // 10
        kept = count - refunds
        sums = CurrencySums(
            *(2 * kept, refunds, refunds), *(1980 * kept, 990 * refunds, 990 * refunds)
        )
        tally = Tally(currencies={"CNY": sums})
        mark = Mark(
            count - 1,
            START_MS,
            sources={"orders-0": SourceProgress(count - 1, START_MS)},
            topic="sales",
            topic_id="id",
            partition=0,
        )
        states = {
            catalogue.cycle_key(id_.encode(), START_MS): sales.encode(tally),
            MARK_KEY: encode_mark(mark),
        }
        at = self.at[name]
        self.step(
            [Record(at[0], 0, number, 0, *row, []) for number, row in enumerate(states.items())]
        )


def main(count: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as directory:
        bench = PastBench(Path(directory))
        seconds = bench.apply_journal(count)
        print(f"apply journal: {count:,} entries, {count / seconds:,.0f} a second")
        bench.rows(catalogue.PRODUCT_CYCLES.name, PRODUCT_ID, count)
        bench.rows(catalogue.SHOP_CYCLES.name, SHOP_ID, count)
        then = times.format_ms(START_MS + 15 * 24 * HOUR_MS)
        for subject, id_ in ((PRODUCT, PRODUCT_ID), (SHOP, SHOP_ID)):
            for words, past in (("now", PastWanted()), ("as of", PastWanted(None, then))):
                past_answers = PastAnswers(wanted(bench), past, subject)

                def explained(past_answers: PastAnswers = past_answers, id_: str = id_) -> object:
                    return asyncio.run(past_answers.explanation(id_, START_MS, 10))

                def about(past_answers: PastAnswers = past_answers, id_: str = id_) -> object:
                    return asyncio.run(past_answers.about(id_, START_MS))

                def top(past_answers: PastAnswers = past_answers) -> object:
                    return asyncio.run(past_answers.top(START_MS, 10))

                print(f"explain {id_} {words}: {timed(explained, 5)}")
                if past.given:
                    print(f"get {id_} {words}: {timed(about, 5)}")
                    print(f"top {words}: {timed(top, 5)}")
        files = [path for path in Path(directory).rglob("*") if path.is_file()]
        print(f"files {sum(path.stat().st_size for path in files) / 2**20:,.0f} MiB")
        bench.reader.close()


def wanted(bench: PastBench) -> Any:  # noqa: ANN401 - what a request wants, without one
    """What a request wants of freshness: nothing."""

    async def answers(*_: str) -> object:
        return bench.reader.answers()

    return SimpleNamespace(reader=bench.reader, answers=answers)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
