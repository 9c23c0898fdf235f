"""Judges open transactions: which of them hang, and whether an abort leaves nothing torn.

Pure: no clock, no requests. A transaction of a worker writes to many partitions. If some of them
have its commit and others lost it, an abort of the others would tear it apart. So a worker's
transaction is aborted only where the rest of it shows that it was not committed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from operations.doctor.results import MEND, CheckResult, fault, ok, warning
from operations.in_words import duration
from schemas.times import format_short
from schemas.wording import name_list, with_count
from streams.hanging import OFFSETS_TOPIC
from streams.letter_writer import letters_id
from streams.topics import changelog
from tables.catalogue import DECISIONS_TOPIC, EVENT_TOPICS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from streams.hanging import OpenTransaction, TransactionsSeen
    from streams.lane_offsets import LaneOffsets
    from streams.log import At
    from streams.settings import Settings

_REBUILD: Final = "see docs/runbook.md, Hanging transaction"
_DECIDED: Final = "its dead letters may be recorded as put back, and their events would be lost"
_UNKNOWN_WRITER: Final = "it can't be seen which worker wrote it, and what else was part of it"


@dataclass(frozen=True, slots=True)
class HangingTransaction:
    """One producer's hanging transaction, in all of its partitions.

    `transactional_id` is None where no coordinator knows the producer. `of_events`: a producer of
    events wrote it, and not a worker. `why_kept` is the reason for which it is not aborted here;
    None if it may be.
    """

    producer_id: int
    transactional_id: str | None
    parts: tuple[OpenTransaction, ...]
    of_events: bool
    why_kept: str | None

    @property
    def names(self) -> list[str]:
        """Where it starts in each partition."""
        return [part.name for part in self.parts]


def find_hanging(
    seen: TransactionsSeen, lanes: Sequence[LaneOffsets], settings: Settings, now_ms: int
) -> list[HangingTransaction]:
    """The hanging transactions in this application's topics, and of its offsets."""
    by_producer: defaultdict[int, list[OpenTransaction]] = defaultdict(list)
    for one in seen.hanging(now_ms, settings.transaction_timeout_ms):
        by_producer[one.producer_id].append(one)
    sources = {settings.topic(name) for name in EVENT_TOPICS}
    found = []
    for producer_id, parts in sorted(by_producer.items()):
        known = seen.coordinated.get(producer_id)
        transactional_id = None if known is None else known.transactional_id
        lane = _lane_of(transactional_id, parts, lanes, settings)
        topics = {part.topic for part in parts}
        if lane is None and topics == {OFFSETS_TOPIC}:
            continue  # another application's: its offsets are in the same topic
        of_letters = transactional_id == letters_id(settings)
        of_events = lane is None and topics <= sources and not of_letters
        if of_letters:
            # where the decisions hang, too, the letters stay open and can be put back again
            decided = settings.topic(DECISIONS_TOPIC) not in topics
            why_kept = _DECIDED if decided else None
        elif lane is None:
            why_kept = None if of_events else _UNKNOWN_WRITER
        else:
            why_kept = _why_kept(lane, {part.at for part in parts}, settings)
        found.append(
            HangingTransaction(producer_id, transactional_id, tuple(parts), of_events, why_kept)
        )
    return found


def _lane_of(
    transactional_id: str | None,
    parts: Sequence[OpenTransaction],
    lanes: Sequence[LaneOffsets],
    settings: Settings,
) -> LaneOffsets | None:
    """The lane whose worker wrote a transaction; None if it is not a worker's."""
    hanging = {part.at for part in parts}
    for lane in lanes:
        if transactional_id == f"{settings.app}-{lane.spec.name}-{lane.partition}":
            return lane
        if not hanging.isdisjoint(_changelogs(lane, settings)):
            return lane
    return None


def _changelogs(lane: LaneOffsets, settings: Settings) -> set[At]:
    """The changelog partitions that every transaction of a lane writes to."""
    return {(changelog(settings, table), lane.partition) for table in lane.marks}


def _why_kept(lane: LaneOffsets, hanging: set[At], settings: Settings) -> str | None:
    """Why an abort could tear a worker's transaction apart; None if it cannot."""
    changelogs = _changelogs(lane, settings)
    offsets_hang = any(topic == OFFSETS_TOPIC for topic, _ in hanging)
    if changelogs.isdisjoint(hanging) and not offsets_hang:
        # the worker may have gone on from it, so that offset and marks agree in either case
        return f"the rest of it, in the tables and the offset of {lane.name}, may be committed"
    if lane.why_refused(settings.app) is not None:
        return f"a part of it may be committed, as the offset and marks of {lane.name} disagree"
    if changelogs - hanging or not offsets_hang:
        return None  # these have its end, and did not advance: it was aborted
    journal = {
        (settings.topic(name), number)
        for name in lane.spec.sends
        for number in range(settings.partitions)
    }
    others = [f"{topic}-{number}" for topic, number in sorted(journal - hanging)]
    return f"a part of it may be committed in {name_list(others)}" if others else None


def judge_transactions(
    seen: TransactionsSeen, found: Sequence[HangingTransaction], now_ms: int
) -> Iterator[CheckResult]:
    """The hanging transactions, and those that their coordinator has still to end."""
    for one in found:
        who = one.transactional_id or f"producer {one.producer_id}"
        sentence = (
            f"a transaction of {who} hangs in {with_count('partition', one.parts)}, and nobody "
            f"reads past it: {name_list(one.names)}"
        )
        if one.why_kept is not None:
            sentence += f"; it is not aborted: {one.why_kept}"
        elif one.of_events:
            sentence += "; once it is aborted, its source must send those events again"
        yield fault(
            "transactions", sentence, MEND if one.why_kept is None else _REBUILD, _details(one)
        )
    hanging = {(part.at, part.producer_id) for one in found for part in one.parts}
    late = _late(
        [one for one in seen.open if (one.at, one.producer_id) not in hanging], seen, now_ms
    )
    if late:
        yield warning(
            "transactions",
            f"open past their time-out, and not ended yet: {name_list(late.values())}",
            "see docs/runbook.md, Transactional ids kept waiting",
            [{"transactional_id": one} for one in late],
        )
    if not found and not late:
        still = f", {len(seen.open)} are open" if seen.open else ""
        yield ok("transactions", f"no transaction hangs{still}")


def _details(one: HangingTransaction) -> list[Mapping[str, object]]:
    return [
        {
            "partition": f"{part.topic}-{part.partition}",
            "start_offset": part.start,
            "last_written": format_short(part.last_ms),
            "producer_id": part.producer_id,
            "producer_epoch": part.producer_epoch,
            "transactional_id": one.transactional_id,
            "abort": one.why_kept is None,
        }
        for part in one.parts
    ]


def _late(others: Sequence[OpenTransaction], seen: TransactionsSeen, now_ms: int) -> dict[str, str]:
    """Transactions past their time-out that a coordinator still knows, with a phrase for each."""
    late = {}
    for one in others:
        known = seen.coordinated.get(one.producer_id)
        if known is None or known.start_ms < 0:  # it has ended there, and may hang here soon
            continue
        if now_ms - known.start_ms > 2 * known.timeout_ms:
            age = duration((now_ms - known.start_ms) / 1000)
            late[known.transactional_id] = f"{known.transactional_id} ({known.state}, {age})"
    return late
