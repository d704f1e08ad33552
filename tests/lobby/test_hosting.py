from __future__ import annotations

import math
from typing import Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from datfs.lobby.hosting import ATTEMPT_S, Effect, Hosting
from datfs.lobby.machine import HostOutput, HostState
from datfs.lobby.policy import BANNED, KICKED, Policy, PolicyKind
from datfs.lobby.room import RESERVATION_S, Room

A, B, C, D = (bytes([letter]) * 32 for letter in b"abcd")
GUESTS: Final = [bytes([letter]) * 32 for letter in b"abcd"]
OFFERS: Final = [bytes([number]) * 32 for number in range(4)]


def outputs(effects: list[Effect] | None) -> list[tuple[bytes, HostOutput]]:
    return [(effect.guest, effect.output) for effect in effects or ()]


def answered(hosting: Hosting, guest: bytes, now: float = 0) -> int:
    """Bring a new guest to where its answer is written; return the attempt."""
    effects = hosting.offer(guest, OFFERS[0], now)
    assert outputs(effects) == [(guest, HostOutput.MAKE_ANSWER)]
    assert effects is not None
    attempt = effects[0].attempt
    made = hosting.answer_made(guest, attempt, now)
    assert outputs(made) == [(guest, HostOutput.WRITE_ANSWER)]
    return attempt


def test_from_offer_to_channel_and_back() -> None:
    hosting = Hosting(Room(2))
    attempt = answered(hosting, A)
    assert outputs(hosting.opened(A, attempt, 1)) == [
        (A, HostOutput.ADMIT_PEER),
        (A, HostOutput.REMOVE_ANSWER),
    ]
    assert hosting.peers == 1
    assert hosting.next_timeout == math.inf
    assert outputs(hosting.closed(A, attempt, 2)) == [
        (A, HostOutput.PART_PEER),
        (A, HostOutput.CLOSE_PEER),
    ]
    assert hosting.peers == 0
    assert hosting.busy == frozenset()


def test_the_same_offer_read_again_is_no_new_attempt() -> None:
    hosting = Hosting(Room(2))
    attempt = answered(hosting, A)
    assert hosting.offer(A, OFFERS[0], 1) is None
    hosting.opened(A, attempt, 1)
    hosting.closed(A, attempt, 1)
    assert hosting.offer(A, OFFERS[0], 2) is None, "it lies there since before"


def test_a_changed_offer_is_a_new_attempt_and_what_comes_late_for_the_old_one_is_nothing() -> None:
    hosting = Hosting(Room(1))
    first = answered(hosting, A)
    effects = hosting.offer(A, OFFERS[1], 1)
    assert outputs(effects) == [(A, HostOutput.CLOSE_PEER), (A, HostOutput.MAKE_ANSWER)]
    assert effects is not None
    assert [effect.attempt for effect in effects] == [first, first + 1]
    assert effects[1].offer_id == OFFERS[1]
    assert hosting.opened(A, first, 2) == []
    assert hosting.answer_made(A, first, 2) is None
    assert hosting.closed(A, first, 2) == []
    assert hosting.answer_made(A, first + 1, 2) is not None


def test_who_offers_anew_over_an_open_channel_keeps_the_place() -> None:
    hosting = Hosting(Room(1))
    attempt = answered(hosting, A)
    hosting.opened(A, attempt, 0)
    hosting.offer(B, OFFERS[0], 0)
    assert outputs(hosting.offer(A, OFFERS[1], 1)) == [
        (A, HostOutput.PART_PEER),
        (A, HostOutput.CLOSE_PEER),
        (A, HostOutput.MAKE_ANSWER),
    ]
    assert hosting.state_of(B) is HostState.QUEUED


def test_a_place_that_comes_free_goes_to_whoever_waits_longest() -> None:
    hosting = Hosting(Room(1))
    attempt = answered(hosting, A)
    for guest in (B, C):
        assert hosting.offer(guest, OFFERS[0], 0) == []
    full = hosting.offer(D, OFFERS[0], 0)
    assert full is not None
    assert [(effect.output, effect.reason) for effect in full] == [
        (HostOutput.WRITE_REFUSAL, "full")
    ]
    assert outputs(hosting.closed(A, attempt, 1)) == [
        (A, HostOutput.CLOSE_PEER),
        (A, HostOutput.REMOVE_ANSWER),
        (B, HostOutput.MAKE_ANSWER),
    ]


def test_an_unused_reservation_lapses_and_its_answer_goes_later() -> None:
    hosting = Hosting(Room(1))
    answered(hosting, A)
    hosting.offer(B, OFFERS[0], 0)
    assert hosting.next_timeout == RESERVATION_S
    assert outputs(hosting.on_timeout(30)) == [(B, HostOutput.MAKE_ANSWER)]
    assert hosting.state_of(A) is HostState.LAPSED
    assert outputs(hosting.on_timeout(60)) == [
        (A, HostOutput.CLOSE_PEER),
        (A, HostOutput.REMOVE_ANSWER),
    ]


