"""Bounds on the answers of a reader, and on its clients: each name ends in its unit.

Those that others depend on stand in `schemas/limits.py`.
"""

from typing import Final

from schemas.limits import KIB, MIB

PAGE_ITEMS: Final = 1000
"""Most items of one page of an answer."""

RATED_UNITS: Final = 10  # least gross units of what is listed by reversal rate
GROWTH_ITEMS: Final = 100  # most items of a list by growth, which is one page
GROWTH_ROWS: Final = 1000  # most rows that it compares with the cycle before
COMPARED_PRODUCTS: Final = 100_000  # most products that a list of one shop ranks: some 0.3 s
SEARCH_ITEMS: Final = 50  # most items that a search finds
SEARCHED_NAMES: Final = 500  # most names of one kind that it compares
NAME_CHARS: Final = 200  # most characters of a display name, and of a search
PICTURE_CHARS: Final = 2000  # most characters of a picture's address
WORD_CHARS: Final = 16  # most characters of a word of a name by which it is found

EXPLANATIONS: Final = 4
"""Most explanations at once: each has its order's events in memory."""

COUNTED_EVENTS: Final = 100_000
"""Most events of an order that an explanation counts."""

SENTENCE_LINES: Final = 5
"""Most lines of an order that the sentence about it describes one by one."""

FOUND_ORDERS: Final = 200
"""Most orders of one page of `find`: what counts of each is derived."""

SEARCHED_ORDERS: Final = 2_000
"""Most orders that one page of `find` looks through for those of which nothing counts."""

UNCOUNTED_ORDERS: Final = 200
"""Most orders that the explanation of a product looks through for the same."""

LISTED_UNCOUNTED_ORDERS: Final = 5
"""Most of them that it lists."""

EXPORTS: Final = 4
"""Most exports at once: each keeps the store's files of its snapshot on disk."""

EXPORT_CHUNK_BYTES: Final = 64 * KIB
"""Most bytes of an export that wait in memory to be sent, roughly."""

BADGES: Final = 4096
"""Most badges that a reader keeps in memory for a moment, some 2 KiB each."""

KEPT_ANSWERS_BYTES: Final = 32 * MIB
"""Most bytes of answers about products and shops that a reader keeps, roughly: some 20,000."""

HOT_ITEMS: Final = 10
"""Most items of a list that is answered without its route, between other answers."""

HOT_CYCLES: Final = 24
"""Most cycles of a series that is answered without its route, between other answers."""

KEPT_MARKS: Final = 2**16
"""How many marks there are of when products last changed, and as many of shops. Ids share them."""

HOT_REQUEST_BYTES: Final = 2 * KIB
"""Most bytes of a request that is answered without its route: its fields are kept in memory."""

REQUEST_FIELDS: Final = 1024
"""Most sets of header fields that a reader keeps parsed: clients repeat theirs."""

STREAM_SUBJECTS: Final = 100
"""Most subjects of one stream."""

STREAM_ANSWERS: Final = 100
"""Most answers that streams make at a time for what changed, and as many for new streams."""

STREAM_ENTRIES: Final = 100
"""Most journal entries that a stream reads at once."""

STREAM_KEPT_READS: Final = 256
"""Most reads of entries that are kept for other streams until the tables move."""

STREAM_KEPT_EVENTS: Final = 1024
"""Most events made of them that are kept as long."""

STREAM_CHUNK_BYTES: Final = 64 * KIB
"""Bytes of events that a stream passes to its connection at once, but for the last event."""

TOKENS_CHARS: Final = 64 * KIB
"""Most characters of the lines of tokens: each request is compared with all of them."""

PSEUDONYM_KEY_CHARS: Final = 32
"""Fewest characters of a configured key of pseudonyms: a shorter one could be guessed."""

RATED_CLIENTS: Final = 10_000
"""Most clients whose rates a reader remembers; the one that was away longest is forgotten."""

UNREAD_ANSWER_BYTES: Final = 16 * KIB
"""A client must read this much of its answer, or all the rest, within `Bounds.unread_s`."""

APPLIED_HEADER_CHARS: Final = 4096
"""Most characters of the header `Netsold-Applied`; where there are more it is left out."""

COMPRESSED_BYTES: Final = 1400
"""Answers of at least this size are compressed: smaller ones fit in one packet anyway."""
