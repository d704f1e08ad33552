"""One lobby of the running daemon: its directory, and the service that hosts it or has joined it.

It is looked at by anybody who knows the key; only joining (`datfs join`, or making one's own
HASH.offer.bin) or hosting starts a service and tells anybody who we are.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from datfs.app.containment import contained
from datfs.app.lobbies.joins import TopicJoinReceiver, TopicJoinSender
from datfs.app.lobbies.lobby_archives import LobbyArchives
from datfs.app.lobbies.lobby_secrets import LobbySecrets
from datfs.app.lobbies.peer_rooms import PeerRooms
from datfs.app.lobbies.rules import LobbyRules
from datfs.crypto.keys import KeyPair
from datfs.errors import (
    ArchiveUnreachable,
    DatfsError,
    InvalidPassword,
    InvalidSignal,
    LobbyEnded,
    NotYours,
)
from datfs.lobby.admission import WriterUsage
from datfs.lobby.admission_request import AdmissionRequest
from datfs.lobby.door import PasswordDoor
from datfs.lobby.guest import Guest, GuestOptions
from datfs.lobby.guest_sealing import GuestSealing
from datfs.lobby.host import Host, HostOptions
from datfs.lobby.names import BEACON_NAME, check_writable, offer_name
from datfs.lobby.password import PAKE_VERSION, parse_password
from datfs.lobby.proving import PasswordProver
from datfs.lobby.signal import BEACON_ID_SIZE, encode_offer, parse_beacon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from datfs.app.archives import Archives
    from datfs.app.events import EventLog
    from datfs.app.lobbies.peer_rooms import PeerRoom
    from datfs.app.own_archive import OwnArchive
    from datfs.lobby.guest_status import GuestStatus
    from datfs.lobby.host_sealing import HostSealing
    from datfs.lobby.policy import Policy
    from datfs.lobby.ports import EventField
    from datfs.lobby.seal import Sealing, SignalForm
    from datfs.staging.working_archive import WorkingArchive
    from datfs.store.home import Home
    from datfs.swarm.archive_replica import ArchiveReplica
    from datfs.webrtc.certificate import Certificate
    from datfs.webrtc.engine import Engine
    from datfs.webrtc.peer_connection import PeerConnection

CONNECTIONS_BESIDE_GUESTS = 8
"""Connections that a hosted lobby has room for besides its guests (design section 13)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LobbyParts:
    """What every lobby needs of the daemon.

    Attributes:
        home: the store.
        identity: our key pair.
        archives: opens archives.
        engine: makes connections.
        events: the log.
        nursery: for the services; ends with the daemon.
        is_friend: tells by an identity key whether it is one of our friends.
        on_change: called when anything of a lobby's directory changed.
        allow_unproven: whether our offers go, plain, to hosts whose beacon proves nothing.
    """

    home: Home
    identity: KeyPair
    archives: Archives
    engine: Engine
    events: EventLog
    nursery: trio.Nursery
    is_friend: Callable[[bytes], bool]
    on_change: Callable[[], None]
    allow_unproven: bool = False


