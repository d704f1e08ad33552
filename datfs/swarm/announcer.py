"""What a peer is told is on disk first.

One grouped sync stands between a commit and its announcement: everything that was committed while
the last sync ran is covered by the next one, and its `Have` goes out right after. close(2) never
waits for it. Blocks that came from peers are synced lazily: nobody else depends on them being told
of at once (design sections 2, 3 and 4). What could not be synced is announced to nobody and tried
again, with the next commit or after a pause.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import trio

from datfs.errors import DatfsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from datfs.swarm.feed_replica import FeedReplica

LAZY_SYNC_S = 1.0
"""How long blocks from peers may wait for a sync, so that many share it."""

FIRST_PAUSE_S = 0.001
LONGEST_PAUSE_S = 0.01
"""Between the syncs of a burst of commits, doubling from the first; a lone commit waits for none.
Syncs one upon the other would halve the rate of the commits that they are for."""

RETRY_S = 10.0
"""Pause after a sync that failed, before the next attempt if nothing new is committed."""

log = logging.getLogger(__name__)


class Announcer:
    """Syncs feeds and then tells the peers what is new in them.

    Args:
        record_length: called in a worker thread with an own feed's key and length, after the sync
            and before anybody hears of it (the mark outside the store).
        on_sync_failed: called with a feed's key and the reason when the disk refused.
    """

    def __init__(
        self,
        *,
        record_length: Callable[[bytes, int], None] = lambda _key, _length: None,
        on_sync_failed: Callable[[bytes, str], None] = lambda _key, _reason: None,
    ) -> None:
        self._record_length = record_length
        self._on_sync_failed = on_sync_failed
        self._pending: dict[FeedReplica, list[range]] = {}
        self._failed: dict[FeedReplica, list[range]] = {}
        self._retry_at = math.inf
        self._reasons: dict[FeedReplica, str] = {}
        # A thread of its own: whatever hangs in the others, commits are announced.
        self._limiter = trio.CapacityLimiter(1)
        self._pending_wake = trio.Event()
        self._urgent_wake = trio.Event()
        self._idle = trio.Event()
        self._idle.set()

    def committed(self, replica: FeedReplica) -> None:
        """An own feed grew: sync and announce it as soon as the disk allows."""
        start = replica.durable_length
        if replica.feed.length > start:
            self._add(replica, range(start, replica.feed.length))
            self._urgent_wake.set()

    def downloaded(self, replica: FeedReplica, blocks: range) -> None:
        """Blocks came from a peer: sync them some time soon and tell the others."""
        self._add(replica, blocks)

    async def flush(self) -> None:
        """Wait until everything that was committed before this call is synced and announced."""
        if self._pending:
            self._urgent_wake.set()
        await self._idle.wait()

    async def run(self) -> None:
        """Sync and announce for ever; cancel it to end. Nothing that fails in between ends it."""
        pause_s = 0.0
        while True:
            if self._urgent_wake.is_set():  # while the last sync ran
                pause_s = min(max(2 * pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
                await trio.sleep(pause_s)
            else:
                pause_s = 0.0
            with trio.move_on_at(self._retry_at):
                await self._pending_wake.wait()
                with trio.move_on_after(LAZY_SYNC_S):
                    await self._urgent_wake.wait()
            self._pending_wake = trio.Event()
            self._urgent_wake = trio.Event()
            if trio.current_time() >= self._retry_at:
                self._take_up_failed()
            batch, self._pending = self._pending, {}
            lengths = {replica: replica.feed.length for replica in batch}
            failed = await trio.to_thread.run_sync(self._sync, lengths, limiter=self._limiter)
            for replica, ranges in batch.items():
                if replica in failed:
                    self._failed_to_sync(replica, ranges, failed[replica])
                else:
                    self._announce(replica, ranges, lengths[replica])
            if not self._pending:
                self._idle.set()

    def _announce(self, replica: FeedReplica, ranges: list[range], length: int) -> None:
        self._reasons.pop(replica, None)
        if replica.own:
            replica.durable_length = max(replica.durable_length, length)
        for peer in list(replica.scheduler.remotes):
            try:
                peer.announce(replica, ranges)
            except Exception:
                log.exception("%s cannot be told what is new", peer.address)
                peer.close("it could not be told what is new, see the log")

    def _failed_to_sync(self, replica: FeedReplica, ranges: list[range], reason: str) -> None:
        """Try again later; say so when it is new."""
        if not replica.left:
            self._failed.setdefault(replica, []).extend(ranges)
            self._retry_at = min(self._retry_at, trio.current_time() + RETRY_S)
        if self._reasons.get(replica) == reason:
            return
        self._reasons[replica] = reason
        try:
            self._on_sync_failed(replica.feed.key, reason)
        except Exception:
            log.exception("it could not be told that %s", reason)

    def _take_up_failed(self) -> None:
        self._retry_at = math.inf
        failed, self._failed = self._failed, {}
        for replica, ranges in failed.items():
            if replica.left:
                self._reasons.pop(replica, None)
                continue
            for blocks in ranges:
                self._add(replica, blocks)

    def _add(self, replica: FeedReplica, blocks: range) -> None:
        ranges = self._pending.setdefault(replica, [])
        if ranges and ranges[-1].stop == blocks.start:
            ranges[-1] = range(ranges[-1].start, blocks.stop)
        elif not ranges or ranges[-1] != blocks:
            ranges.append(blocks)
        self._idle = trio.Event() if self._idle.is_set() else self._idle
        self._pending_wake.set()

    def _sync(self, lengths: dict[FeedReplica, int]) -> dict[FeedReplica, str]:
        failed: dict[FeedReplica, str] = {}
        for replica, length in lengths.items():
            try:
                replica.feed.sync()
                if replica.own:
                    self._record_length(replica.feed.key, length)
            except (OSError, DatfsError) as error:
                failed[replica] = str(error)
            except Exception as error:
                log.exception("the feed %s cannot be synced", replica.feed.key.hex())
                failed[replica] = repr(error)
        return failed
