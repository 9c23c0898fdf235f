"""Follows a log in another process, which folds the journal as well, while much is to be read.

Fetching, parsing and folding cost as much as the rest of applying, and Python computes in one
thread at a time. So with a second core a store fills in about half the time, and answers wait less
for the lock meanwhile.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from serving.folded_journal import FoldedJournal, FoldedStep, NewBrief, Sums, fold
from streams import log
from streams.collecting import collect_rarely
from streams.errors import KafkaUnreachable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Mapping
    from multiprocessing.connection import Connection

    from streams.log import At, FollowStep
    from streams.settings import Settings

logger = structlog.get_logger()

END_S: Final = 5.0
"""How long a process has to end before it is killed."""

OBJECTS: Final = 500_000
"""A step makes fewer objects that garbage is collected by."""


class SentRecord(msgspec.Struct, array_like=True, gc=False):
    """A record of a step. Headers are not sent: no table has any."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None

    @property
    def headers(self) -> tuple[()]:
        """None are sent."""
        return ()


class _Folded(msgspec.Struct, array_like=True, gc=False):
    """A FoldedJournal; its sums in JSON, as one may be larger than 64 bits."""

    count: int
    offset: int
    rows: list[tuple[bytes, bytes]]
    marks: list[bytes]
    briefs: list[NewBrief]
    sums: bytes


class _Sent(msgspec.Struct, array_like=True, gc=False):
    """A step, or why the log can't be read."""

    records: list[tuple[str, int, list[SentRecord]]] = []
    folded: list[tuple[str, int, _Folded]] = []
    positions: list[tuple[str, int, int]] = []
    ends: list[tuple[str, int, int]] = []
    behind: list[tuple[str, int]] = []
    answered_ms: int | None = None
    failed: str | None = None


_encode: Final[Callable[[_Sent], bytes]] = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Sent).decode
_encode_sums: Final[Callable[[Sums], bytes]] = msgspec.json.Encoder().encode
_decode_sums: Final = msgspec.json.Decoder(Sums).decode


def has_second_core() -> bool:
    """Whether another process would compute beside this one."""
    return len(os.sched_getaffinity(0)) > 1


async def follow_apart(
    settings: Settings, starts: Mapping[At, int], journals: Collection[str]
) -> AsyncGenerator[FollowStep, None]:
    """As `log.follow`, in another process, until all is read that the log had at the start.

    The last step is still behind in all partitions: follow from its positions on in this process,
    also where the other one ends early. `journals` are the topics whose records arrive folded.
    Raises KafkaUnreachable.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(
        target=_send_steps, args=(settings, dict(starts), frozenset(journals), theirs), daemon=True
    )
    process.start()
    theirs.close()
    try:
        while True:
            try:
                step = await asyncio.to_thread(_received, ours)
            except EOFError:
                logger.warning("the other process has ended, reading the log in this one")
                return
            yield step if step.behind else replace(step, behind=frozenset(starts))
            if not step.behind:
                return
    finally:
        process.terminate()  # before the pipe is closed: a thread may wait for it to be written
        await asyncio.to_thread(process.join, END_S)
        if process.is_alive():
            process.kill()
        ours.close()


def _received(connection: Connection) -> FoldedStep:
    sent = _decode(connection.recv_bytes())
    if sent.failed is not None:
        raise KafkaUnreachable(sent.failed)
    return FoldedStep(
        {(topic, number): some for topic, number, some in sent.records},
        {(topic, number): offset for topic, number, offset in sent.positions},
        {(topic, number): offset for topic, number, offset in sent.ends},
        frozenset(sent.behind),
        sent.answered_ms,
        journal={
            (topic, number): FoldedJournal(
                one.count, one.offset, one.rows, one.marks, one.briefs, _decode_sums(one.sums)
            )
            for topic, number, one in sent.folded
        },
    )


def _send_steps(
    settings: Settings, starts: dict[At, int], journals: frozenset[str], connection: Connection
) -> None:
    """The body of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it ends it
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    collect_rarely(OBJECTS)
    with suppress(BrokenPipeError):
        asyncio.run(_send(settings, starts, journals, connection))


async def _send(
    settings: Settings, starts: dict[At, int], journals: frozenset[str], connection: Connection
) -> None:
    """Send the steps, the next one being made while the one before is sent."""
    sending = asyncio.create_task(asyncio.sleep(0))
    try:
        async with aclosing(log.follow(settings, starts)) as steps:
            async for step in steps:
                data = await asyncio.to_thread(_encoded, step, journals)
                await sending
                sending = asyncio.create_task(asyncio.to_thread(connection.send_bytes, data))
                if not step.behind:
                    break
        await sending
    except log.READING_FAILS as error:
        if isinstance(error, BrokenPipeError):
            raise
        await sending
        connection.send_bytes(_encode(_Sent(failed=str(error) or repr(error))))


def _encoded(step: FollowStep, journals: frozenset[str]) -> bytes:
    records, folded = [], []
    for (topic, number), some in step.records.items():
        if topic in journals:
            if some:
                folded.append((topic, number, _folded(fold(some))))
        else:
            sent = [SentRecord(one.offset, one.timestamp, one.key, one.value) for one in some]
            records.append((topic, number, sent))
    return _encode(
        _Sent(
            records,
            folded,
            [(*at, offset) for at, offset in step.positions.items()],
            [(*at, offset) for at, offset in step.ends.items()],
            list(step.behind),
            step.answered_ms,
        )
    )


def _folded(one: FoldedJournal) -> _Folded:
    return _Folded(one.count, one.offset, one.rows, one.marks, one.briefs, _encode_sums(one.sums))