class LobbyRoom:
    """`lobby/KEY/`.

    Args:
        key: of the lobby.
        parts: of the daemon.
    """

    def __init__(self, key: bytes, parts: LobbyParts) -> None:
        self.key = key
        self._parts = parts
        self.files = LobbyArchives(key, parts.archives)
        self._rooms = PeerRooms(
            parts.home.runtime / "lobby" / key.hex()[:16],
            parts.nursery,
            parts.events,
            parts.on_change,
            self._session_data,
        )
        self._events = _LobbyEvents(parts.events, key)
        self._secrets = LobbySecrets(parts.home, key)
        self._sealing: Sealing | None = None
        self._host: Host[PeerConnection] | None = None
        self._host_ended = trio.Event()
        self._guest: Guest[PeerConnection] | None = None
        self._guest_ended = trio.Event()
        self._prover = PasswordProver(parts.identity.public_key, key)
        self._keep_password: Callable[[bytes], None] | None = None  # while ours to host
        self._awaits_password = False
        self._door: PasswordDoor | None = None
        self._status_changed = trio.Event()

    # --- the directory (fs.ports.LobbyView) ----------------------------------------------------

    async def ready(self) -> None:
        """Wait until the host's files are known, or nobody told them within the deadline."""
        with contextlib.suppress(ArchiveUnreachable):
            await self.files.ready()

    def names(self, path: str) -> Iterable[str]:
        """The names that count in a directory of the union, our own as they are edited."""
        self.files.follow_writers()
        folder = path.strip("/")
        own = self.files.own
        found = {
            name.rpartition("/")[2]: None
            for name in self.files.names(folder)
            if not self.files.is_ours(name)
        }
        if own is not None:
            entry = own.working.lookup(path)
            if entry is not None and entry.stat.is_directory:
                prefix = f"{folder}/" if folder else ""
                for name, _ in own.working.list_directory(path):
                    if self.files.is_ours(f"{prefix}{name}"):
                        found[name] = None
        return list(found)

    def holder(self, path: str) -> ArchiveReplica | WorkingArchive | None:
        """The archive whose file counts at a path."""
        name = path.strip("/")
        if self.files.own is not None and self.files.is_ours(name):
            return self.files.own.working
        return self.files.replica(name)

    def writer(self, path: str) -> WorkingArchive:
        """Our archive in which this path may be changed; joins the lobby if we are no member.

        Raises:
            NotYours: the name belongs to somebody else.
        """
        name = path.strip("/")
        if self.files.is_hosted:
            check_writable(name, writer=None)
            assert self.files.own is not None
            return self.files.own.working
        check_writable(name, writer=self._parts.identity.public_key)
        self.join()
        assert self.files.own is not None
        return self.files.own.working

    def form(self, path: str) -> SignalForm | None:
        """How a signal that we are one of the two ends of is stored; None for other files."""
        return None if self._sealing is None else self._sealing.form(path.strip("/"))

    def state(self) -> str:
        """What the file `state` says."""
        if self._host is not None:
            return f"hosting: {self._host.peers} connected, {self._host.waiting} waiting"
        if self._awaits_password:
            return "waiting for the password: write it to `password`, and the session begins"
        if self.files.is_hosted:
            return "ended: the session is over"
        if self._guest is not None:
            return str(self._guest.status)
        return "looking: not joined; write an offer to join"

    async def new_offer(self) -> bytes:
        """A fresh offer of the engine, made for the host's beacon if that is here.

        Raises:
            NotYours: the lobby is ours; guests make offers.
            TooManyOffers: as many as allowed wait to be written.
        """
        if self.files.is_hosted:
            raise NotYours("you host this lobby: guests make offers and you answer them")
        beacon_id = None
        try:
            data = await self.files.read(BEACON_NAME)
            beacon_id = None if data is None else parse_beacon(data).id
        except InvalidSignal:
            pass  # the offer then names no beacon, and the host decides
        offer = await self._parts.engine.create_offer()
        return encode_offer(offer.sdp, beacon_id, pake=PAKE_VERSION)

    async def take_password(self, written: bytes) -> None:
        """Take the password of the session that we host, or of one to be joined.

        Raises:
            InvalidPassword: this cannot be one, or the session that we host is open.
            LobbyEnded: the session, which was ours, is over.
        """
        await trio.lowlevel.checkpoint()
        password = parse_password(written)
        if self._host is not None and self._door is None:
            raise InvalidPassword('the session is open; write "protected": true in session.json')
        if self._keep_password is not None:
            self._keep_password(password)
        elif self.files.is_hosted:
            raise LobbyEnded("the session is over; a new one has a lobby of its own")
        else:
            self._prover.password = password

    def peers(self) -> Iterable[bytes]:
        """The identity keys of the peers that have a directory."""
        return self._rooms.identities()

    def peer(self, identity: bytes) -> PeerRoom | None:
        """One of these peers."""
        return self._rooms.get(identity)

    # --- hosting -------------------------------------------------------------------------------

    @property
    def is_active(self) -> bool:
        """Whether a service runs here, or waits for its password."""
        return self._host is not None or self._guest is not None or self._awaits_password

    def accept_password(self, keep: Callable[[bytes], None] | None, *, awaited: bool) -> None:
        """Hand passwords that are written here on, for as long as the session is ours to host.

        Args:
            keep: takes them; None when the session is over.
            awaited: whether the session cannot begin without one.
        """
        self._keep_password = keep
        self._awaits_password = awaited
        self._parts.on_change()

    @property
    def is_hosting(self) -> bool:
        """Whether we host this lobby now."""
        return self._host is not None

    async def host(
        self,
        *,
        max_peers: int,
        policy: Policy,
        certificate: Certificate,
        sealing: HostSealing,
        peers_changed: Callable[[int], None],
        password: bytes | None = None,
    ) -> None:
        """Host this lobby, an own archive; returns once the beacon is written.

        With a password its guests have to prove that they know it.

        Raises:
            DatfsError: the beacon could not be made or written.
        """
        parts = self._parts
        membership = parts.archives.pin(self.key)
        membership.topic.max_connections = max(
            membership.topic.max_connections, max_peers + CONNECTIONS_BESIDE_GUESTS
        )
        joins = TopicJoinReceiver(membership)
        self._sealing = sealing
        self._door = None
        if password is not None:
            self._door = PasswordDoor(
                password,
                identity=parts.identity.public_key,
                lobby_key=self.key,
                is_friend=parts.is_friend,
            )
        host = Host(
            HostOptions(
                lobby_key=self.key,
                identity=parts.identity,
                handshake_id=membership.topic.handshake_id,
                beacon_id=os.urandom(BEACON_ID_SIZE),
                max_peers=max_peers,
                policy=policy,
            ),
            files=self.files,
            sealing=sealing,
            engine=_SessionEngine(parts.engine, certificate),
            joins=joins,
            directory=self._rooms,
            events=self._events,
            writer_usage=self._writer_usage,
            peers_changed=peers_changed,
            door=self._door,
        )
        ended = trio.Event()
        begun = trio.Event()
        failed: list[DatfsError] = []

        async def serve() -> None:
            try:
                async with trio.open_nursery() as nursery:
                    await nursery.start(host.run)
                    begun.set()
            except* DatfsError as group:
                failed.extend(error for error in group.exceptions if isinstance(error, DatfsError))
                if begun.is_set():  # else whoever began it tells
                    self._events.append("lobby-failed", reason=str(failed[0]))
            finally:
                joins.close()
                self._host = None
                begun.set()
                ended.set()
                parts.on_change()

        self._host, self._host_ended = host, ended
        parts.nursery.start_soon(contained, parts.events, f"lobby/{self.key.hex()}", serve)
        await begun.wait()
        if failed:
            raise failed[0]
        parts.on_change()

    def set_max_peers(self, max_peers: int) -> None:
        """Give the hosted session more or fewer places; nobody who has one loses it."""
        if self._host is not None:
            self._host.set_max_peers(max_peers)

    async def set_policy(self, policy: Policy) -> None:
        """Let others into the hosted session; who is in and no longer wanted is parted from."""
        if self._host is not None:
            await self._host.set_policy(policy)

    async def dismiss(self, identity: bytes) -> None:
        """Part from a peer: a host kicks the guest, a guest leaves the lobby."""
        if self._host is not None:
            await self._host.kick(identity)
        else:
            await self.leave()
        await self._rooms.dismiss(identity)

    def set_password(self, password: bytes) -> None:
        """Ask guests of the hosted session for this password from now on, if it has one."""
        if self._door is not None:
            self._door.password = password

    async def end(self) -> None:
        """End the session that is hosted here; beacon and answers are gone when it returns."""
        if self._host is not None:
            ended = self._host_ended
            await self._host.end()
            await ended.wait()

    # --- joining -------------------------------------------------------------------------------

    def join(self, *, fresh: bool = True) -> None:
        """Ask the host to let us in, from now on; nothing happens if we did already.

        Args:
            fresh: whether this is no return after a remount.
        """
        if self._guest is not None or self.files.is_hosted:
            return
        parts = self._parts
        membership = parts.archives.pin(self.key)
        sealing = self._guest_sealing()
        if self.files.own is None:
            own = parts.archives.create_own(
                KeyPair.generate(),
                rules=LobbyRules(sealing, self.files.name_changed),
                topic_key=self.key,
            )
            self._remember(own.key)
            self._take_writer(own, sealing)
        own_writer = self.files.own
        assert own_writer is not None
        request = AdmissionRequest(
            parts.identity,
            writer=own_writer.key,
            lobby_key=self.key,
            joins=TopicJoinSender(membership),
            events=self._events,
        )
        guest = Guest(
            GuestOptions(identity=parts.identity.public_key, writer=own_writer.key, fresh=fresh),
            files=self.files,
            sealing=sealing,
            engine=parts.engine,
            request=request,
            prover=self._prover,
            directory=self._rooms,
            events=self._events,
            status_changed=self._on_status,
        )
        self._guest, self._guest_ended = guest, trio.Event()
        parts.nursery.start_soon(
            contained,
            parts.events,
            f"lobby/{self.key.hex()}",
            self._serve_guest,
            guest,
            self._guest_ended,
        )
        parts.on_change()

    async def offer(self) -> int:
        """Make an offer and write it, as `cat new-offer > HASH.offer.bin` does.

        Returns:
            The number of the attempt before, for `wait_status`.

        Raises:
            DatfsError: the engine could not make it, or the file could not be written.
        """
        self.join()
        name = offer_name(self._parts.identity.public_key)
        before = 0 if self._guest is None else self._guest.attempt
        await self.files.write(name, await self.new_offer())
        return before

    async def wait_status(self, words: Iterable[str], *, after: int) -> GuestStatus | None:
        """Wait until a guest's later attempt than `after` has one of these states.

        Returns:
            None if nobody has joined.
        """
        wanted = set(words)
        while self._guest is not None and (
            self._guest.attempt <= after or self._guest.status.word not in wanted
        ):
            await self._status_changed.wait()
        return None if self._guest is None else self._guest.status

    async def leave(self) -> None:
        """Leave a lobby that was joined; our offer is gone when it returns."""
        if self._guest is not None:
            ended = self._guest_ended
            await self._guest.leave()
            await ended.wait()

    async def return_as(self, writer: bytes) -> None:
        """Take up a lobby that was joined before the last mount ended.

        Args:
            writer: key of the writer archive that we had there.

        Raises:
            DatfsError: that archive cannot be opened.
        """
        sealing = self._guest_sealing()
        rules = LobbyRules(sealing, self.files.name_changed)
        own = await self._parts.archives.open_own(writer, rules=rules, topic_key=self.key)
        self._take_writer(own, sealing)
        # An offer that was never stored is no leftover: nobody has seen it.
        waits = f"/{offer_name(self._parts.identity.public_key)}" in own.working.uncommitted()
        self.join(fresh=waits)

    async def _serve_guest(self, guest: Guest[PeerConnection], ended: trio.Event) -> None:
        try:
            await guest.run()
        except DatfsError as error:
            self._events.append("lobby-failed", reason=str(error))
        finally:
            self._guest = None
            ended.set()
            self._on_status(guest.status)

    def _take_writer(self, own: OwnArchive, sealing: GuestSealing) -> None:
        self.files.join(self._parts.identity.public_key, own, sealing)

    def _guest_sealing(self) -> GuestSealing:
        if not isinstance(self._sealing, GuestSealing):
            self._sealing = GuestSealing(
                self._secrets.seal_keys(),
                lobby_key=self.key,
                identity=self._parts.identity.public_key,
                beacon=self.files.beacon_here,
                random=os.urandom,
                allow_unproven=self._parts.allow_unproven,
            )
        return self._sealing

    def _remember(self, writer: bytes) -> None:
        folder = self._parts.home.joined_lobbies_folder
        folder.mkdir(exist_ok=True, mode=0o700)
        (folder / self.key.hex()).write_text(f"{writer.hex()}\n")

    # --- within --------------------------------------------------------------------------------

    def _on_status(self, status: GuestStatus) -> None:
        if status.word == "ended":
            self._secrets.delete()
        self._status_changed.set()
        self._status_changed = trio.Event()
        self._parts.on_change()

    def _session_data(self, identity: bytes) -> bytes | None:
        """What a guest said last where it asked to be let in; None if it is not connected."""
        asked = set() if self._host is None else set(self._host.connections_of(identity))
        topic = self._parts.archives.membership(self.key).topic
        said = [peer.session_data.latest for peer in topic.peers if peer.id in asked]
        return said[-1] if said else None

    def _writer_usage(self, key: bytes) -> WriterUsage | None:
        archive = self.files.writer(key)
        if archive is None:
            return None
        feeds = [feed for feed in (archive.metadata, archive.content) if feed is not None]
        return WriterUsage(
            byte_length=sum(feed.byte_length for feed in feeds),
            entries=sum(feed.length for feed in feeds),
        )


class _SessionEngine:
    """The engine with a session's certificate (`lobby.ports.HostEngine`)."""

    def __init__(self, engine: Engine, certificate: Certificate) -> None:
        self._engine = engine
        self._certificate = certificate

    async def create_beacon(self) -> str:
        return await self._engine.create_beacon(self._certificate)

    async def answer(self, offer_sdp: str) -> tuple[str, PeerConnection]:
        answer = await self._engine.answer(offer_sdp, self._certificate)
        return answer.sdp, answer.connection


class _LobbyEvents:
    """The event log with the lobby's key in each event."""

    def __init__(self, log: EventLog, key: bytes) -> None:
        self._log = log
        self._key = key.hex()

    def append(self, kind: str, **fields: EventField) -> None:
        self._log.append(kind, lobby=self._key, **fields)
