"""Session descriptions that look like those of WebRTC engines."""

from __future__ import annotations

import hashlib


def description(name: str, *, setup: str = "actpass", certificate: str = "") -> str:
    """Return a description with credentials, and a certificate unless one is named, of its own."""
    digest = hashlib.sha256((certificate or name).encode()).digest()
    fingerprint = ":".join(f"{byte:02X}" for byte in digest)
    return "\r\n".join(
        (
            "v=0",
            "o=- 1 2 IN IP4 0.0.0.0",
            "s=-",
            "t=0 0",
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
            "c=IN IP4 0.0.0.0",
            "a=candidate:1 1 udp 2130706431 10.0.0.1 50000 typ host",
            "a=end-of-candidates",
            f"a=ice-ufrag:{name}",
            "a=ice-pwd:0123456789012345678901",
            f"a=fingerprint:sha-256 {fingerprint}",
            f"a=setup:{setup}",
            "",
        )
    )
