"""Every bound on the size or the count of data, with its unit in the name.

Relations between bounds are asserted at import, at the end. Not here: time-outs, defaults of
settings (`streams.settings`), and sizes of caches of single values.
"""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

# --- events

VALUE_BYTES: Final = 256 * KIB
"""Most bytes of a record's value, and of a line of a file. Larger ones are refused unread.

Nothing else bounds how many lines an order or a refund has: some 3,000 usual lines fit.
"""

ID_CHARS: Final = 128
"""Most characters of an id of any kind, of a carrier and of a tracking number."""

SOURCE_CHARS: Final = 256
"""Most characters of an event's `source`."""

QUANTITY: Final = 1_000_000
"""Most units of a line."""

UNIT_PRICE_MINOR: Final = 10**12
"""Most minor units of money for one unit."""

LINE_REVENUE_MINOR: Final = 10**15
"""Most minor units of money for a line, and in a refund's claim of a line."""

PAID_MINOR: Final = 10**18
"""Most minor units of money in one payment, and for all lines of an order together."""

OCCURRED_FIRST_MS: Final = -2_208_988_800_000
"""First instant that `occurred_at` may name: 1900-01-01T00:00Z, in epoch milliseconds."""

OCCURRED_END_MS: Final = 7_258_118_400_000
"""First instant after those that `occurred_at` may name: 2200-01-01T00:00Z, in epoch ms."""

INT64_MAX: Final = 2**63 - 1

FAST_VALUE_BYTES: Final = 4 * KIB
"""Most bytes of a value on the fast path: no number in it has too many digits for a parser."""

FAST_VALUE_BRACKETS: Final = 190
"""Most opening brackets of a value on the fast path: no parser finds it nested too deeply."""

# --- refusals and their sentences

DETAIL_CHARS: Final = 300
"""Most characters of a refusal's detail, which a header of the dead letter carries."""

SHOWN_CHARS: Final = 60
"""Most characters of a foreign text or number in a refusal's detail."""

NEARBY_BYTES: Final = 16
"""Most bytes of a value that a refusal's detail quotes at the place of a fault."""

QUOTED_CHARS: Final = 60
"""Most characters of an HTTP request that a problem's sentence quotes."""

# --- states and the journal

ORDER_BYTES: Final = 800_000
"""Most bytes of an order's state, and of a conversation's. It must fit in a changelog record."""

SMALL_STATE_BYTES: Final = 16 * KIB
"""Most bytes of a state that is derived as a whole for each event; larger ones have a ledger."""

FEW_EVENTS: Final = 16
"""Most events of one order in a chunk for which a small order is derived as a whole."""

FEW_MESSAGES: Final = 16
"""Most messages of one conversation in a chunk for which a small conversation has no ledger."""

WALKED_ROWS: Final = 20_000
"""Most rows that one step of the ends of cycles walks through."""

ENDED_ROWS: Final = 2000
"""Most rows whose end one such step sends."""

ACTIVITY_UNITS: Final = 2000
"""Most units of a record of `shop-activity`. A row counts one or more units by its size."""

ACTIVITY_UNIT_BYTES: Final = 350
"""Most bytes of one unit of `shop-activity`, with ids and sources of the largest size."""

ACTIVITY_MESSAGES: Final = 500
"""Most messages of one buyer in a record of `shop-activity`."""

ROW_TIMERS: Final = 1000
"""Most timers in one row; a timer has two ids."""

TIMER_BUCKETS: Final = 300
"""Most rows of timers of one partition that wait at once, roughly."""

# --- Kafka: writing

BATCH_BYTES: Final = 900_000
"""Most bytes of one batch in a transaction, before compression."""

WRITE_BATCH_BYTES: Final = 512 * KIB
"""Most bytes of one batch written outside transactions (simulator, import), before compression."""

BROKER_BATCH_BYTES: Final = 1_048_588
"""Most bytes of a batch by the broker's default (`message.max.bytes`)."""

BATCH_OVERHEAD_BYTES: Final = 128 * KIB
"""Most bytes that keys, headers and framing add to a batch with one full record."""

REQUEST_BYTES: Final = 16 * MIB
"""Most bytes of one produce request."""

PARKING_BYTES: Final = 16 * KIB
"""Most bytes that parking adds to a record: the headers of `streams.dead_letters`."""