def test_a_channel_that_opens_late_without_a_place_is_refused() -> None:
    hosting = Hosting(Room(1))
    attempt = answered(hosting, A)
    hosting.offer(B, OFFERS[0], 0)
    hosting.on_timeout(30)
    effects = hosting.opened(A, attempt, 31)
    assert [(effect.output, effect.reason) for effect in effects] == [
        (HostOutput.CLOSE_PEER, ""),
        (HostOutput.WRITE_REFUSAL, "full"),
    ]


def test_an_offer_that_led_to_nothing_is_ignored_from_then_on() -> None:
    hosting = Hosting(Room(1))
    answered(hosting, A)
    hosting.on_timeout(30)
    hosting.on_timeout(60)
    assert hosting.offer_gone(A, 61) == []
    assert hosting.offer(A, OFFERS[0], 62) is None
    assert hosting.offer(A, OFFERS[1], 63) is not None


def test_an_offer_that_waits_too_long_is_told_so() -> None:
    hosting = Hosting(Room(1))
    attempt = answered(hosting, A)
    hosting.opened(A, attempt, 0)
    hosting.offer(B, OFFERS[0], 0)
    effects = hosting.on_timeout(ATTEMPT_S)
    assert [(effect.guest, effect.output, effect.reason) for effect in effects] == [
        (B, HostOutput.WRITE_REFUSAL, "full")
    ]
    assert outputs(hosting.on_timeout(2 * ATTEMPT_S)) == [(B, HostOutput.REMOVE_ANSWER)]


@pytest.mark.parametrize("invalid", [True, False])
def test_what_cannot_be_answered_is_refused_with_its_reason(invalid: bool) -> None:
    hosting = Hosting(Room(1))
    if invalid:
        effects = hosting.invalid_offer(A, OFFERS[0], 0)
    else:
        made = hosting.offer(A, OFFERS[0], 0)
        assert made is not None
        effects = hosting.answer_failed(A, made[0].attempt, 0)
    assert [effect.reason for effect in effects] == ["invalid offer" if invalid else "failed"]
    assert hosting.offer(B, OFFERS[0], 0), "the place is free again"


def test_a_guest_that_is_struck_off_loses_everything() -> None:
    hosting = Hosting(Room(1))
    attempt = answered(hosting, A)
    hosting.opened(A, attempt, 0)
    assert outputs(hosting.barred(A, 1)) == [
        (A, HostOutput.PART_PEER),
        (A, HostOutput.CLOSE_PEER),
    ]
    assert hosting.barred(B, 1) == []
    assert hosting.peers == 0


def test_a_kicked_guest_is_refused_for_a_minute_and_may_then_come_back() -> None:
    hosting = Hosting(Room(1))
    attempt = answered(hosting, A)
    hosting.opened(A, attempt, 0)
    kicked = hosting.kick(A, 1)
    assert outputs(kicked) == [
        (A, HostOutput.PART_PEER),
        (A, HostOutput.CLOSE_PEER),
        (A, HostOutput.WRITE_REFUSAL),
    ]
    assert (kicked[-1].reason, kicked[-1].offer_id) == (KICKED, b"")
    assert hosting.closed(A, attempt, 1) == []
    assert hosting.offer(A, OFFERS[1], 2) == [], "its engine tries again by itself"
    assert outputs(hosting.on_timeout(2 + ATTEMPT_S)) == [(A, HostOutput.REMOVE_ANSWER)]
    assert outputs(hosting.offer(A, OFFERS[2], 3 + ATTEMPT_S)) == [(A, HostOutput.MAKE_ANSWER)]


def test_who_asks_on_finds_the_refusal_and_costs_no_second_one() -> None:
    hosting = Hosting(Room(1))
    assert outputs(hosting.turn_away(A, BANNED, 0)) == [(A, HostOutput.WRITE_REFUSAL)]
    for now in range(10, 200, 10):
        assert hosting.turn_away(A, BANNED, now) == []
        assert hosting.on_timeout(now) == []
    assert outputs(hosting.on_timeout(190 + ATTEMPT_S)) == [(A, HostOutput.REMOVE_ANSWER)]
    assert hosting.next_timeout == math.inf


def test_another_policy_takes_its_refusals_back_but_no_kick() -> None:
    hosting = Hosting(Room(1))
    hosting.turn_away(A, BANNED, 0)
    hosting.turn_away(B, BANNED, 0)
    hosting.kick(C, 0)
    policy = Policy(banned=frozenset([B]))
    assert outputs(hosting.forgive(policy, 1)) == [(A, HostOutput.REMOVE_ANSWER)]
    closed = Policy(kind=PolicyKind.LISTED)
    assert hosting.forgive(closed, 1) == []


