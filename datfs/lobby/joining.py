"""The guest's side of signalling as one value: what lies in the lobby, attempts and clocks.

Pure: told what was read and what became of the connection, it feeds the guest's table in `machine`
and returns what is to be done. Files, engine and peers are those of `guest`. Attempts are numbered
as on the host's side: what comes late for an earlier one changes nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from datfs.lobby.guest_status import GuestStatus
from datfs.lobby.hosting import ATTEMPT_S
from datfs.lobby.machine import GuestInput, GuestOutput, GuestState, guest_step
from datfs.lobby.password import WRONG_PASSWORD
from datfs.lobby.signal import Refusal
from datfs.lobby.writers import WriterState

if TYPE_CHECKING:
    from datfs.lobby.signal import Answer, Beacon
    from datfs.lobby.writers import WriterRecord

RETRY_PAUSES_S: Final = (1.0, 2.0, 5.0, 15.0, 30.0, 60.0)
"""Pauses before new offers of our own while none of them leads to an open channel."""

_REASONS: Final = {
    GuestInput.BARRED: "the host has struck us off",
    GuestInput.BEACON_RENEWED: "the host has started anew",
    GuestInput.BEACON_GONE: "the host has ended the session",
    GuestInput.CLOSED: "the connection was lost",
    GuestInput.EXPIRED: "the channel did not open",
    GuestInput.UNPROVEN: WRONG_PASSWORD,
    GuestInput.UNPROVABLE: "a password is needed; write it to `password`, then a new offer",
    GuestInput.GIVE_UP: "no channel opened in several tries; write a new offer",
}


class Joining:
    """What a guest knows of its lobby. Times are monotonic seconds.

    Attributes:
        admitted: whether the host's record names our writer.
        beacon: the host's, None if it is not here.
        unproven_beacon: why nobody's identity stands for the beacon; empty if one does.
        answer_sdp: of the last answer to our engine's offer.
        has_password: whether we can prove one.
        attempt: number of the offer that was written last.
        next_timeout: when `on_timeout` is to be called; infinity if never.
    """

    def __init__(self, writer: bytes, *, attempt_s: float = ATTEMPT_S) -> None:
        """Begin with nothing read.

        Args:
            writer: key of our writer archive.
            attempt_s: seconds for which an answered offer may take to open its channel.
        """
        self.admitted = False
        self.beacon: Beacon | None = None
        self.unproven_beacon = ""
        self.answer_sdp = ""
        self.has_password = False
        self.attempt = 0
        self.next_timeout = math.inf
        self._writer = writer
        self._attempt_s = attempt_s
        self._state = GuestState.LOOKING
        self._reason = ""
        self._offer_id: bytes | None = None  # of the offer whose answers count
        self._removed_id: bytes | None = None  # of one that we removed and may read once more
        self._answer_seen = False
        self._has_connection = False  # our engine made the offer, and its connection is not over
        self._on_timeout = GuestInput.EXPIRED
        self._tries = 0

    @property
    def state(self) -> GuestState:
        """Where the guest is."""
        return self._state

    @property
    def has_offer(self) -> bool:
        """Whether an offer of ours lies in the lobby, as far as we know."""
        return self._offer_id is not None

    @property
    def offer_id(self) -> bytes | None:
        """Of the offer whose answers count; None if none lies in the lobby."""
        return self._offer_id

    @property
    def status(self) -> GuestStatus:
        """Where the guest is, in words."""
        return GuestStatus.of(
            self._state,
            reason=self._reason,
            beacon=self.beacon is not None,
            admitted=self.admitted,
            unproven=self.unproven_beacon if self.beacon is not None else "",
        )

    # --- what lies in the lobby ------------------------------------------------------------

    def record_read(self, record: WriterRecord | None, now: float) -> list[GuestOutput]:
        """Take the host's record of us."""
        ours = record is not None and record.writer == self._writer
        self.admitted = ours and record is not None and record.state is WriterState.LIVE
        if record is None or record.state is not WriterState.STRUCK:
            return []
        return self._happen(GuestInput.BARRED, now)

    def beacon_read(self, beacon: Beacon | None, now: float) -> list[GuestOutput]:
        """Take the host's beacon."""
        before, self.beacon = self.beacon, beacon
        if beacon is None:
            return [] if before is None else self._happen(GuestInput.BEACON_GONE, now)
        if before is not None and before.id == beacon.id:
            return []
        joined = self._state in (GuestState.JOINED, GuestState.PARTING)
        renewed = before is not None and self._has_connection and not joined
        happened = GuestInput.BEACON_RENEWED if renewed else GuestInput.BEACON
        return self._happen(happened, now) + self._check_password(now)

    def is_new_offer(self, offer_id: bytes) -> bool:
        """Tell whether an offer that was read is neither the present one nor one just removed."""
        return offer_id not in (self._offer_id, self._removed_id)

    def offer(
        self, offer_id: bytes, now: float, *, made_here: bool, by_hand: bool
    ) -> list[GuestOutput]:
        """Take a new offer of ours that lies in the lobby.

        What is returned concerns the attempt before. Unless `has_offer` is false afterwards (the
        session is over, or needs a password that we do not have) the new attempt has begun.

        Args:
            offer_id: SHA-256 of its text.
            now: the time.
            made_here: whether our engine made it.
            by_hand: whether a person wrote it, who then has as many tries as at first.
        """
        if by_hand:
            self._tries = 0
        self.attempt += 1
        self._offer_id = offer_id
        self._answer_seen = False
        outputs = self._happen(GuestInput.OFFER, now)
        outputs += self._check_password(now)
        self._has_connection = made_here and self.has_offer
        return outputs

    def offer_gone(self, now: float) -> list[GuestOutput]:
        """Take note that no offer of ours lies in the lobby."""
        self._removed_id = None
        if self._offer_id is None:
            return []
        self._offer_id = None
        return self._happen(GuestInput.OFFER_GONE, now)

    def answer_read(self, answer: Answer | Refusal | None, now: float) -> list[GuestOutput]:
        """Take what lies there as the host's answer to us.

        It counts only for the offer that lies there and when the host is known; after either came,
        the answer is to be read once more.
        """
        if self._offer_id is None or self.beacon is None:
            return []
        if answer is None:
            seen, self._answer_seen = self._answer_seen, False
            return self._happen(GuestInput.ANSWER_GONE, now) if seen else []
        if answer.offer_id not in (None, self._offer_id):
            return []
        self._answer_seen = True
        if isinstance(answer, Refusal):
            full = answer.reason == "full"
            refusal = GuestInput.ANSWER_FULL if full else GuestInput.ANSWER_REFUSED
            return self._happen(refusal, now, reason=answer.reason)
        if not self._has_connection:
            return self._happen(GuestInput.ANSWER_ELSEWHERE, now)
        self.answer_sdp = answer.sdp
        return self._happen(GuestInput.ANSWER, now)

    # --- what becomes of the connection ----------------------------------------------------

    def opened(self, attempt: int, now: float) -> list[GuestOutput]:
        """Take note that the channel of an attempt is open."""
        if attempt != self.attempt or self._state is not GuestState.CONNECTING:
            return []
        self._tries = 0
        return self._happen(GuestInput.OPENED, now)

    def unproven(self, attempt: int, now: float) -> list[GuestOutput]:
        """Take note that one of the two ends of an attempt does not know the password."""
        if attempt != self.attempt or self._state is not GuestState.CONNECTING:
            return []
        return self._happen(GuestInput.UNPROVEN, now)

    def closed(self, attempt: int, now: float) -> list[GuestOutput]:
        """Take note that the connection of an attempt has ended."""
        if attempt != self.attempt or not self._has_connection:
            return []
        return self._happen(GuestInput.CLOSED, now)

    def offer_failed(self, now: float) -> list[GuestOutput]:
        """Take note that the offer that was to be made could not be."""
        return self._happen(GuestInput.OFFER_FAILED, now)

    def on_timeout(self, now: float) -> list[GuestOutput]:
        """Let an attempt or a pause end that is over."""
        if now < self.next_timeout:
            return []
        self.next_timeout = math.inf
        return self._happen(self._on_timeout, now)

    def _check_password(self, now: float) -> list[GuestOutput]:
        """Give an offer up that can lead to nothing without a password."""
        needed = self.beacon is not None and self.beacon.protected and not self.has_password
        if not needed or self._state is not GuestState.WAITING:
            return []
        return self._happen(GuestInput.UNPROVABLE, now)

    def _happen(self, happened: GuestInput, now: float, *, reason: str = "") -> list[GuestOutput]:
        before = self._state
        self._state, outputs = guest_step(before, happened)
        if self._state is GuestState.ENDED:
            self._reason = _REASONS[GuestInput.BEACON_GONE]
        elif self._state is not before or reason:
            self._reason = reason or _REASONS.get(happened, "")
        return [output for output in outputs if not self._keep(output, now)]

    def _keep(self, output: GuestOutput, now: float) -> bool:
        """Do what concerns this object alone; tell whether that was all."""
        match output:
            case GuestOutput.START_CLOCK:
                self._on_timeout = GuestInput.EXPIRED
                self.next_timeout = now + self._attempt_s
            case GuestOutput.STOP_CLOCK:
                self.next_timeout = math.inf
            case GuestOutput.START_PAUSE:
                tries_left = self._tries < len(RETRY_PAUSES_S)
                self._on_timeout = GuestInput.RETRY if tries_left else GuestInput.GIVE_UP
                self.next_timeout = now + (RETRY_PAUSES_S[self._tries] if tries_left else 0)
                self._tries += tries_left
            case GuestOutput.REMOVE_OFFER:
                nothing_there = self._offer_id is None
                self._removed_id, self._offer_id = self._offer_id or self._removed_id, None
                return nothing_there
            case GuestOutput.CLOSE_PEER:
                nothing_open = not self._has_connection
                self._has_connection = False
                return nothing_open
            case _:
                return False
        return True
