"""The subjects of the API: what an id in an address names, and the form of the answer about it.

A subject's 404, the tables its answer is read from, and its ETag follow from its row here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from pydantic import BaseModel

from schemas.answers import OrderAnswer
from schemas.shown_answers import FreshProduct, FreshShop
from serving.problems import UnknownId
from serving.progress import names_by_key
from tables.catalogue import find_table

Form = TypeVar("Form", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Subject(Generic[Form]):
    """What an id names; `keyed_by` is the name of the id in events, tables and answers."""

    keyed_by: str
    form: type[Form]

    @property
    def unknown(self) -> UnknownId:
        """The problem of an id that no event names."""
        return UnknownId(self.keyed_by.removesuffix("_id"))

    @property
    def has_all_time(self) -> bool:
        """Whether a table has its service of all time."""
        return find_table(self.keyed_by, "service", windowed=False) is not None

    @property
    def tables(self) -> tuple[str, ...]:
        """The followed tables that an answer is read from."""
        return names_by_key(self.keyed_by)


PRODUCT: Final = Subject("product_id", FreshProduct)
SHOP: Final = Subject("shop_id", FreshShop)
ORDER: Final = Subject("order_id", OrderAnswer)

SUBJECTS: Final = (PRODUCT, SHOP, ORDER)
