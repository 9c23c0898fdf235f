"""Fast msgspec decoders, derived by code from the pydantic models of `events`.

A decoder may refuse more than its model, never less. It does not check control characters and the
value's encoding and depth, which `fast_path` checks in the raw bytes, nor the rules between fields,
which are in `CHECKS`. A constraint of a model that has no known msgspec form stops the import.

Every version of an event is decoded to the same body, which is what the core knows.
"""

import types
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import msgspec
from annotated_types import Ge, Le, MinLen
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.fields import FieldInfo
from pydantic.types import Strict

from schemas import event_versions, events
from schemas.event_versions import ALL, AllOrListed

_ELSEWHERE: Final = (
    *(AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema, Strict),
    AllOrListed,
)
_STRUCTS: Final[dict[type[BaseModel], type[msgspec.Struct]]] = {}


def _bounds(metadata: tuple[Any, ...]) -> Iterator[tuple[str, int]]:
    """The bounds in pydantic's metadata of one field, by msgspec's names."""
    for item in metadata:
        match item:
            case FieldInfo():
                yield from _bounds(tuple(item.metadata))
            case StringConstraints(min_length=least, max_length=most, pattern=None):
                yield from (
                    (name, bound)
                    for name, bound in (("min_length", least), ("max_length", most))
                    if bound is not None
                )
            case MinLen(min_length=least):
                yield "min_length", least
            case Ge(ge=int(least)):
                yield "ge", least
            case Le(le=int(most)):
                yield "le", most
            case _ if not isinstance(item, _ELSEWHERE):
                raise TypeError(f"no msgspec form is known of {item!r}")


def _meta(metadata: tuple[Any, ...]) -> msgspec.Meta:
    bounds: Any = dict(_bounds(metadata))
    return msgspec.Meta(**bounds)


def _derived(annotation: Any, metadata: tuple[Any, ...] = ()) -> Any:  # noqa: ANN401, PLR0911 - it works on types; one return per form
    """The msgspec type for a pydantic annotation."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        return _derived(inner, (*metadata, *more))
    if any(isinstance(item, BeforeValidator) for item in metadata):
        return str  # an instant: `schemas.times` parses its text in both routes
    if origin in (Union, types.UnionType):
        return Union[tuple(_derived(member, metadata) for member in get_args(annotation))]  # noqa: UP007 - made at run time
    if origin is tuple:
        return Annotated[tuple[_derived(get_args(annotation)[0]), ...], _meta(metadata)]  # type: ignore[misc]
    if origin is Literal or annotation is type(None):
        return annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return struct_of(annotation)
    if annotation in (str, int):
        return Annotated[annotation, _meta(metadata)]
    raise TypeError(f"no msgspec form is known of {annotation!r}")


def struct_of(
    model: type[BaseModel], only: frozenset[str] | None = None, *, written: bool = False
) -> type[msgspec.Struct]:
    """A frozen struct with a model's fields, in their order.

    `only` restricts it to the fields with these JSON names. A list that may be `all` is None then,
    and may be absent; if `written`, it is required, and `all` is in it as a text.
    """
    if only is None and model in _STRUCTS:
        return _STRUCTS[model]
    fields = [
        _field(field.alias or name, field, written=written)
        for name, field in model.model_fields.items()
        if only is None or (field.alias or name) in only
    ]
    fields.sort(key=len)  # structs need required fields first; sorting is stable
    struct = msgspec.defstruct(
        model.__name__, fields, frozen=True, gc=False, omit_defaults=True, module=__name__
    )
    if only is None:
        _STRUCTS[model] = struct
    return struct


def _field(name: str, field: FieldInfo, *, written: bool) -> tuple[Any, ...]:
    """(name, type) of a struct's field, and its default if it has one."""
    kind = _derived(field.annotation, tuple(field.metadata))
    if _may_be_all(field):
        listed = _derived(get_args(field.annotation)[0])
        return (name, listed | Literal["all"]) if written else (name, kind, None)
    return (name, kind) if field.is_required() else (name, kind, field.default)


def _may_be_all(field: FieldInfo) -> bool:
    return any(isinstance(item, AllOrListed) for item in field.metadata)


def _own_fields(name: str, model: type[BaseModel]) -> frozenset[str]:
    return frozenset(
        field.alias or written for written, field in model.model_fields.items()
    ).difference(events.common_of(name))


BODIES: Final = {
    name: struct_of(model, _own_fields(name, model))
    for name, model in ((name, event_versions.newest_class(name)) for name in events.MODELS)
}
"""By event type: the struct of the fields that only this type has, named as in its newest model."""


def _body_decoder(name: str, model: type[BaseModel]) -> Callable[[bytes], Any]:
    """JSON bytes of one version of an event type → its body.

    TypeError for a version whose fields are not those of the body: it needs a decoder here.
    """
    body, own = BODIES[name], _own_fields(name, model)
    if msgspec.structs.fields(struct_of(model, own)) != msgspec.structs.fields(body):
        raise TypeError(f"{name}: no fast decoder is known of {model.__name__}")
    listed = [field for field, about in model.model_fields.items() if _may_be_all(about)]
    if not listed:
        return msgspec.json.Decoder(body).decode
    (field,) = listed
    names = body.__struct_fields__
    place, values_of = names.index(field), attrgetter(*names)
    decode_written = msgspec.json.Decoder(struct_of(model, own, written=True)).decode

    def decode(value: bytes) -> Any:  # noqa: ANN401 - a struct of `BODIES`
        values = values_of(decode_written(value))
        if values[place] == ALL:
            return body(*values[:place], None, *values[place + 1 :])
        return body(*values)

    return decode


DECODE_BODY: Final[dict[tuple[str, int], Callable[[bytes], Any]]] = {
    (name, version): _body_decoder(name, event_versions.class_of(name, version))
    for name, versions in event_versions.VERSIONS.items()
    for version in versions
}
"""By event type and version: JSON bytes → body; raises msgspec's errors."""


def _common(name: str) -> Callable[[bytes], Any]:
    fields: list[Any] = [(field, str) for field in events.common_of(name)]
    fields.append(("dataschema", str | None, None))
    return msgspec.json.Decoder(
        msgspec.defstruct("Common", fields, gc=False, module=__name__)
    ).decode


DECODE_ORDER_COMMON: Final = _common("order_placed")
"""JSON bytes → the fields of every event of an order, as texts with unchecked bounds, and its
`dataschema`; raises msgspec's errors."""

DECODE_CHAT_COMMON: Final = _common("buyer_messaged")
"""The same for a message."""

CHECKS: Final[dict[str, Callable[[Any], str | None]]] = {
    "order_placed": lambda body: events.lines_fault(body.lines)
}
"""By event type: body → the fault between its fields, or None."""

for _name, _model in events.MODELS.items():
    if bool(_model.__pydantic_decorators__.model_validators) != (_name in CHECKS):
        raise TypeError(f"{_name}: a model validator and an entry in CHECKS go together")
