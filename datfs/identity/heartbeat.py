"""When last_update is written in session.json, and when a session is alive (design section 7).

Each update is a version of the identity archive for ever, so the host writes as seldom as it may.
Readers trust what they see happen by their own monotonic clock before they trust a host's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FRESH_S: Final = 11 * 60.0
"""A session is alive this long after an update: two intervals of five minutes and some delay."""

CLOCK_SKEW_S: Final = 5 * 60.0
"""How much two people's clocks may differ before a session is taken for a dead one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatOptions:
    """How often session.json is written.

    Attributes:
        interval_s: seconds between two updates while nothing changes.
        peers_interval_s: seconds that at least pass before `peers` is written anew.
    """

    interval_s: float = 5 * 60.0
    peers_interval_s: float = 10.0


class Heartbeat:
    """The host's schedule of updates. Times are seconds of a monotonic clock."""

    def __init__(self, options: HeartbeatOptions, *, peers: int, now: float) -> None:
        """Begin with the update that was just written.

        Args:
            options: the intervals.
            peers: the number that was written.
            now: when it was written.
        """
        self._options = options
        self._written_peers = peers
        self._peers = peers
        self._written_at = now

    @property
    def next_write_s(self) -> float:
        """The time at which the next update is due."""
        changed = self._peers != self._written_peers
        interval = self._options.interval_s
        if changed:
            interval = min(interval, self._options.peers_interval_s)
        return self._written_at + interval

    def peers_changed(self, peers: int) -> None:
        """Take note of how many peers are connected."""
        self._peers = peers

    def is_due(self, now: float) -> bool:
        """Tell whether an update is to be written now."""
        return now >= self.next_write_s

    def written(self, peers: int, now: float) -> None:
        """Take note that an update with this number of peers was written."""
        self._written_peers = peers
        self._written_at = now


class Sightings:
    """What a reader has seen of one session, and whether that makes it alive."""

    def __init__(self) -> None:
        self._last_update_ms: int | None = None
        self._seen_at = 0.0
        self._age_when_seen_s = 0.0
        self._live = False

    def observe(self, last_update_ms: int, *, now: float, wall_clock_ms: int) -> None:
        """Take note of a session.json that was read.

        The first one may be old, so the host's clock decides its age; one that follows another is
        an update seen live. A time in the future counts as now, and ages from here on.

        Args:
            last_update_ms: what it says, milliseconds since 1970 by the host's clock.
            now: seconds of the monotonic clock.
            wall_clock_ms: milliseconds since 1970 by our clock.
        """
        if last_update_ms == self._last_update_ms:
            return
        self._live = self._last_update_ms is not None
        self._last_update_ms = last_update_ms
        self._seen_at = now
        self._age_when_seen_s = max(wall_clock_ms - last_update_ms, 0) / 1000

    def is_fresh(self, now: float) -> bool:
        """Tell whether the session is alive.

        Args:
            now: seconds of the monotonic clock.
        """
        if self._last_update_ms is None:
            return False
        since_s = now - self._seen_at
        if self._live:
            return since_s <= FRESH_S
        return since_s + self._age_when_seen_s <= FRESH_S + CLOCK_SKEW_S


def may_resume(last_update_ms: int, *, wall_clock_ms: int) -> bool:
    """Tell whether one's own session, found after a crash, goes on instead of being ended.

    Args:
        last_update_ms: from session.json; the same clock wrote it.
        wall_clock_ms: milliseconds since 1970.
    """
    return wall_clock_ms - last_update_ms < FRESH_S * 1000
