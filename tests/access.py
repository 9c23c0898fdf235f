"""Tokens and settings of readers that need them, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from schemas.tokens import Scope, line_of, token_of
from tests.reading import settings_in

if TYPE_CHECKING:
    from pathlib import Path

    from streams.settings import Settings

TOKENS: Final = {scope: token_of(scope.value.encode().ljust(32)) for scope in Scope}
LINES: Final = ",".join(line_of(scope, scope.value, token) for scope, token in TOKENS.items())


def by(scope: Scope) -> dict[str, str]:
    """The header with the token of a scope."""
    return {"Authorization": f"Bearer {TOKENS[scope]}"}


def guarded_settings(directory: Path, **more: Any) -> Settings:  # noqa: ANN401 - any setting
    """Settings of a reader with a token of each scope."""
    return settings_in(directory).model_copy(update={"reader_tokens": SecretStr(LINES), **more})
