"""Reads signal files as they change, each name in a task of its own.

A file whose blocks are slow to come delays no other one. What is delivered for a name comes in the
order in which it was read, and the last delivery is never older than the last `look`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from datfs.errors import DatfsError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from datfs.lobby.ports import Events, SignalFiles

RETRY_S: Final = 5.0
"""Pause after a file could not be read, before it is tried again."""


class SignalReader:
    """A reader; its tasks run in the nursery that it is given."""

    def __init__(
        self,
        files: SignalFiles,
        events: Events,
        *,
        nursery: trio.Nursery,
        deliver: Callable[[str, bytes | None], Awaitable[None]],
    ) -> None:
        """Begin with nothing to read.

        Args:
            files: where to read.
            events: told of files that cannot be read.
            nursery: for the tasks.
            deliver: given each name with its content, None if it is not there.
        """
        self._files = files
        self._events = events
        self._nursery = nursery
        self._deliver = deliver
        self._stale: dict[str, bool] = {}  # names being read; True: look again afterwards

    def look(self, name: str) -> None:
        """Read a file now, or once more if it is being read."""
        if name in self._stale:
            self._stale[name] = True
            return
        self._stale[name] = False
        self._nursery.start_soon(self._read, name)

    async def _read(self, name: str) -> None:
        failed = False
        while True:
            self._stale[name] = False
            try:
                data = await self._files.read(name)
            except DatfsError as error:
                if not failed:
                    self._events.append("signal-unreadable", name=name, reason=str(error))
                failed = True
                await trio.sleep(RETRY_S)
                continue
            failed = False
            await self._deliver(name, data)
            if not self._stale[name]:
                del self._stale[name]
                return
