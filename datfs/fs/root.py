"""The whole mounted tree: `me/`, `friends/`, `dat/`, `lobby/`, `.datfs/`; or one archive alone."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from datfs.fs.archive_view import ArchiveDirectory, ArchiveView, Deadlines
from datfs.fs.dat_directory import DatDirectory, archive_top
from datfs.fs.lobby_directory import LobbiesDirectory
from datfs.fs.node import Attributes, Directory, Identity, Link, Node
from datfs.fs.virtual import FixedDirectory, GrowingFile, TextFile, as_json
from datfs.fs.working_view import WorkingDirectory, WorkingView
from datfs.hyperdrive.path_rules import is_visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datfs.fs.ports import ArchiveSource, World
    from datfs.fs.waiting import WaitingRoom
    from datfs.staging.working_archive import WorkingArchive

_TOP = Identity(b"world", "")
ME_TOP = Identity(b"me", "")
"""The identity of `me/`, for `datfs.fs.invalidation`."""


def world_tree(world: World, *, room: WaitingRoom, deadlines: Deadlines) -> Directory:
    """The root of a user's whole world."""
    return FixedDirectory(
        _TOP,
        {
            "me": WorkingDirectory(WorkingView(world.me), ME_TOP),
            "friends": FriendsDirectory(_TOP.child("friends"), world),
            "dat": DatDirectory(_TOP.child("dat"), world, room=room, deadlines=deadlines),
            "lobby": LobbiesDirectory(_TOP.child("lobby"), world, room=room, deadlines=deadlines),
            ".datfs": _status_directory(_TOP.child(".datfs"), world),
        },
    )


def archive_tree(
    source: ArchiveSource,
    *,
    room: WaitingRoom,
    deadlines: Deadlines,
    version: int | None = None,
) -> Directory:
    """The root of a mount that shows one archive read-only."""
    view = ArchiveView(lambda: source, room=room, deadlines=deadlines, version=version)
    return ArchiveDirectory(view, archive_top(source.archive.key, version))


def working_tree(working: WorkingArchive) -> Directory:
    """The root of a mount that shows one own archive, to be written."""
    return WorkingDirectory(WorkingView(working), ME_TOP)


class FriendsDirectory(Directory):
    """`friends/`: a link into `dat/` for each friend."""

    __slots__ = ("_world",)

    def __init__(self, identity: Identity, world: World) -> None:
        super().__init__(identity)
        self._world = world

    def attributes(self) -> Attributes:
        """Anybody may look; friends are changed in profile.json."""
        return Attributes(mode=stat.S_IFDIR | 0o555)

    async def lookup(self, name: str) -> Node | None:
        """The friend of a name."""
        return dict(self.entries()).get(name)

    def entries(self) -> Iterator[tuple[str, Node]]:
        """All friends; their names come from other people's files."""
        for name, key in self._world.friends().items():
            if is_visible(name):
                yield name, Link(self.identity.child(name), f"../dat/{key.hex()}")


def _status_directory(here: Identity, world: World) -> Directory:
    status = world.status

    def text(name: str, content: str) -> Node:
        return TextFile(here.child(name), lambda: content.encode() + b"\n")

    return FixedDirectory(
        here,
        {
            "identity": text("identity", world.identity.hex()),
            "version": text("version", status.version),
            "status.json": TextFile(here.child("status.json"), lambda: as_json(status.status())),
            "peers.json": TextFile(here.child("peers.json"), lambda: as_json(status.peers())),
            "events": GrowingFile(here.child("events"), status.events),
        },
    )
