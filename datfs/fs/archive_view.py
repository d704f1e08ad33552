"""Archives as read-only directories: those of others, and any archive as it was at a version.

The kernel may keep names, attributes and pages for good: a new version is told to
`datfs.fs.invalidation`, an old one never changes. Nothing here waits for the network but `ready`,
the first look into an archive of which nothing is here, and a read of blocks that are not here.
"""

from __future__ import annotations

import errno
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datfs.errors import ArchiveUnreachable, BlockMissing, EntryMissing
from datfs.fs.node import (
    UNTIL_INVALIDATED_S,
    AttributeChange,
    Attributes,
    Directory,
    File,
    Identity,
    Node,
    OpenFile,
    refuse,
    wants_write,
)
from datfs.hyperdrive.extent import missing_blocks
from datfs.hyperdrive.path_rules import is_visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datfs.fs.ports import ArchiveSource
    from datfs.fs.waiting import WaitingRoom
    from datfs.hyperdrive.archive import Archive
    from datfs.hyperdrive.checkout import Checkout
    from datfs.hyperdrive.entry import Entry
    from datfs.hyperdrive.stat import Stat


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How long handlers may wait; a little more than what they wait for allows itself."""

    metadata_s: float = 6.0
    data_s: float = 35.0


def attributes_of(entry_stat: Stat, valid_s: float) -> Attributes:
    """The attributes of an archive's Stat."""
    return Attributes(
        mode=entry_stat.mode,
        size=entry_stat.size,
        mtime_ms=entry_stat.mtime_ms,
        ctime_ms=entry_stat.ctime_ms,
        valid_s=valid_s,
    )


class ArchiveView:
    """One archive, or one version of it, in one place of the tree; its nodes share this object."""

    __slots__ = ("_checkout", "_find", "_version", "cached", "deadlines", "is_entered", "room")

    def __init__(
        self,
        find: Callable[[], ArchiveSource],
        *,
        room: WaitingRoom,
        deadlines: Deadlines,
        version: int | None = None,
        cached: bool = True,
    ) -> None:
        """Makes a view; asks for nothing yet.

        Args:
            find: Gives the archive whenever it is needed; one that was idle for long may have been
                closed meanwhile and be another object.
            room: Where handlers that wait are counted.
            deadlines: How long they may.
            version: The version to show, else always the newest that is here.
            cached: Whether the kernel may keep what it sees until it is invalidated.
        """
        self._find = find
        self.room = room
        self.deadlines = deadlines
        self.cached = cached
        self._version = version
        self._checkout: tuple[Archive, Checkout] | None = None
        self.is_entered = False  # listing many archives opens none of them

    @property
    def source(self) -> ArchiveSource:
        """The archive."""
        return self._find()

    @property
    def valid_s(self) -> float:
        """How long the kernel may believe names and attributes."""
        return UNTIL_INVALIDATED_S if self.cached else 0.0

    async def ready(self) -> None:
        """Returns when there is something to show.

        Raises:
            ArchiveUnreachable: Nobody has it, or nobody has this version of it yet.
            TooBusy: Too many handlers wait.
        """
        self.is_entered = True
        source = self.source
        source.used()
        archive = source.archive
        if archive.version == 0 or not self._is_here(archive):
            async with self.room.seat(archive.key, self.deadlines.metadata_s):
                await source.ready()
            if not self._is_here(archive):
                raise ArchiveUnreachable(f"version {self._version} of the archive is not here")

    def _is_here(self, archive: Archive) -> bool:
        return self._version is None or archive.version >= self._version

    def lookup(self, path: str) -> Entry | None:
        """The entry of a path as this view shows it; None too while nothing is here."""
        shown = self._shown()
        return None if shown is None else shown.lookup(path)

    def list_directory(self, path: str) -> Iterator[tuple[str, Entry]]:
        """The entries of a directory as this view shows it."""
        shown = self._shown()
        return iter(()) if shown is None else shown.list_directory(path)

    def _shown(self) -> Archive | Checkout | None:
        archive = self.source.archive
        if self._version is None:
            return archive
        if not self._is_here(archive):
            return None
        if self._checkout is None or self._checkout[0] is not archive:
            self._checkout = archive, archive.checkout(self._version)
        return self._checkout[1]

    def is_whole(self, file_stat: Stat) -> bool:
        """Whether all blocks of a file are here."""
        content = self.source.archive.content
        if content is None:
            return file_stat.size == 0
        return missing_blocks(content, file_stat, 0, file_stat.size) is None

    async def read(self, file_stat: Stat, offset: int, size: int) -> bytes:
        """Bytes of a file: from the store if they are here, else from peers.

        Raises:
            BlockUnavailable: A block did not come in time.
            TooBusy: Too many handlers wait.
        """
        source = self.source
        try:
            return source.archive.read(file_stat, offset, size)
        except BlockMissing:
            async with self.room.seat(source.archive.key, self.deadlines.data_s):
                return await source.read(file_stat, offset, size)

    def node(self, identity: Identity, entry: Entry) -> Node:
        """The node of an entry."""
        if entry.stat.is_directory:
            return ArchiveDirectory(self, identity)
        return ArchiveFile(self, identity, entry)


