"""A decision about a dead letter, as it is recorded: it was put back, or discarded.

The records are JSON in the topic `dead-letter-decisions`. A letter without one is open.
"""

from typing import Final, Literal

import msgspec

from schemas.positions import Position

LetterState = Literal["open", "requeued", "discarded"]
LETTER_STATES: Final[tuple[LetterState, ...]] = ("open", "requeued", "discarded")


class Decision(msgspec.Struct, frozen=True, gc=False):
    """One decision about one letter.

    `letter` is the letter's position and `topic_id` the cluster's id of its topic: after that topic
    was created again, the same position is another letter. `topic`, `reason` and `source` are the
    letter's: the topic and the position that its record was refused at, and why. `attempt` is how
    often that record has now been put back. `by` is a person, `at` an RFC 3339 time.
    """

    letter: Position
    topic_id: str
    decision: Literal["requeued", "discarded"]
    topic: str
    reason: str
    source: Position | None
    attempt: int
    by: str
    why: str
    at: str


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Decision)


def encode(decision: Decision) -> tuple[bytes, bytes]:
    """Key and value of a decision's record; the key is the letter's position."""
    return str(decision.letter).encode(), _ENCODER.encode(decision)


def decode(value: bytes | None) -> Decision | None:
    """The decision in a record's value; None if another program wrote something else there."""
    try:
        return _DECODER.decode(value or b"")
    except msgspec.MsgspecError:
        return None
