from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datfs.errors import SessionDataTooLong
from datfs.wire.session_data import (
    MAX_PAYLOAD_BYTE_LENGTH,
    WINDOW_S,
    SessionDataInbox,
    SessionDataOutbox,
)


def test_nothing_was_said_at_first() -> None:
    inbox = SessionDataInbox()
    assert inbox.latest == b""
    assert inbox.next_timeout() == math.inf
    assert inbox.on_timeout(100) is None


def test_the_first_payload_is_handled_at_once_and_the_newest_of_a_burst_when_the_window_opens() -> (
    None
):
    inbox = SessionDataInbox()
    assert inbox.receive(b"one", 10) == b"one"
    assert inbox.receive(b"two", 11) is None
    assert inbox.receive(b"three", 14.9) is None
    assert inbox.latest == b"one"
    assert inbox.next_timeout() == 15
    assert inbox.on_timeout(14.99) is None
    assert inbox.on_timeout(15) == b"three"
    assert inbox.latest == b"three"
    assert inbox.next_timeout() == math.inf
    assert inbox.on_timeout(30) is None
    assert inbox.receive(b"four", 19) is None
    assert inbox.receive(b"five", 21) == b"five"  # the window is open: nothing older comes after
    assert inbox.on_timeout(40) is None


def test_payloads_are_cut_and_empty_ones_count() -> None:
    inbox = SessionDataInbox()
    assert inbox.receive(b"x" * 300, 0) == b"x" * MAX_PAYLOAD_BYTE_LENGTH
    assert inbox.receive(b"", 6) == b""
    assert inbox.latest == b""


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=3)), max_size=40))
def test_no_more_than_one_payload_a_window_and_the_last_one_wins(
    arrivals: list[tuple[int, bytes]],
) -> None:
    inbox = SessionDataInbox()
    now = 0.0
    handled: list[float] = []
    for delay, payload in arrivals:
        arrives = now + delay
        if inbox.next_timeout() <= arrives:
            now = inbox.next_timeout()
            assert inbox.on_timeout(now) is not None
            handled.append(now)
        now = arrives
        if inbox.receive(payload, now) is not None:
            handled.append(now)
    while (due := inbox.next_timeout()) < math.inf:
        assert inbox.on_timeout(due) is not None
        handled.append(due)
    gaps = [later - earlier for earlier, later in pairwise(handled)]
    assert all(gap >= WINDOW_S for gap in gaps)
    assert inbox.latest == (arrivals[-1][1] if arrivals else b"")


def test_what_is_said_goes_out_at_most_every_five_seconds() -> None:
    outbox = SessionDataOutbox()
    assert outbox.next_timeout() == math.inf
    assert outbox.set(b"one", 0) == b"one"
    assert outbox.set(b"two", 1) is None
    assert outbox.set(b"three", 2) is None
    assert outbox.next_timeout() == WINDOW_S
    assert outbox.on_timeout(4.9) is None
    assert outbox.on_timeout(5) == b"three"
    assert outbox.on_timeout(100) is None
    assert outbox.set(b"", 101) == b""


def test_a_payload_that_is_too_long_is_refused_and_changes_nothing() -> None:
    outbox = SessionDataOutbox()
    assert outbox.set(b"x" * 256, 0) == b"x" * 256
    assert outbox.set(b"waits", 1) is None
    with pytest.raises(SessionDataTooLong, match="257 bytes"):
        outbox.set(b"x" * 257, 2)
    assert outbox.on_timeout(5) == b"waits"
