"""A lobby of which nothing is here yet, so that not even its carrier is known.

Its own offer can be written all the same; it waits here until the first block has come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from datfs.errors import NotAnArchive

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from datfs.swarm.archive_replica import ArchiveReplica


class UnknownLobby:
    """What is kept of a lobby until its first block is here.

    Args:
        replica: the host's feed, taken for an archive's.
        on_waiting: called with each signal that is written.

    Attributes:
        is_wanted: whether we are to join as soon as that can be done.
        waiting: signals of ours that wait to be written, by name.
    """

    is_hosted = False
    lines = None

    def __init__(self, replica: ArchiveReplica, on_waiting: Callable[[bytes], None]) -> None:
        self._replica = replica
        self._on_waiting = on_waiting
        self.is_wanted = False
        self.waiting: dict[str, bytes] = {}

    async def ready(self) -> None:
        """Wait for the first block; raises ArchiveUnreachable."""
        try:
            await self._replica.ready()
        except NotAnArchive:
            return  # then it is a log, or what opens it says that it is nothing

    def follow_writers(self) -> None:
        """Nobody is known who writes."""

    def is_ours(self, name: str) -> bool:
        """Whether a file is one that waits here."""
        return name in self.waiting

    def names(self, folder: str) -> Sequence[str]:
        """The files that wait here."""
        return [] if folder else list(self.waiting)

    def signal(self, name: str) -> bytes | None:
        """A file that waits here."""
        return self.waiting.get(name)

    async def read(self, name: str) -> bytes | None:
        """A file that waits here."""
        await trio.lowlevel.checkpoint()
        return self.waiting.get(name)

    async def write(self, name: str, data: bytes) -> None:
        """Let a file wait."""
        await trio.lowlevel.checkpoint()
        self.waiting[name] = data
        self._on_waiting(data)

    async def remove(self, name: str) -> None:
        """Let a file wait no more."""
        await trio.lowlevel.checkpoint()
        self.waiting.pop(name, None)

    async def sync(self) -> None:
        """Nothing that waits survives the process: the offer it belongs to does not either."""
        await trio.lowlevel.checkpoint()
