"""What a guest's file `state` says: one word and a reason (design section 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from datfs.lobby.machine import GuestState
from datfs.lobby.policy import BANNED, FRIENDS_ONLY, KICKED, NOT_LISTED

_WORDS: Final = {
    GuestState.LOOKING: "looking",
    GuestState.WAITING: "waiting for host",
    GuestState.CONNECTING: "waiting for host",
    GuestState.ELSEWHERE: "waiting for host",
    GuestState.JOINED: "joined",
    GuestState.PARTING: "joined",
    GuestState.FULL: "full",
    GuestState.REFUSED: "refused",
    GuestState.RETRYING: "waiting for host",
    GuestState.ENDED: "ended",
}


_REFUSALS: Final = {
    BANNED: "the host has banned us",
    FRIENDS_ONLY: "the host lets only friends in",
    KICKED: "the host has closed our connection; a new offer may be written in a minute",
    NOT_LISTED: "the host lets only some people in, and we are not on its list",
}
"""What the phrases of `policy` mean to a guest; those of others are shown as they are."""


@dataclass(frozen=True, slots=True)
class GuestStatus:
    """Where a guest is, in words.

    Attributes:
        word: looking, waiting for host, joined, full, refused or ended.
        reason: why, or what comes next; a phrase.
    """

    word: str
    reason: str

    @classmethod
    def of(
        cls,
        state: GuestState,
        *,
        reason: str = "",
        beacon: bool = False,
        admitted: bool = False,
        unproven: str = "",
    ) -> GuestStatus:
        """Put a state into words.

        Args:
            state: of the machine.
            reason: why it was entered, where that is known.
            beacon: whether the host's beacon is here.
            admitted: whether the host's record names our writer.
            unproven: what follows from a beacon that proves nothing; empty if it does.
        """
        match state:
            case GuestState.LOOKING:
                here = "the host is here; write an offer" if beacon else "no beacon of the host yet"
                phrase = reason or here
            case GuestState.WAITING if not admitted:
                phrase = "asking the host to be let in"
            case GuestState.WAITING if not beacon:
                phrase = "the offer is written; no beacon of the host yet"
            case GuestState.WAITING:
                phrase = "the offer is written"
            case GuestState.CONNECTING:
                phrase = "answered; opening the channel"
            case GuestState.ELSEWHERE:
                phrase = "answered; whoever made the offer completes it"
            case GuestState.JOINED:
                phrase = "the channel is open"
            case GuestState.PARTING:
                phrase = "the host has ended the session; the channel is still open"
            case GuestState.FULL:
                phrase = "no place is free"
            case GuestState.RETRYING:
                phrase = f"{reason}; trying again" if reason else "trying again"
            case GuestState.REFUSED:
                phrase = _REFUSALS.get(reason, reason)
            case GuestState.ENDED:
                phrase = reason or "the session is over"
        return cls(_WORDS[state], f"{phrase}; {unproven}" if unproven else phrase)

    def __str__(self) -> str:
        return f"{self.word}: {self.reason}"
