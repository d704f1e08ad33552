from __future__ import annotations

import itertools
from typing import NamedTuple

import pytest

from datfs.errors import LobbyError
from datfs.lobby.machine import (
    GUEST_TABLE,
    HOST_TABLE,
    GuestInput,
    GuestOutput,
    GuestState,
    HostInput,
    HostOutput,
    HostState,
    guest_step,
    host_step,
)


@pytest.mark.parametrize(("state", "happened"), list(itertools.product(HostState, HostInput)))
def test_every_host_state_and_input(state: HostState, happened: HostInput) -> None:
    if happened in HOST_TABLE[state]:
        assert host_step(state, happened) == HOST_TABLE[state][happened]
    else:
        with pytest.raises(LobbyError, match=happened):
            host_step(state, happened)


@pytest.mark.parametrize(("state", "happened"), list(itertools.product(GuestState, GuestInput)))
def test_every_guest_state_and_input(state: GuestState, happened: GuestInput) -> None:
    if happened in GUEST_TABLE[state]:
        assert guest_step(state, happened) == GUEST_TABLE[state][happened]
    else:
        with pytest.raises(LobbyError, match=happened):
            guest_step(state, happened)


class Held(NamedTuple):
    """What the host holds for a guest."""

    place: bool = False
    clock: bool = False
    answer: bool = False
    connection: bool = False
    admitted: bool = False


# What each state means for what is held; answer True or False where both may be.
MEANING = {
    HostState.ABSENT: [Held()],
    HostState.QUEUED: [Held(place=True, clock=True)],
    HostState.ANSWERING: [
        Held(place=True, clock=True),
        Held(place=True, clock=True, answer=True),
    ],
    HostState.ANSWERED: [Held(place=True, clock=True, answer=True, connection=True)],
    HostState.LAPSED: [Held(clock=True, answer=True, connection=True)],
    HostState.OPEN: [Held(place=True, connection=True, admitted=True)],
    HostState.REFUSED: [Held(clock=True, answer=True)],
}

GIVES_PLACE = {HostInput.OFFER_PLACED, HostInput.OFFER_QUEUED, HostInput.OPENED}


def after(held: Held, happened: HostInput, outputs: tuple[HostOutput, ...]) -> Held:
    if happened in GIVES_PLACE:
        held = held._replace(place=True)
    if happened is HostInput.EXPIRED:
        held = held._replace(clock=False)
    if happened is HostInput.ANSWER_MADE:
        held = held._replace(connection=True)
    for output in outputs:
        match output:
            case HostOutput.LEAVE_ROOM:
                held = held._replace(place=False)
            case HostOutput.START_CLOCK:
                held = held._replace(clock=True)
            case HostOutput.STOP_CLOCK:
                held = held._replace(clock=False)
            case HostOutput.WRITE_ANSWER | HostOutput.WRITE_REFUSAL:
                held = held._replace(answer=True)
            case HostOutput.REMOVE_ANSWER:
                held = held._replace(answer=False)
            case HostOutput.ADMIT_PEER:
                assert held.connection
                held = held._replace(admitted=True)
            case HostOutput.PART_PEER:
                assert held.admitted
                held = held._replace(admitted=False)
            case HostOutput.CLOSE_PEER:
                assert held.connection, "only what is open can be closed"
                assert not held.admitted, "a connection is taken back before it is closed"
                held = held._replace(connection=False)
            case HostOutput.MAKE_ANSWER:
                assert held.place, "no answer is made without a place"
                assert not held.connection
            case HostOutput.IGNORE_OFFER:
                pass
    return held


def test_in_every_host_state_exactly_that_is_held_which_it_means() -> None:
    seen = {(HostState.ABSENT, Held())}
    to_do = list(seen)
    while to_do:
        state, held = to_do.pop()
        for happened, (following, outputs) in HOST_TABLE[state].items():
            now_held = after(held, happened, outputs)
            assert now_held in MEANING[following], (state, happened)
            if (following, now_held) not in seen:
                seen.add((following, now_held))
                to_do.append((following, now_held))
    assert {state for state, _ in seen} == set(HostState)


def test_every_attempt_of_the_host_ends_by_itself() -> None:
    for state in HostState:
        if any(held.clock for held in MEANING[state]):
            following, _ = host_step(state, HostInput.EXPIRED)
            assert following in {HostState.ABSENT, HostState.REFUSED}
    assert host_step(HostState.REFUSED, HostInput.EXPIRED)[0] is HostState.ABSENT


def test_a_guest_s_offer_goes_whenever_it_is_of_no_more_use() -> None:
    with_offer = {
        GuestState.WAITING,
        GuestState.CONNECTING,
        GuestState.ELSEWHERE,
        GuestState.FULL,
        GuestState.REFUSED,
    }
    for state in with_offer:
        for happened, (following, outputs) in GUEST_TABLE[state].items():
            if following not in with_offer and happened is not GuestInput.OFFER_GONE:
                assert GuestOutput.REMOVE_OFFER in outputs, (state, happened)


def test_a_guest_s_offer_goes_when_the_answer_it_saw_disappears() -> None:
    for state in GuestState:
        if GuestInput.ANSWER_GONE in GUEST_TABLE[state]:
            _, outputs = guest_step(state, GuestInput.ANSWER_GONE)
            assert GuestOutput.REMOVE_OFFER in outputs


def test_the_guest_s_connection_leaves_the_directory_whenever_it_leaves_joined() -> None:
    joined = {GuestState.JOINED, GuestState.PARTING}
    for state, row in GUEST_TABLE.items():
        for following, outputs in row.values():
            assert (GuestOutput.ADMIT_PEER in outputs) == (
                state not in joined and following in joined
            )
            assert (GuestOutput.PART_PEER in outputs) == (
                state in joined and following not in joined
            )


def test_being_struck_off_or_not_wanted_can_happen_at_any_time() -> None:
    for host_state in HostState:
        assert host_step(host_state, HostInput.BARRED)[0] is HostState.ABSENT
        following, outputs = host_step(host_state, HostInput.UNWANTED)
        assert following is HostState.REFUSED
        assert HostOutput.WRITE_REFUSAL in outputs
    for guest_state in GuestState:
        barred, _ = guest_step(guest_state, GuestInput.BARRED)
        assert barred in {GuestState.REFUSED, GuestState.ENDED}
