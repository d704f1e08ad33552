"""The guest's end of a password: it proves it on a channel of the new connection (section 9).

A shell around `crypto.pake`. What the core computes takes milliseconds and runs in a thread.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import trio

from datfs.crypto.pake import ENTROPY_SIZE, PakeSide, PakeState, PasswordExchange
from datfs.errors import ChannelClosed, InvalidPassword, LobbyError, Timeout
from datfs.lobby.password import PAKE_CHANNEL, PASSWORD_S, side_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from datfs.lobby.ports import Channel, Peer

HOST_MARGIN_S: Final = 5.0
"""The host's deadline comes first, for it knows why."""

T = TypeVar("T")


class Compute(Protocol):
    """Runs a function that computes for some milliseconds."""

    async def __call__(self, function: Callable[[], T]) -> T:
        """Return what the function returns."""


async def in_thread(function: Callable[[], T]) -> T:
    """`Compute` beside the event loop."""
    return await trio.to_thread.run_sync(function)


class PasswordProver:
    """Proves the password of one lobby as its guest.

    Attributes:
        password: as `parse_password` gave it, None if nobody gave one.
    """

    def __init__(self, identity: bytes, lobby_key: bytes, *, compute: Compute = in_thread) -> None:
        """Begin without a password.

        Args:
            identity: ours.
            lobby_key: of the lobby.
            compute: runs what takes time.
        """
        self.password: bytes | None = None
        self._identity = identity
        self._lobby_key = lobby_key
        self._compute = compute

    async def prove(self, peer: Peer, host: bytes) -> bool:
        """Prove the password over an open connection, and have the host prove that it knows it.

        Args:
            peer: the connection.
            host: the identity key that the beacon names.

        Returns:
            False if one of the two does not know the password, or is not who the other believes.

        Raises:
            InvalidPassword: there is none.
            Timeout: the host took too long.
            DatfsError: the connection ended, or the host broke off.
        """
        if self.password is None:
            raise InvalidPassword("the session needs a password, and none was given")
        exchange = PasswordExchange(
            PakeSide.A,
            self.password,
            a=side_name(self._identity, self._lobby_key, peer.local_fingerprint),
            b=side_name(host, self._lobby_key, live_fingerprint(peer)),
            entropy=os.urandom(ENTROPY_SIZE),
        )
        try:
            with trio.fail_after(PASSWORD_S + HOST_MARGIN_S):
                channel = await peer.open_channel(PAKE_CHANNEL)
                await channel.send(await self._compute(exchange.begin))
                right = await converse(channel, exchange, self._compute)
                await channel.aclose()
                return right
        except trio.TooSlowError:
            raise Timeout("the host did not take the password in time") from None


def live_fingerprint(peer: Peer) -> bytes:
    """Return SHA-256 of the certificate in the peer's live DTLS handshake.

    Raises:
        LobbyError: there was no such handshake.
    """
    fingerprint = peer.remote_fingerprint()
    if fingerprint is None:
        raise LobbyError("the connection shows no certificate that a password could be bound to")
    return fingerprint


async def converse(channel: Channel, exchange: PasswordExchange, compute: Compute) -> bool:
    """Carry an exchange that has begun to its end; tell whether it is confirmed.

    Raises:
        ChannelClosed: the other side broke it off.
        DatfsError: the connection ended.
    """
    while not exchange.is_over:
        try:
            message = await channel.receive()
        except trio.EndOfChannel:
            exchange.gone()
            break
        reply = await compute(functools.partial(exchange.receive, message))
        if reply:
            await channel.send(reply)
    if exchange.state is PakeState.BROKEN:
        raise ChannelClosed("the password exchange was broken off")
    return exchange.state is PakeState.CONFIRMED
