"""`dat/`: every archive there is, by its key, and `dat/KEY+VERSION` as it was at a version.

A well-formed name is a directory at once, without asking anybody; all other names do not exist.
Listed is only what is held.
"""

from __future__ import annotations

import re
import stat
from typing import TYPE_CHECKING

from datfs.fs.archive_view import ArchiveDirectory, ArchiveView, Deadlines
from datfs.fs.node import UNTIL_INVALIDATED_S, Attributes, Directory, Identity, Link, Node

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datfs.fs.ports import World
    from datfs.fs.waiting import WaitingRoom

# One spelling for one directory, or the kernel would see it in two places: lower case, and no
# leading zeros.
_NAME = re.compile(r"([0-9a-f]{64})(?:\+(0|[1-9][0-9]{0,15}))?")
_MAX_VERSION = 2**53 - 1


def archive_top(key: bytes, version: int | None = None) -> Identity:
    """The identity of an archive's top directory below `dat/`."""
    space = b"dat" + key + (b"" if version is None else version.to_bytes(8, "big"))
    return Identity(space, "")


class DatDirectory(Directory):
    """The directory of all archives."""

    __slots__ = ("_deadlines", "_room", "_world")

    def __init__(
        self, identity: Identity, world: World, *, room: WaitingRoom, deadlines: Deadlines
    ) -> None:
        super().__init__(identity)
        self._world = world
        self._room = room
        self._deadlines = deadlines

    @property
    def names_valid_s(self) -> float:
        """For good: which names exist is a matter of their form."""
        return UNTIL_INVALIDATED_S

    def attributes(self) -> Attributes:
        """Anybody may look, nobody may change."""
        return Attributes(mode=stat.S_IFDIR | 0o555, valid_s=UNTIL_INVALIDATED_S)

    async def lookup(self, name: str) -> Node | None:
        """The archive of a key; never waits."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        key, version = bytes.fromhex(match[1]), None if match[2] is None else int(match[2])
        if version is not None and version > _MAX_VERSION:
            return None
        node = self._archive(name, key, version)
        if not isinstance(node, Link):
            self._world.archive(key)  # who asks by name will want it: peers are looked for now
        return node

    def entries(self) -> Iterator[tuple[str, Node]]:
        """The archives of which something is in the store."""
        for key in self._world.held_archives():
            yield key.hex(), self._archive(key.hex(), key, None)

    def _archive(self, name: str, key: bytes, version: int | None) -> Node:
        if key == self._world.identity and version is None:
            # One archive that can be written has one place, so that the kernel has one cache of it.
            return Link(self.identity.child(name), "../me")
        view = ArchiveView(
            lambda: self._world.archive(key),
            room=self._room,
            deadlines=self._deadlines,
            version=version,
        )
        return ArchiveDirectory(view, archive_top(key, version))
