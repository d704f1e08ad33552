"""The host's side of signalling as one value: a machine for each guest, room and clocks.

Pure: told what happens and when, it returns what is to be done. Engine, files and peers are those
of `host`. An attempt is numbered, because an engine may finish one that a changed offer has already
replaced; what comes late for such a number changes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from datfs.lobby.machine import HostInput, HostOutput, HostState, host_step
from datfs.lobby.password import WRONG_PASSWORD
from datfs.lobby.policy import FULL, KICKED
from datfs.lobby.room import Room, RoomReply

if TYPE_CHECKING:
    from collections.abc import Iterable

    from datfs.lobby.policy import Policy

ATTEMPT_S: Final = 60.0
"""An offer that is not answered, an answer that is not used: after this they are given up."""

_OFFER_INPUTS: Final = {
    RoomReply.PLACED: HostInput.OFFER_PLACED,
    RoomReply.QUEUED: HostInput.OFFER_QUEUED,
    RoomReply.FULL: HostInput.OFFER_FULL,
}

_REASONS: Final = {
    HostInput.OFFER_FULL: FULL,
    HostInput.OPENED_FULL: FULL,
    HostInput.ANSWER_FAILED: "failed",
    HostInput.UNPROVEN: WRONG_PASSWORD,
}
_EXPIRED_REASONS: Final = {HostState.QUEUED: FULL, HostState.ANSWERING: "failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Something to be done for one guest.

    Attributes:
        guest: its identity key.
        attempt: number of the attempt that it belongs to.
        offer_id: of the offer that is or was dealt with last; empty for a refusal that counts for
            whatever the guest offers.
        output: what is to be done; never one of room, clock or ignored offers, which stay here.
        reason: for WRITE_REFUSAL, why.
    """

    guest: bytes
    attempt: int
    offer_id: bytes
    output: HostOutput
    reason: str = ""


@dataclass(slots=True)
class _Guest:
    state: HostState = HostState.ABSENT
    attempt: int = 0
    offer_id: bytes | None = None  # of the offer that lies there
    tried_id: bytes = b""  # of the offer that is or was dealt with last
    mistake: str = ""  # of the file that is no valid offer
    deadline: float = math.inf
    ignored: set[bytes] = field(default_factory=set)
    unwanted: str = ""  # why it was turned away last, while that refusal lies there
    kicked_until: float = -math.inf


