"""Session data (DEP-0006): small payloads that live as long as a connection.

A payload is the raw bytes of an Extension message and nothing around them. The DEP limits it to 256
bytes and asks for moderation; here both directions keep to one payload every 5 seconds. Whether a
payload is something else in disguise (a lobby's join) is decided before it comes here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from datfs.errors import SessionDataTooLong

if TYPE_CHECKING:
    from datfs.encoding.buffer import Buffer

EXTENSION: Final = "session-data"
"""The extension's name in the Handshake."""

MAX_PAYLOAD_BYTE_LENGTH: Final = 256
WINDOW_S: Final = 5.0
"""Within this time one payload is handled, or sent, on a connection."""


class _Window:
    """Lets the newest of what comes through, once every `WINDOW_S`; the first at once."""

    __slots__ = ("_opens_at", "_waiting")

    def __init__(self) -> None:
        self._opens_at = -math.inf
        self._waiting: bytes | None = None

    def put(self, payload: bytes, now: float) -> bytes | None:
        self._waiting = payload
        return self.take(now)

    def take(self, now: float) -> bytes | None:
        if self._waiting is None or now < self._opens_at:
            return None
        payload, self._waiting = self._waiting, None
        self._opens_at = now + WINDOW_S
        return payload

    def next_timeout(self) -> float:
        return math.inf if self._waiting is None else self._opens_at


class SessionDataInbox:
    """What one connection's peer said.

    Attributes:
        latest: The payload that was handled last, empty at first.
    """

    __slots__ = ("_window", "latest")

    def __init__(self) -> None:
        self._window = _Window()
        self.latest = b""

    def receive(self, payload: Buffer, now: float) -> bytes | None:
        """Take a payload that came.

        Args:
            payload: cut to its first 256 bytes.
            now: seconds, monotonic.

        Returns:
            The payload to handle now, or None: the newest one waits until the window opens.
        """
        return self._handled(self._window.put(bytes(payload[:MAX_PAYLOAD_BYTE_LENGTH]), now))

    def next_timeout(self) -> float:
        """Return when to call `on_timeout`, infinity if nothing waits."""
        return self._window.next_timeout()

    def on_timeout(self, now: float) -> bytes | None:
        """Return the payload to handle now, None if none waits or the window is still shut."""
        return self._handled(self._window.take(now))

    def _handled(self, payload: bytes | None) -> bytes | None:
        if payload is not None:
            self.latest = payload
        return payload


class SessionDataOutbox:
    """Paces what is sent to one connection's peer."""

    __slots__ = ("_window",)

    def __init__(self) -> None:
        self._window = _Window()

    def set(self, payload: Buffer, now: float) -> bytes | None:
        """Give a payload to send; it takes the place of one that still waits.

        Args:
            payload: at most 256 bytes; empty is a payload too.
            now: seconds, monotonic.

        Returns:
            The payload to send now, or None: it waits its turn.

        Raises:
            SessionDataTooLong: the payload has more than 256 bytes; nothing changed.
        """
        check_payload(payload)
        return self._window.put(bytes(payload), now)

    def next_timeout(self) -> float:
        """Return when to call `on_timeout`, infinity if nothing waits."""
        return self._window.next_timeout()

    def on_timeout(self, now: float) -> bytes | None:
        """Return the payload to send now, None if none waits or it is not yet its turn."""
        return self._window.take(now)


def check_payload(payload: Buffer) -> None:
    """Refuse a payload that is too long to be sent.

    Raises:
        SessionDataTooLong: it has more than 256 bytes.
    """
    if len(payload) > MAX_PAYLOAD_BYTE_LENGTH:
        raise SessionDataTooLong(len(payload), MAX_PAYLOAD_BYTE_LENGTH)
