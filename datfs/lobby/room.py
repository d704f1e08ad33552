"""Places in a session: who has one, who waits for one (design section 9, "Room").

A place is reserved for a guest whose offer is being answered, and taken once its channel is open;
reserved and taken ones together are never more than max_peers. A reservation lapses some time after
the answer was written. Further offers wait in order of arrival; past the queue they are refused.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Final

QUEUE_PER_PEER: Final = 2
"""The queue holds this many times max_peers."""

RESERVATION_S: Final = 30.0
"""How long a place is kept for an answered guest whose channel is not open."""


class RoomReply(Enum):
    """What a guest that offers gets."""

    PLACED = "placed"
    QUEUED = "queued"
    FULL = "full"


class Room:
    """The places of one session. Guests are identity keys; times are monotonic seconds."""

    def __init__(self, max_peers: int, *, reservation_s: float = RESERVATION_S) -> None:
        """Begin with all places free.

        Args:
            max_peers: how many peers may be connected, the host not counted.
            reservation_s: seconds from the answer until a place that is not taken is free again.
        """
        self.max_peers = max_peers
        self._reservation_s = reservation_s
        self._reserved: dict[bytes, float] = {}
        self._taken: set[bytes] = set()
        self._queue: dict[bytes, None] = {}
        self._first: set[bytes] = set()  # those in the queue that go before others

    @property
    def peers(self) -> int:
        """How many peers have an open channel."""
        return len(self._taken)

    @property
    def waiting(self) -> int:
        """How many offers wait for a place."""
        return len(self._queue)

    @property
    def free(self) -> int:
        """How many places are neither reserved nor taken."""
        return self.max_peers - len(self._taken) - len(self._reserved)

    @property
    def next_lapse(self) -> float:
        """When the first reservation lapses; infinity if none will."""
        return min(self._reserved.values(), default=math.inf)

    def request(self, guest: bytes, *, first: bool = False) -> RoomReply:
        """Give a guest that offers a place, a turn, or nothing.

        Who has a place keeps it (reserved anew), who waits keeps the turn.

        Args:
            guest: who offers.
            first: whether it waits before others; a full queue then has a turn for it, too.
        """
        if guest in self._taken or guest in self._reserved:
            self._taken.discard(guest)
            self._reserved[guest] = math.inf
            return RoomReply.PLACED
        if guest in self._queue:
            return RoomReply.QUEUED
        if self.free > 0 and not self._queue:
            self._reserved[guest] = math.inf
            return RoomReply.PLACED
        if first:
            self._first.add(guest)
        if first or len(self._queue) < QUEUE_PER_PEER * self.max_peers:
            self._queue[guest] = None
            return RoomReply.QUEUED
        return RoomReply.FULL

    def answered(self, guest: bytes, now: float) -> None:
        """Let the guest's reservation run, for its answer is written now."""
        self._reserved[guest] = now + self._reservation_s

    def take(self, guest: bytes) -> bool:
        """Take the guest's place, its channel being open.

        Returns:
            False if its reservation has lapsed and no place is free.
        """
        if guest not in self._reserved and (self.free <= 0 or self._queue):
            return False
        self._reserved.pop(guest, None)
        self._taken.add(guest)
        return True

    def leave(self, guest: bytes) -> None:
        """Give back the guest's place or turn, if it has one."""
        self._reserved.pop(guest, None)
        self._taken.discard(guest)
        self._queue.pop(guest, None)
        self._first.discard(guest)

    def lapsed(self, now: float) -> list[bytes]:
        """Return the guests whose reservations are over; they are to `leave`."""
        return [guest for guest, deadline in self._reserved.items() if deadline <= now]

    def next_in_queue(self) -> bytes | None:
        """Reserve a free place for whoever waits longest, and return who that is."""
        if self.free <= 0 or not self._queue:
            return None
        guest = next((guest for guest in self._queue if guest in self._first), None)
        guest = guest or next(iter(self._queue))
        del self._queue[guest]
        self._first.discard(guest)
        self._reserved[guest] = math.inf
        return guest