DEAD_LETTER_BYTES: Final = 4 * MIB
"""Most bytes of a batch in the topic of dead letters (`max.message.bytes`)."""

LETTER_RECORDS: Final = 1000
"""Most dead letters that are in memory at once, parsed from a compressed fetch."""

REQUEUE_RECORDS: Final = 500
"""Most dead letters that one transaction puts back or discards."""

REQUEUE_BYTES: Final = 4 * MIB
"""Most bytes of the values that one transaction puts back, but for one larger record."""

REQUEUE_HEADER_BYTES: Final = KIB
"""Most bytes that putting back adds to a record: its headers."""

REQUEUE_ATTEMPTS: Final = 3
"""A record that was put back this often is not put back again unless it is forced."""

LETTER_GROUPS: Final = 1000
"""Most groups of dead letters that are counted apart; the rest are one group."""

RECENT_LETTERS: Final = 5
"""Of each group of dead letters, the newest so many can be read from a reader."""

RECENT_LETTER_BYTES: Final = 16 * KIB
"""A longer value of such a dead letter is not shown."""

SHOWN_LETTERS: Final = 20
"""Most single dead letters that a dry run shows, and that it queries a reader about."""

DECISION_CHARS: Final = 500
"""Most characters of the person, and of the reason, in a decision about a dead letter."""

LABEL_CHARS: Final = 1024
"""Most characters of a reason, a topic or a fault that are shown of a dead letter."""

POSITION_BYTES: Final = 512
"""Most bytes of a position in a dead letter's header: a topic's name has at most 249."""

TRACE_LINKS: Final = 32
"""Most spans of writers that the span of one chunk is linked to."""

LEAST_TRANSACTION_RECORDS: Final = 100
"""A transaction of fewer records is not made smaller because it took long."""

FIRST_TRANSACTION_RECORDS: Final = 1000
"""Most records of a partition's first transaction in a process."""

FEW_PARTITIONS: Final = 4
"""Marks to so many partitions cost less than the transaction that would write them later."""

# --- Kafka: reading

FETCH_BYTES: Final = 4 * MIB
"""Most bytes of one fetch outside a worker's lanes, per partition."""

FIRST_FETCH_BYTES: Final = KIB
"""The same where one record is wanted. A broker always returns the first whole batch."""

RESTORE_RECORDS: Final = 20_000
"""Most changelog records of one fetch while a worker restores its stores."""

FOLLOW_RECORDS: Final = 20_000
"""Most records of one step of a reader."""

LIVE_RECORDS: Final = 200
"""The same once its tables are live: nothing is answered while a step is written."""

APART_RECORDS: Final = 100_000
"""For so many records a reader starts a process, whose start costs about a second of CPU."""

INDEX_RECORDS: Final = 400
"""Most records of one step of the event index: answers and the tables' steps are in between."""

WAITING_RECORDS: Final = 200_000
"""Most records of one partition that a reader keeps in memory until their mark arrives."""

RECENT_IDS: Final = 100_000
"""How many ids of journal entries a reader keeps in memory to find duplicates."""

JOURNAL_UNORDERED_MS: Final = 60_000
"""`netsold journal` finds rows that stand behind rows written up to this much later."""

JOURNAL_GROUPS: Final = 200_000
"""Most groups that `netsold journal` sums in memory; each is some 1 KiB."""

COPY_RECORDS: Final = 2000
"""Most records that one transaction of a copier writes."""

COPY_BYTES: Final = 4 * MIB
"""Most bytes of their keys and values, but for the last one."""

LOOKUP_FETCH_BYTES: Final = 64 * KIB
"""Most bytes of a fetch of single records. A broker always returns the first whole batch."""

LOOKUP_RECORDS: Final = 25
"""Most single records of an order that are read before their bytes are counted."""

LOOKUP_BYTES: Final = 16 * MIB
"""Once the single records of an order have this many bytes, no more of them are read."""

LOOKUP_FETCHES: Final = 8
"""Most fetches of single records of one partition at once."""

LOOKUP_APART_OFFSETS: Final = 5000
"""Records of a partition so many offsets apart are fetched at once: few batches have more."""

OBSERVATIONS: Final = 200
"""How many observations of a topic's ends a reader keeps in memory."""

