"""`lobby/KEY/`: the signal files of a session, and what datfs itself tells and does there.

The files are the union of the archives of those who take part; which archive a name comes from,
and who may write it, the lobby says (`LobbyView`). Names of datfs's own (`new-offer`, `state`,
`password`, `peers`) are in no archive and cannot be shadowed by one. Everything here is small and
moves by itself, so the kernel caches nothing of it.
"""

from __future__ import annotations

import errno
import re
import stat
from functools import partial
from typing import TYPE_CHECKING

from datfs.fs.archive_view import ArchiveView, Deadlines
from datfs.fs.node import (
    Attributes,
    Directory,
    Identity,
    Link,
    Node,
    OpenFile,
    refuse,
)
from datfs.fs.sealed_file import SealedFile
from datfs.fs.signal_files import SignalFile, signal_node, signal_nodes
from datfs.fs.virtual import ComputedDirectory, ComputedFile, ControlFile, TextFile, as_json
from datfs.fs.working_view import WorkingView
from datfs.hyperdrive.path_rules import is_visible
from datfs.staging.working_archive import WorkingArchive

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from datfs.fs.ports import ArchiveSource, LobbyView, PeerView, SignalsView, World
    from datfs.fs.waiting import WaitingRoom

MAX_PASSWORD_BYTES = 4096
"""What may be written to `password`; which password is too long, the lobby says."""

_KEY = re.compile(r"[0-9a-f]{64}")


class LobbiesDirectory(Directory):
    """`lobby/`: every lobby by its key; listed are those that are hosted or joined."""

    __slots__ = ("_deadlines", "_room", "_world")

    def __init__(
        self, identity: Identity, world: World, *, room: WaitingRoom, deadlines: Deadlines
    ) -> None:
        super().__init__(identity)
        self._world = world
        self._room = room
        self._deadlines = deadlines

    def attributes(self) -> Attributes:
        """Anybody may look, nobody may change."""
        return Attributes(mode=stat.S_IFDIR | 0o555)

    async def lookup(self, name: str) -> Node | None:
        """The lobby of a key; never waits."""
        return self._lobby(bytes.fromhex(name)) if _KEY.fullmatch(name) else None

    def entries(self) -> Iterator[tuple[str, Node]]:
        """The lobbies that are hosted or joined."""
        for key in self._world.lobbies():
            yield key.hex(), self._lobby(key)

    def _lobby(self, key: bytes) -> Node:
        return LobbyTop(
            Identity(b"lobby" + key, ""),
            self._world.lobby(key),
            room=self._room,
            deadlines=self._deadlines,
        )