class HostWalk(RuleBasedStateMachine):
    """Guests come, change their minds and go; an engine answers, fails, opens and closes."""

    guests = st.sampled_from(GUESTS)
    offers = st.sampled_from(OFFERS)

    def __init__(self) -> None:
        super().__init__()
        self.max_peers = 1
        self.now = 0.0
        self.room = Room(self.max_peers)
        self.hosting = Hosting(self.room)
        self.in_engine: set[tuple[bytes, int]] = set()
        self.connections: set[tuple[bytes, int]] = set()
        self.admitted: set[bytes] = set()
        self.answers: set[bytes] = set()

    def do(self, effects: list[Effect] | None) -> None:
        for effect in effects or ():
            key = (effect.guest, effect.attempt)
            match effect.output:
                case HostOutput.MAKE_ANSWER:
                    self.in_engine.add(key)
                case HostOutput.WRITE_ANSWER | HostOutput.WRITE_REFUSAL:
                    self.answers.add(effect.guest)
                case HostOutput.REMOVE_ANSWER:
                    self.answers.discard(effect.guest)
                case HostOutput.ADMIT_PEER:
                    assert key in self.connections
                    self.admitted.add(effect.guest)
                case HostOutput.PART_PEER:
                    self.admitted.remove(effect.guest)
                case HostOutput.CLOSE_PEER:
                    self.connections.remove(key)

    @rule(guest=guests, offer=offers)
    def write_offer(self, guest: bytes, offer: bytes) -> None:
        self.do(self.hosting.offer(guest, offer, self.now))

    @rule(guest=guests, offer=offers, next_in_turn=guests)
    def let_an_answer_go_unused(self, guest: bytes, offer: bytes, next_in_turn: bytes) -> None:
        """Bring about what chance seldom does: an answer whose reservation has lapsed."""
        self.do(self.hosting.offer(guest, offer, self.now))
        self.engine_answers()
        self.do(self.hosting.offer(next_in_turn, offer, self.now))
        self.now += 30
        self.do(self.hosting.on_timeout(self.now))

    @rule(guest=guests, offer=offers)
    def write_nonsense(self, guest: bytes, offer: bytes) -> None:
        self.do(self.hosting.invalid_offer(guest, offer + b"!", self.now))

    @rule(guest=guests)
    def remove_offer(self, guest: bytes) -> None:
        self.do(self.hosting.offer_gone(guest, self.now))

    @rule(guest=guests)
    def kick(self, guest: bytes) -> None:
        self.do(self.hosting.kick(guest, self.now))

    @rule(guest=guests)
    def ban(self, guest: bytes) -> None:
        self.do(self.hosting.turn_away(guest, BANNED, self.now))

    @rule(guest=guests)
    def bar(self, guest: bytes) -> None:
        self.do(self.hosting.barred(guest, self.now))

    @rule()
    def engine_answers(self) -> None:
        for guest, attempt in sorted(self.in_engine):
            self.in_engine.remove((guest, attempt))
            effects = self.hosting.answer_made(guest, attempt, self.now)
            if effects is not None:
                self.connections.add((guest, attempt))
                self.do(effects)

    @precondition(lambda self: self.in_engine)
    @rule(data=st.data())
    def engine_fails(self, data: st.DataObject) -> None:
        guest, attempt = data.draw(st.sampled_from(sorted(self.in_engine)))
        self.in_engine.remove((guest, attempt))
        self.do(self.hosting.answer_failed(guest, attempt, self.now))

    @precondition(lambda self: self.connections)
    @rule(data=st.data())
    def connection_opens(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.connections)))
        self.do(self.hosting.opened(*key, self.now))

    @precondition(lambda self: self.connections)
    @rule(data=st.data())
    def connection_ends(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.connections)))
        self.do(self.hosting.closed(*key, self.now))

    @rule(seconds=st.sampled_from([30.0, 1.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.do(self.hosting.on_timeout(self.now))

    @invariant()
    def places_are_never_given_twice(self) -> None:
        reserved = {HostState.ANSWERING, HostState.ANSWERED, HostState.OPEN}
        held = [guest for guest in GUESTS if self.hosting.state_of(guest) in reserved]
        assert len(held) == self.max_peers - self.room.free <= self.max_peers
        assert len(self.admitted) == self.hosting.peers <= self.max_peers
        assert self.hosting.waiting <= 2 * self.max_peers

    @invariant()
    def nobody_waits_while_a_place_is_free(self) -> None:
        assert not (self.room.free and self.hosting.waiting)

    @invariant()
    def each_guest_has_one_connection_at_most(self) -> None:
        guests = [guest for guest, _ in self.connections]
        assert len(guests) == len(set(guests))
        assert self.admitted <= set(guests)

    def teardown(self) -> None:
        """When all go away and time passes, nothing is left."""
        for guest in GUESTS:
            self.do(self.hosting.offer_gone(guest, self.now))
        for key in sorted(self.in_engine):
            self.do(self.hosting.answer_failed(*key, self.now))
        for key in sorted(self.connections):
            if key[0] in self.admitted:
                self.do(self.hosting.closed(*key, self.now))
        for _ in range(20):
            if self.hosting.next_timeout < math.inf:
                self.now = max(self.now, self.hosting.next_timeout)
                self.do(self.hosting.on_timeout(self.now))
            for key in sorted(self.in_engine):
                self.do(self.hosting.answer_failed(*key, self.now))
        assert not self.answers
        assert not self.connections
        assert not self.hosting.busy
        assert self.room.free == self.max_peers


TestHostWalk = HostWalk.TestCase
TestHostWalk.settings = settings(max_examples=250, stateful_step_count=40, deadline=None)
