"""A lobby in memory: files that travel with a delay, an engine that only pretends, joins."""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from datfs.crypto.box import BoxKeyPair
from datfs.crypto.keys import KeyPair
from datfs.errors import ChannelClosed, DatfsError, NotYet
from datfs.lobby.admission import AdmissionLimits, WriterUsage
from datfs.lobby.admission_request import AdmissionRequest
from datfs.lobby.door import PasswordDoor
from datfs.lobby.guest import Guest, GuestOptions
from datfs.lobby.guest_sealing import GuestSealing
from datfs.lobby.host import Host, HostOptions
from datfs.lobby.host_sealing import HostSealing
from datfs.lobby.log_carrier import LogCarrier
from datfs.lobby.names import BEACON_NAME, owner_of, writer_name
from datfs.lobby.policy import Policy
from datfs.lobby.ports import ConnectionGone, JoinReceived, LobbyConnection
from datfs.lobby.proving import PasswordProver
from datfs.lobby.signal import encode_offer, sdp_identity
from datfs.lobby.writers import WriterState, parse_record
from tests.lobby.memory_log import MemoryLog
from tests.lobby.sdp import description

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from datfs.lobby.guest_status import GuestStatus
    from datfs.lobby.log_records import Record
    from datfs.lobby.seal import Sealing

T = TypeVar("T")

LOBBY = b"L" * 32
HOST = KeyPair.from_seed(b"\xaa" * 32)
HOST_SEAL = BoxKeyPair.from_secret_key(b"\xab" * 32)
HANDSHAKE_ID = b"H" * 32

_random = random.Random(0)


def random_bytes(size: int) -> bytes:
    """Return bytes that are the same in each run."""
    return _random.randbytes(size)


class FakeChannel:
    """One end of a pretended data channel."""

    def __init__(
        self,
        label: str,
        send: trio.MemorySendChannel[str | bytes],
        receive: trio.MemoryReceiveChannel[str | bytes],
    ) -> None:
        self.label = label
        self._send = send
        self._receive = receive
        self.received: list[str | bytes] = []

    @classmethod
    def pair(cls, label: str) -> tuple[FakeChannel, FakeChannel]:
        to_second, second = trio.open_memory_channel[str | bytes](math.inf)
        to_first, first = trio.open_memory_channel[str | bytes](math.inf)
        return cls(label, to_second, first), cls(label, to_first, second)

    async def send(self, message: bytes) -> None:
        await trio.lowlevel.checkpoint()
        try:
            self._send.send_nowait(message)
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            raise ChannelClosed("the channel is closed") from None

    async def receive(self) -> str | bytes:
        try:
            self.received.append(await self._receive.receive())
        except trio.ClosedResourceError:
            raise trio.EndOfChannel from None
        return self.received[-1]

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        self.close()

    def close(self) -> None:
        self._send.close()


class FakePeer:
    """One end of a pretended connection."""

    def __init__(self, remote_fingerprint: bytes | None = None) -> None:
        self.live_fingerprint = remote_fingerprint
        self.somebody_else = False  # the other end's certificate is not that of its description
        self.opened = trio.Event()
        self.ended = trio.Event()
        self.other: FakePeer | None = None
        self.local_fingerprint = os.urandom(32)
        self._opened_by_other, self._incoming = trio.open_memory_channel[FakeChannel](16)
        self._channels: list[FakeChannel] = []

    async def open_channel(self, label: str) -> FakeChannel:
        await trio.lowlevel.checkpoint()
        if self.ended.is_set() or self.other is None:
            raise ChannelClosed("the connection has ended")
        ours, theirs = FakeChannel.pair(label)
        self._channels.append(ours)
        self.other._channels.append(theirs)
        self.other._opened_by_other.send_nowait(theirs)
        return ours

    async def accept_channel(self, label: str) -> FakeChannel:
        async for channel in self._incoming:
            if channel.label == label:
                return channel
            await channel.aclose()
        raise ChannelClosed("the connection has ended")

    async def wait_open(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_when_ended, nursery)
            await self.opened.wait()
            nursery.cancel_scope.cancel()
        if not self.opened.is_set():
            raise ChannelClosed("the connection ended before its channel opened")

    async def _cancel_when_ended(self, nursery: trio.Nursery) -> None:
        await self.ended.wait()
        nursery.cancel_scope.cancel()

    def remote_fingerprint(self) -> bytes | None:
        if self.other is None or self.somebody_else:
            return self.live_fingerprint
        return self.other.local_fingerprint

    async def wait_ended(self) -> None:
        await self.ended.wait()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        self.drop()

    def drop(self) -> None:
        """End both ends at once."""
        for end in (self, self.other):
            if end is not None:
                end.ended.set()
                end._opened_by_other.close()
                for channel in end._channels:
                    channel.close()


