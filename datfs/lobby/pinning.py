"""Pinning: the live connection is with the certificate that was signalled (design section 9).

DTLS proves that the other end holds the key of the certificate it shows; SDP names that certificate
by its SHA-256; and SDP came sealed, or from a beacon with a proof. An engine that takes another
certificate (a second fingerprint line, another hash) is caught here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datfs.errors import NotPinned
from datfs.lobby.signal import sdp_identity

if TYPE_CHECKING:
    from datfs.lobby.ports import Peer


def check_pinned(connection: Peer, sdp: str) -> None:
    """Check an open connection against the description that the other end signalled.

    Raises:
        NotPinned: it has another certificate; the connection must be closed.
        InvalidSignal: the description names none.
    """
    if connection.remote_fingerprint() != sdp_identity(sdp).fingerprint:
        raise NotPinned("the connection shows another certificate than was signalled")