class Hosting:
    """What the host knows of its guests. Times are monotonic seconds."""

    def __init__(self, room: Room, *, attempt_s: float = ATTEMPT_S) -> None:
        """Begin without guests.

        Args:
            room: the places; changed only through this object from now on.
            attempt_s: seconds after which an attempt that leads to nothing is given up.
        """
        self._room = room
        self._attempt_s = attempt_s
        self._guests: dict[bytes, _Guest] = {}

    @property
    def peers(self) -> int:
        """How many peers have an open channel."""
        return self._room.peers

    @property
    def waiting(self) -> int:
        """How many offers wait for a place."""
        return self._room.waiting

    def set_max_peers(self, max_peers: int) -> None:
        """Change the number of places; a guest that waits gets a new one at the next step."""
        self._room.max_peers = max_peers

    @property
    def next_timeout(self) -> float:
        """When `on_timeout` is to be called; infinity if never."""
        deadlines = (guest.deadline for guest in self._guests.values())
        return min(self._room.next_lapse, *deadlines, math.inf)

    @property
    def busy(self) -> frozenset[bytes]:
        """The guests that the host is dealing with."""
        absent = HostState.ABSENT
        return frozenset(key for key, guest in self._guests.items() if guest.state is not absent)

    def state_of(self, guest: bytes) -> HostState:
        """Return where the host is with a guest."""
        known = self._guests.get(guest)
        return HostState.ABSENT if known is None else known.state

    def is_current(self, guest: bytes, attempt: int) -> bool:
        """Tell whether an attempt is the one that the host is dealing with."""
        known = self._guests.get(guest)
        return known is not None and known.attempt == attempt

    def offer(
        self, guest: bytes, offer_id: bytes, now: float, *, first: bool = False
    ) -> list[Effect] | None:
        """Take an offer that lies in the lobby; None if it is the same as before, or ignored.

        Args:
            guest: whose it is.
            offer_id: SHA-256 of its text.
            now: the time.
            first: whether it goes before others if it must wait for a place.
        """
        known = self._known(guest)
        if not self._is_new(known, offer_id):
            return None
        if now < known.kicked_until:
            return self.turn_away(guest, KICKED, now)
        happened = _OFFER_INPUTS[self._room.request(guest, first=first)]
        return self._happen([(guest, happened)], now)

    def invalid_offer(
        self, guest: bytes, offer_id: bytes, now: float, *, reason: str = "invalid offer"
    ) -> list[Effect]:
        """Take a file in the offer's place that is none, or not one that is taken."""
        known = self._known(guest)
        if not self._is_new(known, offer_id):
            return []
        known.mistake = reason
        return self._happen([(guest, HostInput.OFFER_INVALID)], now)

    def offer_gone(self, guest: bytes, now: float) -> list[Effect]:
        """Take note that the guest's offer is not there."""
        known = self._guests.get(guest)
        if known is None or known.offer_id is None:
            return []
        known.offer_id = None
        return self._happen([(guest, HostInput.OFFER_GONE)], now)

    def answer_made(self, guest: bytes, attempt: int, now: float) -> list[Effect] | None:
        """Take note that the engine has an answer; None if nobody wants it any more."""
        if not self._in_state(guest, attempt, HostState.ANSWERING):
            return None
        self._room.answered(guest, now)
        return self._happen([(guest, HostInput.ANSWER_MADE)], now)

    def answer_failed(self, guest: bytes, attempt: int, now: float) -> list[Effect]:
        """Take note that the engine cannot answer."""
        if not self._in_state(guest, attempt, HostState.ANSWERING):
            return []
        return self._happen([(guest, HostInput.ANSWER_FAILED)], now)

    def opened(self, guest: bytes, attempt: int, now: float) -> list[Effect]:
        """Take note that the channel of an attempt is open."""
        if not self._in_state(guest, attempt, HostState.ANSWERED, HostState.LAPSED):
            return []
        happened = HostInput.OPENED if self._room.take(guest) else HostInput.OPENED_FULL
        return self._happen([(guest, happened)], now)

    def unproven(self, guest: bytes, attempt: int, now: float) -> list[Effect]:
        """Take note that the guest of an attempt does not know the password."""
        if not self._in_state(guest, attempt, HostState.ANSWERED, HostState.LAPSED):
            return []
        return self._happen([(guest, HostInput.UNPROVEN)], now)

    def closed(self, guest: bytes, attempt: int, now: float) -> list[Effect]:
        """Take note that the connection of an attempt has ended."""
        connected = (HostState.ANSWERED, HostState.LAPSED, HostState.OPEN)
        if not self._in_state(guest, attempt, *connected):
            return []
        return self._happen([(guest, HostInput.CLOSED)], now)

    def barred(self, guest: bytes, now: float) -> list[Effect]:
        """Have no more to do with a guest that was struck off."""
        if guest not in self._guests:
            return []
        effects = self._happen([(guest, HostInput.BARRED)], now)
        del self._guests[guest]
        return effects

    def turn_away(self, guest: bytes, reason: str, now: float) -> list[Effect]:
        """Refuse a guest whatever it offers; asked again, the refusal lies there for longer."""
        known = self._known(guest)
        if known.unwanted == reason:
            known.deadline = now + self._attempt_s
            return []
        return self._happen([(guest, HostInput.UNWANTED)], now, reason=reason)

    def kick(self, guest: bytes, now: float) -> list[Effect]:
        """Close a guest's connection and refuse it for as long as an attempt may take.

        Whoever was connected offers again by itself; that must not undo the kick.
        """
        self._known(guest).kicked_until = now + self._attempt_s
        return self.turn_away(guest, KICKED, now)

    def forgive(self, policy: Policy, now: float) -> list[Effect]:
        """Take back the refusals of an earlier policy that this one would not make."""
        forgiven = [
            (guest, HostInput.OFFER_GONE)
            for guest, known in self._guests.items()
            if known.unwanted not in ("", KICKED, FULL) and policy.refusal(guest) is None
        ]
        return self._happen(forgiven, now)

    def on_timeout(self, now: float) -> list[Effect]:
        """Let reservations and attempts end that are over."""
        lapsed = [(guest, HostInput.LAPSED) for guest in self._room.lapsed(now)]
        effects = self._happen(lapsed, now)
        expired = [
            (guest, HostInput.EXPIRED)
            for guest, known in self._guests.items()
            if known.deadline <= now
        ]
        effects += self._happen(expired, now)
        for guest, _ in expired:
            self._forget_stranger(guest, now)
        return effects

    def _forget_stranger(self, guest: bytes, now: float) -> None:
        """Keep nothing of a guest that never offered anything."""
        known = self._guests[guest]
        if known.state is HostState.ABSENT and not known.tried_id and known.kicked_until <= now:
            del self._guests[guest]

    def _known(self, guest: bytes) -> _Guest:
        return self._guests.setdefault(guest, _Guest())

    def _is_new(self, known: _Guest, offer_id: bytes) -> bool:
        """Take the offer as the one that lies there; tell whether it is to be dealt with."""
        if offer_id == known.offer_id:
            return False
        known.offer_id = offer_id
        if offer_id in known.ignored:
            return False
        known.tried_id = offer_id
        return True

    def _in_state(self, guest: bytes, attempt: int, *states: HostState) -> bool:
        return self.is_current(guest, attempt) and self._guests[guest].state in states

    def _happen(
        self, inputs: Iterable[tuple[bytes, HostInput]], now: float, *, reason: str = ""
    ) -> list[Effect]:
        effects: list[Effect] = []
        for guest, happened in inputs:
            effects += self._step(guest, happened, now, reason)
        while (guest_in_turn := self._room.next_in_queue()) is not None:
            effects += self._step(guest_in_turn, HostInput.PLACE_FREE, now)
        return effects

    def _step(
        self, guest: bytes, happened: HostInput, now: float, unwanted: str = ""
    ) -> list[Effect]:
        known = self._guests[guest]
        was = known.state
        known.unwanted = unwanted
        known.state, outputs = host_step(known.state, happened)
        effects: list[Effect] = []
        for output in outputs:
            match output:
                case HostOutput.LEAVE_ROOM:
                    self._room.leave(guest)
                case HostOutput.START_CLOCK:
                    known.deadline = now + self._attempt_s
                case HostOutput.STOP_CLOCK:
                    known.deadline = math.inf
                case HostOutput.IGNORE_OFFER:
                    known.ignored.add(known.tried_id)
                case HostOutput.MAKE_ANSWER:
                    known.attempt += 1
                    effects.append(self._effect(guest, known, output))
                case HostOutput.WRITE_REFUSAL:
                    if happened is HostInput.OFFER_INVALID:
                        reason = known.mistake
                    else:
                        reason = unwanted or _REASONS.get(happened) or _EXPIRED_REASONS[was]
                    effects.append(self._effect(guest, known, output, reason))
                case _:
                    effects.append(self._effect(guest, known, output))
        if happened is HostInput.EXPIRED and HostOutput.START_CLOCK not in outputs:
            known.deadline = math.inf
        return effects

    @staticmethod
    def _effect(guest: bytes, known: _Guest, output: HostOutput, reason: str = "") -> Effect:
        return Effect(
            guest=guest,
            attempt=known.attempt,
            offer_id=b"" if known.unwanted else known.tried_id,
            output=output,
            reason=reason,
        )
