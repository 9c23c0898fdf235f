"""Explains faults in a process's settings, each with the variable's name and value.

A value that may contain a password is never shown. A NETSOLD_… variable that is no setting is a
fault, too, because it would have no effect. Variables that Kubernetes sets for a service named
netsold are ignored.
"""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import DotEnvSettingsSource

from schemas.errors import NetsoldError
from streams.rules import TermValues
from streams.settings import Kafka, Settings
from streams.value_words import kinds_of, must_be, shortened, shown_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails
    from pydantic_settings import SettingsError

PREFIX: Final = "NETSOLD_"
NOT_SETTINGS: Final = {"NETSOLD_FAILPOINT"}
"""Variables that `streams/failpoints.py` reads."""

_OF_KUBERNETES: Final = re.compile(
    r"_SERVICE_(HOST|PORT(_\w+)?)|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?"
)
_SERVICE_ADDRESS: Final = re.compile(r"(tcp|udp|sctp)://")
_FIELD: Final = re.compile(r'field "(\w+)"')


class SettingsUnusable(NetsoldError):
    """Settings that are unknown or can't be read."""

    exit_code = 2


def known() -> list[str]:
    """The names of all variables that are settings, in their order."""
    return [
        _variable((name, *inner))
        for name, field in Settings.model_fields.items()
        for inner in _inner(field)
    ]


def refuse_unknown() -> None:
    """Raise SettingsUnusable if the environment or `.env` has an unknown NETSOLD_… variable."""
    try:
        in_file = DotEnvSettingsSource(Settings).env_vars
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsUnusable(f".env can't be read as text in UTF-8: {error}") from error
    found = unknown({name.upper(): value for name, value in (in_file | os.environ).items()})
    if found:
        raise SettingsUnusable(f"settings can't be used: {'; '.join(map(_is_none, found))}")


def unknown(variables: Mapping[str, str | None]) -> list[str]:
    """The names, in upper case, that have a setting's prefix and are no setting."""
    names = {*known(), *NOT_SETTINGS}
    return sorted(
        name
        for name, value in variables.items()
        if name.startswith(PREFIX) and name not in names
        if not (
            _OF_KUBERNETES.search(name)
            or (name.endswith("_PORT") and _SERVICE_ADDRESS.match(value or ""))
        )
    )


def sentence(error: ValidationError | SettingsError) -> str:
    """All faults in one sentence: of each the variable, its value and what it must be."""
    if isinstance(error, ValidationError):
        faults: Iterable[str] = map(_fault, error.errors())
    else:
        named = _FIELD.search(str(error))
        faults = [_not_an_object(_variable((named[1],)) if named else PREFIX)]
    return f"settings can't be used: {'; '.join(faults)}"


def _fault(fault: ErrorDetails) -> str:
    place, kind = fault["loc"], fault["type"]
    if kind == "value_error":  # a message of streams/settings.py; it has the value if it may
        variable = (_variable(place),) if place else ()
        message = fault["msg"].removeprefix("Value error, ")
        return shortened(": ".join((*variable, message)))
    if kind == "extra_forbidden":
        return _is_none(_variable(place))
    if kind in {"model_type", "dict_type"}:
        return _not_an_object(_variable(place))
    field = _field(place)
    if field is None:
        return f"{_variable(place)}: {fault['msg']}"
    given = "" if SecretStr in kinds_of(field) else f" is {shown_value(fault['input'])}, but"
    return f"{_variable(place)}{given} must be {must_be(field)}"


def _inner(field: FieldInfo) -> Iterable[tuple[str, ...]]:
    """The paths below a setting: of a group, the group itself and each of its members."""
    model = field.annotation
    return (
        ((), *((name,) for name in Kafka.model_fields))
        if isinstance(model, type) and issubclass(model, BaseModel)
        else ((),)
    )


def _field(place: tuple[int | str, ...]) -> FieldInfo | None:
    fields: Mapping[str, FieldInfo] = (
        Kafka.model_fields if place[0] == "kafka" and len(place) > 1 else Settings.model_fields
    )
    return fields.get(str(place[-1]))


def _variable(place: tuple[int | str, ...]) -> str:
    return f"{PREFIX}{'__'.join(map(str, place)).upper()}"


def _is_none(name: str) -> str:
    if name.removeprefix(PREFIX).lower() in TermValues.model_fields:
        return (
            f"{name} is no setting but a term: write it into a file (`netsold rules show` prints "
            "one), and name that file by NETSOLD_RULES"
        )
    near = get_close_matches(name, known(), n=1, cutoff=0.8)
    advice = f"did you mean {near[0]}?" if near else "docs/reference/settings.md has the list"
    return f"{name} is no setting: {advice}"


def _not_an_object(name: str) -> str:
    return (
        f"{name} must be one JSON object of its settings;"
        f" simpler is a variable for each, such as {name}__BOOTSTRAP_SERVERS=host:9092"
    )