class FakeOffer:
    """An offer of the fake engine."""

    def __init__(self, engine: FakeEngine, ufrag: str, certificate: str) -> None:
        self.sdp = description(ufrag, certificate=certificate)
        self.connection = FakePeer()
        self.connection.local_fingerprint = sdp_identity(self.sdp).fingerprint
        self.committed = False
        self._engine = engine

    def commit(self) -> None:
        self.committed = True

    async def accept_answer(self, sdp: str) -> None:
        await trio.lowlevel.checkpoint()
        answerer = self._engine.answerers[sdp_identity(sdp).ufrag]
        answerer.other, self.connection.other = self.connection, answerer
        answerer.local_fingerprint = sdp_identity(sdp).fingerprint
        for end in (answerer, self.connection):
            end.somebody_else = self._engine.connects_others
            if end.somebody_else:
                end.live_fingerprint = b"?" * 32
        await trio.sleep(self._engine.connect_s)
        answerer.opened.set()
        self.connection.opened.set()


class FakeEngine:
    """Answers and offers for everybody; answers find the offers that they are for by name."""

    def __init__(self) -> None:
        self.connect_s = 0.05
        self.connects_others = False  # the connection is with somebody else's certificate
        self.broken: set[str] = set()
        self.answerers: dict[str, FakePeer] = {}
        self.offers: dict[str, FakeOffer] = {}
        self._numbers = itertools.count()

    async def create_beacon(self) -> str:
        await trio.lowlevel.checkpoint()
        return description("beacon", certificate="host")

    async def create_offer(self, certificate: str = "") -> FakeOffer:
        await trio.sleep(0.01)
        ufrag = f"offer{next(self._numbers)}"
        self.offers[ufrag] = FakeOffer(self, ufrag, certificate)
        return self.offers[ufrag]

    def find_offer(self, ufrag: str, fingerprint: bytes) -> FakeOffer | None:
        offer = self.offers.get(ufrag)
        return offer if offer and sdp_identity(offer.sdp).fingerprint == fingerprint else None

    async def answer(self, offer_sdp: str) -> tuple[str, FakePeer]:
        await trio.sleep(0.01)
        offered = sdp_identity(offer_sdp)
        if offered.ufrag in self.broken:
            raise ZeroDivisionError("the engine has a bug")
        ufrag = f"answer{next(self._numbers)}"
        self.answerers[ufrag] = FakePeer(offered.fingerprint)
        sdp = description(ufrag, setup="active", certificate="host")
        return sdp, self.answerers[ufrag]


