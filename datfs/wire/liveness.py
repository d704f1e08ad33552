"""When one side of a connection must say something, and when the other is gone.

The original counts ticks of 1.25 s: it sends a keep-alive after 5 s without sending and drops a
peer after 7.5 s without a byte (DEP-0010's 300 s would lose every connection).
"""

from __future__ import annotations

from typing import Final

KEEP_ALIVE_S: Final = 4.0
"""A keep-alive goes out after this silence of ours: a second early, for slow machines."""

REMOTE_TIMEOUT_S: Final = 7.5
"""A peer that sent no byte for this long is gone."""

OPENING_TIMEOUT_S: Final = 10.0
"""A peer that named no feed within this time, however many keep-alives it sent, never will."""


class Liveness:
    """The clock of one connection.

    Args:
        now: when the connection began, in seconds of a monotonic clock, as all times here.

    Attributes:
        received_at: When the last byte came.
        sent_at: When bytes were handed out for sending.
        speaks: Whether we have opened a feed; nothing can be sent before that.
        remote_spoke: Whether the peer has.
    """

    __slots__ = ("_began_at", "received_at", "remote_spoke", "sent_at", "speaks")

    def __init__(self, now: float) -> None:
        self._began_at = now
        self.received_at = now
        self.sent_at = now
        self.speaks = False
        self.remote_spoke = False

    def next_timeout(self) -> float:
        """Return when something is due next."""
        due = self.received_at + REMOTE_TIMEOUT_S
        if self.speaks:
            due = min(due, self.sent_at + KEEP_ALIVE_S)
        if not self.remote_spoke:
            due = min(due, self._began_at + OPENING_TIMEOUT_S)
        return due

    def reason_to_give_up(self, now: float) -> str | None:
        """Return what the peer failed to do in time, None if it did everything."""
        if now >= self.received_at + REMOTE_TIMEOUT_S:
            return f"the peer was silent for {REMOTE_TIMEOUT_S} s"
        if not self.remote_spoke and now >= self._began_at + OPENING_TIMEOUT_S:
            return f"the peer opened no feed within {OPENING_TIMEOUT_S} s"
        return None

    def take_keep_alive(self, now: float) -> bool:
        """Tell whether a keep-alive is due, and count it as sent if so."""
        if not self.speaks or now < self.sent_at + KEEP_ALIVE_S:
            return False
        self.sent_at = now
        return True