FIRST_TAIL_RECORDS: Final = 2000
"""How many of a changelog's last records are read at first for its last mark."""

# --- stores

STORE_BLOCK_BYTES: Final = 8 * KIB
"""About the size of a block in a store's cache."""

WORKER_CACHE_BYTES: Final = 64 * MIB
"""Most bytes of blocks, indexes and filters that all stores of a worker cache together."""

WORKER_WRITE_BUFFER_BYTES: Final = 16 * MIB
"""Most bytes of one write buffer of a store of a worker."""

WORKER_OPEN_FILES: Final = 128
"""Most files that a store of a worker has open."""

WORKER_WRITE_BUFFERS_BYTES: Final = 96 * MIB
"""Most bytes of the write buffers of all stores of a worker together."""

READER_CACHE_BYTES: Final = 64 * MIB
"""Most bytes of blocks, indexes and filters that a reader's store caches."""

READER_WRITE_BUFFER_BYTES: Final = 8 * MIB
"""Most bytes of one write buffer of a reader's store.

It is small because a walk over the best sellers steps over every move among them since the last
flush (`python -m bench.reader`).
"""

READER_WRITE_BUFFERS: Final = 4
"""Most write buffers of a reader's store."""

READER_OPEN_FILES: Final = 144
"""Most files that a reader's store has open."""

INDEX_CACHE_BYTES: Final = 16 * MIB
"""Most bytes of blocks, indexes and filters that the event index of a reader caches."""

INDEX_WRITE_BUFFER_BYTES: Final = 8 * MIB
"""Most bytes of one write buffer of the event index."""

INDEX_WRITE_BUFFERS: Final = 3
"""Most write buffers of the event index."""

INDEX_OPEN_FILES: Final = 56
"""Most files that the event index of a reader has open."""

# --- HTTP

EXPLAINED_EVENTS: Final = 200
"""Most events of an order that its explanation lists: each one is read from the log."""

EXPLAINED_BYTES: Final = 8 * MIB
"""Bytes of an order's state, times the listed events, that one explanation derives, roughly."""

CONNECTIONS: Final = 2000
"""Most connections of a reader: each costs some 20 KiB, and its unread answer."""

STREAMS: Final = 1500
"""Most streams of events of a reader: other requests have the rest of its connections."""

RESERVED_HANDLES: Final = 512
"""File handles that connections leave for the store, for Kafka and for uncounted connections."""

UNCOUNTED_CONNECTIONS: Final = 100
"""Most connections that asyncio accepts before the first is counted; as many may be queued."""

# --- explanations and earlier moments

EXPLAINED_ORDERS: Final = 200
"""Most orders that an explanation of a product or a shop lists."""

EXPLAINED_ENTRIES: Final = 20
"""Most journal entries that it lists of each order."""

MOVEMENT_STEPS: Final = 120
"""Most steps in which an explanation shows how a number moved."""

HOURS_DAYS: Final = 60
"""For how many days back from the event time of the tables hours are answered."""

SERIES_CYCLES: Final = 120
"""Most cycles of a series."""

SERIES_DAYS: Final = 3660
"""Most days of a series: ten years."""

LOOSE_ENTRIES: Final = 256
"""Most entries of an id in a cycle that an answer adds up beside its rows, roughly."""

LOOSE_COUNTERS: Final = 2**18
"""Counters of such entries that a reader has in memory."""

BRIEF_ENTRIES: Final = 256
"""Most journal entries of one value of a reader's store."""

EXPLAINED_CYCLE_ENTRIES: Final = 1_000_000
"""Most journal entries of a product or shop in a cycle that an explanation adds up.

Its orders, some 300 bytes each, are in memory meanwhile."""

WALKED_ENTRIES: Final = 4_000_000
"""Most journal entries that one answer about an earlier moment walks over: some seconds."""

INTRICATE_ORDERS: Final = 20_000
"""Most orders that one answer about an earlier moment derives from their facts."""

INTRICATE_READ_ORDERS: Final = 200
"""Most orders whose events one such answer reads from the log."""

HISTORY_EVENTS: Final = 2000
"""Most events of one order that such an answer reads from the log."""

HISTORIES_EVENTS: Final = 20_000
"""Most events of all orders together that such an answer reads, one order at a time."""

