"""Which dead letters are selected, and what is written when one is put back. No I/O."""

import re
from dataclasses import dataclass
from typing import Final

from schemas import cloudevents
from schemas.letters import ATTEMPT, FIRST_FAILED_AT, REQUEUED_FROM, Letter, producer_of
from schemas.positions import Position, position_of
from schemas.refusals import Refusal
from tables import catalogue

_IDS: Final = {
    catalogue.ORDERS_TOPIC: (cloudevents.ORDER_ATTRIBUTES, ("order_id",)),
    catalogue.CHATS_TOPIC: (cloudevents.CHAT_ATTRIBUTES, ("shop_id", "buyer_id")),
}
"""By topic of events: the attributes of its records, and the fields that their key is made of."""

_RANGE: Final = re.compile(r"(.+@\d+)\.\.(?:(.+)@)?(\d{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class PositionRange:
    """The records from `first` to the offset `last` of its partition, both included."""

    first: Position
    last: int

    def has(self, position: Position | None) -> bool:
        """Whether a position is in the span."""
        first = self.first
        return (
            position is not None
            and (position.topic, position.partition) == (first.topic, first.partition)
            and first.offset <= position.offset <= self.last
        )

    def __str__(self) -> str:
        more = "" if self.last == self.first.offset else f"..{self.last}"
        return f"{self.first}{more}"


def position_range(text: str) -> PositionRange:
    """The span that a text names; else ValueError.

    It is `orders-0@12`, `orders-0@12..99` or `orders-0@12..orders-0@99`.
    """
    found = _RANGE.fullmatch(text)
    first = position_of(text if found is None else found[1])
    if found is None:
        return PositionRange(first, first.offset)
    if found[2] is not None and found[2] != f"{first.topic}-{first.partition}":
        raise ValueError(f"{text!r} names two partitions: give a range for each")
    last = int(found[3])
    if last < first.offset:
        raise ValueError(f"{text!r} ends before it begins")
    return PositionRange(first, last)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters are meant. An empty part selects all; a letter must fit every part.

    `spans` are of letters' own positions or of those of the refused records. `producers` are
    CloudEvents sources. `from_ms` ≤ time of parking < `to_ms`, in epoch milliseconds.
    """

    spans: tuple[PositionRange, ...] = ()
    reasons: frozenset[str] = frozenset()
    producers: frozenset[str] = frozenset()
    from_ms: int | None = None
    to_ms: int | None = None

    @property
    def is_everything(self) -> bool:
        """Whether it selects all letters."""
        return self == Selection()

    def selects(self, letter: Letter) -> bool:
        """Whether it selects a letter."""
        at_ms = letter.parked_at_ms
        return (
            (not self.spans or any(_names(span, letter) for span in self.spans))
            and (not self.reasons or letter.reason in self.reasons)
            and (self.from_ms is None or self.from_ms <= at_ms)
            and (self.to_ms is None or at_ms < self.to_ms)
            and (not self.producers or producer_of(letter) in self.producers)
        )

    def named_by(self, letter: Letter) -> list[PositionRange]:
        """The spans that a letter is in."""
        return [span for span in self.spans if _names(span, letter)]

    def within(self, topic: str, partition: int) -> tuple[int, int] | None:
        """The offsets `first` to `last` of a partition that can have selected letters.

        None if spans name refused records, whose letters may be anywhere.
        """
        if not self.spans or any(span.first.topic != topic for span in self.spans):
            return None
        mine = [span for span in self.spans if span.first.partition == partition]
        if not mine:
            return 0, -1
        return min(span.first.offset for span in mine), max(span.last for span in mine)


def _names(span: PositionRange, letter: Letter) -> bool:
    return span.has(letter.position) or span.has(letter.source)


def named_key(letter: Letter, topic: str) -> bytes | None:
    """The key that the content of a letter names, None if it names none.

    `topic` is the one of its record, without prefix.
    """
    attributes, ids = _IDS[topic]
    found = cloudevents.read_object(letter.value)
    if not isinstance(found, Refusal):
        headers = cloudevents.headers_by_name(letter.headers)
        found = cloudevents.fields_of(found, headers, attributes)
    if isinstance(found, Refusal):
        return None
    texts = [found.get(name) for name in ids]
    if not all(isinstance(text, str) and text for text in texts):
        return None
    return "/".join(map(str, texts)).encode(errors="surrogatepass")


def key_for(letter: Letter, topic: str, given: bytes | None) -> bytes | None:
    """The key to put a letter back under: the one that its content names, else its own.

    `given` is used instead where the letter's key is missing, or is not the one that its content
    names. None if there is no key. `topic` is as for `named_key`.
    """
    named = named_key(letter, topic)
    if given is not None and (named is None or letter.key != named):
        return given
    return named or letter.key or None


def requeued_headers(letter: Letter) -> list[tuple[str, bytes]]:
    """The headers of a letter that is put back: the record's own, and where it comes from."""
    added = {
        REQUEUED_FROM: str(letter.position),
        ATTEMPT: str(letter.attempt + 1),
        FIRST_FAILED_AT: letter.first_failed_at,
    }
    return [*letter.headers, *((name, text.encode()) for name, text in added.items())]
