"""Every bound on what may be written down, with its unit.

The relations between them are asserted at import.
"""

from typing import Final

VALUE_BYTES: Final = 262_144
"""Most bytes of a record's value, and of a line of a file; larger ones are refused unread.

No other bound lies on how many lines an order or a refund has, or `line_ids` names: some 3,000 usual lines fit.
"""

ORDER_BYTES: Final = 800_000
"""Most bytes of all that is known about one order: it must fit in one record of a changelog,
with Kafka's default limits."""

ID_CHARS: Final = 128
"""Most characters of an id (order, line, product, shop, buyer, refund, parcel, event …) and of
carrier and tracking number."""

SOURCE_CHARS: Final = 256
"""Most characters of an event's `source`."""

QUANTITY: Final = 1_000_000
"""Most units of a line."""

UNIT_PRICE_MINOR: Final = 10**12
"""Most minor units of money for one unit."""

LINE_REVENUE_MINOR: Final = 10**15
"""Most minor units of money of a whole line (quantity times unit price), and of what a refund
asks for a line."""

PAID_MINOR: Final = 10**18
"""Most minor units of money in one payment, and of all lines of an order together (quantity
times unit price)."""

BATCH_BYTES: Final = 900_000
"""Of one batch of records in a transaction, before compression."""

BROKER_RECORD_BYTES: Final = 1_048_588
"""The broker's default limit of a batch (`message.max.bytes`)."""

OCCURRED_FIRST_MS: Final = -2_208_988_800_000
"""First instant that `occurred_at` may name: 1900-01-01T00:00Z, epoch milliseconds."""

OCCURRED_END_MS: Final = 7_258_118_400_000
"""First instant that `occurred_at` may not name any more: 2200-01-01T00:00Z, epoch milliseconds."""

DETAIL_CHARS: Final = 300
"""Most characters of a refusal's detail: it travels in a header."""

INT64_MAX: Final = 2**63 - 1

if not (QUANTITY <= UNIT_PRICE_MINOR <= LINE_REVENUE_MINOR <= PAID_MINOR <= INT64_MAX):
    # A line's revenue can be paid at once, and every single amount fits the 64-bit integers of
    # other readers.
    raise AssertionError(
        "limits: an order's revenue must fit in one payment, and a payment in 64 bits"
    )
if not (2 * VALUE_BYTES < ORDER_BYTES < BATCH_BYTES < BROKER_RECORD_BYTES - 2**17):
    # The largest event always fits into a new order, and an order into a batch, which the broker
    # takes with what is around it.
    raise AssertionError("limits: an order must hold the largest event, and fit in one record")
if not (OCCURRED_FIRST_MS < 0 < OCCURRED_END_MS):
    raise AssertionError("limits: the epoch lies within the years that events may name")
UNCOUNTED_BYTES: Final = 380
FAST_VALUE_BYTES: Final = 4096
FAST_VALUE_BRACKETS: Final = 190
CACHED_SOURCES: Final = 4096
