"""A peer's data channels as FIFOs, so that a shell can talk through them."""

from datfs.channels.lines import MAX_LINE_BYTE_LENGTH
from datfs.channels.peer_pipes import UNREAD_LIFETIME_S, MessageChannel, PeerPipes

__all__ = ["MAX_LINE_BYTE_LENGTH", "UNREAD_LIFETIME_S", "MessageChannel", "PeerPipes"]
