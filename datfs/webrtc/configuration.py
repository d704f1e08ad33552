"""What the engine is told once: ICE servers, times and limits (design: signals, channels as files).

The names are those of the standard where it has one (RTCConfiguration, RTCIceServer).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_UNCOMMITTED_OFFERS: Final = 4
RECEIVE_WINDOW_BYTE_LENGTH: Final = 1 << 20
SEND_BUFFER_BYTE_LENGTH: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server (RTCIceServer).

    Attributes:
        url: `stun:host[:port]`, `turn:host[:port][?transport=udp|tcp]` or `turns:...` (RFC 7064 and
            7065); aiortc uses the first of each kind.
        username: For TURN.
        credential: For TURN: the password.
    """

    url: str
    username: str | None = None
    credential: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """The engine's options.

    Attributes:
        ice_servers: None by default, so that nobody outside learns of a connection.
        gathering_timeout_s: When the gathering of candidates ends, whatever a server still owes.
        offer_lifetime_s: How long an offer waits to be committed before its connection is closed.
        max_uncommitted_offers: How many of those there may be at once.
        consent_interval_s: Mean time between two consent checks of a live connection (RFC 7675).
        consent_expiry_s: A peer silent for this long is gone (RFC 7675, section 5.1: 30 s).
        receive_window_byte_length: What one connection's unread messages may hold, all channels
            together; past it the peer's SCTP is told to stop.
        send_buffer_byte_length: `send` waits while a channel holds more than this unsent.
        close_timeout_s: How long closing waits for what was written to arrive.
    """

    ice_servers: tuple[IceServer, ...] = ()
    gathering_timeout_s: float = 2.0
    offer_lifetime_s: float = 60.0
    max_uncommitted_offers: int = MAX_UNCOMMITTED_OFFERS
    consent_interval_s: float = 5.0
    consent_expiry_s: float = 30.0
    receive_window_byte_length: int = RECEIVE_WINDOW_BYTE_LENGTH
    send_buffer_byte_length: int = SEND_BUFFER_BYTE_LENGTH
    close_timeout_s: float = 5.0
