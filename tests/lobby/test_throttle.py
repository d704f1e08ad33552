from __future__ import annotations

import math
from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from datfs.lobby.throttle import (
    AT_ONCE,
    FIRST_DELAY_S,
    LONGEST_DELAY_S,
    REMEMBERED_LIMIT,
    Throttle,
    Ticket,
)

A, B, C, D = (bytes([letter]) * 32 for letter in b"abcd")
GUESTS: Final = [bytes([letter]) * 32 for letter in b"abcdef"]
FRIENDS: Final = frozenset(GUESTS[:2])


def guess_wrong(throttle: Throttle, guest: bytes, now: float) -> None:
    ticket = throttle.enter(guest, is_friend=False)
    assert throttle.start(now) == [ticket]
    throttle.leave(ticket)


def test_the_delay_doubles_with_each_wrong_guess_up_to_an_hour() -> None:
    throttle = Throttle()
    now, delays = 0.0, []
    for _ in range(20):
        guess_wrong(throttle, A, now)
        delays.append(throttle.delay_s(A, now))
        now += delays[-1]
    assert delays[:5] == [FIRST_DELAY_S * 2**n for n in range(5)]
    assert delays[-1] == LONGEST_DELAY_S


def test_an_exchange_counts_from_its_start_until_it_is_confirmed() -> None:
    throttle = Throttle()
    ticket = throttle.enter(A, is_friend=False)
    assert throttle.delay_s(A, 0) == 0
    throttle.start(0)
    assert throttle.delay_s(A, 0) == FIRST_DELAY_S
    throttle.confirmed(ticket)
    throttle.leave(ticket)
    assert throttle.delay_s(A, 0) == 0


def test_no_more_than_two_run_at_once_and_the_next_follows() -> None:
    throttle = Throttle()
    tickets = [throttle.enter(guest, is_friend=False) for guest in (A, B, C)]
    assert throttle.start(0) == tickets[:2]
    assert throttle.start(0) == []
    throttle.leave(tickets[0])
    assert throttle.start(0) == tickets[2:]


def test_friends_come_first_then_who_never_failed_then_the_others() -> None:
    throttle = Throttle()
    guess_wrong(throttle, A, 0)
    busy = [throttle.enter(guest, is_friend=False) for guest in (B, C)]
    throttle.start(10)
    failed, fresh, friend = (
        throttle.enter(guest, is_friend=guest == GUESTS[5]) for guest in (A, *GUESTS[4:])
    )
    for ticket in busy:
        throttle.leave(ticket)
    assert throttle.start(10) == [friend, fresh]
    throttle.leave(friend)
    assert throttle.start(10) == [failed]


def test_who_must_wait_is_passed_by_and_started_when_the_time_is_over() -> None:
    throttle = Throttle()
    guess_wrong(throttle, A, 0)
    waiting = throttle.enter(A, is_friend=True)
    other = throttle.enter(B, is_friend=False)
    assert throttle.start(0) == [other]
    assert throttle.next_start(0) == FIRST_DELAY_S
    assert throttle.start(FIRST_DELAY_S) == [waiting]
    assert throttle.next_start(FIRST_DELAY_S) == math.inf


def test_memory_is_bounded_and_the_quiet_are_forgotten_first() -> None:
    throttle = Throttle()
    for number in range(REMEMBERED_LIMIT):
        guess_wrong(throttle, number.to_bytes(32, "big"), 0)
    guess_wrong(throttle, (0).to_bytes(32, "big"), 10)
    guess_wrong(throttle, b"n" * 32, 10)
    assert throttle.delay_s((0).to_bytes(32, "big"), 10) > 0
    assert throttle.delay_s((1).to_bytes(32, "big"), 0) == 0
    assert throttle.delay_s((2).to_bytes(32, "big"), 0) > 0


class ThrottleWalk(RuleBasedStateMachine):
    """Guests come in any order, guess wrong or right or break off, while time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.throttle = Throttle()
        self.now = 0.0
        self.waiting: list[Ticket] = []
        self.running: list[Ticket] = []
        self.wrong: dict[bytes, int] = {}
        self.last_start: dict[bytes, float] = {}

    def start(self) -> None:
        for ticket in self.throttle.start(self.now):
            guest = ticket.guest
            wrong = self.wrong.get(guest, 0)
            if wrong:
                delay_s = min(FIRST_DELAY_S * 2 ** (wrong - 1), LONGEST_DELAY_S)
                assert self.now >= self.last_start[guest] + delay_s
            passed = [other for other in self.waiting if self.may_start(other)]
            assert min(passed, key=self.rank) == ticket
            self.waiting.remove(ticket)
            self.running.append(ticket)
            self.wrong[guest] = wrong + 1
            self.last_start[guest] = self.now

    def may_start(self, ticket: Ticket) -> bool:
        wrong = self.wrong.get(ticket.guest, 0)
        delay_s = min(FIRST_DELAY_S * 2 ** (wrong - 1), LONGEST_DELAY_S)
        return not wrong or self.now >= self.last_start[ticket.guest] + delay_s

    def rank(self, ticket: Ticket) -> tuple[bool, bool, int]:
        return (not ticket.is_friend, bool(self.wrong.get(ticket.guest)), ticket.number)

    @rule(guest=st.sampled_from(GUESTS))
    def enter(self, guest: bytes) -> None:
        self.waiting.append(self.throttle.enter(guest, is_friend=guest in FRIENDS))
        self.start()

    @precondition(lambda self: self.running)
    @rule(data=st.data(), right=st.booleans())
    def end(self, data: st.DataObject, right: bool) -> None:
        ticket = data.draw(st.sampled_from(self.running))
        self.running.remove(ticket)
        if right:
            self.throttle.confirmed(ticket)
            self.wrong.pop(ticket.guest, None)
        self.throttle.leave(ticket)
        self.start()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(ticket)
        self.throttle.leave(ticket)

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0, 100.0, 5000.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.start()

    @rule()
    def wait_until_told(self) -> None:
        due = self.throttle.next_start(self.now)
        if due < math.inf:
            assert due > self.now, "whoever waits for it would go round and round"
            self.now = due
            self.start()

    @invariant()
    def few_run(self) -> None:
        assert self.throttle.running == len(self.running) <= AT_ONCE

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        if len(self.running) < AT_ONCE:
            assert not any(self.may_start(ticket) for ticket in self.waiting)
            if self.waiting:
                assert self.throttle.next_start(self.now) < math.inf


TestThrottleWalk = ThrottleWalk.TestCase
TestThrottleWalk.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