WALKS: Final = 4
"""Most such answers, and explanations, at once."""

# --- relations

# fmt: off
for _holds, _relation in (
    (QUANTITY <= UNIT_PRICE_MINOR <= LINE_REVENUE_MINOR <= PAID_MINOR <= INT64_MAX,
     "a line's revenue fits in one payment, and a payment in a 64-bit integer"),
    (OCCURRED_FIRST_MS < 0 < OCCURRED_END_MS, "the epoch is within the years that events may name"),
    (2 * FAST_VALUE_BRACKETS < FAST_VALUE_BYTES < VALUE_BYTES,
     "the fast path reads no value that the models refuse by its size"),
    (SHOWN_CHARS < DETAIL_CHARS, "a refusal's detail has room for what it quotes"),
    (SMALL_STATE_BYTES + 2 * VALUE_BYTES < ORDER_BYTES,
     "two events of the largest size fit in one order, also in a small one"),
    (# A message has three ids and a source, an alerted inquiry an id and a source, and a
        # character has at most 8 bytes. Alerts of earlier messages have fewer bytes than these.
        2 * SMALL_STATE_BYTES + FEW_MESSAGES * 8 * (4 * ID_CHARS + 2 * SOURCE_CHARS) < ORDER_BYTES,
     "a small conversation with a few new messages fits in a record"),
    (ORDER_BYTES < BATCH_BYTES, "an order of the largest size fits in one batch of a transaction"),
    (ACTIVITY_UNITS * ACTIVITY_UNIT_BYTES < BATCH_BYTES and ACTIVITY_MESSAGES < ACTIVITY_UNITS,
     "a record of shop-activity fits in one batch of a transaction"),
    (ROW_TIMERS * 2 * ID_CHARS * 3 < BATCH_BYTES,
     "a row of timers with ids of three bytes a character fits in one batch of a transaction"),
    (BATCH_BYTES < BROKER_BATCH_BYTES - BATCH_OVERHEAD_BYTES,
     "a broker accepts a batch with its overhead, even if it does not compress"),
    (VALUE_BYTES < WRITE_BATCH_BYTES < BROKER_BATCH_BYTES,
     "an event of the largest size fits in a batch outside transactions"),
    (2 * DETAIL_CHARS <= LABEL_CHARS, "a dead letter's sentence with its detail is shown whole"),
    (4 * DETAIL_CHARS < PARKING_BYTES,
     "a dead letter's headers have room for the detail, at four bytes a character"),
    (BROKER_BATCH_BYTES + PARKING_BYTES <= DEAD_LETTER_BYTES <= REQUEST_BYTES,
     "a record that a broker accepts by default can be parked in one request"),
    (REQUEUE_BYTES + DEAD_LETTER_BYTES <= REQUEST_BYTES,
     "what one transaction puts back fits in one request, with the largest letter"),
    (REQUEUE_HEADER_BYTES < PARKING_BYTES, "a record that was put back can be parked again"),
    (LEAST_TRANSACTION_RECORDS <= FIRST_TRANSACTION_RECORDS,
     "a first transaction is large enough to be made smaller"),
    (HISTORY_EVENTS <= HISTORIES_EVENTS
        and INTRICATE_READ_ORDERS <= INTRICATE_ORDERS and EXPLAINED_CYCLE_ENTRIES <= WALKED_ENTRIES,
     "a part of an answer has no wider bound than the answer"),
    (BROKER_BATCH_BYTES < FETCH_BYTES, "one fetch has room for more than one batch"),
    (ORDER_BYTES <= EXPLAINED_BYTES,
     "of an order of the largest size at least one event is explained"),
    (RESTORE_RECORDS <= WAITING_RECORDS and LIVE_RECORDS <= FOLLOW_RECORDS <= WAITING_RECORDS,
     "a reader can wait for a mark over several steps"),
    (STREAMS < CONNECTIONS, "streams leave connections for other requests"),
    (2 * (READER_OPEN_FILES + INDEX_OPEN_FILES) + UNCOUNTED_CONNECTIONS < RESERVED_HANDLES,
     "the reserved handles suffice for stores of two versions and for uncounted connections"),
):
    if not _holds:
        raise AssertionError(f"limits: {_relation}")
# fmt: on
