"""An archive in the swarm: its two feeds, new versions as they come, reads that wait for blocks."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from datfs.errors import ArchiveUnreachable, BlockUnavailable, NotAnArchive
from datfs.hyperdrive.extent import missing_blocks
from datfs.swarm.feed_replica import FeedReplica
from datfs.swarm.read_ahead import ReadAhead

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from datfs.hypercore.feed import Feed
    from datfs.hyperdrive.archive import Archive, Change
    from datfs.hyperdrive.stat import Stat
    from datfs.swarm.announcer import Announcer
    from datfs.swarm.topic import Topic

METADATA_DEADLINE_S = 5.0
"""How long the first look into an archive may wait for somebody who has it."""

DATA_DEADLINE_S = 30.0
"""How long a read may wait for a block."""

APPLY_LIMIT = 1000
"""Metadata blocks that are taken into the index before other tasks get a turn."""

READ_AHEAD_BLOCKS = 1024
"""The most blocks that one read fetches ahead, however small they are."""

log = logging.getLogger(__name__)


class ArchiveReplica:
    """An archive that is replicated within a topic.

    Args:
        archive: the archive; own ones are committed to by others, who then call `committed`.
        topic: whose connections carry its feeds.
        announcer: syncs what came and tells the peers.
        on_change: called with the changes of each new version of somebody else's archive.
        on_use: called when somebody looks into the archive.
        on_overtaken: called with a feed of our own and the longer length that a peer has proved;
            nothing is appended to the feed from then on.
        download_all: whether content is fetched as a whole, not only where it is read.
        everywhere: whether every connection of the topic carries it from the start.
        metadata_deadline_s, data_deadline_s: seconds; see `ready` and `read`.

    Attributes:
        on_header: called once when block 0 has come and tells what this is.
    """

    def __init__(
        self,
        archive: Archive,
        topic: Topic,
        announcer: Announcer,
        *,
        on_change: Callable[[Sequence[Change]], None],
        on_use: Callable[[], None] = lambda: None,
        on_overtaken: Callable[[Feed, int], None] = lambda _feed, _length: None,
        download_all: bool = False,
        everywhere: bool = True,
        metadata_deadline_s: float = METADATA_DEADLINE_S,
        data_deadline_s: float = DATA_DEADLINE_S,
    ) -> None:
        self.archive = archive
        self.topic = topic
        self._announcer = announcer
        self._on_change = on_change
        self._on_use = on_use
        self._on_overtaken = on_overtaken
        self._download_all = download_all
        self._everywhere = everywhere
        self._metadata_deadline_s = metadata_deadline_s
        self._data_deadline_s = data_deadline_s
        self._read_ahead = ReadAhead()
        self._progress = trio.Event()
        self._complete_once = archive.version > 0
        self.on_header: Callable[[], None] = lambda: None
        self.metadata = self._replicate(archive.metadata, self._apply, download_all=True)
        self.content: FeedReplica | None = None
        topic.add_feed(self.metadata, everywhere=everywhere)
        self.committed()

    @property
    def key(self) -> bytes:
        """The archive's public key."""
        return self.archive.key

    @property
    def feeds(self) -> list[FeedReplica]:
        """The feeds that are known: metadata, and content once its key is."""
        return [self.metadata] if self.content is None else [self.metadata, self.content]

    def open(self) -> None:
        """Ask every connection for this archive (one that was added quietly)."""
        for replica in self.feeds:
            self.topic.open_feed(replica)

    def want_all(self) -> None:
        """Fetch all content from now on, whether it is read or not."""
        self._download_all = True
        if self.content is not None and not self.content.own:
            self.content.scheduler.download_all = True
            self.content.wake_peers()

    def leave(self) -> None:
        """Serve this archive's feeds no longer."""
        for replica in self.feeds:
            replica.left = True
            self.topic.remove_feed(replica)

    def committed(self) -> None:
        """The own archive grew: sync it, then tell the peers."""
        self._add_content()
        for replica in reversed(self.feeds):  # what names a block comes after the block
            if replica.own:
                self._announcer.committed(replica)

    def used(self) -> None:
        """Somebody looks into the archive."""
        self._on_use()

    async def ready(self) -> None:
        """Wait until there is something to show.

        An archive of which a version is here is ready at once, so that nothing waits for the
        network twice; else the newest version that a peer offers is waited for.

        Raises:
            ArchiveUnreachable: nobody gave anything within the deadline.
            NotAnArchive: what came is something else.
            StorageDamaged: what is in the store of it contradicts itself.
            OSError: the disk failed.
        """
        self._on_use()
        while not self.metadata.own and self._take_in():
            await trio.lowlevel.checkpoint()
        if self.metadata.own or self._complete_once:
            return
        self.topic.retry_now()
        with trio.move_on_after(self._metadata_deadline_s):
            while not self._is_complete():
                if self.archive.not_an_archive is not None:
                    raise NotAnArchive(f"{self.key.hex()}: {self.archive.not_an_archive}")
                await self._progress.wait()
            self._complete_once = True
            return
        if self.archive.version == 0:
            raise ArchiveUnreachable(
                f"nobody who has {self.key.hex()} answered within {self._metadata_deadline_s:g} s"
            )

    async def read(self, stat: Stat, offset: int, size: int) -> bytes:
        """Read bytes of a file, fetching the blocks that are not here.

        Args:
            stat: the file's, of any version of the archive.
            offset: first byte.
            size: bytes; fewer come back at the end of the file.

        Raises:
            BlockUnavailable: a block did not come within the deadline.
        """
        self._on_use()
        size = min(size, stat.size - offset)
        if size <= 0:
            return b""
        content = self.content
        if content is None:
            raise BlockUnavailable("the archive's content feed is not known yet")
        if not content.own:
            await self._fetch(content, stat, offset, size)
        return self.archive.read(stat, offset, size)

    async def _fetch(self, content: FeedReplica, stat: Stat, offset: int, size: int) -> None:
        end = trio.current_time() + self._data_deadline_s
        ahead = self._read_ahead.after(stat.byte_offset, offset, size)
        while (blocks := missing_blocks(content.feed, stat, offset, size)) is not None:
            if not content.scheduler.remotes:
                self.topic.open_feed(content)
                self.topic.retry_now()
            await content.fetch(blocks, max(end - trio.current_time(), 0))
        if ahead:
            coming = missing_blocks(content.feed, stat, offset + size, ahead)
            if coming is not None:
                content.read_ahead(coming[:READ_AHEAD_BLOCKS])

    @property
    def has_header(self) -> bool:
        """Whether block 0 is here and tells what this is."""
        return self.archive.content is not None or self.archive.not_an_archive is not None

    def _is_complete(self) -> bool:
        length = self.archive.metadata.length
        return length > 0 and self.archive.version == length - 1 and self.content is not None

    def _apply(self) -> bool:
        """Take in metadata that came; what goes wrong here concerns this archive and no peer."""
        try:
            return self._take_in()
        except Exception as error:
            log.exception("the archive %s cannot be brought up to date", self.key.hex())
            self.topic.note("archive", f"what came for it cannot be taken in: {error}")
            return False

    def _take_in(self) -> bool:
        """Apply some of the metadata that is here; true if there may be more."""
        before, had_header = self.archive.applied_length, self.has_header
        if not self.archive.metadata.has(before):
            return False
        try:
            changes = self.archive.update(APPLY_LIMIT)
            self._add_content()
            if changes:
                self._on_change(changes)
            if self.has_header and not had_header:
                self.on_header()
        finally:
            self._progress.set()
            self._progress = trio.Event()
        return self.archive.applied_length > before

    def _add_content(self) -> None:
        if self.content is None and self.archive.content is not None:
            self.content = self._replicate(
                self.archive.content, lambda: False, download_all=self._download_all
            )
            self.topic.add_feed(self.content, everywhere=self._everywhere)

    def _replicate(
        self, feed: Feed, on_blocks: Callable[[], bool], *, download_all: bool
    ) -> FeedReplica:
        return FeedReplica(
            feed,
            on_blocks=on_blocks,
            on_overtaken=lambda length: self._on_overtaken(feed, length),
            download_all=download_all,
        )
