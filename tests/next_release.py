"""The next release, of which only the formats differ: code that runs first in a worker's process.

Every state and every row of a journal has a next format. `READS` is the release that reads it and
still writes the present one, as docs/evolution.md requires of the release before; `WRITES` is the
next one.
"""

from __future__ import annotations

READS = """
import msgspec
from schemas import journal, row_versions
from tables import (
    buyers, conversations, formats, orders, overdue_rows, sales, service,
)

STATES = (
    ("orders", orders, orders.Order), ("shop_buyers", buyers, buyers.Buyer),
    ("chats", conversations, conversations.Conversation),
    ("sales", sales, sales.Tally), ("service", service, service.ServiceTally),
    ("overdue", overdue_rows, overdue_rows.OverdueRow),
)

def from_next(struct, number):
    # the next format has the fields the other way round
    decode = msgspec.json.Decoder(struct).decode
    def read(state):
        _, *fields = msgspec.json.decode(state, type=list[msgspec.Raw])
        return decode(msgspec.json.encode([number, *reversed(fields)]))
    return read

def number_of(module):
    return module.TALLY_VERSION if module is sales else module.VERSION

formats.READ = 2
for name, module, struct in STATES:
    number = number_of(module)
    formats.ALSO_READ[name, number + 1] = from_next(struct, number)
for form in ("entry", "service", "shop_activity"):
    # the next version of a row has its fields inside
    row_versions.OTHERS[f"{form}.2"] = lambda row: row["fields"]
"""

WRITES = (
    READS
    + """
def to_next(encode, number):
    def written(*values):
        _, *fields = msgspec.json.decode(encode(*values), type=list[msgspec.Raw])
        return msgspec.json.encode([number + 1, *reversed(fields)])
    return written

formats.WRITTEN = 2
for _, module, _ in STATES:
    module.encode = to_next(module.encode, number_of(module))

def row_to_next(row, encode=journal.encode):
    value = encode(row)
    if isinstance(row, journal.ProgressMark):
        return value
    fields = msgspec.json.decode(value)
    return encode({"type": fields.pop("type") + ".2", "fields": fields})

journal.encode = row_to_next
"""
)
