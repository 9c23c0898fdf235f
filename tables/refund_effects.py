"""What became of each refund of an order: what it took off which line, or why it took nothing.

It is read off what `counting.derive` makes of the order: its sales with their reversals.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

from schemas import http_limits
from schemas.money import shown
from tables import orders
from tables.counting import Counted, Reversal
from tables.orders import Order, Refund, RefundLine
from tables.unsold_lines import UnsoldRule

_OF_UNSOLD: Final[dict[UnsoldRule, str]] = {
    "S1": "gave money back for {line}, which was not received (S7)",
    "S4": "is of {line}, which was not received before the order was cancelled (S4)",
    "S7": "is of {line}, which was refunded in full before its receipt (S7)",
}


class RefundEffect(NamedTuple):
    """What became of a refund; `as_claimed` if it took what it claimed, or its line says so."""

    refund_id: str
    text: str
    rules: tuple[str, ...]
    as_claimed: bool


class _Part(NamedTuple):
    text: str
    rule: str
    as_claimed: bool


class RefundEffects:
    """The effects of the refunds of one order, by what counts of it.

    `reasons` has the rules of the lines that are no sales (`unsold_lines.unsold`).
    """

    def __init__(self, order: Order, counted: Counted, reasons: dict[str, UnsoldRule]) -> None:
        self._currency = counted.currency
        self._reasons = reasons
        self._sales = {sale.line_id: sale for sale in counted.sales}
        placed = order.placed[0].lines if order.placed else ()
        self._lines = dict.fromkeys(line.line_id for line in placed)
        self._returned = {fact.refund_id for fact in order.refund_returns}
        self._succeeded: dict[str, Refund] = {}
        for refund in order.refunds:
            self._succeeded.setdefault(refund.refund_id, refund)
        self._unpaid: dict[str, str] = {}
        """Of refunds that didn't succeed: what became of them."""

        for fact in order.others:
            if fact.type in {"refund_requested", "refund_failed"}:
                content = orders.content(fact)
                refund_id = content["refund_id"]
                if fact.type == "refund_failed":
                    self._unpaid[refund_id] = f"did not succeed ({content['cause']}) (S5)"
                else:
                    self._unpaid.setdefault(refund_id, "was requested, and has not succeeded (S5)")
        self._reversed: defaultdict[str, dict[str, Reversal]] = defaultdict(dict)
        for sale in counted.sales:
            for reversal in sale.reversals:
                self._reversed[reversal.refund_id][sale.line_id] = reversal

    def __iter__(self) -> Iterator[RefundEffect]:
        """The effects of all refunds."""
        for refund_id in dict.fromkeys([*self._succeeded, *self._unpaid]):
            yield self.of(refund_id)

    def of(self, refund_id: str) -> RefundEffect:
        """The effect of one refund."""
        refund = self._succeeded.get(refund_id)
        if refund is None:
            text = self._unpaid.get(refund_id, "is not known to have succeeded (S5)")
            return RefundEffect(refund_id, text, ("S5",), as_claimed=False)
        if refund_id in self._returned:
            text = "was returned by the bank (S5)"
            return RefundEffect(refund_id, text, ("S5",), as_claimed=False)
        if not self._lines:
            text = "is of an order that was not placed (S1)"
            return RefundEffect(refund_id, text, ("S1",), as_claimed=False)
        parts = list(dict.fromkeys(self._parts(refund)))
        texts = [part.text for part in parts[: http_limits.SENTENCE_LINES]]
        if more := len(parts) - len(texts):
            texts.append(f"and {more:,} more")
        return RefundEffect(
            refund_id,
            ", ".join(texts),
            tuple(sorted({part.rule for part in parts})),
            all(part.as_claimed for part in parts),
        )

    def _parts(self, refund: Refund) -> Iterator[_Part]:
        removed = self._reversed.get(refund.refund_id, {})
        if refund.lines is not None:
            for claim in refund.lines:
                yield self._of_line(refund, claim, removed.get(claim.line_id))
        elif removed:
            units = sum(one.units for one in removed.values())
            amount = sum(one.amount for one in removed.values())
            off = units_and_money(units, self._currency, amount)
            yield _Part(f"took {off} off the order (S6)", "S6", as_claimed=True)
        elif not self._sales and set(self._reasons.values()) == {"S1"}:
            yield _Part("gave the money back before any receipt (S7)", "S7", as_claimed=False)
        else:
            for line_id in self._lines:
                yield self._without_reversal(refund, line_id)

    def _of_line(self, refund: Refund, claim: RefundLine, removed: Reversal | None) -> _Part:
        line_id = claim.line_id
        if line_id not in self._lines:
            text = f"names line {line_id}, which the order does not have (S8)"
            return _Part(text, "S8", as_claimed=False)
        if removed is None:
            if not (claim.quantity or claim.amount):
                return _Part(f"claims nothing of line {line_id}", "S9", as_claimed=True)
            return self._without_reversal(refund, line_id)
        off = units_and_money(removed.units, self._currency, removed.amount)
        if removed.units < claim.quantity or removed.amount < claim.amount:
            claimed = units_and_money(claim.quantity, self._currency, claim.amount)
            text = f"took {off} off line {line_id}: of {claimed} claimed, no more was left (S8)"
            return _Part(text, "S8", as_claimed=False)
        return _Part(f"took {off} off line {line_id} (S6)", "S6", as_claimed=True)

    def _without_reversal(self, refund: Refund, line_id: str) -> _Part:
        sale = self._sales.get(line_id)
        if sale is None:
            rule = self._reasons[line_id]
            text = _OF_UNSOLD[rule].format(line=f"line {line_id}")
            return _Part(text, "S7" if rule == "S1" else rule, as_claimed=rule != "S1")
        if refund.occurred_at_ms < sale.at_ms:
            text = f"was before the receipt of line {line_id}, which sold less by it (S7)"
            return _Part(text, "S7", as_claimed=True)
        return _Part(
            f"took nothing: nothing of line {line_id} was left (S8)", "S8", as_claimed=False
        )


def units_and_money(units: int, currency: str, amount: int) -> str:
    """Units and money, such as `1 unit and CNY 10.00`; without what is zero, unless both are."""
    parts = [f"{units:,} unit{'' if units == 1 else 's'}"] if units else []
    if amount or not parts:
        parts.append(f"{currency} {shown(currency, amount)}")
    return " and ".join(parts)