class UnionDirectory(Directory):
    """A directory of the union; files are read from, and written to, the archive that counts."""

    __slots__ = ("_deadlines", "_lobby", "_room")

    def __init__(
        self, identity: Identity, lobby: LobbyView, *, room: WaitingRoom, deadlines: Deadlines
    ) -> None:
        super().__init__(identity)
        self._lobby = lobby
        self._room = room
        self._deadlines = deadlines

    def attributes(self) -> Attributes:
        """The mounter may try to write; names of others are refused one by one."""
        return Attributes(mode=stat.S_IFDIR | 0o755)

    async def lookup(self, name: str) -> Node | None:
        """The file or directory that counts under a name; never waits."""
        return self._counting(name)

    def entries(self) -> Iterator[tuple[str, Node]]:
        """The names of the union."""
        for name in self._lobby.names(self.identity.path or "/"):
            node = self._counting(name)
            if node is not None:
                yield name, node

    async def create(self, name: str, mode: int, flags: int) -> tuple[Node, OpenFile]:
        """Makes a file in the own archive that the name belongs to."""
        view = WorkingView(self._writer(name), cached=False)
        return view.create(self._own_file(name), mode, flags)

    async def mkdir(self, name: str, mode: int) -> Node:
        """Makes a directory in the own archive that the name belongs to."""
        identity = self.identity.child(name)
        self._writer(name).mkdir(identity.path, mode)
        return self._below(identity)

    async def unlink(self, name: str) -> None:
        """Removes a file of one's own."""
        self._writer(name).unlink(self.identity.child(name).path)

    async def rmdir(self, name: str) -> None:
        """Removes a directory of one's own."""
        self._writer(name).rmdir(self.identity.child(name).path)

    async def rename(self, name: str, target: Directory, new_name: str, *, replace: bool) -> bool:
        """Renames where both names belong to the same own archive."""
        writer = self._writer(name)
        assert isinstance(target, UnionDirectory)  # of the same space, hence of the same lobby
        if target._writer(new_name) is not writer:
            refuse(errno.EXDEV)
        writer.rename(
            self.identity.child(name).path, target.identity.child(new_name).path, replace=replace
        )
        return False  # nothing here is cached

    def _counting(self, name: str) -> Node | None:
        identity = self.identity.child(name)
        holder = self._lobby.holder(identity.path) if is_visible(name) else None
        node: Node | None = None
        if isinstance(holder, WorkingArchive):
            own = holder.lookup(identity.path)
            if own is not None:
                node = WorkingView(holder, cached=False).node(self._own_file(name), own)
        elif holder is not None:
            node = self._file_of(holder, name)
        return self._below(identity) if isinstance(node, Directory) else node

    def _own_file(self, name: str) -> Identity:
        return self._in_holder(b"own", name)

    def _file_of(self, holder: ArchiveSource, name: str) -> Node | None:
        identity = self._in_holder(holder.archive.key, name)
        entry = holder.archive.lookup(identity.path)
        if entry is None:
            return None
        view = ArchiveView(lambda: holder, room=self._room, deadlines=self._deadlines, cached=False)
        view.is_entered = True
        if entry.stat.is_directory:
            return view.node(identity, entry)
        return SealedFile(view, identity, entry, self._lobby)

    def _in_holder(self, holder: bytes, name: str) -> Identity:
        """A file's identity: the same name may come from another archive tomorrow."""
        identity = self.identity.child(name)
        return identity._replace(space=identity.space + holder)

    def _below(self, identity: Identity) -> Directory:
        return UnionDirectory(identity, self._lobby, room=self._room, deadlines=self._deadlines)

    def _writer(self, name: str) -> WorkingArchive:
        return self._lobby.writer(self.identity.child(name).path)


class LobbyTop(UnionDirectory):
    """The top of a lobby's directory: the union, and before it the names of datfs's own."""

    __slots__ = ("_own",)

    def __init__(
        self, identity: Identity, lobby: LobbyView, *, room: WaitingRoom, deadlines: Deadlines
    ) -> None:
        super().__init__(identity, lobby, room=room, deadlines=deadlines)
        # A lobby's space holds the paths of its archives; what is in no archive has its own.
        own = Identity(identity.space + b"none", "")
        self._own: dict[str, Node] = {
            "new-offer": ComputedFile(own.child("new-offer"), lobby.new_offer),
            "state": TextFile(own.child("state"), lambda: f"{lobby.state()}\n".encode()),
            "password": ControlFile(
                own.child("password"), lobby.take_password, limit_byte_length=MAX_PASSWORD_BYTES
            ),
            "peers": PeersDirectory(own.child("peers"), lobby),
        }

    async def ready(self) -> None:
        """Waits for the host's first metadata; what is datfs's own is shown in any case."""
        async with self._room.seat(self._lobby.key, self._deadlines.metadata_s):
            await self._lobby.ready()

    async def lookup(self, name: str) -> Node | None:
        """A node of datfs's own, else what counts in the lobby."""
        return self._own.get(name) or self._file(name)

    def entries(self) -> Iterator[tuple[str, Node]]:
        """The names of datfs's own and those of the lobby."""
        yield from self._own.items()
        signals = self._lobby.signals()
        if signals is not None:
            yield from signal_nodes(self._space_of(signals), signals)
            return
        for name, node in super().entries():
            if name not in self._own:
                yield name, node

    async def create(self, name: str, mode: int, flags: int) -> tuple[Node, OpenFile]:
        """Makes a file of one's own."""
        signals = self._lobby.signals()
        if signals is None:
            return await super().create(name, mode, flags)
        signals.check_writable(name)
        node = SignalFile(self._space_of(signals).child(name), signals, name)
        return node, await node.open(flags)

    async def unlink(self, name: str) -> None:
        """Removes a file of one's own."""
        signals = self._lobby.signals()
        if signals is None:
            await super().unlink(name)
            return
        signals.check_writable(name)
        if signals.read(name) is None:
            refuse(errno.ENOENT, name)
        await signals.remove(name)

    def _file(self, name: str) -> Node | None:
        signals = self._lobby.signals()
        if signals is None:
            return self._counting(name)
        return signal_node(self._space_of(signals), signals, name)

    def _space_of(self, signals: SignalsView) -> Identity:
        """Another one when the lobby becomes known, for its files are then others."""
        kind = b"waiting" if signals.lines is None else b"log"
        return Identity(self.identity.space + kind, "")

    def _writer(self, name: str) -> WorkingArchive:
        if name in self._own or self._lobby.signals() is not None:
            refuse(errno.EPERM, name)
        return super()._writer(name)


