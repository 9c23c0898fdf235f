"""The states that a chunk changes, decoded when they are first touched."""

from collections.abc import Callable
from typing import TypeVar

from tables import sales, service
from tables.outcome import Stored
from tables.sales import Tally
from tables.service import ServiceTally

_State = TypeVar("_State")


class TouchedStates(dict[bytes, _State]):
    """Decoded states by key, read when first touched; every touched one is written."""

    def __init__(
        self, states: Stored, new: Callable[[], _State], decode: Callable[[bytes], _State]
    ) -> None:
        super().__init__()
        self._states = states
        self._new = new
        self._decode = decode

    def __missing__(self, key: bytes) -> _State:
        state = self._states[key]
        found = self[key] = self._new() if state is None else self._decode(state)
        return found

    def encoded(self, encode: Callable[[_State], bytes]) -> dict[bytes, bytes | None]:
        """The touched states' bytes."""
        return {key: encode(state) for key, state in self.items()}


def touched_tallies(states: Stored) -> TouchedStates[Tally]:
    """The sums of sales that a chunk changes."""
    return TouchedStates(states, Tally, sales.decode)


def touched_services(states: Stored) -> TouchedStates[ServiceTally]:
    """The sums of service columns that a chunk changes."""
    return TouchedStates(states, ServiceTally, service.decode)
