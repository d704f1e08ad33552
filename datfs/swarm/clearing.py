"""Clears blocks that nobody needs any more: the peers are told first, the bytes go some time later.

Between the two a request that was on its way is still answered; a later one is told that the block
is not here (design section 4), for the original drops a peer that leaves a request unanswered.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from datfs.swarm.feed_replica import FeedReplica

CLEAR_AFTER_S: Final = 30.0
"""Between telling peers and punching the hole."""

log = logging.getLogger(__name__)


class Clearing:
    """What is to be cleared, and the service that does it."""

    def __init__(self) -> None:
        self._due: deque[tuple[float, FeedReplica, range]] = deque()
        self._wake = trio.Event()

    def forget(self, replica: FeedReplica, blocks: range) -> None:
        """Tell peers that blocks are no more to be had here, and clear them when they are due."""
        replica.withdraw(blocks)
        self._due.append((trio.current_time() + CLEAR_AFTER_S, replica, blocks))
        self._wake.set()

    async def run(self) -> None:
        """Clear what is due until cancelled; then all that was told of, for the peers go too."""
        try:
            while True:
                due_at = self._due[0][0] if self._due else math.inf
                with trio.move_on_at(due_at):
                    await self._wake.wait()
                self._wake = trio.Event()
                self._clear(trio.current_time())
        finally:
            self._clear(math.inf)

    def _clear(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            _, replica, blocks = self._due.popleft()
            try:
                if blocks.start < replica.feed.length:
                    replica.feed.clear(blocks.start, min(blocks.stop, replica.feed.length))
            except OSError as error:
                log.warning("%s cannot be cleared: %s", replica.feed.key.hex(), error)
