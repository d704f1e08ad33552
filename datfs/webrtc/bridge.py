"""The one file where trio meets asyncio: aiortc's RTCPeerConnection with a trio face.

Everything awaited here is trio's; aiortc's own coroutines run on the trio-asyncio loop that the
application opened around the engine. aiortc's events arrive as plain calls on a `PeerObserver`,
which stores a value and wakes who waits for it, and does nothing else.

Where aiortc has no setting for what datfs needs, its private parts are reached into, all of it here
and in `flow_control`; tests guard each place:

- the certificate: `RTCPeerConnection` makes its own and takes none;
- the time for gathering: aioice waits 5 s for STUN and TURN servers;
- the task that connects, which aiortc starts and forgets and which outlives `close` by 20 ms;
- consent (RFC 7675): aioice allows an answer half a second, tells nobody of a missed one, and its
  times are constants of the module;
- the certificate that the peer showed, the selected pair and the counters of the DTLS transport.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import trio
import trio_asyncio  # type: ignore[import-untyped]
from aioice import stun
from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCSctpTransport,
    RTCSessionDescription,
)
from aiortc.rtcdtlstransport import RTCCertificate
from aiortc.sdp import candidate_from_sdp
from cryptography.hazmat.primitives import hashes

from datfs.errors import InvalidSdp, WebRTCError
from datfs.webrtc import sdp as session_description

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aioice import Connection

    from datfs.webrtc.certificate import Certificate
    from datfs.webrtc.configuration import EngineConfig, IceServer

logger = logging.getLogger(__name__)

CONSENT_RETRANSMISSIONS: Final = 1  # a check is given up after 0.5 + 1 s
_ICE_URL: Final = re.compile(r"^(stuns?|turns?):")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportStats:
    """Counters and addresses of a live connection.

    Attributes:
        bytes_sent: Bytes of DTLS, as are `bytes_received` and the packets.
        local_address: `host:port` of the selected candidate pair, as `remote_address`; None before.
        local_candidate_type: host, srflx, prflx or relay, as `remote_candidate_type`.
        round_trip_time_s: SCTP's smoothed estimate.
    """

    bytes_sent: int
    bytes_received: int
    packets_sent: int
    packets_received: int
    local_address: str | None = None
    remote_address: str | None = None
    local_candidate_type: str | None = None
    remote_candidate_type: str | None = None
    round_trip_time_s: float | None = None


class PeerObserver(Protocol):
    """Who hears of one connection's events; no method may block or raise."""

    def on_connection_state(self, state: str) -> None:
        """RTCPeerConnection.connectionState changed."""

    def on_data_channel(self, channel: RTCDataChannel) -> None:
        """The peer opened a data channel."""

    def on_consent(self, given: bool) -> None:
        """A consent check was answered, or not."""

    def on_consent_expired(self) -> None:
        """Too many were not: nothing more will be sent, and the transports close."""

    def on_sctp(self, sctp: RTCSctpTransport) -> None:
        """The SCTP transport was made and has not started."""


def contain_failures() -> None:
    """Let what fails inside aiortc's own tasks be logged, not end the program.

    trio-asyncio's default raises such an exception out of the loop, so that one peer's malformed
    packet would end every connection. It stays so for the loop's life: asyncio reports a forgotten
    task's exception when the task is collected, long after the connection is gone.
    """
    asyncio.get_running_loop().set_exception_handler(_log_failure)


