from __future__ import annotations

from datfs.identity.heartbeat import (
    CLOCK_SKEW_S,
    FRESH_S,
    Heartbeat,
    HeartbeatOptions,
    Sightings,
    may_resume,
)

WALL_MS = 1_700_000_000_000


def test_an_update_every_five_minutes_and_none_between() -> None:
    heartbeat = Heartbeat(HeartbeatOptions(), peers=0, now=100)
    assert not heartbeat.is_due(399.9)
    assert heartbeat.is_due(400)
    heartbeat.written(0, 401)
    assert heartbeat.next_write_s == 701


def test_a_change_of_peers_is_written_but_at_most_every_ten_seconds() -> None:
    heartbeat = Heartbeat(HeartbeatOptions(), peers=0, now=0)
    heartbeat.peers_changed(1)
    assert heartbeat.next_write_s == 10
    heartbeat.written(1, 10)
    heartbeat.peers_changed(2)
    heartbeat.peers_changed(1)
    assert heartbeat.next_write_s == 310, "nothing is written for a peer that came and went"


def test_a_change_long_after_the_last_update_is_due_at_once() -> None:
    heartbeat = Heartbeat(HeartbeatOptions(), peers=0, now=0)
    heartbeat.peers_changed(1)
    assert heartbeat.is_due(200)


def test_a_short_interval_is_not_lengthened_by_a_change() -> None:
    heartbeat = Heartbeat(HeartbeatOptions(interval_s=2), peers=0, now=0)
    heartbeat.peers_changed(1)
    assert heartbeat.next_write_s == 2


def test_a_session_never_seen_is_not_fresh() -> None:
    assert not Sightings().is_fresh(0)


def test_a_first_sighting_counts_by_the_host_s_clock_with_skew() -> None:
    sightings = Sightings()
    sightings.observe(WALL_MS - 15 * 60_000, now=0, wall_clock_ms=WALL_MS)
    assert sightings.is_fresh(0)
    assert sightings.is_fresh(60)
    assert not sightings.is_fresh(61)


def test_an_update_seen_live_counts_by_our_clock_however_wrong_the_host_s_is() -> None:
    sightings = Sightings()
    sightings.observe(1000, now=0, wall_clock_ms=WALL_MS)
    assert not sightings.is_fresh(0)
    sightings.observe(2000, now=50, wall_clock_ms=WALL_MS)
    assert sightings.is_fresh(50 + FRESH_S)
    assert not sightings.is_fresh(51 + FRESH_S)


def test_reading_the_same_update_again_renews_nothing() -> None:
    sightings = Sightings()
    for now in (0, 500, 1000):
        sightings.observe(WALL_MS, now=now, wall_clock_ms=WALL_MS)
    assert not sightings.is_fresh(FRESH_S + CLOCK_SKEW_S + 1)


def test_a_time_in_the_future_counts_as_now_and_then_ages() -> None:
    sightings = Sightings()
    sightings.observe(WALL_MS + 10**9, now=0, wall_clock_ms=WALL_MS)
    assert sightings.is_fresh(FRESH_S + CLOCK_SKEW_S)
    assert not sightings.is_fresh(FRESH_S + CLOCK_SKEW_S + 1)


def test_a_session_is_resumed_only_while_it_is_younger_than_eleven_minutes() -> None:
    assert may_resume(WALL_MS - 659_999, wall_clock_ms=WALL_MS)
    assert not may_resume(WALL_MS - 660_000, wall_clock_ms=WALL_MS)
    assert may_resume(WALL_MS + 5, wall_clock_ms=WALL_MS)