class View:
    """The lobby's files as one member has them, and what it wrote and cannot seal yet."""

    def __init__(self, world: World, member: bytes | None, _writer: bytes) -> None:
        self.files: dict[str, bytes] = {}
        self.waiting: dict[str, bytes] = {}
        self.sealing: Sealing | None = None
        self.unreadable: set[str] = set()
        self._world = world
        self._member = member
        self._listeners: list[trio.MemorySendChannel[str]] = []
        self.incoming, self._due = trio.open_memory_channel[tuple[float, tuple[str, bytes | None]]](
            math.inf
        )

    async def read(self, name: str) -> bytes | None:
        await trio.lowlevel.checkpoint()
        if name in self.unreadable:
            raise DatfsError("its blocks are nowhere to be had")
        if name in self.waiting:
            return self.waiting[name]
        return self.files.get(name) if self._counts(name) else None

    def text(self, name: str) -> bytes:
        """Return what this member reads in its mount."""
        form = self.sealing.form(name) if self.sealing else None
        return form.shown(self.files[name]) if form else self.files[name]

    async def write(self, name: str, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        assert owner_of(name) == self._member
        self.waiting.pop(name, None)
        form = self.sealing.form(name) if self.sealing else None
        try:
            self._world.publish(self, (name, form.stored(data) if form else data))
        except NotYet:
            self.waiting[name] = data
            self._tell(name)

    async def write_waiting(self) -> None:
        for name, data in list(self.waiting.items()):
            await self.write(name, data)

    async def remove(self, name: str) -> None:
        await trio.lowlevel.checkpoint()
        assert owner_of(name) == self._member
        self.waiting.pop(name, None)
        if name in self.files:
            self._world.publish(self, (name, None))

    def names(self, folder: str) -> Sequence[str]:
        return [
            name for name in self.files if name.rpartition("/")[0] == folder and self._counts(name)
        ]

    def changes(self) -> AsyncIterator[str]:
        send, receive = trio.open_memory_channel[str](math.inf)
        self._listeners.append(send)
        return receive

    async def receive(self) -> None:
        """Apply what others write, in their order and with the delay."""
        async for due, change in self._due:
            await trio.sleep_until(due)
            self.apply(change)

    def catch_up(self, other: Any) -> None:  # noqa: ANN401 - another view
        """Know what another member knows."""
        self.files.update(other.files)

    def change(self, _writer: bytes, name: str, data: bytes) -> tuple[str, bytes | None]:
        """Return what somebody writes, for `World.publish`."""
        return name, data

    def apply(self, change: tuple[str, bytes | None]) -> None:
        name, data = change
        if data is None:
            self.files.pop(name, None)
        else:
            self.files[name] = data
        self._tell(name)
        if name.startswith(".writers/"):
            for other in list(self.files):
                if owner_of(other) is not None:
                    self._tell(other)

    def _tell(self, name: str) -> None:
        for listener in self._listeners:
            try:
                listener.send_nowait(name)
            except trio.BrokenResourceError:
                self._listeners.remove(listener)

    def _counts(self, name: str) -> bool:
        owner = owner_of(name)
        if owner is None or owner == self._member:
            return True
        record = self.files.get(writer_name(owner))
        return record is not None and parse_record(record).state is WriterState.LIVE


async def compute_at_once(function: Callable[[], T]) -> T:
    """`Compute` without a thread, for a clock that jumps while no task runs."""
    await trio.lowlevel.checkpoint()
    return function()


class LogView:
    """The same files out of logs, as one member has them: entries travel, names are made of them.

    A block that the carrier would have cleared is cleared at once, everywhere.
    """

    def __init__(self, world: World, member: bytes | None, writer: bytes) -> None:
        self.waiting: dict[str, bytes] = {}
        self.sealing: Sealing | None = None
        self.unreadable: set[str] = set()
        self._world = world
        self._member = member
        self._logs = {LOBBY: MemoryLog(LOBBY)}
        self._own = self._log(writer)
        self._listeners: list[trio.MemorySendChannel[str]] = []
        own = None if member is None else (member, self._own)
        self._carrier = LogCarrier(self._logs[LOBBY], open_log=self._log, own=own)
        self.incoming, self._due = trio.open_memory_channel[tuple[float, tuple[bytes, int, bytes]]](
            math.inf
        )

    @property
    def files(self) -> dict[str, bytes]:
        names = (*self._carrier.names(""), *self._carrier.names(".writers"))
        entries = {name: self._carrier.find(name) for name in names}
        return {name: entry.record.signal for name, entry in entries.items() if entry is not None}

    async def read(self, name: str) -> bytes | None:
        await trio.lowlevel.checkpoint()
        if name in self.unreadable:
            raise DatfsError("its blocks are nowhere to be had")
        return self.waiting[name] if name in self.waiting else self.files.get(name)

    def text(self, name: str) -> bytes:
        """Return what this member reads in its mount."""
        form = self.sealing.form(name) if self.sealing else None
        return form.shown(self.files[name]) if form else self.files[name]

    async def write(self, name: str, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        assert owner_of(name) == self._member
        self.waiting.pop(name, None)
        form = self.sealing.form(name) if self.sealing else None
        try:
            stored = form.stored(data) if form else data
        except NotYet:
            self.waiting[name] = data
            self._tell([name])
        else:
            self._publish(self._carrier.record_of(name, stored))

    async def write_waiting(self) -> None:
        for name, data in list(self.waiting.items()):
            await self.write(name, data)

    async def remove(self, name: str) -> None:
        await trio.lowlevel.checkpoint()
        assert owner_of(name) == self._member
        self.waiting.pop(name, None)
        record = self._carrier.removal_of(name)
        if record is not None:
            self._publish(record)

    def names(self, folder: str) -> Sequence[str]:
        return self._carrier.names(folder)

    def changes(self) -> AsyncIterator[str]:
        send, receive = trio.open_memory_channel[str](math.inf)
        self._listeners.append(send)
        return receive

    async def receive(self) -> None:
        async for due, change in self._due:
            await trio.sleep_until(due)
            self.apply(change)

    def catch_up(self, other: Any) -> None:  # noqa: ANN401 - another view
        for key, log in other._logs.items():
            for index, block in log.blocks.items():
                self._log(key).put(index, block)
        self._carrier.update()

    def change(self, writer: bytes, name: str, data: bytes) -> tuple[bytes, int, bytes]:
        """Return what somebody writes as far as this member knows the lobby."""
        record = self._carrier.record_of(name, data)
        return writer, self._log(writer).length, record.encode()

    def apply(self, change: tuple[bytes, int, bytes]) -> None:
        key, index, block = change
        self._log(key).put(index, block)
        names = self._carrier.update()
        for log, sequence in self._carrier.to_clear():
            self._log(log).blocks.pop(sequence, None)
        self._tell(names)

    def _tell(self, names: Sequence[str]) -> None:
        for name, listener in itertools.product(names, list(self._listeners)):
            try:
                listener.send_nowait(name)
            except trio.BrokenResourceError:
                self._listeners.remove(listener)

    def _publish(self, record: Record) -> None:
        self._world.publish(self, (self._own.key, self._own.length, record.encode()))

    def _log(self, key: bytes) -> MemoryLog:
        return self._logs.setdefault(key, MemoryLog(key))


class Log:
    """Events as they come."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def append(self, kind: str, **fields: str | int | bool | None) -> None:
        self.events.append((kind, fields))

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]


class Directory:
    """peers/ as a dict."""

    def __init__(self) -> None:
        self.peers: dict[bytes, FakePeer] = {}

    async def opened(self, identity: bytes, peer: FakePeer) -> None:
        await trio.lowlevel.checkpoint()
        assert identity not in self.peers
        assert peer.opened.is_set()
        self.peers[identity] = peer

    async def parted(self, identity: bytes, peer: FakePeer) -> None:
        await trio.lowlevel.checkpoint()
        assert self.peers.pop(identity) is peer


class Joins:
    """The host's connections; every guest has one."""

    def __init__(self) -> None:
        self.send_to_host, self._received = trio.open_memory_channel[JoinReceived | ConnectionGone](
            math.inf
        )

    def joins(self) -> AsyncIterator[JoinReceived | ConnectionGone]:
        return self._received


class JoinPath:
    """A guest's way to the host."""

    def __init__(self, joins: Joins, number: int, *, connected_after_s: float) -> None:
        self._joins = joins
        self._id = f"c{number}"
        self._address = f"10.0.0.{number}"
        self._connected_after_s = connected_after_s
        self.sent = 0
        send, self._snapshots = trio.open_memory_channel[Sequence[LobbyConnection]](2)
        self._tell = send.send_nowait
        self._tell([])

    def connections(self) -> AsyncIterator[Sequence[LobbyConnection]]:
        return self._snapshots

    async def connect(self) -> None:
        await trio.sleep(self._connected_after_s)
        self._tell([LobbyConnection(id=self._id, remote_id=HANDSHAKE_ID)])

    async def send(self, connection_id: str, payload: bytes) -> None:
        assert connection_id == self._id
        self.sent += 1
        await self._joins.send_to_host.send(
            JoinReceived(connection_id=self._id, address=self._address, payload=payload)
        )


class Member:
    """A guest with everything that it runs on."""

    def __init__(self, world: World, number: int, *, connected_after_s: float) -> None:
        self.key_pair = KeyPair.from_seed(number.to_bytes(32, "big"))
        self.hash = self.key_pair.public_key
        self.writer = b"writer" + number.to_bytes(26, "big")
        self.view = world.join(self.hash, self.writer)
        self.log = Log()
        self.directory = Directory()
        self.path = JoinPath(world.joins, number, connected_after_s=connected_after_s)
        self.said: list[str] = []
        self.prover = PasswordProver(self.hash, LOBBY, compute=compute_at_once)
        self._world = world
        self.sealing = GuestSealing(
            BoxKeyPair.from_secret_key(hashlib.sha256(self.hash).digest()),
            lobby_key=LOBBY,
            identity=self.hash,
            beacon=lambda: self.view.files.get(BEACON_NAME),
            random=random_bytes,
        )
        self.guest = self.make_guest(fresh=True)

    @property
    def offer_name(self) -> str:
        return f"{self.hash.hex()}.offer.bin"

    @property
    def answer_name(self) -> str:
        return f"{self.hash.hex()}.answer.bin"

    def make_guest(self, *, fresh: bool) -> Guest[FakePeer]:
        request = AdmissionRequest(
            self.key_pair,
            writer=self.writer,
            lobby_key=LOBBY,
            joins=self.path,
            events=self.log,
        )
        self.view.sealing = self.sealing
        return Guest(
            GuestOptions(identity=self.hash, writer=self.writer, fresh=fresh),
            files=self.view,
            sealing=self.sealing,
            engine=self._world.engine,
            request=request,
            prover=self.prover,
            directory=self.directory,
            events=self.log,
            status_changed=self._heard,
        )

    def _heard(self, status: GuestStatus) -> None:
        self.said.append(status.word)

    async def offer_by_engine(self) -> None:
        """Do what `cat new-offer > HASH.offer.bin` does."""
        await self.view.write(self.offer_name, await self.guest.new_offer())

    async def offer_by_browser(self, name: str) -> None:
        await self.view.write(self.offer_name, encode_offer(description(name)))


class World:
    """The lobby and everybody in it; `start` serves it in the nursery.

    `carrier` is what the files lie in: `View`, names as carrier 1 shows them, or `LogView`.
    """

    carrier: type[View | LogView] = View

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        max_peers: int = 8,
        delay_s: float = 0.02,
        password: bytes | None = None,
    ) -> None:
        self.friends: set[bytes] = set()
        self.door = None
        if password is not None:
            self.door = PasswordDoor(
                password,
                identity=HOST.public_key,
                lobby_key=LOBBY,
                is_friend=self.friends.__contains__,
                compute=compute_at_once,
            )
        self.nursery = nursery
        self.delay_s = delay_s
        self.engine = FakeEngine()
        self.joins = Joins()
        self.views: list[View | LogView] = []
        self.view = self.join(None, LOBBY)
        self.log = Log()
        self.directory = Directory()
        self.peers: list[int] = []
        self.usage: dict[bytes, WriterUsage] = {}
        self.max_peers = max_peers
        self.sealing = HostSealing(HOST_SEAL, lobby_key=LOBBY, random=random_bytes)
        self.policy = Policy()
        self._numbers = itertools.count(1)
        self.host = self.make_host(b"1" * 16)

    def make_host(self, beacon_id: bytes) -> Host[FakePeer]:
        self.view.sealing = self.sealing
        return Host(
            HostOptions(
                lobby_key=LOBBY,
                identity=HOST,
                handshake_id=HANDSHAKE_ID,
                beacon_id=beacon_id,
                max_peers=self.max_peers,
                limits=AdmissionLimits(),
                policy=self.policy,
            ),
            files=self.view,
            sealing=self.sealing,
            engine=self.engine,
            joins=self.joins,
            directory=self.directory,
            events=self.log,
            writer_usage=self.usage.get,
            peers_changed=self.peers.append,
            door=self.door,
        )

    def join(self, member: bytes | None, writer: bytes) -> View | LogView:
        view = self.carrier(self, member, writer)
        if self.views:
            view.catch_up(self.views[0])
        self.views.append(view)
        self.nursery.start_soon(view.receive)
        return view

    def publish(self, origin: View | LogView, change: Any) -> None:  # noqa: ANN401 - the views'
        """Let a change be seen at its origin at once and elsewhere after the delay."""
        origin.apply(change)
        for view in self.views:
            if view is not origin:
                view.incoming.send_nowait((trio.current_time() + self.delay_s, change))

    async def start(self) -> None:
        await self.nursery.start(lambda task_status: self.host.run(task_status=task_status))

    async def add_guest(self, *, connected_after_s: float = 0.1) -> Member:
        member = Member(self, next(self._numbers), connected_after_s=connected_after_s)
        self.nursery.start_soon(member.path.connect)
        await self.nursery.start(lambda task_status: member.guest.run(task_status=task_status))
        return member

    def transient(self) -> set[str]:
        """The offers and answers that lie anywhere."""
        return {
            name
            for view in self.views
            for name in view.files
            if name.endswith((".offer.bin", ".answer.bin")) and name != "host.offer.bin"
        }
