"""Names of a lobby's files that changed, for whoever iterates over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Sequence


class ChangedNames:
    """The names that changed and were not taken yet, each once.

    Args:
        registry: of all readers of the lobby; this one leaves it when it is cancelled.
    """

    def __init__(self, registry: list[ChangedNames]) -> None:
        self._registry = registry
        self._names: dict[str, None] = {}
        self._wake = trio.Event()

    def put(self, names: Sequence[str]) -> None:
        """Take note of changes."""
        self._names.update(dict.fromkeys(names))
        if self._names:
            self._wake.set()

    def __aiter__(self) -> ChangedNames:
        return self

    async def __anext__(self) -> str:
        try:
            while not self._names:
                self._wake = trio.Event()
                await self._wake.wait()
        except trio.Cancelled:
            self._registry.remove(self)
            raise
        name = next(iter(self._names))
        del self._names[name]
        return name
