"""The whole mounted tree: `me/`, `friends/`, `dat/`, `lobby/`, `.datfs/`; or one archive alone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from datfs.fs.archive_view import ArchiveDirectory, ArchiveView, Deadlines
from datfs.fs.dat_directory import DatDirectory, archive_top
from datfs.fs.lobby_directory import LobbiesDirectory
from datfs.fs.node import Directory, Identity, Link, Node
from datfs.fs.status_directory import status_directory
from datfs.fs.virtual import ComputedDirectory, FixedDirectory
from datfs.fs.working_view import WorkingDirectory, WorkingView
from datfs.hyperdrive.path_rules import is_visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datfs.fs.ports import ArchiveSource, World
    from datfs.fs.waiting import WaitingRoom
    from datfs.staging.working_archive import WorkingArchive

_TOP = Identity(b"world", "")
ME_TOP = Identity(b"me", "")
"""The identity of `me/`, for `datfs.fs.invalidation`."""


def world_tree(world: World, *, room: WaitingRoom, deadlines: Deadlines) -> Directory:
    """The root of a user's whole world."""
    friends = _TOP.child("friends")
    return FixedDirectory(
        _TOP,
        {
            "me": WorkingDirectory(WorkingView(world.me), ME_TOP),
            "friends": ComputedDirectory(friends, partial(_friends, friends, world)),
            "dat": DatDirectory(_TOP.child("dat"), world, room=room, deadlines=deadlines),
            "lobby": LobbiesDirectory(_TOP.child("lobby"), world, room=room, deadlines=deadlines),
            ".datfs": status_directory(_TOP.child(".datfs"), world.identity, world.status),
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


def _friends(here: Identity, world: World) -> Mapping[str, Node]:
    """`friends/`: a link into `dat/` for each; their names come from other people's files."""
    return {
        name: Link(here.child(name), f"../dat/{key.hex()}")
        for name, key in world.friends().items()
        if is_visible(name)
    }
