"""Serves a whole world at its last argument, until SIGTERM: a child of the tests.

serve_world.py FOLDER MOUNTPOINT expects an archive of somebody else in FOLDER/friend. Besides that
there are archives that nobody has (`NOBODY`) and one whose blocks never come (`BLOCKLESS`); the
lobby is the friend's archive and an own one that takes names that begin with the own identity.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import trio
import trio.lowlevel

from datfs.errors import ArchiveUnreachable, NotYours
from datfs.fs.archive_view import Deadlines
from datfs.fs.mount import Tree
from datfs.fs.root import world_tree
from datfs.fs.waiting import WaitingRoom
from datfs.hypercore.storage import MemoryStorage
from datfs.hyperdrive.archive import Archive, ArchiveStorage
from datfs.hyperdrive.folder import open_folder
from datfs.staging.rules import NoRules
from tests.fs.own_archive import own_archive, working_archive
from tests.fs.serving import LocalSource, run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from datfs.fs.ports import ArchiveSource, LobbyView, PeerView, SessionDataView, StatusView
    from datfs.hyperdrive.stat import Stat
    from datfs.staging.working_archive import WorkingArchive

BLOCKLESS = b"\xbb" * 32
DEADLINES = Deadlines(metadata_s=1.5, data_s=1.5)


class Nobody:
    """An archive that nobody has."""

    def __init__(self, key: bytes) -> None:
        storage = ArchiveStorage(metadata=MemoryStorage(), content=MemoryStorage())
        self.archive = Archive.create_remote(storage, key)

    def used(self) -> None:
        pass

    async def ready(self) -> None:
        await trio.sleep(1)
        raise ArchiveUnreachable("nobody who has it answered")

    async def read(self, stat: Stat, offset: int, size: int) -> bytes:
        raise AssertionError("nothing of it can have been opened")


class Blockless(LocalSource):
    """An archive whose blocks never come, not even a refusal."""

    async def read(self, stat: Stat, offset: int, size: int) -> bytes:
        await trio.sleep_forever()
        raise AssertionError


class Peer:
    """The one peer of the lobby."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("in", "out"):
            os.mkfifo(folder / name)
        self.hidden: set[str] = set()
        self.is_gone = False

    def form(self, path: str) -> None:
        return None

    def state(self) -> str:
        return "connected"

    def stats(self) -> Mapping[str, object]:
        return {"messages": 3}

    def session_data(self) -> bytes | None:
        return b"here"

    def pipes(self) -> Mapping[str, Path]:
        return {name: self._folder / name for name in ("in", "out")}

    def hide(self, name: str) -> None:
        self.hidden.add(name)

    def is_hidden(self, name: str) -> bool:
        return name in self.hidden


class Lobby:
    """The friend's archive and an own writer's."""

    def __init__(self, world: World, own: WorkingArchive, host: ArchiveSource) -> None:
        self._world = world
        self._own = own
        self._host = host
        self._offers = 0
        self._peer = Peer(world.folder)

    @property
    def key(self) -> bytes:
        return self._host.archive.key

    async def ready(self) -> None:
        await self._host.ready()

    def signals(self) -> None:
        return None

    def _is_own(self, path: str) -> bool:
        return path.startswith(f"/{self._world.identity.hex()}.")

    def names(self, path: str) -> Iterable[str]:
        host = [name for name, _ in self._host.archive.list_directory(path)]
        return [*host, *(name for name, _ in self._own.list_directory(path))]

    def holder(self, path: str) -> ArchiveSource | WorkingArchive | None:
        return self._own if self._is_own(path) else self._host

    def writer(self, path: str) -> WorkingArchive:
        if self._is_own(path):
            return self._own
        raise NotYours(path)

    def form(self, path: str) -> None:
        return None

    def state(self) -> str:
        return "waiting for host"

    async def take_password(self, written: bytes) -> None:
        await trio.lowlevel.checkpoint()

    async def new_offer(self) -> bytes:
        self._offers += 1
        await trio.sleep(0.05)
        return b'{"type": "offer", "sdp": "%d"}\n' % self._offers

    def peers(self) -> Iterable[bytes]:
        return [] if self._peer.is_gone else [self._world.friend.archive.key]

    def peer(self, identity: bytes) -> PeerView | None:
        return self._peer if identity == self._world.friend.archive.key else None

    async def dismiss(self, identity: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self._peer.is_gone = True


class SessionData:
    """Says nothing to anybody, and hears itself."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._said = b""

    def archives(self) -> Iterable[bytes]:
        return [self._key]

    def said(self, key: bytes) -> bytes:
        return self._said

    async def say(self, key: bytes, payload: bytes) -> None:
        self._said = payload

    def heard(self) -> Mapping[str, bytes]:
        return {"1": self._said, "../evil": b""}


class Status:
    """What the daemon says of itself."""

    version = "0.0"

    def __init__(self, folder: Path, key: bytes) -> None:
        self.events = folder / "events"
        self.session_data: SessionDataView = SessionData(key)

    def status(self) -> Mapping[str, object]:
        return {"archives": 1}

    def peers(self) -> list[Mapping[str, object]]:
        return []


class World:
    """Everything that the mount shows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        mine, lobby = (own_archive(folder / name, seed) for seed, name in enumerate(("me", "lb")))
        self.identity = mine.key
        self.me = working_archive(mine, folder / "me", rules=NoRules(), on_commit=_ignore)
        own = working_archive(lobby, folder / "lb", rules=NoRules(), on_commit=_ignore)
        self.friend: ArchiveSource = LocalSource(open_folder(folder / "friend"))
        self.status: StatusView = Status(folder, self.friend.archive.key)
        self._lobby = Lobby(self, own, self.friend)
        blockless = open_folder(folder / "blockless")
        content = blockless.content
        assert content is not None
        content.clear(0, content.length)
        self._sources: dict[bytes, ArchiveSource] = {
            self.identity: LocalSource(mine),
            self.friend.archive.key: self.friend,
            BLOCKLESS: Blockless(blockless),
        }

    def held_archives(self) -> Iterable[bytes]:
        return list(self._sources)

    def archive(self, key: bytes) -> ArchiveSource:
        return self._sources.get(key) or Nobody(key)

    def friends(self) -> Mapping[str, bytes]:
        return {"Ann": self.friend.archive.key, "../evil": self.friend.archive.key}

    def lobbies(self) -> Iterable[bytes]:
        return [b"\x11" * 32]

    def lobby(self, key: bytes) -> LobbyView:
        return self._lobby


def _ignore(_: object) -> None:
    pass


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    room = WaitingRoom(total=40, per_archive=12)
    run(
        Tree(
            root=world_tree(World(folder), room=room, deadlines=DEADLINES),
            store=folder,
            waiting=room,
        ),
        Path(sys.argv[-1]),
    )
