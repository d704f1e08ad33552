"""The choice of the next request, on its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from datfs.swarm.remote import MIN_IN_FLIGHT
from datfs.swarm.scheduler import (
    REQUEST_DEADLINE_S,
    STALL_DEADLINE_S,
    FeedScheduler,
    Priority,
)


def scheduler_with(held: set[int], **claims: int) -> FeedScheduler[str]:
    """A scheduler whose peers claim the first so many blocks."""
    scheduler: FeedScheduler[str] = FeedScheduler(held.__contains__)
    for peer, length in claims.items():
        remote = scheduler.add_peer(peer)
        list(remote.blocks.widen(0))
        remote.blocks.add(0, length)
    return scheduler


def test_a_waiting_read_comes_before_read_ahead_and_that_before_the_whole_download() -> None:
    scheduler = scheduler_with(set(), a=100)
    scheduler.download_all = True
    scheduler.want([50, 51], Priority.READ_AHEAD)
    scheduler.want([90], Priority.URGENT)
    assert scheduler.next_requests("a", 0.0)[:5] == [90, 50, 51, 0, 1]


def test_blocks_that_are_here_or_asked_for_are_not_asked_again() -> None:
    held = {0, 1, 2}
    scheduler = scheduler_with(held, a=6, b=6)
    scheduler.download_all = True
    assert scheduler.next_requests("a", 0.0) == [3, 4, 5]
    assert scheduler.next_requests("b", 0.0) == []
    assert scheduler.next_requests("a", 0.0) == []


def test_a_late_request_goes_to_another_peer_and_is_still_welcome() -> None:
    scheduler = scheduler_with(set(), a=1, b=1)
    scheduler.want([0], Priority.URGENT)
    assert scheduler.next_requests("a", 0.0) == [0]
    assert scheduler.next_deadline() == REQUEST_DEADLINE_S
    assert not scheduler.expire(REQUEST_DEADLINE_S - 0.1)
    assert scheduler.expire(REQUEST_DEADLINE_S)
    assert scheduler.next_requests("a", REQUEST_DEADLINE_S) == []
    assert scheduler.next_requests("b", REQUEST_DEADLINE_S) == [0]
    assert scheduler.received("a", 0, 10, REQUEST_DEADLINE_S + 1)
    assert scheduler.remotes["a"].window < 64 + 1


def test_a_peer_that_answers_nothing_is_stalled() -> None:
    scheduler = scheduler_with(set(), a=1)
    scheduler.want([0], Priority.URGENT)
    scheduler.next_requests("a", 0.0)
    scheduler.expire(REQUEST_DEADLINE_S)
    assert not scheduler.stalled("a", REQUEST_DEADLINE_S)
    assert scheduler.stalled("a", STALL_DEADLINE_S)


def test_a_lost_peer_frees_its_requests() -> None:
    scheduler = scheduler_with(set(), a=3, b=3)
    scheduler.download_all = True
    assert scheduler.next_requests("a", 0.0) == [0, 1, 2]
    assert scheduler.next_requests("b", 0.0) == []
    scheduler.remove_peer("a")
    assert scheduler.next_requests("b", 0.0) == [0, 1, 2]


def test_a_block_a_peer_refuses_is_asked_of_the_other() -> None:
    scheduler = scheduler_with(set(), a=1, b=1)
    scheduler.want([0], Priority.URGENT)
    scheduler.next_requests("a", 0.0)
    scheduler.remotes["a"].blocks.remove(0, 1)
    scheduler.refused("a", 0)
    assert scheduler.next_requests("b", 0.0) == [0]


def test_unrequested_blocks_are_told_apart() -> None:
    scheduler = scheduler_with(set(), a=3)
    assert not scheduler.received("a", 1, 10, 0.0)


def test_wants_are_counted() -> None:
    scheduler = scheduler_with(set(), a=3)
    scheduler.want([1], Priority.URGENT)
    scheduler.want([1], Priority.URGENT)
    scheduler.unwant([1], Priority.URGENT)
    assert scheduler.next_requests("a", 0.0) == [1]
    scheduler.unwant([1], Priority.URGENT)
    scheduler.unwant([1], Priority.URGENT)
    assert scheduler.wanted_blocks() == 0


@given(st.integers(0, 60), st.integers(0, 60), st.lists(st.sampled_from("abxyt"), max_size=200))
def test_every_block_comes_however_peers_behave(a: int, b: int, script: list[str]) -> None:
    """Random answers, losses and delays; then one honest peer finishes the download."""
    held: set[int] = set()
    scheduler = scheduler_with(held, a=a, b=b)
    scheduler.download_all = True
    now = 0.0
    open_requests: dict[str, list[int]] = {"a": [], "b": []}
    for step in script:
        now += 1.0
        if step in "ab":
            open_requests[step] += scheduler.next_requests(step, now)
        elif step == "t":
            scheduler.expire(now)
        else:
            peer = "a" if step == "x" else "b"
            if open_requests[peer]:
                block_index = open_requests[peer].pop(0)
                held.add(block_index)
                assert scheduler.received(peer, block_index, 100, now)
                scheduler.held(block_index)
    scheduler.remove_peer("a")
    scheduler.remove_peer("b")
    remote = scheduler.add_peer("c")
    list(remote.blocks.widen(0))
    remote.blocks.add(0, max(a, b))
    while asked := scheduler.next_requests("c", now):
        for block_index in asked:
            held.add(block_index)
            scheduler.received("c", block_index, 100, now)
            scheduler.held(block_index)
    assert held == set(range(max(a, b)))


def test_the_window_never_falls_below_its_floor() -> None:
    scheduler = scheduler_with(set(), a=1000)
    scheduler.download_all = True
    for round_ in range(20):
        scheduler.next_requests("a", round_ * 10.0)
        scheduler.expire(round_ * 10.0 + 9)
    assert scheduler.remotes["a"].window == MIN_IN_FLIGHT
