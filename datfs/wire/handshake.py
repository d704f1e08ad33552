"""What one side says about itself when a connection opens (DEP-0010, "Handshake")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from datfs.wire.extensions import sort_names
from datfs.wire.messages import Handshake

ID_BYTE_LENGTH: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeOptions:
    """The local side's Handshake, checked and with its extensions in order.

    Attributes:
        id: 32 random bytes. One a process and archive on all its connections: peers drop duplicate
            connections, and find those to themselves, by it.
        live: Whether this side wants to go on when everything is there; only informative.
        extensions: Names of the extensions that this side speaks; sorted here, since the original
            matches two sorted lists and loses names of an unsorted one.
        user_data: Anything, or None.
        ack: Whether the peer is asked to acknowledge each stored block.
    """

    id: bytes
    live: bool = True
    extensions: tuple[str, ...] = ()
    user_data: bytes | None = None
    ack: bool = False

    def __post_init__(self) -> None:
        if len(self.id) != ID_BYTE_LENGTH:
            raise ValueError(f"a handshake id has {ID_BYTE_LENGTH} bytes, not {len(self.id)}")
        object.__setattr__(self, "extensions", sort_names(self.extensions))

    def message(self) -> Handshake:
        """Return the message that says this."""
        return Handshake(
            id=self.id,
            live=self.live,
            user_data=self.user_data,
            extensions=self.extensions,
            ack=self.ack,
        )
