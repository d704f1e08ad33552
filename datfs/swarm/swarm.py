"""All connections of a process: the listener, the diallers, and the topics they are opened for."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from datfs.swarm import transport
from datfs.swarm.ended import Ended
from datfs.swarm.peer import Peer

if TYPE_CHECKING:
    from collections.abc import Callable

    from datfs.swarm.announcer import Announcer
    from datfs.swarm.topic import Topic
    from datfs.swarm.transport import Address

MAX_CONNECTIONS = 512
"""Connections of the whole process."""

MAX_OPENING = 64
"""Accepted connections that have not said yet what they want; the oldest makes room for a newer."""

LISTENER = "incoming"
"""What the listener is called among the ways to find peers."""

BACK_OFF_S = (1.0, 1.0, 5.0, 15.0, 30.0, 60.0)
"""Pauses between dials of one address that does not serve; the last one repeats."""

BACK_OFF_JITTER = 0.25
"""Part of a pause that is drawn by lot, so that many diallers do not come at once."""

RETRY_PAUSE_S = 0.25
"""The least pause between two dials of one address, however much somebody waits."""

STEADY_S = 10.0
"""A connection that lasted this long was a good one: pauses begin from the start again."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmOptions:
    """Where to listen and whom to dial."""

    listen: tuple[str, ...] = ()
    """Addresses to listen on; none means all."""
    port: int | None = None
    """None: 3282 or the next free one."""
    fixed_peers: tuple[Address, ...] = ()
    """Peers that are dialled for every topic."""
    offline: bool = False
    """Open no socket at all."""
    max_connections: int = MAX_CONNECTIONS
    """Connections of all topics together."""


@dataclass(slots=True)
class _Membership:
    topic: Topic
    dials: dict[Address, trio.CancelScope] = field(default_factory=dict)
    """Every address that was ever to be dialled, for the end of the membership."""


