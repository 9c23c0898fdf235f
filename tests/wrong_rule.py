"""Code that gives a worker's process a wrong rule: what an on-call engineer has to find."""

from __future__ import annotations


def doubled_price(product_id: str) -> str:
    """Prices of one product count twice, in orders that are placed from then on."""
    return f"""
from msgspec.structs import replace
from schemas import envelope
from tables.order_stage import OrderStage

def wrong(record):
    event = envelope.read(record)
    if getattr(event, "type", None) != "order_placed":
        return event
    lines = [
        replace(line, unit_price=line.unit_price * (1 + (line.product_id == "{product_id}")))
        for line in event.body.lines
    ]
    return replace(event, body=replace(event.body, lines=type(event.body.lines)(lines)))

OrderStage.read = staticmethod(wrong)
"""
