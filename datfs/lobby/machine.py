"""The signalling machine: what the host does for each guest, and what a guest does.

Two pure tables from (state, input) to (next state, outputs), following design section 9. They call
nobody: `hosting` and `guest` feed them and act on what comes out. An input that the table lacks is
an error, for it means that whoever feeds it has lost count of what is open. Both carriers run on
these tables.

The host keeps one machine for each guest. A place (one of max_peers) is given before a new offer is
fed, so that the table sees what became of it: PLACED, QUEUED or FULL. A signal file is written
over where another follows at once, because a guest that sees its answer disappear gives up its
offer; it is removed on every way that ends an attempt.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from datfs.errors import LobbyError

if TYPE_CHECKING:
    from collections.abc import Mapping


class HostState(StrEnum):
    """Where the host is with one guest."""

    ABSENT = "absent"  # no offer is being dealt with
    QUEUED = "queued"  # the offer waits for a place
    ANSWERING = "answering"  # a place is reserved, the engine makes the answer
    ANSWERED = "answered"  # the answer is written, its channel is awaited
    LAPSED = "lapsed"  # the same, but the place was given free
    OPEN = "open"  # the channel is open
    REFUSED = "refused"  # the answer says no


class HostInput(StrEnum):
    """What happens to the host with one guest."""

    OFFER_PLACED = "offer, place reserved"
    OFFER_QUEUED = "offer, no place yet"
    OFFER_FULL = "offer, queue full"
    OFFER_INVALID = "no valid offer"
    OFFER_GONE = "offer gone"
    PLACE_FREE = "place free"
    ANSWER_MADE = "answer made"
    ANSWER_FAILED = "answer failed"
    OPENED = "channel open"  # and the password proven, where there is one
    OPENED_FULL = "channel open, no place"
    UNPROVEN = "wrong password"
    CLOSED = "connection closed"
    LAPSED = "reservation over"
    EXPIRED = "attempt over"
    BARRED = "guest struck off"
    UNWANTED = "guest not wanted"  # by policy, or because it was kicked


class HostOutput(StrEnum):
    """What the host then does."""

    LEAVE_ROOM = "leave room"  # the place, reserved or taken, or the turn in the queue
    START_CLOCK = "start clock"  # EXPIRED comes when it has run out
    STOP_CLOCK = "stop clock"
    IGNORE_OFFER = "ignore offer"  # this very offer is not tried again
    MAKE_ANSWER = "make answer"  # by the engine; ANSWER_MADE or ANSWER_FAILED follows
    WRITE_ANSWER = "write answer"
    WRITE_REFUSAL = "write refusal"
    REMOVE_ANSWER = "remove answer"  # answer or refusal, if there is one
    ADMIT_PEER = "admit peer"  # hand the open connection on
    PART_PEER = "part peer"  # take it back
    CLOSE_PEER = "close peer"  # end the connection


class GuestState(StrEnum):
    """Where a guest is."""

    LOOKING = "looking"  # no offer is written
    WAITING = "waiting"  # the offer is written, nothing came back
    CONNECTING = "connecting"  # the engine completes its offer with the answer
    ELSEWHERE = "answered elsewhere"  # whoever made the offer completes it
    JOINED = "joined"  # the channel is open
    PARTING = "parting"  # the same, but the host has ended the session
    FULL = "full"  # refused: no place
    REFUSED = "refused"  # refused for another reason
    RETRYING = "retrying"  # a new offer will be made
    ENDED = "ended"  # the session is over


class GuestInput(StrEnum):
    """What happens to a guest."""

    BEACON = "beacon"
    BEACON_RENEWED = "beacon renewed"  # the host began anew; our engine's offer was for the old one
    BEACON_GONE = "beacon gone"
    OFFER = "offer written"  # by a person or by the engine, other than the one before
    OFFER_GONE = "offer gone"  # not removed by us
    ANSWER = "answer"  # to an offer of our engine
    ANSWER_ELSEWHERE = "answer elsewhere"  # to an offer of somebody else's
    ANSWER_FULL = "full"
    ANSWER_REFUSED = "refusal"
    ANSWER_GONE = "answer gone"
    OPENED = "channel open"  # and the password proven, where there is one
    UNPROVEN = "wrong password"
    UNPROVABLE = "password missing"
    CLOSED = "connection closed"
    EXPIRED = "attempt over"
    RETRY = "pause over"
    OFFER_FAILED = "offer failed"  # the engine could not make one
    GIVE_UP = "too many tries"
    BARRED = "struck off"


class GuestOutput(StrEnum):
    """What a guest then does."""

    START_CLOCK = "start clock"  # EXPIRED comes when it has run out
    STOP_CLOCK = "stop clock"  # whichever of the two runs
    START_PAUSE = "start pause"  # RETRY or GIVE_UP comes when it has run out
    MAKE_OFFER = "make offer"  # by the engine; OFFER or OFFER_FAILED follows
    COMPLETE = "complete"  # hand the answer to the engine; OPENED or CLOSED follows
    REMOVE_OFFER = "remove offer"
    ADMIT_PEER = "admit peer"
    PART_PEER = "part peer"
    CLOSE_PEER = "close peer"  # end our engine's connection, if the offer was its


HostStep = tuple[HostState, tuple[HostOutput, ...]]
GuestStep = tuple[GuestState, tuple[GuestOutput, ...]]


def _host_table() -> Mapping[HostState, Mapping[HostInput, HostStep]]:
    s, i, o = HostState, HostInput, HostOutput
    answer = (o.START_CLOCK, o.MAKE_ANSWER)
    refuse = (o.START_CLOCK, o.WRITE_REFUSAL)
    return {
        s.ABSENT: {
            i.OFFER_PLACED: (s.ANSWERING, answer),
            i.OFFER_QUEUED: (s.QUEUED, (o.START_CLOCK,)),
            i.OFFER_FULL: (s.REFUSED, refuse),
            i.OFFER_INVALID: (s.REFUSED, refuse),
            i.OFFER_GONE: (s.ABSENT, ()),
            i.BARRED: (s.ABSENT, ()),
            i.UNWANTED: (s.REFUSED, refuse),
        },
        s.QUEUED: {
            i.OFFER_QUEUED: (s.QUEUED, (o.START_CLOCK,)),
            i.OFFER_INVALID: (s.REFUSED, (o.LEAVE_ROOM, *refuse)),
            i.OFFER_GONE: (s.ABSENT, (o.LEAVE_ROOM, o.STOP_CLOCK)),
            i.PLACE_FREE: (s.ANSWERING, answer),
            i.EXPIRED: (s.REFUSED, (o.LEAVE_ROOM, o.IGNORE_OFFER, *refuse)),
            i.BARRED: (s.ABSENT, (o.LEAVE_ROOM, o.STOP_CLOCK)),
            i.UNWANTED: (s.REFUSED, (o.LEAVE_ROOM, o.IGNORE_OFFER, *refuse)),
        },
        s.ANSWERING: {
            i.OFFER_PLACED: (s.ANSWERING, answer),
            i.OFFER_INVALID: (s.REFUSED, (o.LEAVE_ROOM, *refuse)),
            i.OFFER_GONE: (s.ABSENT, (o.LEAVE_ROOM, o.STOP_CLOCK, o.REMOVE_ANSWER)),
            i.ANSWER_MADE: (s.ANSWERED, (o.START_CLOCK, o.WRITE_ANSWER)),
            i.ANSWER_FAILED: (s.REFUSED, (o.LEAVE_ROOM, o.IGNORE_OFFER, *refuse)),
            i.EXPIRED: (s.REFUSED, (o.LEAVE_ROOM, o.IGNORE_OFFER, *refuse)),
            i.BARRED: (s.ABSENT, (o.LEAVE_ROOM, o.STOP_CLOCK, o.REMOVE_ANSWER)),
            i.UNWANTED: (s.REFUSED, (o.LEAVE_ROOM, o.IGNORE_OFFER, *refuse)),
        },
        s.ANSWERED: {
            i.OFFER_PLACED: (s.ANSWERING, (o.CLOSE_PEER, *answer)),
            i.OFFER_INVALID: (s.REFUSED, (o.CLOSE_PEER, o.LEAVE_ROOM, *refuse)),
            # The guest may see its channel open, and tidy up, a moment before the host does.
            i.OFFER_GONE: (s.ANSWERED, ()),
            i.OPENED: (s.OPEN, (o.STOP_CLOCK, o.ADMIT_PEER, o.REMOVE_ANSWER)),
            i.CLOSED: (
                s.ABSENT,
                (o.CLOSE_PEER, o.LEAVE_ROOM, o.STOP_CLOCK, o.IGNORE_OFFER, o.REMOVE_ANSWER),
            ),
            i.UNPROVEN: (s.REFUSED, (o.CLOSE_PEER, o.LEAVE_ROOM, o.IGNORE_OFFER, *refuse)),
            i.LAPSED: (s.LAPSED, (o.LEAVE_ROOM,)),
            i.EXPIRED: (s.ABSENT, (o.CLOSE_PEER, o.LEAVE_ROOM, o.IGNORE_OFFER, o.REMOVE_ANSWER)),
            i.BARRED: (s.ABSENT, (o.CLOSE_PEER, o.LEAVE_ROOM, o.STOP_CLOCK, o.REMOVE_ANSWER)),
            i.UNWANTED: (s.REFUSED, (o.CLOSE_PEER, o.LEAVE_ROOM, o.IGNORE_OFFER, *refuse)),
        },
        s.LAPSED: {
            i.OFFER_PLACED: (s.ANSWERING, (o.CLOSE_PEER, *answer)),
            i.OFFER_QUEUED: (s.QUEUED, (o.CLOSE_PEER, o.REMOVE_ANSWER, o.START_CLOCK)),
            i.OFFER_FULL: (s.REFUSED, (o.CLOSE_PEER, *refuse)),
            i.OFFER_INVALID: (s.REFUSED, (o.CLOSE_PEER, *refuse)),
            i.OFFER_GONE: (s.LAPSED, ()),
            i.OPENED: (s.OPEN, (o.STOP_CLOCK, o.ADMIT_PEER, o.REMOVE_ANSWER)),
            i.OPENED_FULL: (s.REFUSED, (o.CLOSE_PEER, o.IGNORE_OFFER, *refuse)),
            i.UNPROVEN: (s.REFUSED, (o.CLOSE_PEER, o.IGNORE_OFFER, *refuse)),
            i.CLOSED: (
                s.ABSENT,
                (o.CLOSE_PEER, o.STOP_CLOCK, o.IGNORE_OFFER, o.REMOVE_ANSWER),
            ),
            i.EXPIRED: (s.ABSENT, (o.CLOSE_PEER, o.IGNORE_OFFER, o.REMOVE_ANSWER)),
            i.BARRED: (s.ABSENT, (o.CLOSE_PEER, o.STOP_CLOCK, o.REMOVE_ANSWER)),
            i.UNWANTED: (s.REFUSED, (o.CLOSE_PEER, o.IGNORE_OFFER, *refuse)),
        },
        s.OPEN: {
            # Who offers anew has lost the channel, whether the host has noticed or not.
            i.OFFER_PLACED: (s.ANSWERING, (o.PART_PEER, o.CLOSE_PEER, *answer)),
            i.OFFER_INVALID: (s.OPEN, ()),
            i.OFFER_GONE: (s.OPEN, ()),
            i.CLOSED: (s.ABSENT, (o.PART_PEER, o.CLOSE_PEER, o.LEAVE_ROOM)),
            i.BARRED: (s.ABSENT, (o.PART_PEER, o.CLOSE_PEER, o.LEAVE_ROOM)),
            i.UNWANTED: (
                s.REFUSED,
                (o.PART_PEER, o.CLOSE_PEER, o.LEAVE_ROOM, o.IGNORE_OFFER, *refuse),
            ),
        },
        s.REFUSED: {
            i.OFFER_PLACED: (s.ANSWERING, answer),
            i.OFFER_QUEUED: (s.QUEUED, (o.REMOVE_ANSWER, o.START_CLOCK)),
            i.OFFER_FULL: (s.REFUSED, refuse),
            i.OFFER_INVALID: (s.REFUSED, refuse),
            i.OFFER_GONE: (s.ABSENT, (o.STOP_CLOCK, o.REMOVE_ANSWER)),
            i.EXPIRED: (s.ABSENT, (o.IGNORE_OFFER, o.REMOVE_ANSWER)),
            i.BARRED: (s.ABSENT, (o.STOP_CLOCK, o.REMOVE_ANSWER)),
            i.UNWANTED: (s.REFUSED, refuse),
        },
    }


def _guest_table() -> Mapping[GuestState, Mapping[GuestInput, GuestStep]]:
    s, i, o = GuestState, GuestInput, GuestOutput
    give_up_offer = (o.REMOVE_OFFER, o.CLOSE_PEER)
    try_again = (*give_up_offer, o.START_PAUSE)
    refused: dict[GuestInput, GuestStep] = {
        i.BEACON_RENEWED: (s.RETRYING, try_again),
        i.BEACON_GONE: (s.ENDED, give_up_offer),
        i.OFFER: (s.WAITING, (o.CLOSE_PEER,)),
        # The refusal may have been that of an earlier offer.
        i.ANSWER: (s.CONNECTING, (o.START_CLOCK, o.COMPLETE)),
        i.ANSWER_ELSEWHERE: (s.ELSEWHERE, ()),
        i.ANSWER_FULL: (s.FULL, ()),
        i.ANSWER_REFUSED: (s.REFUSED, ()),
        i.BARRED: (s.REFUSED, give_up_offer),
    }
    return {
        s.LOOKING: {
            i.BEACON: (s.LOOKING, ()),
            i.BEACON_GONE: (s.ENDED, ()),
            i.OFFER: (s.WAITING, ()),
            i.BARRED: (s.REFUSED, ()),
        },
        s.WAITING: {
            i.BEACON: (s.WAITING, ()),
            i.BEACON_RENEWED: (s.RETRYING, try_again),
            i.BEACON_GONE: (s.ENDED, give_up_offer),
            i.OFFER: (s.WAITING, (o.CLOSE_PEER,)),
            i.OFFER_GONE: (s.LOOKING, (o.CLOSE_PEER,)),
            i.ANSWER: (s.CONNECTING, (o.START_CLOCK, o.COMPLETE)),
            i.ANSWER_ELSEWHERE: (s.ELSEWHERE, ()),
            i.ANSWER_FULL: (s.FULL, ()),
            i.ANSWER_REFUSED: (s.REFUSED, ()),
            i.UNPROVABLE: (s.REFUSED, give_up_offer),
            i.BARRED: (s.REFUSED, give_up_offer),
        },
        s.CONNECTING: {
            i.BEACON: (s.CONNECTING, ()),
            i.BEACON_RENEWED: (s.RETRYING, (o.STOP_CLOCK, *try_again)),
            i.BEACON_GONE: (s.ENDED, (o.STOP_CLOCK, *give_up_offer)),
            i.OFFER: (s.WAITING, (o.STOP_CLOCK, o.CLOSE_PEER)),
            i.OFFER_GONE: (s.CONNECTING, ()),
            i.ANSWER: (s.CONNECTING, ()),
            i.ANSWER_FULL: (s.FULL, (o.STOP_CLOCK, o.CLOSE_PEER)),
            i.ANSWER_REFUSED: (s.REFUSED, (o.STOP_CLOCK, o.CLOSE_PEER)),
            # The host has seen the channel open; it will be here in a moment, or never.
            i.ANSWER_GONE: (s.CONNECTING, (o.REMOVE_OFFER,)),
            i.OPENED: (s.JOINED, (o.STOP_CLOCK, o.ADMIT_PEER, o.REMOVE_OFFER)),
            i.UNPROVEN: (s.REFUSED, (o.STOP_CLOCK, *give_up_offer)),
            i.CLOSED: (s.RETRYING, (o.STOP_CLOCK, *try_again)),
            i.EXPIRED: (s.RETRYING, try_again),
            i.BARRED: (s.REFUSED, (o.STOP_CLOCK, *give_up_offer)),
        },
        s.ELSEWHERE: {
            i.BEACON: (s.ELSEWHERE, ()),
            i.BEACON_GONE: (s.ENDED, (o.REMOVE_OFFER,)),
            i.OFFER: (s.WAITING, ()),
            i.OFFER_GONE: (s.LOOKING, ()),
            i.ANSWER_ELSEWHERE: (s.ELSEWHERE, ()),
            i.ANSWER_FULL: (s.FULL, ()),
            i.ANSWER_REFUSED: (s.REFUSED, ()),
            i.ANSWER_GONE: (s.LOOKING, (o.REMOVE_OFFER,)),
            i.BARRED: (s.REFUSED, (o.REMOVE_OFFER,)),
        },
        s.JOINED: {
            i.BEACON: (s.JOINED, ()),
            i.BEACON_GONE: (s.PARTING, ()),
            i.OFFER: (s.WAITING, (o.PART_PEER, o.CLOSE_PEER)),
            i.CLOSED: (s.RETRYING, (o.PART_PEER, o.CLOSE_PEER, o.START_PAUSE)),
            i.BARRED: (s.REFUSED, (o.PART_PEER, o.CLOSE_PEER)),
        },
        s.PARTING: {
            i.BEACON: (s.JOINED, ()),
            i.OFFER: (s.WAITING, (o.PART_PEER, o.CLOSE_PEER)),
            i.CLOSED: (s.ENDED, (o.PART_PEER, o.CLOSE_PEER)),
            i.BARRED: (s.REFUSED, (o.PART_PEER, o.CLOSE_PEER)),
        },
        s.FULL: {
            **refused,
            i.BEACON: (s.FULL, ()),
            i.OFFER_GONE: (s.FULL, (o.CLOSE_PEER,)),
            i.ANSWER_GONE: (s.FULL, give_up_offer),
        },
        s.REFUSED: {
            **refused,
            i.BEACON: (s.REFUSED, ()),
            i.OFFER_GONE: (s.REFUSED, (o.CLOSE_PEER,)),
            i.ANSWER_GONE: (s.REFUSED, give_up_offer),
        },
        s.RETRYING: {
            i.BEACON: (s.RETRYING, ()),
            i.BEACON_GONE: (s.ENDED, (o.STOP_CLOCK,)),
            i.OFFER: (s.WAITING, (o.STOP_CLOCK,)),
            i.RETRY: (s.RETRYING, (o.MAKE_OFFER,)),
            i.OFFER_FAILED: (s.RETRYING, (o.START_PAUSE,)),
            i.GIVE_UP: (s.LOOKING, ()),
            i.BARRED: (s.REFUSED, (o.STOP_CLOCK,)),
        },
        s.ENDED: {
            i.BEACON: (s.LOOKING, ()),
            i.OFFER: (s.ENDED, give_up_offer),
            i.BARRED: (s.ENDED, ()),
        },
    }


HOST_TABLE: Final = _host_table()
GUEST_TABLE: Final = _guest_table()


def host_step(state: HostState, happened: HostInput) -> HostStep:
    """Return the host's next state and what it does.

    Raises:
        LobbyError: this cannot happen in this state.
    """
    step = HOST_TABLE[state].get(happened)
    if step is None:
        raise LobbyError(f"a host that is {state} with a guest cannot be told: {happened}")
    return step


def guest_step(state: GuestState, happened: GuestInput) -> GuestStep:
    """Return the guest's next state and what it does.

    Raises:
        LobbyError: this cannot happen in this state.
    """
    step = GUEST_TABLE[state].get(happened)
    if step is None:
        raise LobbyError(f"a guest that is {state} cannot be told: {happened}")
    return step
