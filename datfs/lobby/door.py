"""The host's end of a password: guests prove it one by one before anything else passes (section 9).

A shell around `throttle`, which says whose turn it is, and `crypto.pake`. A guest's turn comes once
its first message is here, so that nobody holds a turn by doing nothing, and lasts no longer than
EXCHANGE_S.
"""

from __future__ import annotations

import contextlib
import functools
import os
from typing import TYPE_CHECKING, Final

import trio

from datfs.crypto.pake import ENTROPY_SIZE, PakeSide, PasswordExchange
from datfs.errors import Timeout
from datfs.lobby.password import PAKE_CHANNEL, PASSWORD_S, side_name
from datfs.lobby.proving import converse, in_thread, live_fingerprint
from datfs.lobby.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from datfs.lobby.ports import Channel, Peer
    from datfs.lobby.proving import Compute
    from datfs.lobby.throttle import Ticket

EXCHANGE_S: Final = 5.0
"""How long one exchange may hold its turn; an honest one takes two round trips."""


class PasswordDoor:
    """Lets guests of one lobby prove its password.

    Attributes:
        password: as `parse_password` gave it; a new one holds for exchanges that start later.
    """

    def __init__(
        self,
        password: bytes,
        *,
        identity: bytes,
        lobby_key: bytes,
        is_friend: Callable[[bytes], bool],
        compute: Compute = in_thread,
    ) -> None:
        """Begin with nobody known.

        Args:
            password: of the session.
            identity: the host's.
            lobby_key: of the lobby.
            is_friend: tells by an identity key who goes before others.
            compute: runs what takes time.
        """
        self.password = password
        self._identity = identity
        self._lobby_key = lobby_key
        self._is_friend = is_friend
        self._compute = compute
        self._throttle = Throttle()
        self._turns: dict[Ticket, trio.Event] = {}

    def is_friend(self, guest: bytes) -> bool:
        """Whether a guest goes before others."""
        return self._is_friend(guest)

    def delay_s(self, guest: bytes) -> float:
        """Seconds for which a guest that guessed wrong must wait; 0 if it may come within time."""
        delay_s = self._throttle.delay_s(guest, trio.current_time())
        return delay_s if delay_s > PASSWORD_S else 0.0

    async def prove(self, guest: bytes, peer: Peer) -> bool:
        """Have a guest prove the password over an open connection.

        Args:
            guest: its identity key.
            peer: the connection.

        Returns:
            False if it does not know the password, or is not who it should be.

        Raises:
            Timeout: it took too long, or its turn did not come.
            DatfsError: the connection ended, or the guest broke off.
        """
        try:
            with trio.fail_after(PASSWORD_S):
                channel = await peer.accept_channel(PAKE_CHANNEL)
                share = await _first(channel)
                async with self._turn(guest) as ticket:
                    right = await self._exchange(guest, peer, channel, share)
                    if right:
                        self._throttle.confirmed(ticket)
                await channel.aclose()
                return right
        except trio.TooSlowError:
            raise Timeout("the guest did not prove the password in time") from None

    async def _exchange(
        self, guest: bytes, peer: Peer, channel: Channel, share: str | bytes
    ) -> bool:
        exchange = PasswordExchange(
            PakeSide.B,
            self.password,
            a=side_name(guest, self._lobby_key, live_fingerprint(peer)),
            b=side_name(self._identity, self._lobby_key, peer.local_fingerprint),
            entropy=os.urandom(ENTROPY_SIZE),
        )
        with trio.fail_after(EXCHANGE_S):
            reply = await self._compute(functools.partial(exchange.receive, share))
            if reply:
                await channel.send(reply)
            return await converse(channel, exchange, self._compute)

    @contextlib.asynccontextmanager
    async def _turn(self, guest: bytes) -> AsyncIterator[Ticket]:
        """Wait for a guest's turn, and hold it for as long as the block lasts."""
        ticket = self._throttle.enter(guest, is_friend=self._is_friend(guest))
        turn = self._turns[ticket] = trio.Event()
        try:
            while not turn.is_set():
                self._start_next()
                with trio.move_on_at(self._throttle.next_start(trio.current_time())):
                    await turn.wait()
            yield ticket
        finally:
            del self._turns[ticket]
            self._throttle.leave(ticket)
            self._start_next()

    def _start_next(self) -> None:
        for ticket in self._throttle.start(trio.current_time()):
            self._turns[ticket].set()


async def _first(channel: Channel) -> str | bytes:
    """The guest's first message; no bytes, which no exchange understands, if it closed instead."""
    try:
        return await channel.receive()
    except trio.EndOfChannel:
        return b""
