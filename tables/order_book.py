"""What the lines of one order share, and the changes of the journal rows that they make."""

from collections.abc import Iterable

from schemas.columns import ZERO, SaleColumns, plus
from tables.cuts import Key
from tables.cycles import Calendar
from tables.entries import OrderRows, Row, RowKey
from tables.orders import Refund
from tables.receipt_times import ReceiptTimes
from tables.service_ledger import ServiceLedger


class OrderBook:
    """The receipts and refunds of one order, and its row changes."""

    def __init__(self, calendar: Calendar, service: ServiceLedger) -> None:
        self.calendar = calendar
        self.service = service
        self.times = ReceiptTimes()
        self.make = OrderRows("", "", "", calendar)

        self.refunds: dict[Key, Refund] = {}
        """The refunds of lines that count (S5)."""

        self.whole: Key | None = None
        """The key of the first refund of the whole order that counts: the others get nothing
        (S8)."""

        self.rows: dict[RowKey, SaleColumns] = {}
        """The changes of rows since they were last read."""

    def add(self, rows: Iterable[Row], sign: int = 1) -> None:
        """Add rows to the changes, or subtract them if `sign` is -1."""
        changes = self.rows
        for key, columns in rows:
            changes[key] = plus(changes.get(key, ZERO), columns, sign)
