"""The cycle that was current at an earlier moment of log time, by the events of orders until then.

The journal's marks tell it but for a moment within a transaction in which event time entered a new
cycle, as after a rebuild, where a transaction has thousands of records. There the transaction's
records until the moment are read from the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas import envelope, limits, times
from schemas.positions import Position, offset_after
from schemas.refusals import Refusal
from serving import keys
from serving.event_index import READ_S
from serving.problems import invalid
from serving.reader import NotReady
from streams import log
from tables import catalogue

if TYPE_CHECKING:
    from serving.answers import Answers
    from serving.reader import Reader
    from tables.time_travel import Moment


async def cycle_known_at(reader: Reader, answers: Answers, moment: Moment, known_at_ms: int) -> int:
    """The start of the cycle that contains the earliest event time of the source partitions.

    Those without an event until then are left out. Raises NotReady where the log can't be read, and
    ProblemRaised where it had no event, or too many records are to be read.
    """
    latest: dict[int, int] = {}
    unsure: dict[int, int] = {}
    for key, value in answers.snapshot.walk(keys.CYCLE_BEGINS):
        source, start_ms = keys.split_row(key)
        partition = int(source.rpartition(b"-")[2])
        former, first = keys.split_cycle_begin(value)
        if moment.knows(partition, first):
            latest[partition] = max(start_ms, latest.get(partition, start_ms))
        elif moment.knows(partition, offset_after(former)):
            unsure[partition] = offset_after(former)
    for partition, begin in unsure.items():
        end = moment.bounds[partition]
        if end - begin > limits.HISTORIES_EVENTS:
            raise invalid(
                "known_at",
                f"{times.format_ms(known_at_ms)} is within a transaction, and {end - begin:,}"
                f" records of it, more than {limits.HISTORIES_EVENTS:,}, decide which cycle was"
                " current: name one by `cycle`",
            )
        reached_ms = await _event_time(reader, partition, begin, end)
        if reached_ms is not None:
            start_ms = answers.calendar.start_of(reached_ms)
            latest[partition] = max(start_ms, latest.get(partition, start_ms))
    if not latest:
        raise invalid(
            "known_at",
            f"the log had no event at {times.format_ms(known_at_ms)}, so no cycle was"
            " current: name one by `cycle`, or a later instant",
        )
    return min(latest.values())


async def _event_time(reader: Reader, partition: int, begin: int, end: int) -> int | None:
    """The latest event time in some records of a partition of orders; None without an event."""
    topic = reader.settings.topic(catalogue.ORDERS_TOPIC)
    at = topic, partition
    found = []
    try:
        index = await reader.index.snapshot({f"{topic}-{partition}": end - 1})
        for start in range(begin, end, limits.INDEX_RECORDS):
            offsets = range(start, min(end, start + limits.INDEX_RECORDS))
            records = (await reader.index.log.read({at: offsets}, READ_S))[at]
            readings = {offset: envelope.read(record) for offset, record in records.items()}
            found += [
                reading.occurred_at_ms
                for offset, reading in readings.items()
                if not isinstance(reading, Refusal)
                and index.dead_letter(Position(topic, partition, offset)) is None
            ]
    except (*log.READING_FAILS, TimeoutError) as error:
        raise NotReady(f"the events until then can't be read from the log: {error}") from error
    return max(found, default=None)
