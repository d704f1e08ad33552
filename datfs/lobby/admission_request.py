"""A guest's side of admission: asks on every connection, again and again until it is let in.

The host's side is `admission` and `gate`; the payload is that of `join` (design section 8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from datfs.errors import LobbyError
from datfs.lobby.join import make_join

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datfs.crypto.keys import KeyPair
    from datfs.lobby.ports import Events, JoinSender, LobbyConnection

JOIN_INTERVAL_S: Final = 10.0


class AdmissionRequest:
    """Sends joins for one writer in one lobby.

    Attributes:
        admitted: whether the host's record names the writer; kept true to it by whoever reads the
            record. While it is true one is sent on each new connection and no more, so that the
            host knows whose it is.
        refused: whether the host has said no to what lies there. While it is true nothing is sent,
            either; when it ends, one is sent at once.
    """

    def __init__(
        self,
        identity: KeyPair,
        *,
        writer: bytes,
        lobby_key: bytes,
        joins: JoinSender,
        events: Events,
    ) -> None:
        """Put the parts together.

        Args:
            identity: the guest's identity key pair, which signs.
            writer: key of its writer archive.
            lobby_key: key of the lobby.
            joins: sends.
            events: the log.
        """
        self.admitted = False
        self._refused = False
        self._again = trio.Event()
        self._identity = identity
        self._writer = writer
        self._lobby_key = lobby_key
        self._joins = joins
        self._events = events
        self._connections: Sequence[LobbyConnection] = ()

    @property
    def refused(self) -> bool:
        """See the class."""
        return self._refused

    @refused.setter
    def refused(self, refused: bool) -> None:
        if self._refused and not refused:
            self._again.set()
        self._refused = refused

    async def run(self) -> None:
        """Ask at once on every new connection and every ten seconds on all, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ask_again)
            async for connections in self._joins.connections():
                known = {connection.id for connection in self._connections}
                self._connections = connections
                for connection in connections:
                    if connection.id not in known:
                        await self._ask(connection)

    async def _ask_again(self) -> None:
        while True:
            with trio.move_on_after(JOIN_INTERVAL_S):
                await self._again.wait()
            self._again = trio.Event()
            for connection in () if self.admitted else self._connections:
                await self._ask(connection)

    async def _ask(self, connection: LobbyConnection) -> None:
        if self._refused:
            return
        try:
            join = make_join(
                self._identity,
                writer=self._writer,
                lobby_key=self._lobby_key,
                receiver_id=connection.remote_id,
            )
        except LobbyError as error:
            self._events.append("join-failed", connection=connection.id, reason=str(error))
        else:
            await self._joins.send(connection.id, join.encode())
