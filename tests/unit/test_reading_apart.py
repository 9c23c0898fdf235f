"""Steps that another process reads and folds arrive as they were."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from multiprocessing import Pipe
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from structlog.testing import capture_logs

from schemas import journal
from schemas.columns import SALE_COLUMNS
from serving import reading_apart
from serving.folded_journal import FoldedStep, fold
from streams.errors import KafkaUnreachable
from streams.log import FollowStep
from streams.settings import Settings
from tests.flow import Record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from multiprocessing.connection import Connection

Body = Callable[[Settings, dict[Any, int], frozenset[str], "Connection"], None]
ROWS, JOURNAL = ("rows", 0), ("sales", 1)
LARGE = 2**63 - 1
ENTRY = {
    **dict.fromkeys(SALE_COLUMNS, LARGE),
    "type": "entry",
    "product_id": "p-1",
    "currency": "CNY",
    "cycle": "2026-06-06T00:00:00Z",
    "restates": False,
    "shop_id": "s-1",
    "buyer_id": "b-1",
    "order_id": "o-1",
    "line_id": "1",
    "sold_at": "2026-07-01T08:00:00.000Z",
    "event_type": "receipt_confirmed",
    "event_id": "e",
    "event_source": "/s",
    "occurred_at": "2026-07-01T08:00:00.000Z",
    "rules": 7,
}
STEPS = [
    FollowStep(
        {
            ROWS: [Record(*ROWS, 3, 5, b"k", b"v", []), Record(*ROWS, 4, 5, b"gone", None, [])],
            JOURNAL: [
                Record(*JOURNAL, offset, 5, b"p-1", journal.encode(entry), [])
                for offset, entry in enumerate(
                    [
                        msgspec.convert(ENTRY | {"id": f"orders-1@{number}#0"}, journal.Entry)
                        for number in range(3)
                    ]
                )
            ],
        },
        {ROWS: 5, JOURNAL: 3},
        {ROWS: 9, JOURNAL: 3},
        frozenset({ROWS}),
        1_800_000_000_000,
    ),
    FollowStep({JOURNAL: []}, {ROWS: 9, JOURNAL: 3}, {ROWS: 9, JOURNAL: 3}, frozenset(), None),
]


def parts(step: FollowStep) -> tuple[object, ...]:
    """A step in a form in which equal ones are equal, its journal folded."""
    journal = (
        step.journal
        if isinstance(step, FoldedStep)
        else {at: fold(some) for at, some in step.records.items() if some and at == JOURNAL}
    )
    rows = {
        at: [(one.offset, one.timestamp, one.key, one.value) for one in some]
        for at, some in step.records.items()
        if at != JOURNAL
    }
    return rows, journal, step.positions, step.ends, step.behind, step.answered_ms, step.count


async def test_steps_arrive_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums above 64 bits, too; the other process ends with the step that is behind nowhere."""
    sent = await _received(monkeypatch, STEPS + STEPS, None)
    assert list(map(parts, sent)) == list(map(parts, STEPS))
    folded = sent[0].journal[JOURNAL]
    assert folded.sums.hours["2026-06-06T00:00:00Z"]["CNY"].popitem()[1].units_gross == 3 * LARGE


async def test_a_lost_log_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its sentence, behind the steps that were read before."""
    with pytest.raises(KafkaUnreachable, match="no broker"):
        await _received(monkeypatch, STEPS[:1], KafkaUnreachable("no broker answers"))


async def _received(
    monkeypatch: pytest.MonkeyPatch, steps: list[FollowStep], error: Exception | None
) -> list[FoldedStep]:
    """What arrives of these steps, sent by a thread in place of a process."""

    async def follow(*_: object) -> AsyncIterator[FollowStep]:
        for step in steps:
            yield step
        if error is not None:
            raise error

    monkeypatch.setattr("streams.log.follow", follow)
    ours, theirs = Pipe(duplex=False)

    async def send() -> None:
        await reading_apart._send(Settings(_env_file=None), {}, frozenset({"sales"}), theirs)
        theirs.close()

    sending = asyncio.create_task(send())
    found = []
    try:
        while True:
            found.append(await asyncio.to_thread(reading_apart._received, ours))
    except EOFError:
        return found
    finally:
        await sending
        ours.close()


def send_one_and_end(
    settings: Settings, starts: dict[Any, int], journals: frozenset[str], connection: Connection
) -> None:
    """The body of a process that ends early."""
    assert (settings.app, starts) == ("netsold", {ROWS: 3, JOURNAL: 0})
    connection.send_bytes(reading_apart._encoded(STEPS[0], journals))


def send_all(
    settings: Settings, starts: dict[Any, int], journals: frozenset[str], connection: Connection
) -> None:
    """The body of a process that reads to the end."""
    send_one_and_end(settings, starts, journals, connection)
    connection.send_bytes(reading_apart._encoded(STEPS[1], journals))


@pytest.mark.parametrize(("body", "steps"), [(send_one_and_end, 1), (send_all, 2)])
async def test_what_follows_is_read_in_this_process(
    monkeypatch: pytest.MonkeyPatch, body: Body, steps: int
) -> None:
    """No step says that all is read, as the log may have grown. An early end is logged."""
    monkeypatch.setattr(reading_apart, "_send_steps", body)
    starts = {ROWS: 3, JOURNAL: 0}
    found = reading_apart.follow_apart(Settings(_env_file=None), starts, ["sales"])
    with capture_logs() as logs:
        async with aclosing(found):
            behind = [step.behind async for step in found]
    assert behind == [frozenset({ROWS}), frozenset(starts)][:steps]
    assert [line["log_level"] for line in logs] == ["warning"] * (2 - steps)
