"""What refunds claim of one line (S8): units and an amount, each cut to what is left."""

from tables.cuts import Changes, Cut, Key


class LineClaims:
    """The claims of the refunds that name one line, whether the order has the line or not."""

    __slots__ = ("amount", "shared", "units")

    def __init__(self) -> None:
        self.units, self.amount = Cut(), Cut()
        self.shared = 0
        """How many of the refunds also name other lines."""

    def change(
        self, key: Key, claim: tuple[int, int], whole: Key | None, *, shared: bool, removed: bool
    ) -> tuple[Changes, Changes]:
        """Add or remove a refund's claim of units and an amount: what each refund gets more."""
        if shared:
            self.shared += -1 if removed else 1
        units, amount = [
            {} if not part else cut.remove(key, whole) if removed else cut.add(key, part, whole)
            for cut, part in zip((self.units, self.amount), claim, strict=True)
        ]
        return units, amount

    def shares(self, since_ms: int, end_ms: int) -> dict[Key, list[int]]:
        """By refund in a half-open span of time: the units and the amount that it gets."""
        found = {key: [units, 0] for key, units in self.units.shares(since_ms, end_ms)}
        for key, amount in self.amount.shares(since_ms, end_ms):
            found.setdefault(key, [0, 0])[1] = amount
        return found

    @property
    def has_rest(self) -> bool:
        """Whether refunds of lines leave units or an amount."""
        return bool(self.units.rest or self.amount.rest)
