"""The service rows of one order, and how they changed since the changes were last read."""

from tables import aftersales, service
from tables.aftersales import Owner, ServiceDifference
from tables.service import Rows


class ServiceRows:
    """Columns by product (None for the shop itself) and cycle, without zeros."""

    def __init__(self) -> None:
        self._rows: Rows = {}
        """As of the last call of `changes`."""

        self._changed: Rows = {}
        """What was added since then."""

    def add(self, product_id: str | None, start_ms: int, column: str, number: int) -> None:
        """Add a number to a column of the shop (None) or of a product in a cycle."""
        columns = self._changed.setdefault((product_id, start_ms), {})
        columns[column] = columns.get(column, 0) + number

    def changes(self, before: Owner | None, after: Owner | None) -> list[ServiceDifference]:
        """What changed since the last call, as `aftersales.changes`.

        `before` and `after` are the order's owners at the last call and now.
        """
        changed, self._changed = self._changed, {}
        if before == after or not self._rows:
            self._apply(changed)
            differences = {key: service.without_zeros(columns) for key, columns in changed.items()}
            return list(
                aftersales.changes_of(
                    after, {key: columns for key, columns in differences.items() if columns}
                )
            )
        # S11: another placing is valid now, with another owner
        removed = list(aftersales.changes_of(before, service.row_changes(self._rows, {})))
        self._apply(changed)
        return [*removed, *aftersales.changes_of(after, service.row_changes({}, self._rows))]

    def _apply(self, changed: Rows) -> None:
        for key, columns in changed.items():
            row = self._rows.setdefault(key, {})
            for column, change in columns.items():
                number = row.get(column, 0) + change
                if number:
                    row[column] = number
                else:
                    row.pop(column, None)
            if not row:
                del self._rows[key]
