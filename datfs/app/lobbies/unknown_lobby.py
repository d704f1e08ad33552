"""A lobby of which nothing is here yet, so that not even its carrier is known.

Our own offer can be written all the same; it waits until the first block has come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from datfs.errors import NotAnArchive
from datfs.lobby.names import offer_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from datfs.app.lobbies.waiting_offer import WaitingOffer
    from datfs.swarm.archive_replica import ArchiveReplica


class UnknownLobby:
    """What is kept of a lobby until its first block is here.

    Args:
        replica: the host's feed, taken for an archive's.
        identity: ours.
        offer: our offer while it waits.
        on_waiting: called with each offer that is written.

    Attributes:
        is_wanted: whether we are to join as soon as that can be done.
    """

    is_hosted = False
    lines = None

    def __init__(
        self,
        replica: ArchiveReplica,
        *,
        identity: bytes,
        offer: WaitingOffer,
        on_waiting: Callable[[bytes], None],
    ) -> None:
        self._replica = replica
        self._name = offer_name(identity)
        self._offer = offer
        self._on_waiting = on_waiting
        self.is_wanted = False

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
        return self.signal(name) is not None

    def names(self, folder: str) -> Sequence[str]:
        """The files that wait here."""
        return [] if folder or self._offer.text is None else [self._name]

    def signal(self, name: str) -> bytes | None:
        """A file that waits here."""
        return self._offer.text if name == self._name else None

    def check(self, name: str, data: bytes) -> None:
        """Nobody is known to whom anything would be sealed."""

    async def read(self, name: str) -> bytes | None:
        """A file that waits here."""
        await trio.lowlevel.checkpoint()
        return self.signal(name)

    async def write(self, name: str, data: bytes) -> None:
        """Let our offer wait; nothing else is ours to write here."""
        await trio.lowlevel.checkpoint()
        assert name == self._name
        self._offer.put(data)
        self._on_waiting(data)

    async def remove(self, name: str) -> None:
        """Let a file wait no more."""
        await trio.lowlevel.checkpoint()
        if self.is_ours(name):
            self._offer.clear()

    async def sync(self) -> None:
        """What waits is on disk already."""
        await trio.lowlevel.checkpoint()
