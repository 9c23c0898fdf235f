"""The sentence that concludes an order's explanation: what counts of it, where, and by which rules.

It is made from the facts of the table and from what `counting.derive` makes of them.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from schemas import http_limits, times
from schemas.money import shown
from tables import counting, orders
from tables.counting import Counted, Reversal, Sale
from tables.cycles import Calendar
from tables.explanation import Step
from tables.orders import Line, Order
from tables.refund_effects import RefundEffects, units_and_money
from tables.unsold_lines import UnsoldRule, unsold

_UNSOLD: Final[dict[UnsoldRule, str]] = {
    "S1": "{was} not received",
    "S4": "{was} not received before the order was cancelled",
    "S7": "{was} refunded in full before the receipt",
}


_SHOW: Final = "netsold dead-letters show"


class Because(NamedTuple):
    """Why some lines of an order count what they do."""

    line_ids: tuple[str, ...]
    rules: tuple[str, ...]
    text: str


class Conclusion(NamedTuple):
    """What counts of an order: net of the units ordered, net minor units of its currency, why."""

    units: int
    ordered: int
    currency: str | None
    amount: int
    because: tuple[Because, ...]
    sentence: str


def conclude(order: Order, counted: Counted, calendar: Calendar) -> Conclusion:
    """The conclusion about an order; `counted` is what counts of it."""
    placed = order.placed[0] if order.placed else None
    unsold_by = unsold(order, counted)
    because = tuple(_because(order, counted, unsold_by))
    notes = tuple(_notes(order, counted, unsold_by))
    ordered = sum(line.quantity for line in placed.lines) if placed else 0
    units = sum(map(_net_units, counted.sales))
    amount = sum(map(_net_amount, counted.sales))
    reasons = "; ".join(one.text for one in because[: http_limits.SENTENCE_LINES])
    if more := sum(len(one.line_ids) for one in because[http_limits.SENTENCE_LINES :]):
        reasons += f"; and {more:,} more line{_s(more)}"
    reasons = "; ".join([reasons, *(note.text for note in notes)])
    if counted.sales:
        what = (
            f"counts {units:,} of {ordered:,} unit{_s(ordered)}, "
            f"{_money(counted.currency, amount)}{_in_cycles(counted, calendar)}"
        )
    else:
        what = f"counts nothing of {ordered:,} unit{_s(ordered)}" if placed else "counts nothing"
    return Conclusion(
        units,
        ordered,
        placed.currency if placed else None,
        amount,
        because + notes,
        f"{what}, because {reasons}",
    )


def parked_in_words(parked: Sequence[Step]) -> str:
    """What the sentence about an order ends with: its parked records, and how to see them."""
    if not parked:
        return ""
    few = parked[: http_limits.SENTENCE_LINES]
    places = [str(step.logged.position) for step in few]
    listed = ", ".join(
        f"{place} is parked ({(step.parking and step.parking.reason) or 'no dead letter known'})"
        for place, step in zip(places, few, strict=True)
    )
    more = len(parked) - len(few)
    return f"; {listed}{f' and {more:,} more' if more else ''}: `{_SHOW} {' '.join(places)}`"


def _because(order: Order, counted: Counted, reasons: dict[str, UnsoldRule]) -> Iterator[Because]:
    """The reasons, with lines of the same one together, in the order of the lines."""
    if not order.placed:
        yield Because((), ("S1",), "the order was not placed (S1)")
        return
    sales = {sale.line_id: sale for sale in counted.sales}
    lines: defaultdict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for line in order.placed[0].lines:
        sale = sales.get(line.line_id)
        if sale is None:
            rule = reasons[line.line_id]
            lines[f"{_UNSOLD[rule]} ({rule})", (rule,)].append(line.line_id)
        else:
            lines[_of_sale(line, sale, counted.currency)].append(line.line_id)
    for (text, rules), line_ids in lines.items():
        was = "was" if len(line_ids) == 1 else "were"
        yield Because(
            tuple(line_ids),
            rules,
            f"line{_s(len(line_ids))} {_listed(line_ids)} {text.format(was=was)}",
        )


def _notes(order: Order, counted: Counted, reasons: dict[str, UnsoldRule]) -> Iterator[Because]:
    """What else the facts say: why nothing was received, and which refunds changed nothing."""
    missing = {line_id for line_id, rule in reasons.items() if rule == "S1"}
    if missing or not order.placed:
        yield from _missing(order, missing)
    effects = [one for one in RefundEffects(order, counted, reasons) if not one.as_claimed]
    for one in effects[: http_limits.SENTENCE_LINES]:
        yield Because((), one.rules, f"refund {one.refund_id} {one.text}")
    if (more := len(effects) - http_limits.SENTENCE_LINES) > 0:
        yield Because((), ("S5", "S8"), f"and {more:,} more refund{_s(more)}")


def _missing(order: Order, missing: set[str]) -> Iterator[Because]:
    """Why some lines were never received (S1), as far as a fact says so."""
    for cancelled in order.cancellations[:1]:
        at = times.format_ms(cancelled.occurred_at_ms)
        yield Because((), ("S4",), f"the order was cancelled on {at} ({cancelled.reason})")
    for fact in order.others:
        if fact.type == "delivery_refused":
            refused = orders.content(fact)
            if missing.intersection(refused.get("line_ids", missing)) or not order.placed:
                at = times.format_ms(fact.occurred_at_ms)
                why = f"the delivery was refused on {at} ({refused['reason']})"
                yield Because((), ("S4",), why)
                return


def _of_sale(line: Line, sale: Sale, currency: str) -> tuple[str, tuple[str, ...]]:
    """Why a line counts what it does, with `{was}` for the verb, and the rules."""
    parts, rules = ["{was} received (S2)"], ["S2"]
    units, amount = line.quantity - sale.units, counting.revenue(line) - sale.amount
    if units or amount:
        parts.append(
            f"refunds before the receipt took {units_and_money(units, currency, amount)} off (S7)"
        )
        rules.append("S7")
    returns = [one for one in sale.reversals if one.units]
    differences = [one for one in sale.reversals if not one.units]
    if returns:
        parts.append(f"{_refunds(returns)} took {_of_all(returns, currency)} off (S6)")
        rules.append("S6")
    if differences:
        parts.append(f"{_refunds(differences)} made up {_of_all(differences, currency)} (S6, S9)")
        rules += ["S6", "S9"] if not returns else ["S9"]
    return " and ".join(parts), tuple(rules)


def _refunds(reversals: list[Reversal]) -> str:
    count = len({one.refund_id for one in reversals})
    return "a refund" if count == 1 else f"{count:,} refunds"


def _of_all(reversals: list[Reversal], currency: str) -> str:
    units, amount = sum(one.units for one in reversals), sum(one.amount for one in reversals)
    return units_and_money(units, currency, amount)


def _in_cycles(counted: Counted, calendar: Calendar) -> str:
    """The cycle of the sales, or what counts in each if there are several."""
    cycles: defaultdict[int, list[Sale]] = defaultdict(list)
    for sale in counted.sales:
        cycles[calendar.start_of(sale.at_ms)].append(sale)
    if len(cycles) == 1:
        return f", in the cycle from {calendar.iso(next(iter(cycles)))}"
    return ": " + ", ".join(
        f"{units:,} unit{_s(units)} and {_money(counted.currency, amount)}"
        f" in the cycle from {calendar.iso(start_ms)}"
        for start_ms, sales in sorted(cycles.items())
        for units, amount in ((sum(map(_net_units, sales)), sum(map(_net_amount, sales))),)
    )


def _net_units(sale: Sale) -> int:
    return sale.units - sum(reversal.units for reversal in sale.reversals)


def _net_amount(sale: Sale) -> int:
    return sale.amount - sum(reversal.amount for reversal in sale.reversals)


def _money(currency: str, amount: int) -> str:
    return f"{currency} {shown(currency, amount)}"


def _listed(line_ids: list[str]) -> str:
    shown_ids = ", ".join(line_ids[: http_limits.SENTENCE_LINES])
    more = len(line_ids) - http_limits.SENTENCE_LINES
    return f"{shown_ids} and {more:,} more" if more > 0 else shown_ids


def _s(count: int) -> str:
    return "" if count == 1 else "s"
