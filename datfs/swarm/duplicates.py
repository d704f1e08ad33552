"""Two connections between the same two peers: which one stays (formats.md section 6)."""

from __future__ import annotations

from dataclasses import dataclass

RESPONSIVE_S = 7.5
"""Who was heard from within this time is alive."""

CROSSING_S = 5.0
"""Two connections that began this near to each other are dials that crossed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A connection as far as this choice goes."""

    outgoing: bool
    """Whether we dialled."""
    began_at: float
    """Seconds, monotonic."""
    heard_at: float
    """When a byte came last, seconds."""


def keeps_older(
    older: Candidate, newer: Candidate, *, local_id: bytes, remote_id: bytes, now: float
) -> bool:
    """Say whether the older connection is kept and the newer one closed.

    Of two dials that crossed, the one dialled by the side with the smaller handshake id stays,
    which both ends find alike. Otherwise who is established and alive stays, so that nobody can
    push a peer out by claiming its id.
    """
    crossed = newer.outgoing != older.outgoing and abs(newer.began_at - older.began_at) < CROSSING_S
    if crossed:
        return older.outgoing == (local_id < remote_id)
    return now - older.heard_at < RESPONSIVE_S