class Swarm:
    """Connects topics with peers.

    Args:
        options: where to listen and whom to dial.
        announcer: syncs feeds and announces what is new; runs with the swarm.
        on_ended: called with every connection that ended and how, for log and events.
    """

    def __init__(
        self,
        options: SwarmOptions,
        announcer: Announcer,
        *,
        on_ended: Callable[[Peer, Ended], None] = lambda _peer, _ended: None,
    ) -> None:
        self._options = options
        self._announcer = announcer
        self._on_ended = on_ended
        self._memberships: dict[bytes, _Membership] = {}
        self._nursery: trio.Nursery | None = None
        self._connections = 0
        self._accepted: dict[Peer, None] = {}
        self.port: int | None = None
        """The port that is listened on; None before `run` or when offline."""

    @property
    def topics(self) -> dict[bytes, Topic]:
        """Discovery keys and their topics."""
        return {key: member.topic for key, member in self._memberships.items()}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen, dial and announce until cancelled; reports once it listens.

        Raises:
            ListenFailed: the address cannot be had.
        """
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._announcer.run)
            if not self._options.offline:
                listeners, self.port = await transport.listen(
                    self._options.listen, self._options.port
                )
                nursery.start_soon(trio.serve_listeners, self._accept, listeners)
            for member in self._memberships.values():
                self._start_dialling(nursery, member)
            task_status.started()
            await trio.sleep_forever()

    def join(self, topic: Topic) -> None:
        """Serve a topic and look for peers that have it."""
        if topic.discovery_key in self._memberships:
            return
        member = _Membership(topic)
        self._memberships[topic.discovery_key] = member
        if self._nursery is not None:
            self._start_dialling(self._nursery, member)

    def leave(self, topic: Topic) -> None:
        """End a topic's connections and dials."""
        member = self._memberships.pop(topic.discovery_key, None)
        if member is None:
            return
        for scope in member.dials.values():
            scope.cancel()
        for peer in list(topic.peers):
            peer.close("the archive is no longer served")

    def add_address(self, topic: Topic, address: Address, mechanism: str) -> None:
        """Dial an address for a topic from now on (found by discovery or given by hand).

        An address that is dialled already, or turned out to be this process, changes nothing.
        """
        member = self._memberships.get(topic.discovery_key)
        if member is not None and self._nursery is not None and not self._options.offline:
            self._dial_from_now_on(self._nursery, member, address, mechanism)

    def _start_dialling(self, nursery: trio.Nursery, member: _Membership) -> None:
        if self._options.offline:
            member.topic.note("network", "switched off (--offline)")
            return
        if not self._options.fixed_peers:
            member.topic.note("fixed peers", "none given (--peer HOST:PORT)")
        for address in self._options.fixed_peers:
            self._dial_from_now_on(nursery, member, address, f"peer {address}")
        member.topic.note(LISTENER, f"nobody has come to port {self.port} for this archive yet")

    def _dial_from_now_on(
        self, nursery: trio.Nursery, member: _Membership, address: Address, mechanism: str
    ) -> None:
        if address not in member.dials:
            scope = member.dials[address] = trio.CancelScope()
            nursery.start_soon(self._keep_dialling, scope, member.topic, address, mechanism)

    async def _accept(self, stream: trio.SocketStream) -> None:
        if self._connections >= self._options.max_connections:
            await trio.aclose_forcefully(stream)
            return
        opening = [peer for peer in self._accepted if peer.remote_id is None]
        if len(opening) >= MAX_OPENING:
            opening[0].close("others came and it had not said yet what it wants")
        peer = Peer(stream, transport.remote_address(stream), self._announcer)
        self._accepted[peer] = None
        try:
            ended = await self._serve(peer, None)
        finally:
            del self._accepted[peer]
        if peer.topic is not None:
            peer.topic.note(LISTENER, f"the connection from {peer.address} ended: {ended.words}")

    async def _serve(self, peer: Peer, topic: Topic | None) -> Ended:
        """Run a connection; whatever goes wrong in it ends here."""
        self._connections += 1
        try:
            ended = await peer.run(topic, self._find_topic)
        except Exception as error:
            log.exception("the connection with %s failed", peer.address)
            ended = Ended(words=f"datfs made a mistake, which is in the log: {error!r}")
        finally:
            self._connections -= 1
        try:
            self._on_ended(peer, ended)
        except Exception:
            log.exception("the end of the connection with %s could not be told", peer.address)
        return ended

    def _find_topic(self, discovery_key: bytes) -> Topic | None:
        member = self._memberships.get(discovery_key)
        return None if member is None else member.topic

    async def _keep_dialling(
        self, scope: trio.CancelScope, topic: Topic, address: Address, mechanism: str
    ) -> None:
        with scope:
            try:
                await self._dial_again_and_again(topic, address, mechanism)
            except Exception as error:
                log.exception("dialling %s failed", address)
                topic.note(mechanism, f"{address} is dialled no more, see the log: {error!r}")

    async def _dial_again_and_again(self, topic: Topic, address: Address, mechanism: str) -> None:
        failures = 0
        while True:
            retry = topic.retry
            began = trio.current_time()
            ended = await self._dial(topic, address, mechanism)
            if ended is not None and ended.is_self:
                topic.note(mechanism, f"{address} is this process itself")
                return
            if ended is not None and ended.duplicate_of is not None:
                await ended.duplicate_of.closed.wait()
            failures = 0 if trio.current_time() - began > STEADY_S else failures + 1
            await trio.sleep(RETRY_PAUSE_S)
            if failures:
                pause = BACK_OFF_S[min(failures, len(BACK_OFF_S)) - 1]
                with trio.move_on_after(pause * (1 - BACK_OFF_JITTER * random.random())):
                    await retry.wait()

    async def _dial(self, topic: Topic, address: Address, mechanism: str) -> Ended | None:
        if (
            len(topic.peers) >= topic.max_connections
            or self._connections >= self._options.max_connections
        ):
            topic.note(mechanism, "not tried: as many connections as allowed are open")
            return None
        topic.note(mechanism, f"dialling {address}")
        try:
            stream = await transport.dial(address)
        except OSError as error:
            topic.note(mechanism, f"{address} does not answer: {error.strerror or error}")
            return None
        peer = Peer(stream, address, self._announcer, outgoing=True)
        topic.note(mechanism, f"connected to {address}")
        ended = await self._serve(peer, topic)
        topic.note(mechanism, f"the connection to {address} ended: {ended.words}")
        return ended
