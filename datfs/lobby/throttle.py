"""Which guest of a protected session may try its password next, and who has to wait (section 9).

Pure: no task, no clock. An exchange counts as a wrong guess from the moment it starts until it is
confirmed, so that breaking it off gains nothing. After each wrong guess an identity waits twice as
long as after the one before. Few exchanges run at once; of those who wait, friends come first, then
those that never failed, then the others, each in order of arrival: whoever floods the host with
identities of their own keeps no friend out.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Final

AT_ONCE: Final = 2
"""Exchanges that may run at the same time, over all guests."""

FIRST_DELAY_S: Final = 1.0
LONGEST_DELAY_S: Final = 3600.0

REMEMBERED_LIMIT: Final = 4096
"""Identities whose wrong guesses are remembered; past it the one that has been quiet longest is
forgotten. Who has that many identities gains nothing by it: a fresh one is as good."""

_DOUBLINGS_LIMIT: Final = math.ceil(math.log2(LONGEST_DELAY_S / FIRST_DELAY_S))


@dataclass(frozen=True, slots=True)
class Ticket:
    """One guest's wish to try its password once.

    Attributes:
        guest: its identity key.
        number: unlike that of any other ticket, rising with arrival.
        is_friend: whether it goes before others.
    """

    guest: bytes
    number: int
    is_friend: bool


@dataclass(slots=True)
class _Failures:
    count: int = 0
    until_s: float = 0.0  # when the next guess may start


class Throttle:
    """The order and the delays of all exchanges of a session. Times are monotonic seconds."""

    def __init__(self) -> None:
        """Begin with nobody known."""
        self._numbers = itertools.count(1)
        self._waiting: list[Ticket] = []
        self._running: set[Ticket] = set()
        self._failures: dict[bytes, _Failures] = {}  # who failed last comes last

    @property
    def running(self) -> int:
        """How many exchanges run."""
        return len(self._running)

    def delay_s(self, guest: bytes, now: float) -> float:
        """Seconds until a guest may guess again; 0 if it may now."""
        failures = self._failures.get(guest)
        return 0.0 if failures is None else max(0.0, failures.until_s - now)

    def enter(self, guest: bytes, *, is_friend: bool) -> Ticket:
        """Let a guest wait for its turn; `leave` must follow in the end, whatever happens."""
        ticket = Ticket(guest, next(self._numbers), is_friend)
        self._waiting.append(ticket)
        return ticket

    def start(self, now: float) -> list[Ticket]:
        """Start as many exchanges as may start now; each counts as a wrong guess from here on."""
        started: list[Ticket] = []
        while len(self._running) < AT_ONCE:
            ready = [ticket for ticket in self._waiting if not self.delay_s(ticket.guest, now)]
            if not ready:
                break
            ticket = min(ready, key=self._rank)
            self._waiting.remove(ticket)
            self._running.add(ticket)
            self._count(ticket.guest, now)
            started.append(ticket)
        return started

    def next_start(self, now: float) -> float:
        """When the next delay of those who wait is over, and `start` worth calling; or infinity."""
        known = (self._failures.get(ticket.guest) for ticket in self._waiting)
        ends = (failures.until_s for failures in known if failures is not None)
        return min((end for end in ends if end > now), default=math.inf)

    def confirmed(self, ticket: Ticket) -> None:
        """Take note that a running exchange was right: its guest's wrong guesses are forgotten."""
        self._failures.pop(ticket.guest, None)

    def leave(self, ticket: Ticket) -> None:
        """Take note that a guest waits no more, or that its exchange is over."""
        self._running.discard(ticket)
        if ticket in self._waiting:
            self._waiting.remove(ticket)

    def _rank(self, ticket: Ticket) -> tuple[bool, bool, int]:
        return (not ticket.is_friend, ticket.guest in self._failures, ticket.number)

    def _count(self, guest: bytes, now: float) -> None:
        failures = self._failures.pop(guest, None) or _Failures()
        doublings = min(failures.count, _DOUBLINGS_LIMIT)
        failures.until_s = now + min(FIRST_DELAY_S * 2**doublings, LONGEST_DELAY_S)
        failures.count += 1
        self._failures[guest] = failures
        if len(self._failures) > REMEMBERED_LIMIT:
            del self._failures[next(iter(self._failures))]
