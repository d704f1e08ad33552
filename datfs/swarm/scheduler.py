"""Which block of a feed is asked of which peer next.

A core without I/O: it is told what is wanted, what peers claim and what came, and says what to
request. What is wanted most comes first: blocks that a read waits for, then read-ahead, then the
whole download in order. A request that a peer leaves unanswered past its deadline goes to another
peer; when it comes late all the same it is taken (design section 4).
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Generic, TypeVar

from datfs.swarm.remote import RemoteFeed

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

    _PeerT = TypeVar("_PeerT", bound=Hashable)
else:
    _PeerT = TypeVar("_PeerT")

REQUEST_DEADLINE_S = 5.0
"""Silence after which an open request is given to another peer; the JavaScript peers drop the
connection after 7.5 s."""

STALL_DEADLINE_S = 20.0
"""Silence on open requests after which a peer is taken for dead, keep-alives or not."""


class Priority(IntEnum):
    """How much a block is wanted; smaller is sooner."""

    URGENT = 0
    READ_AHEAD = 1


class FeedScheduler(Generic[_PeerT]):
    """The wants of one feed and the peers that can fulfil them.

    Args:
        holds: tells whether a block is already here.
        first_missing: gives the first block from the first argument to before the second that is
            not here, the second if all are; without it each block is looked at.
    """

    def __init__(
        self,
        holds: Callable[[int], bool],
        first_missing: Callable[[int, int], int] = lambda start, _end: start + 1,
    ) -> None:
        self._holds = holds
        self._first_missing = first_missing
        self._wanted: dict[Priority, dict[int, int]] = {priority: {} for priority in Priority}
        self._asked: dict[int, int] = {}
        self.remotes: dict[_PeerT, RemoteFeed] = {}
        self.download_all = False

    def add_peer(self, peer: _PeerT) -> RemoteFeed:
        """Begin to count on a peer; returns what is kept about it."""
        return self.remotes.setdefault(peer, RemoteFeed())

    def remove_peer(self, peer: _PeerT) -> None:
        """Forget a peer; what was asked of it may be asked of others."""
        remote = self.remotes.pop(peer, None)
        if remote is None:
            return
        for block_index in remote.in_flight:
            self._release(block_index)
            self.look_again(block_index)

    def want(self, blocks: Iterable[int], priority: Priority) -> None:
        """Want blocks; each call counts, and is taken back by `unwant`."""
        wanted = self._wanted[priority]
        for block_index in blocks:
            if not self._holds(block_index):
                wanted[block_index] = wanted.get(block_index, 0) + 1

    def unwant(self, blocks: Iterable[int], priority: Priority) -> None:
        """Take back one `want` of each block."""
        wanted = self._wanted[priority]
        for block_index in blocks:
            count = wanted.get(block_index)
            if count is None:
                continue
            if count > 1:
                wanted[block_index] = count - 1
            else:
                del wanted[block_index]

    def wanted_blocks(self) -> int:
        """How many single blocks are wanted (the whole download not counted)."""
        return sum(len(wanted) for wanted in self._wanted.values())

    def claimed(self, peer: _PeerT, start: int) -> None:
        """A peer's claims changed from block `start` on: look there again."""
        remote = self.remotes[peer]
        remote.cursor = min(remote.cursor, start)

    def next_requests(self, peer: _PeerT, now: float) -> list[int]:
        """Choose what to ask of a peer now and count it as asked.

        Args:
            peer: one that was added.
            now: seconds, monotonic.

        Returns:
            Block indexes in the order in which they should be sent.
        """
        remote = self.remotes[peer]
        room = remote.room()
        chosen: list[int] = []
        if room <= 0:
            return chosen
        for block_index in self._candidates(remote):
            if block_index in remote.in_flight or block_index in remote.late:
                continue
            remote.in_flight[block_index] = now
            self._asked[block_index] = self._asked.get(block_index, 0) + 1
            chosen.append(block_index)
            if len(chosen) == room:
                break
        return chosen

    def received(self, peer: _PeerT, block_index: int, byte_length: int, now: float) -> bool:
        """Take in that a peer sent a block.

        Returns:
            Whether it had been asked for; what was not is to be dropped.
        """
        remote = self.remotes[peer]
        was_open = block_index in remote.in_flight
        asked = remote.answered(block_index, byte_length, now)
        if was_open:
            self._release(block_index)
        return asked

    def held(self, block_index: int) -> None:
        """A block is here now: nobody need be asked for it."""
        for wanted in self._wanted.values():
            wanted.pop(block_index, None)

    def refused(self, peer: _PeerT, block_index: int) -> None:
        """A peer said that it does not have a block that was asked of it."""
        remote = self.remotes[peer]
        remote.late.pop(block_index, None)
        if remote.in_flight.pop(block_index, None) is not None:
            self._release(block_index)
        self.look_again(block_index)

    def look_again(self, block_index: int) -> None:
        """A block that was asked for did not come: whoever claims it may be asked anew."""
        for remote in self.remotes.values():
            remote.cursor = min(remote.cursor, block_index)

    def stalled(self, peer: _PeerT, now: float) -> bool:
        """Whether a peer has answered nothing for `STALL_DEADLINE_S` though it was asked."""
        remote = self.remotes[peer]
        if not remote.late:
            return False
        asked_at = next(iter(remote.late.values()))
        return now - max(asked_at, remote.answered_at) >= STALL_DEADLINE_S

    def expire(self, now: float) -> bool:
        """Free the requests that waited past their deadline.

        Returns:
            Whether any was freed, so that other peers should be looked at again.
        """
        freed = False
        for remote in self.remotes.values():
            overdue = [
                block_index
                for block_index, asked_at in remote.in_flight.items()
                if now - max(asked_at, remote.answered_at) >= REQUEST_DEADLINE_S
            ]
            if not overdue:
                continue
            remote.slowed()
            for block_index in overdue:
                remote.late[block_index] = remote.in_flight.pop(block_index)
                self._release(block_index)
                self.look_again(block_index)
            freed = True
        return freed

    def next_deadline(self) -> float | None:
        """When `expire` should be called next, in seconds; None while nothing is open."""
        return min(
            (
                max(next(iter(remote.in_flight.values())), remote.answered_at) + REQUEST_DEADLINE_S
                for remote in self.remotes.values()
                if remote.in_flight
            ),
            default=None,
        )

    def _candidates(self, remote: RemoteFeed) -> Iterator[int]:
        blocks = remote.blocks
        for wanted in self._wanted.values():
            for block_index in wanted:
                if block_index not in self._asked and blocks.has(block_index):
                    yield block_index
        if not self.download_all:
            return
        while (claimed := blocks.next(remote.cursor)) is not None:
            if self._holds(claimed):
                remote.cursor = self._first_missing(claimed, blocks.end)
                continue
            remote.cursor = claimed + 1
            if claimed not in self._asked:
                yield claimed

    def _release(self, block_index: int) -> None:
        count = self._asked.get(block_index, 0) - 1
        if count > 0:
            self._asked[block_index] = count
        else:
            self._asked.pop(block_index, None)
