"""The built-in WebRTC engine: makes offers, answers them, and owns every connection.

The application opens one asyncio loop for the process (`trio_asyncio.open_loop`) and the engine
within it. What the engine starts ends with it.
"""

from __future__ import annotations

import contextlib
import logging
import math
from typing import TYPE_CHECKING, NamedTuple

import trio

from datfs.errors import TooManyOffers
from datfs.webrtc import sdp as session_description
from datfs.webrtc.bridge import contain_failures
from datfs.webrtc.certificate import Certificate
from datfs.webrtc.configuration import EngineConfig
from datfs.webrtc.peer_connection import PeerConnection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

logger = logging.getLogger(__name__)


class LocalAnswer(NamedTuple):
    """An answer, and the connection that it belongs to."""

    sdp: str
    connection: PeerConnection


class LocalOffer:
    """An offer that the engine made, with the connection that waits for its answer.

    Attributes:
        sdp: The complete description.
        ufrag: Its ICE username fragment, by which an answer's offer is known again,
        fingerprint: together with the SHA-256 of the certificate, 32 bytes.
        connection: What `PeerConnection.accept_answer` completes.
    """

    def __init__(self, sdp: str, connection: PeerConnection, lifetime_s: float) -> None:
        """Name the offer by what stands in its description; its life begins now."""
        self.sdp = sdp
        self.ufrag = session_description.ufrag(sdp)
        self.fingerprint = session_description.fingerprint(sdp)
        self.connection = connection
        self._uncommitted_life = trio.CancelScope(deadline=trio.current_time() + lifetime_s)

    @property
    def committed(self) -> bool:
        """Whether the offer was published."""
        return self._uncommitted_life.deadline == math.inf

    def commit(self) -> None:
        """Note that the offer was published: it no longer ends by itself."""
        self._uncommitted_life.deadline = math.inf

    async def run(self) -> None:
        """Return when the offer's connection has ended; end it if nobody commits the offer."""
        with self._uncommitted_life:
            await self.connection.wait_ended()
        if self._uncommitted_life.cancelled_caught:
            logger.debug("the offer %s was not committed in time", self.ufrag)
            await self.connection.abort()

    async def accept_answer(self, sdp: str) -> None:
        """Complete the connection with the peer's answer, which also commits the offer.

        Raises:
            InvalidSdp: It is no answer to this offer.
            ChannelClosed: The offer has ended.
        """
        session_description.check_description(sdp)
        await self.connection.accept_answer(sdp)
        self.commit()

    async def aclose(self) -> None:
        """End the offer and its connection."""
        await self.connection.aclose()


class Engine:
    """Makes connections; `open_engine` makes the engine."""

    def __init__(self, config: EngineConfig, nursery: trio.Nursery) -> None:
        """Serve connections in `nursery`."""
        self._config = config
        self._nursery = nursery
        self._connections: set[PeerConnection] = set()
        self._offers: dict[tuple[str, bytes], LocalOffer] = {}
        self._offers_in_the_making = 0

    @property
    def connections(self) -> frozenset[PeerConnection]:
        """The connections that have not ended."""
        return frozenset(self._connections)

    async def create_offer(self, certificate: Certificate | None = None) -> LocalOffer:
        """Make an offer with all its candidates, and a connection that waits for the answer.

        The connection ends after `offer_lifetime_s` unless the offer is committed by then.

        Args:
            certificate: The session's; one for this connection alone where it is None.

        Raises:
            TooManyOffers: As many as allowed wait already.
        """
        waiting = sum(not offer.committed for offer in self._offers.values())
        if waiting + self._offers_in_the_making >= self._config.max_uncommitted_offers:
            raise TooManyOffers(
                f"{self._config.max_uncommitted_offers} offers are waiting to be committed; "
                f"each ends after {self._config.offer_lifetime_s:g} seconds"
            )
        self._offers_in_the_making += 1
        try:
            connection = await self._start(certificate)
            try:
                sdp = await connection.create_offer()
                offer = LocalOffer(sdp, connection, self._config.offer_lifetime_s)
            except BaseException:
                await _abort(connection)
                raise
        finally:
            self._offers_in_the_making -= 1
        self._offers[offer.ufrag, offer.fingerprint] = offer
        self._nursery.start_soon(self._serve_offer, offer)
        return offer

    async def create_beacon(self, certificate: Certificate) -> str:
        """Return an offer without candidates, which shows `certificate` and is never completed."""
        connection = await self._start(certificate)
        try:
            return session_description.without_candidates(await connection.describe_offer())
        finally:
            await _abort(connection)

    def find_offer(self, ufrag: str, fingerprint: bytes) -> LocalOffer | None:
        """Return the engine's own live offer of this name, if there is one."""
        return self._offers.get((ufrag, fingerprint))

    async def answer(self, offer_sdp: str, certificate: Certificate | None = None) -> LocalAnswer:
        """Answer a peer's offer; the connection begins to connect at once.

        Args:
            offer_sdp: The peer's description.
            certificate: The session's; one for this connection alone where it is None.

        Raises:
            InvalidSdp: It is no offer of data channels that the engine can use.
        """
        session_description.check_description(offer_sdp)
        connection = await self._start(certificate)
        try:
            return LocalAnswer(await connection.accept_offer(offer_sdp), connection)
        except BaseException:
            await _abort(connection)
            raise

    async def aclose(self) -> None:
        """End every connection, after what was sent on it has arrived."""
        async with trio.open_nursery() as nursery:
            for connection in self._connections:
                nursery.start_soon(connection.aclose)

    async def _start(self, certificate: Certificate | None) -> PeerConnection:
        connection = PeerConnection(self._config, certificate or Certificate.generate())
        await self._nursery.start(self._serve, connection)
        return connection

    async def _serve(self, connection: PeerConnection, task_status: trio.TaskStatus[None]) -> None:
        self._connections.add(connection)
        try:
            await connection.run(task_status)
        finally:
            self._connections.discard(connection)

    async def _serve_offer(self, offer: LocalOffer) -> None:
        try:
            await offer.run()
        finally:
            self._offers.pop((offer.ufrag, offer.fingerprint), None)


@contextlib.asynccontextmanager
async def open_engine(config: EngineConfig | None = None) -> AsyncIterator[Engine]:
    """Run an engine for as long as the block lasts, within `trio_asyncio.open_loop`.

    Raises:
        WebRTCError: An ICE server in `config` cannot be used.
    """
    contain_failures()
    try:
        async with trio.open_nursery() as nursery:
            engine = Engine(config or EngineConfig(), nursery)
            try:
                yield engine
            finally:
                with trio.CancelScope(shield=True):
                    await engine.aclose()
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        # The engine's tasks raise nothing of their own: what is in the group came from the block.
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise


async def _abort(connection: PeerConnection) -> None:
    with trio.CancelScope(shield=True):
        await connection.abort()
