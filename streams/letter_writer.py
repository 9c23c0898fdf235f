"""Puts dead letters back, and records decisions: each step is one Kafka transaction.

A record that is put back and its decision are in one transaction. So a letter is put back once: a
command that was ended in between is run again, and passes the letters that have a decision.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

from schemas import decisions
from schemas.errors import NetsoldError
from streams.failpoints import Point, reach
from streams.fenced_writer import FencedWriter
from streams.producers import StrictProducer
from streams.transactions import send_records
from tables.catalogue import DECISIONS_TOPIC

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from schemas.decisions import Decision
    from streams.settings import Settings
    from streams.verdicts import Requeued


def letters_id(settings: Settings) -> str:
    """The transactional id of the command that decides about an application's letters."""
    return f"{settings.app}-dead-letters"


class DecisionsInDoubt(NetsoldError):
    """It is not known whether the last transaction was committed."""


class LetterWriter(FencedWriter):
    """The one process that decides about an application's letters."""

    in_doubt = DecisionsInDoubt
    rival = "another command decides about dead letters now"
    remedy = "run the same command again, no letter is put back twice"

    def __init__(
        self,
        settings: Settings,
        connect: Callable[[Settings, str], StrictProducer] = StrictProducer,
    ) -> None:
        super().__init__(settings, letters_id(settings), connect)
        self._topic = settings.topic(DECISIONS_TOPIC)

    async def commit(self, records: Sequence[Requeued], decided: Sequence[Decision]) -> None:
        """Write records to the topics of events, and decisions, in one transaction.

        Returns once it is committed. Raises DecisionsInDoubt, or one of
        `broker_access.WITHOUT_RIGHTS`; then this writer is of no more use.
        """
        async with self._transaction() as producer:
            await self._commit(producer, records, decided)

    async def _commit(
        self,
        producer: StrictProducer,
        records: Sequence[Requeued],
        decided: Sequence[Decision],
    ) -> None:
        events: defaultdict[tuple[str, int], list[Requeued]] = defaultdict(list)
        for record in records:
            events[record.topic, record.partition].append(record)
        written: defaultdict[int, list[tuple[bytes, bytes]]] = defaultdict(list)
        for decision in decided:
            # with the letter's partition number: who reads one partition has all about its letters
            written[decision.letter.partition].append(decisions.encode(decision))
        await producer.begin_transaction()
        sent = []
        for (topic, partition), some in events.items():
            items = [(record.key, record.value) for record in some]
            headers = [record.headers for record in some]
            sent += await send_records(producer, topic, partition, items, headers)
        reach(Point.AFTER_FIRST_SEND)
        for partition, pairs in written.items():
            sent += await send_records(producer, self._topic, partition, pairs)
        await asyncio.gather(*(future for future, _ in sent))
        reach(Point.AFTER_OFFSETS)
        await producer.commit_transaction()
        reach(Point.AFTER_COMMIT)