def _log_failure(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    expected = isinstance(error, (ConnectionError, asyncio.CancelledError))
    level = logging.DEBUG if expected else logging.INFO
    logger.log(level, "a WebRTC task failed: %s", context["message"], exc_info=error)


class _Label(str):
    """A label whose length is that of its UTF-8, as aiortc takes it to be (RFC 8832, 5.1)."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self.encode())


class AiortcConnection:
    """One aiortc RTCPeerConnection that carries data channels only."""

    def __init__(
        self, config: EngineConfig, certificate: Certificate, observer: PeerObserver
    ) -> None:
        """Make the connection; no packet is sent and no port opened yet.

        Args:
            config: Servers and times.
            certificate: What DTLS will show the peer.
            observer: Who hears of events.
        """
        self._config = config
        self._observer = observer
        # An empty list switches the STUN server off that aiortc has by default.
        servers = [_ice_server(server) for server in config.ice_servers]
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        injected = RTCCertificate(key=certificate.private_key, cert=certificate.x509)
        self._pc._RTCPeerConnection__certificates = [injected]  # type: ignore[attr-defined]
        self._connecting: set[asyncio.Task[None]] = set()
        self._connect = self._pc._RTCPeerConnection__connect  # type: ignore[attr-defined]
        self._pc._RTCPeerConnection__connect = self._connect_in_known_task  # type: ignore[attr-defined]
        self._pc.on(
            "connectionstatechange", lambda: observer.on_connection_state(self._pc.connectionState)
        )
        self._pc.on("datachannel", observer.on_data_channel)

    def create_data_channel(
        self,
        label: str,
        *,
        ordered: bool = True,
        max_retransmits: int | None = None,
        max_packet_life_time_ms: int | None = None,
    ) -> RTCDataChannel:
        """RTCPeerConnection.createDataChannel; the first one makes the transports."""
        first = self._pc.sctp is None
        channel = self._pc.createDataChannel(
            _Label(label),
            ordered=ordered,
            maxRetransmits=max_retransmits,
            maxPacketLifeTime=max_packet_life_time_ms,
        )
        if first:
            self._prepare_transports()
        return channel

    async def describe_offer(self) -> str:
        """RTCPeerConnection.createOffer: a description without candidates."""
        description: RTCSessionDescription = await _on_loop(self._pc.createOffer)
        return description.sdp

    async def set_local_description(self) -> str:
        """Make the offer or answer, gather candidates, and return the complete description.

        Returns after `gathering_timeout_s` at the latest. A cancel waits for that long, because
        aioice leaves its requests behind when its gathering is cancelled.
        """
        deadline = trio.current_time() + self._config.gathering_timeout_s
        with trio.CancelScope(shield=True):
            ice = self._ice
            if ice.stun_server is not None:
                ice.stun_server = await _resolve(ice.stun_server, deadline)
            ice.get_component_candidates = functools.partial(  # type: ignore[method-assign]
                ice.get_component_candidates,
                timeout=max(0.0, deadline - trio.current_time()),  # type: ignore[arg-type]
            )
            await _on_loop(self._pc.setLocalDescription)
        description: RTCSessionDescription = self._pc.localDescription
        return description.sdp

    async def set_remote_description(self, kind: str, sdp: str) -> list[str]:
        """Apply the peer's description.

        Args:
            kind: `offer` or `answer`.
            sdp: What `sdp.check_description` let through.

        Returns:
            mDNS candidates, which `add_mdns_candidates` takes afterwards.

        Raises:
            InvalidSdp: aiortc cannot use it.
        """
        kept, mdns_candidates = session_description.split_mdns_candidates(sdp)
        try:
            await _on_loop(
                self._pc.setRemoteDescription, RTCSessionDescription(sdp=kept, type=kind)
            )
        except (trio.Cancelled, OSError):
            raise
        except Exception as error:
            reason = str(error) or type(error).__name__
            raise InvalidSdp(f"this {kind} cannot be used: {reason}") from error
        if kind == "offer":
            self._prepare_transports()
        return mdns_candidates

    async def add_mdns_candidates(self, candidates: list[str]) -> None:
        """Resolve these candidates side by side, then tell ICE that there will be no more.

        Without that ICE would never give up; with it and no candidate at all it would at once,
        although the peer may yet reach us from an address that its description does not name.
        """
        async with trio.open_nursery() as nursery:
            for value in candidates:
                nursery.start_soon(self._add_mdns_candidate, value)
        if self._ice.remote_candidates:
            await _on_loop(self._pc.addIceCandidate, None)

    async def _add_mdns_candidate(self, value: str) -> None:
        try:
            candidate = candidate_from_sdp(value)
            candidate.sdpMLineIndex = 0
            await _on_loop(self._pc.addIceCandidate, candidate)
        except (ValueError, OSError) as error:
            logger.debug("the mDNS candidate %r is of no use: %s", value, error)

    def remote_fingerprint(self) -> bytes | None:
        """SHA-256 of the certificate that the peer showed in this connection's DTLS handshake."""
        ssl = self._pc.sctp.transport._ssl if self._pc.sctp else None
        certificate = ssl.get_peer_certificate(as_cryptography=True) if ssl else None
        return certificate.fingerprint(hashes.SHA256()) if certificate else None

    def stats(self) -> TransportStats:
        """Return the counters as they are now."""
        if self._pc.sctp is None:
            return TransportStats(
                bytes_sent=0, bytes_received=0, packets_sent=0, packets_received=0
            )
        (report,) = self._pc.sctp.transport._get_stats().values()
        pair = next(iter(self._ice._nominated.values()), None)
        return TransportStats(
            bytes_sent=report.bytesSent,
            bytes_received=report.bytesReceived,
            packets_sent=report.packetsSent,
            packets_received=report.packetsReceived,
            local_address=_address(pair.local_addr) if pair else None,
            remote_address=_address(pair.remote_addr) if pair else None,
            local_candidate_type=pair.local_candidate.type if pair else None,
            remote_candidate_type=pair.remote_candidate.type if pair else None,
            round_trip_time_s=self._pc.sctp._srtt,
        )

    async def close(self) -> None:
        """End SCTP, DTLS and ICE, and wait until their sockets are closed."""
        await _on_loop(self._pc.close)
        await _on_loop(self._cancel_connecting)
        loop = asyncio.get_running_loop()
        # What the closing itself scheduled (a closed socket, a cancelled task) runs before we go.
        await loop.synchronize()  # type: ignore[attr-defined]

    async def _connect_in_known_task(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connecting.add(task)
        try:
            await self._connect()
        finally:
            self._connecting.discard(task)

    async def _cancel_connecting(self) -> None:
        if self._connecting:
            for task in self._connecting:
                task.cancel()
            await asyncio.wait(self._connecting)

    @property
    def _ice(self) -> Connection:
        connection: Connection = self._sctp.transport.transport.iceGatherer._connection
        return connection

    @property
    def _sctp(self) -> RTCSctpTransport:
        assert self._pc.sctp is not None, "made by the first data channel or the peer's offer"
        return self._pc.sctp

    def _prepare_transports(self) -> None:
        ice = self._ice
        ice.query_consent = functools.partial(  # type: ignore[method-assign]
            _query_consent, ice, self._config, self._observer
        )
        self._observer.on_sctp(self._sctp)


async def run_asyncio(function: Callable[..., Awaitable[_T]], *arguments: object) -> _T:
    """Run an asyncio coroutine function from trio; a cancel of either is a cancel of both."""
    return await _on_loop(function, *arguments)


async def _on_loop(function: Callable[..., Awaitable[_T]], *arguments: object) -> _T:
    result: _T = await trio_asyncio.aio_as_trio(function)(*arguments)
    return result


async def _query_consent(ice: Connection, config: EngineConfig, observer: PeerObserver) -> None:
    """Ask the peer from time to time whether it still wants our packets (RFC 7675)."""
    assert ice.remote_password is not None
    integrity_key = ice.remote_password.encode()
    loop = asyncio.get_running_loop()
    last_given = loop.time()
    while True:
        await asyncio.sleep(config.consent_interval_s * random.uniform(0.8, 1.2))
        for pair in list(ice._nominated.values()):
            try:
                await pair.protocol.request(
                    ice.build_request(pair, nominate=False),
                    pair.remote_addr,
                    integrity_key=integrity_key,
                    retransmissions=CONSENT_RETRANSMISSIONS,
                )
            except stun.TransactionError:
                observer.on_consent(False)
            else:
                last_given = loop.time()
                observer.on_consent(True)
        if loop.time() - last_given >= config.consent_expiry_s:
            observer.on_consent_expired()
            ice._query_consent_task = None  # `close` would wait for this very task
            return await ice.close()


async def _resolve(server: tuple[str, int], deadline: float) -> tuple[str, int] | None:
    """Look the STUN server up here: aioice's look-up holds a thread that cannot be given up."""
    host, port = server
    with trio.CancelScope(deadline=deadline):
        try:
            found = await trio.socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_DGRAM)
        except OSError as error:
            logger.info("the STUN server %s cannot be looked up: %s", host, error)
        else:
            return str(found[0][4][0]), port
    return None


def _ice_server(server: IceServer) -> RTCIceServer:
    if not _ICE_URL.match(server.url):
        raise WebRTCError(f"{server.url} is neither a stun: nor a turn: URL")
    return RTCIceServer(urls=server.url, username=server.username, credential=server.credential)


def _address(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
