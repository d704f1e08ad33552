"""A log in the swarm: a single feed of which everything is wanted, but what was cleared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from datfs.hypercore.feed import Feed
    from datfs.swarm.announcer import Announcer
    from datfs.swarm.feed_replica import FeedReplica
    from datfs.swarm.topic import Topic


class LogReplica:
    """A feed that is replicated by itself within a topic.

    Args:
        replica: the feed in the swarm.
        topic: whose connections carry it.
        announcer: syncs what was appended and tells the peers.
        everywhere: whether every connection of the topic carries it from the start.

    Attributes:
        on_change: called after blocks came from peers.
    """

    def __init__(
        self, replica: FeedReplica, topic: Topic, announcer: Announcer, *, everywhere: bool = True
    ) -> None:
        self.replica = replica
        self.topic = topic
        self.on_change: Callable[[], None] = lambda: None
        self._announcer = announcer
        replica.on_blocks = self._arrived
        topic.add_feed(replica, everywhere=everywhere)
        if replica.own:
            announcer.committed(replica)  # what an earlier process wrote may not be on disk

    @property
    def feed(self) -> Feed:
        """The feed."""
        return self.replica.feed

    def append(self, block: bytes) -> int:
        """Append a block to an own log; peers hear of it once it is on disk.

        Returns:
            Its index.

        Raises:
            ReadOnlyFeed: the log cannot be written.
            OSError: the disk failed.
        """
        block_index = self.feed.append([block])
        self._announcer.committed(self.replica)
        return block_index

    async def sync(self) -> None:
        """Return once what was appended survives a loss of power."""
        await trio.to_thread.run_sync(self.feed.sync)

    def leave(self) -> None:
        """Serve the log no longer and let go of its files."""
        self.topic.remove_feed(self.replica)
        self.feed.close()

    def _arrived(self) -> bool:
        self.on_change()
        return False
