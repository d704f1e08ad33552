"""One feed in the swarm: its scheduler, those who wait for its blocks, what may be told of it."""

from __future__ import annotations

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


class FeedReplica:
    """A feed, and everything that replicating it needs besides the feed itself.

    Args:
        feed: the feed; whoever appends to it calls `appended` afterwards.
        on_blocks: called after blocks came from peers, once for each batch.
        on_overtaken: called with the proven length when an own feed is shorter than it once was.
        download_all: whether every block is wanted, not only what is read.
    """

    def __init__(
        self,
        feed: Feed,
        *,
        on_blocks: Callable[[], None] = lambda: None,
        on_overtaken: Callable[[int], None] = lambda _length: None,
        download_all: bool = False,
    ) -> None:
        self.feed = feed
        self.scheduler: FeedScheduler[Peer] = FeedScheduler(feed.has)
        self.scheduler.download_all = download_all and not feed.writable
        self.on_blocks = on_blocks
        self.on_overtaken = on_overtaken
        self.durable_length = feed.length
        """Of an own feed, the blocks that are on disk: no peer hears of later ones."""
        self._arrivals: dict[int, trio.Event] = {}

    @property
    def told_length(self) -> int:
        """Blocks that peers may hear of: all of a foreign feed, the durable ones of an own."""
        return self.durable_length if self.feed.writable else self.feed.length

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
        """Want blocks that no read waits for yet."""
        self.scheduler.want(blocks, Priority.READ_AHEAD)
        self.wake_peers()

    def check_longer(self, block_index: int, proof: Proof) -> None:
        """A peer proves that an own feed was once longer than it is here.

        The store is an older copy: appending to it would sign one length twice, so whoever owns
        the feed is told (`on_overtaken`).

        Raises:
            ProofInvalid: the peer made it up.
        """
        witness = Feed.create_remote(MemoryStorage(), self.feed.key)
        witness.put(block_index, None, proof)
        if witness.length > self.feed.length:
            self.on_overtaken(witness.length)

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

    async def _arrival(self, block_index: int) -> None:
        while not self.feed.has(block_index):
            event = self._arrivals.setdefault(block_index, trio.Event())
            await event.wait()
