"""How far a table partition is: the mark beside its rows, in its changelog and in its store."""

from __future__ import annotations

from typing import Final

import msgspec

from schemas.columns import RULES
from tables.watermarks import Progress

MARK_KEY: Final = b"\x00mark"
"""The reserved key of a mark in a changelog and in its store; ids have no control characters."""


class Mark(Progress, frozen=True, kw_only=True):
    """The progress of a table partition, with the log, the rules and the settings it is of.

    The changelog and the store hold the same mark. Every source offset up to and including `offset`
    is applied; -1 means that none is, and that the log starts at 0. `terms` are the settings by
    which the table was made (cycles, for chats the service rules, and where events are read the
    partitioner of their keys). `partitions` is the number of partitions of every topic. `build`
    made the mark (`streams/build.py`); it is no condition for using the state, and empty in marks
    that do not name it. `format` is the highest one that a row may have (`tables/formats.py`).
    """

    topic: str
    topic_id: str
    partition: int
    rules: int = RULES
    terms: str = ""
    partitions: int = 0
    build: str = ""
    format: int = 1


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Mark)


def encode_mark(mark: Mark) -> bytes:
    """The JSON of a mark, for changelog and store."""
    return _encoder.encode(mark)


def decode_mark(data: bytes) -> Mark:
    """The mark of a changelog record or store. Raises msgspec.ValidationError on anything else."""
    return _decoder.decode(data)


def progress_of(mark: Mark) -> Progress:
    """The stage's progress that a mark records."""
    return Progress(*[getattr(mark, name) for name in Progress.__struct_fields__])
