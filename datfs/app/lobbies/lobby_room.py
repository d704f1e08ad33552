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
from datfs.app.lobbies.lobby_files import open_lobby
from datfs.app.lobbies.lobby_log import LobbyLog
from datfs.app.lobbies.lobby_secrets import LobbySecrets
from datfs.app.lobbies.peer_rooms import PeerRooms
from datfs.app.lobbies.signals import Signals
from datfs.app.lobbies.unknown_lobby import UnknownLobby
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
from datfs.lobby.signal import (
    BEACON_ID_SIZE,
    encode_offer,
    parse_beacon,
    parse_offer,
    sdp_identity,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from datfs.app.archives import Archives
    from datfs.app.events import EventLog
    from datfs.app.lobbies.lobby_files import LobbyFiles
    from datfs.app.lobbies.peer_rooms import PeerRoom
    from datfs.app.logs import Logs
    from datfs.hyperdrive.entry import Change
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
        logs: opens logs.
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
    logs: Logs
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
        self._secrets = LobbySecrets(parts.home, key)
        self.files = self._open_files()
        self._rooms = PeerRooms(
            parts.home.runtime / "lobby" / key.hex()[:16],
            parts.nursery,
            parts.events,
            parts.on_change,
            self._session_data,
        )
        self._events = _LobbyEvents(parts.events, key)
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
            files = self.files
            await files.ready()
            if self.files is not files:  # it has become known
                await self.files.ready()

    def signals(self) -> Signals | None:
        """The directory's files if they lie in no archive."""
        if isinstance(self.files, LobbyArchives):
            return None
        return Signals(lambda: self.files, identity=self._parts.identity.public_key, join=self.join)

    def names(self, path: str) -> Iterable[str]:
        """The names that count in a directory of the union, our own as they are edited."""
        files = self._archive_files
        files.follow_writers()
        folder = path.strip("/")
        own = files.own
        found = {
            name.rpartition("/")[2]: None for name in files.names(folder) if not files.is_ours(name)
        }
        if own is not None:
            entry = own.working.lookup(path)
            if entry is not None and entry.stat.is_directory:
                prefix = f"{folder}/" if folder else ""
                for name, _ in own.working.list_directory(path):
                    if files.is_ours(f"{prefix}{name}"):
                        found[name] = None
        return list(found)

    def holder(self, path: str) -> ArchiveReplica | WorkingArchive | None:
        """The archive whose file counts at a path."""
        name = path.strip("/")
        files = self._archive_files
        if files.own is not None and files.is_ours(name):
            return files.own.working
        return files.replica(name)

    def writer(self, path: str) -> WorkingArchive:
        """Our archive in which this path may be changed; joins the lobby if we are no member.

        Raises:
            NotYours: the name belongs to somebody else.
        """
        name = path.strip("/")
        files = self._archive_files
        if files.is_hosted:
            check_writable(name, writer=None)
            assert files.own is not None
            return files.own.working
        check_writable(name, writer=self._parts.identity.public_key)
        self.join()
        assert files.own is not None
        return files.own.working

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
        if isinstance(self.files, UnknownLobby) and self.files.is_wanted:
            return "waiting for host: nothing of the lobby is here yet"
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
        """Whether a service runs here, or will as soon as the password or the lobby is here."""
        is_wanted = isinstance(self.files, UnknownLobby) and self.files.is_wanted
        is_awaited = is_wanted or self._awaits_password
        return self._host is not None or self._guest is not None or is_awaited

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
        parts, files = self._parts, self.files
        if isinstance(files, UnknownLobby):
            raise LobbyEnded("the lobby was looked at before it was made; host a new one")
        membership = parts.archives.pin(self.key)
        membership.topic.max_connections = max(
            membership.topic.max_connections, max_peers + CONNECTIONS_BESIDE_GUESTS
        )
        joins = TopicJoinReceiver(membership)
        self._sealing = sealing
        if isinstance(files, LobbyLog):
            files.seal_by(sealing)
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
            files=files,
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
        parts, files = self._parts, self.files
        if self._guest is not None or files.is_hosted:
            return
        membership = parts.archives.pin(self.key)
        if isinstance(files, UnknownLobby):
            if not files.is_wanted:
                files.is_wanted = True
                self._remember(b"")
                parts.on_change()
            return
        sealing = self._guest_sealing(files)
        if files.own_key is None:
            pair = KeyPair.generate()
            files.create_writer(parts.identity.public_key, pair, sealing)
            self._remember(pair.public_key)
        writer = files.own_key
        assert writer is not None
        request = AdmissionRequest(
            parts.identity,
            writer=writer,
            lobby_key=self.key,
            joins=TopicJoinSender(membership),
            events=self._events,
        )
        guest = Guest(
            GuestOptions(identity=parts.identity.public_key, writer=writer, fresh=fresh),
            files=files,
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
        elif isinstance(self.files, UnknownLobby) and self.files.is_wanted:
            self.files.is_wanted = False
            self._secrets.offer.clear()

    async def return_as(self, writer: bytes) -> None:
        """Take up a lobby that was joined before the last mount ended.

        Args:
            writer: key of the writer archive or log that we had there; empty if nothing of the
                lobby was here yet.

        Raises:
            DatfsError: it cannot be opened.
        """
        files = self.files
        if isinstance(files, UnknownLobby):
            if writer:
                raise LobbyEnded("nothing of the lobby is here any more")
            self.join()
            return
        if writer:
            sealing = self._guest_sealing(files)
            await files.open_writer(self._parts.identity.public_key, writer, sealing)
        # An offer that was never stored is no leftover: nobody has seen it.
        self.join(fresh=not writer or files.offer_waits or self._secrets.offer.text is not None)
        self._hand_over_offer()

    async def _serve_guest(self, guest: Guest[PeerConnection], ended: trio.Event) -> None:
        try:
            await guest.run()
        except DatfsError as error:
            self._events.append("lobby-failed", reason=str(error))
        finally:
            self._guest = None
            ended.set()
            self._on_status(guest.status)

    def _guest_sealing(self, files: LobbyArchives | LobbyLog) -> GuestSealing:
        if not isinstance(self._sealing, GuestSealing):
            self._sealing = GuestSealing(
                self._secrets.seal_keys(),
                lobby_key=self.key,
                identity=self._parts.identity.public_key,
                beacon=files.beacon_here,
                random=os.urandom,
                allow_unproven=self._parts.allow_unproven,
            )
        return self._sealing

    def _remember(self, writer: bytes) -> None:
        folder = self._parts.home.joined_lobbies_folder
        folder.mkdir(exist_ok=True, mode=0o700)
        (folder / self.key.hex()).write_text(f"{writer.hex()}\n")

    # --- within --------------------------------------------------------------------------------

    def archive_changed(self, key: bytes, changes: Sequence[Change]) -> None:
        """Somebody's archive has a new version; it may be one of this lobby's."""
        if isinstance(self.files, LobbyArchives):
            self.files.archive_changed(key, changes)

    @property
    def _archive_files(self) -> LobbyArchives:
        assert isinstance(self.files, LobbyArchives)  # `signals` has told
        return self.files

    def _open_files(self) -> LobbyFiles:
        parts = self._parts
        return open_lobby(
            self.key,
            parts.archives,
            parts.logs,
            identity=parts.identity.public_key,
            offer=self._secrets.offer,
            on_change=parts.on_change,
            on_known=self._become_known,
            on_waiting=self._keep_offer,
        )

    def _keep_offer(self, data: bytes) -> None:
        """Keep the connection of an offer that waits until the lobby is here."""
        name = sdp_identity(parse_offer(data).sdp)
        local = self._parts.engine.find_offer(name.ufrag, name.fingerprint)
        if local is not None:
            local.commit()

    def _become_known(self) -> None:
        before, self.files = self.files, self._open_files()
        assert isinstance(before, UnknownLobby)
        if before.is_wanted:
            self.join()
            self._hand_over_offer()
        self._parts.on_change()

    def _hand_over_offer(self) -> None:
        """Let our offer, if it has waited, go on doing so in our archive; a log finds it itself."""
        text = self._secrets.offer.text
        if text is not None and isinstance(self.files, LobbyArchives):
            name, events = f"lobby/{self.key.hex()}", self._parts.events
            self._parts.nursery.start_soon(contained, events, name, self._write_offer, text)

    async def _write_offer(self, text: bytes) -> None:
        name = offer_name(self._parts.identity.public_key)
        try:
            await self.files.write(name, text)
        except DatfsError as error:
            self._events.append("signalling-failed", name=name, reason=str(error))
        self._secrets.offer.clear()

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
        feeds = [] if isinstance(self.files, UnknownLobby) else self.files.writer_feeds(key)
        if not feeds:
            return None
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