class PeersDirectory(ComputedDirectory):
    """`peers/`: a directory for each peer of the lobby; `rm -r` parts from one."""

    __slots__ = ("_lobby",)

    def __init__(self, identity: Identity, lobby: LobbyView) -> None:
        super().__init__(identity, self._peers)
        self._lobby = lobby

    def attributes(self) -> Attributes:
        """The mounter may remove peers."""
        return Attributes(mode=stat.S_IFDIR | 0o755)

    async def rmdir(self, name: str) -> None:
        """Parts from a peer, whatever its directory still shows."""
        if await self.lookup(name) is None:
            refuse(errno.ENOENT, name)
        await self._lobby.dismiss(bytes.fromhex(name))

    def _peers(self) -> Mapping[str, Node]:
        peers = ((key.hex(), self._lobby.peer(key)) for key in self._lobby.peers())
        return {
            name: PeerDirectory(self.identity.child(name), name, peer)
            for name, peer in peers
            if peer is not None
        }


class PeerDirectory(ComputedDirectory):
    """`peers/HASH/`: what is known of a peer, and the pipes of its channel as links."""

    __slots__ = ("_peer",)

    def __init__(self, identity: Identity, name: str, peer: PeerView) -> None:
        super().__init__(identity, partial(_peer_files, identity, name, peer))
        self._peer = peer

    def attributes(self) -> Attributes:
        """The mounter may remove what is in it, on the way to removing it."""
        return Attributes(mode=stat.S_IFDIR | 0o755)

    async def unlink(self, name: str) -> None:
        """Hides a name: `rm -r` removes a directory's files before it."""
        if await self.lookup(name) is None:
            refuse(errno.ENOENT, name)
        self._peer.hide(name)


def _peer_files(here: Identity, name: str, peer: PeerView) -> Mapping[str, Node]:
    nodes: dict[str, Node] = {
        "state": TextFile(here.child("state"), lambda: f"{peer.state()}\n".encode()),
        "stats.json": TextFile(here.child("stats.json"), lambda: as_json(peer.stats())),
        "profile.json": Link(here.child("profile.json"), f"../../../../dat/{name}/profile.json"),
    }
    if peer.session_data() is not None:
        nodes["session-data"] = TextFile(
            here.child("session-data"), lambda: peer.session_data() or b""
        )
    for pipe, path in peer.pipes().items():
        nodes[pipe] = Link(here.child(pipe), str(path))
    return {name: node for name, node in nodes.items() if not peer.is_hidden(name)}