class ArchiveDirectory(Directory):
    """A directory of a read-only archive; its top one exists before anything of it is here."""

    __slots__ = ("_view",)

    refusal = errno.EROFS

    def __init__(self, view: ArchiveView, identity: Identity) -> None:
        super().__init__(identity)
        self._view = view

    @property
    def names_valid_s(self) -> float:
        """For good, unless the view is not cached."""
        return self._view.valid_s

    def attributes(self) -> Attributes:
        """Those of the entry; the top of an archive has some before it has an entry."""
        view = self._view
        entry = view.lookup(self.identity.path or "/") if view.is_entered else None
        if entry is not None:
            is_top_of_nothing = not self.identity.path and view.source.archive.version == 0
            return attributes_of(entry.stat, 0.0 if is_top_of_nothing else view.valid_s)
        if self.identity.path and self.attached:
            raise EntryMissing(self.identity.path)
        return Attributes(mode=stat.S_IFDIR | 0o755)

    async def ready(self) -> None:
        """Waits for the archive's first metadata."""
        await self._view.ready()

    async def lookup(self, name: str) -> Node | None:
        """Waits for the archive's first metadata too."""
        await self._view.ready()
        identity = self.identity.child(name)
        entry = self._view.lookup(identity.path) if is_visible(name) else None
        return None if entry is None else self._view.node(identity, entry)

    def entries(self) -> Iterator[tuple[str, Node]]:
        """All names that can be directory entries."""
        return ((name, node) for name, node, _ in self.entries_with_attributes())

    def entries_with_attributes(self) -> Iterator[tuple[str, Node, Attributes | None]]:
        """The archive lists names and Stats at once."""
        valid_s = self._view.valid_s
        for name, entry in self._view.list_directory(self.identity.path or "/"):
            if is_visible(name):
                node = self._view.node(self.identity.child(name), entry)
                yield name, node, attributes_of(entry.stat, valid_s)

    async def set_attributes(self, change: AttributeChange, opened: OpenFile | None) -> None:
        """Refuses: read-only."""
        refuse(errno.EROFS)


class ArchiveFile(File):
    """A file of a read-only archive.

    It is read as it is in the newest version at each moment, for that is what the kernel's pages,
    which all handles share, must hold. One that is gone is read as it last was.
    """

    __slots__ = ("_last", "_view")

    def __init__(self, view: ArchiveView, identity: Identity, entry: Entry) -> None:
        super().__init__(identity)
        self._view = view
        self._last = entry.stat

    def attributes(self) -> Attributes:
        """Those of the entry."""
        return attributes_of(self.stat(), self._view.valid_s)

    def stat(self) -> Stat:
        """What the archive says of the file now."""
        if self.attached:
            entry = self._view.lookup(self.identity.path)
            if entry is None or entry.stat.is_directory:
                raise EntryMissing(self.identity.path)
            self._last = entry.stat
        return self._last

    async def open(self, flags: int) -> OpenFile:
        """Opens it for reading."""
        if wants_write(flags):
            refuse(errno.EROFS)
        self._view.source.used()
        return _Reading(self, self._view)

    async def set_attributes(self, change: AttributeChange, opened: OpenFile | None) -> None:
        """Refuses: read-only."""
        refuse(errno.EROFS)


class _Reading(OpenFile):
    """One open(2) of a file in a read-only archive."""

    __slots__ = ("_file", "_view", "direct_io")

    keep_cache = True

    def __init__(self, file: ArchiveFile, view: ArchiveView) -> None:
        self._file = file
        self._view = view
        self.direct_io = not view.cached or (
            view.room.background_is_scarce and not view.is_whole(file.stat())
        )

    async def read(self, offset: int, size: int) -> bytes:
        return await self._view.read(self._file.stat(), offset, size)
