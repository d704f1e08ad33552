"""One feed in the swarm: its scheduler, those who wait for its blocks, what may be told of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from datfs.errors import BlockUnavailable
from datfs.hypercore.feed import Feed
from datfs.hypercore.storage import MemoryStorage
from datfs.swarm.scheduler import FeedScheduler, Priority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from datfs.hypercore.proof import Proof
    from datfs.swarm.peer import Peer

MAX_UNREADABLE = 64
"""Damaged blocks of a feed that the log names."""

MAX_WANTED_BLOCKS = 65536
"""Blocks wanted one by one past which nothing is read ahead."""

log = logging.getLogger(__name__)


class FeedReplica:
    """A feed, and everything that replicating it needs besides the feed itself.

    Args:
        feed: the feed; whoever appends to it calls `appended` afterwards.
        on_blocks: called after blocks came from peers, once for each batch; true if it is to be
            called again after other tasks had a turn.
        on_overtaken: called with the proven length when an own feed is shorter than it once was
            and has become read-only.
        download_all: whether every block is wanted, not only what is read.
    """

    def __init__(
        self,
        feed: Feed,
        *,
        on_blocks: Callable[[], bool] = lambda: False,
        on_overtaken: Callable[[int], None] = lambda _length: None,
        download_all: bool = False,
    ) -> None:
        self.feed = feed
        self.own = feed.writable
        """Whether it was our own to append to when it was opened: then it is never downloaded, and
        told of only as far as it is durable, even if it has become read-only since."""
        self._withdrawn: set[int] = set()
        self.scheduler: FeedScheduler[Peer] = FeedScheduler(self._is_settled, self._first_missing)
        self.scheduler.download_all = download_all and not self.own
        self.on_blocks = on_blocks
        self.on_overtaken = on_overtaken
        self.durable_length = 0
        """Of an own feed, the blocks that are known to be on disk: no peer hears of later ones.
        None at first, for who wrote them may have died before they were synced."""
        self.left = False
        """Whether the swarm serves it no more."""
        self._unreadable: set[int] = set()
        self._arrivals: dict[int, trio.Event] = {}

    @property
    def told_length(self) -> int:
        """Blocks that peers may hear of: all of a foreign feed, the durable ones of an own."""
        return self.durable_length if self.own else self.feed.length

    @property
    def is_given(self) -> bool:
        """Whether every connection's peer has the newest block, or was given it."""
        newest = self.feed.length - 1
        return all(
            remote.given_length > newest or remote.blocks.has(newest)
            for remote in self.scheduler.remotes.values()
        )

    def attach(self, peer: Peer) -> None:
        """A connection carries this feed from now on in both directions."""
        self.scheduler.add_peer(peer)

    def detach(self, peer: Peer) -> None:
        """A connection ended; what was asked of it is asked of others."""
        self.scheduler.remove_peer(peer)
        self.wake_peers()

    def wake_peers(self) -> None:
        """Something changed in what is wanted: let every connection look for requests to send."""
        for peer in self.scheduler.remotes:
            peer.wake()

    def arrived(self, blocks: Iterable[int]) -> None:
        """Blocks are here now: wake who waits for them."""
        for block_index in blocks:
            self.scheduler.held(block_index)
            event = self._arrivals.pop(block_index, None)
            if event is not None:
                event.set()

    def read_ahead(self, blocks: Iterable[int]) -> None:
        """Want blocks that no read waits for yet; not if very many are wanted already."""
        if self.scheduler.wanted_blocks() >= MAX_WANTED_BLOCKS:
            return
        self.scheduler.want(blocks, Priority.READ_AHEAD)
        self.wake_peers()

    def withdraw(self, block_index: int) -> None:
        """Want a block no more and tell peers that it is not to be had here, for it is cleared."""
        self._withdrawn.add(block_index)
        for peer in self.scheduler.remotes:
            peer.withdraw(self, block_index)

    def _is_settled(self, block_index: int) -> bool:
        """Whether a block need not be asked for."""
        return block_index in self._withdrawn or self.feed.has(block_index)

    def check_longer(self, block_index: int, proof: Proof) -> None:
        """A peer proves that an own feed was once longer than it is here.

        The store is an older copy: appending to it would sign one length twice. So nothing is
        appended any more, and whoever owns the feed is told (`on_overtaken`).

        Raises:
            ProofInvalid: the peer made it up.
        """
        witness = Feed.create_remote(MemoryStorage(), self.feed.key)
        witness.put(block_index, None, proof)
        if witness.length > self.feed.length and self.feed.writable:
            self.feed.forbid_appending(
                f"it has {self.feed.length} blocks here, but a peer has proof of {witness.length}: "
                "going on would fork it"
            )
            self.on_overtaken(witness.length)

    def unreadable(self, block_index: int, error: Exception) -> None:
        """A block that should be here cannot be given to a peer: say so, once for each block."""
        if block_index not in self._unreadable and len(self._unreadable) < MAX_UNREADABLE:
            self._unreadable.add(block_index)
            log.error("block %d of %s: %s", block_index, self.feed.key.hex(), error)

    async def fetch(self, blocks: Sequence[int], deadline_s: float) -> None:
        """Wait until blocks are held.

        Args:
            blocks: block indexes.
            deadline_s: seconds from now after which waiting ends.

        Raises:
            BlockUnavailable: no peer gave them in time.
        """
        missing = [block_index for block_index in blocks if not self.feed.has(block_index)]
        if not missing:
            return
        self.scheduler.want(missing, Priority.URGENT)
        self.wake_peers()
        try:
            with trio.move_on_after(deadline_s) as waiting:
                for block_index in missing:
                    await self._arrival(block_index)
            if waiting.cancelled_caught:
                raise BlockUnavailable(
                    f"no peer gave block {next(b for b in missing if not self.feed.has(b))} "
                    f"within {deadline_s:g} s"
                )
        finally:
            self.scheduler.unwant(missing, Priority.URGENT)

    def _first_missing(self, start: int, end: int) -> int:
        for missing in self.feed.missing(start, end):
            for block_index in missing:
                if block_index not in self._withdrawn:
                    return block_index
        return end

    async def _arrival(self, block_index: int) -> None:
        while not self.feed.has(block_index):
            event = self._arrivals.setdefault(block_index, trio.Event())
            await event.wait()
