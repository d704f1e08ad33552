"""Which feed is meant by a channel number (DEP-0010, "Channels"; hypercore-protocol's feed.js).

Each side numbers the feeds that *it* opens, from 0, and names each once in a Feed message; the two
numbers of one feed have nothing to do with each other. No message closes a channel: a number is
given free by using it for another feed. Both tables stand here; what is sent or told to the owner
when they change is for `connection`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from datfs.errors import LocalProtocolError, RemoteProtocolError

if TYPE_CHECKING:
    from datfs.wire.messages import FeedMessage

MAX_CHANNELS: Final = 256
"""Feeds that one side may have open; the original ends a stream that uses more."""

MAX_WAITING_MESSAGES: Final = 17
"""Messages kept for a feed that the peer opened and we have not; one more ends the connection."""

MAX_WAITING_BYTE_LENGTH: Final = 1024 * 1024
"""What all those of one connection may take; the original sets no limit here."""


class Channel:
    """One feed on one connection, seen from both sides.

    Attributes:
        discovery_key: 32 bytes.
        local_number: Our number for it, None while we have not opened it.
        remote_number: The peer's number for it, None while the peer has not.
        ignored: The owner does not want this feed: what is said about it is dropped.
        waiting: What the peer said about it before we opened it.
        waiting_byte_length: Bytes that those messages took on the wire.
    """

    __slots__ = (
        "discovery_key",
        "ignored",
        "local_number",
        "remote_number",
        "waiting",
        "waiting_byte_length",
    )

    def __init__(self, discovery_key: bytes) -> None:
        self.discovery_key = discovery_key
        self.local_number: int | None = None
        self.remote_number: int | None = None
        self.ignored = False
        self.waiting: list[FeedMessage] = []
        self.waiting_byte_length = 0

    def take_waiting(self) -> list[FeedMessage]:
        """Return and forget what waits."""
        waiting, self.waiting = self.waiting, []
        self.waiting_byte_length = 0
        return waiting


class ChannelTable:
    """The channels of one connection, by feed and by the peer's numbers."""

    __slots__ = (
        "_by_key",
        "_by_remote_number",
        "_free_numbers",
        "_next_number",
        "_released_numbers",
    )

    def __init__(self) -> None:
        self._by_key: dict[bytes, Channel] = {}
        self._by_remote_number: dict[int, Channel] = {}
        # Of feeds that we closed, oldest first: to the peer the number still means that feed.
        self._released_numbers: dict[bytes, int] = {}
        self._free_numbers: list[int] = []  # mean nothing to the peer
        self._next_number = 0

    def get(self, discovery_key: bytes) -> Channel | None:
        """Return the channel of a feed that either side opened."""
        return self._by_key.get(discovery_key)

    def by_remote_number(self, number: int) -> Channel | None:
        """Return the channel that the peer means by a number."""
        return self._by_remote_number.get(number)

    def open_local(self, discovery_key: bytes) -> tuple[Channel, int]:
        """Give a feed a number of ours: the one it had before, or one given free, or a new one.

        Taking the number of another feed tells the peer that this other one is closed. It will say
        nothing more about it on the channel it used, nor mean its new opening by that channel.

        Returns:
            The feed's channel and our number for it.

        Raises:
            LocalProtocolError: the feed has one already, or all are in use.
        """
        channel = self._by_key.get(discovery_key)
        if channel is not None and channel.local_number is not None:
            raise LocalProtocolError("the feed is open on this connection already")
        number = self._take_number(discovery_key)
        channel = self._by_key.setdefault(discovery_key, Channel(discovery_key))
        channel.local_number = number
        channel.ignored = False
        return channel, number

    def close_local(self, channel: Channel) -> None:
        """Give our number of a feed free; what the peer still says about it is dropped."""
        if channel.local_number is not None:
            self._released_numbers[channel.discovery_key] = channel.local_number
            channel.local_number = None
        channel.ignored = True
        self._forget_unused(channel)

    def open_remote(self, number: int, discovery_key: bytes) -> tuple[Channel, Channel | None]:
        """Take a Feed message of the peer.

        Args:
            number: the peer's number.
            discovery_key: the feed it now means.

        Returns:
            The feed's channel; and the channel of another feed that had the number, if we had
            opened that one: it is closed.

        Raises:
            RemoteProtocolError: the number is past the limit.
        """
        if number >= MAX_CHANNELS:
            raise RemoteProtocolError(f"the peer opened more than {MAX_CHANNELS} feeds")
        closed = None
        before = self._by_remote_number.pop(number, None)
        if before is not None:
            before.take_waiting()
            if before.remote_number == number:
                before.remote_number = None
            if before.discovery_key != discovery_key and self._is_attached(before):
                closed = before if before.local_number is not None else None
                self.close_local(before)
                # The peer has forgotten what our number meant.
                number_before = self._released_numbers.pop(before.discovery_key, None)
                if number_before is not None:
                    self._free_numbers.append(number_before)
        channel = self._by_key.setdefault(discovery_key, Channel(discovery_key))
        channel.remote_number = number
        channel.ignored = False
        self._by_remote_number[number] = channel
        return channel, closed

    def keep_waiting(self, channel: Channel, message: FeedMessage, byte_length: int) -> None:
        """Keep a message until the owner opens or ignores the feed.

        Args:
            channel: announced by the peer, neither opened nor ignored by us.
            message: what the peer said.
            byte_length: what it took on the wire.

        Raises:
            RemoteProtocolError: more waits than the limits allow.
        """
        channel.waiting.append(message)
        channel.waiting_byte_length += byte_length
        if (
            len(channel.waiting) > MAX_WAITING_MESSAGES
            or sum(each.waiting_byte_length for each in self._by_key.values())
            > MAX_WAITING_BYTE_LENGTH
        ):
            raise RemoteProtocolError("the peer sent too many messages on an unopened feed")

    def _take_number(self, discovery_key: bytes) -> int:
        number = self._released_numbers.pop(discovery_key, None)
        if number is not None:
            return number
        if self._released_numbers:
            before = next(iter(self._released_numbers))
            self._detach(before)
            return self._released_numbers.pop(before)
        if self._free_numbers:
            return self._free_numbers.pop()
        if self._next_number == MAX_CHANNELS:
            raise LocalProtocolError(f"a connection carries at most {MAX_CHANNELS} feeds")
        self._next_number += 1
        return self._next_number - 1

    def _is_attached(self, channel: Channel) -> bool:
        return self._by_key.get(channel.discovery_key) is channel

    def _detach(self, discovery_key: bytes) -> None:
        # What still comes on the peer's number for it is dropped, whoever opens the feed again.
        channel = self._by_key.pop(discovery_key, None)
        if channel is not None:
            channel.ignored = True
            channel.take_waiting()

    def _forget_unused(self, channel: Channel) -> None:
        # The peer may have named one feed on several of its numbers.
        if channel.local_number is None and channel not in self._by_remote_number.values():
            self._by_key.pop(channel.discovery_key, None)
