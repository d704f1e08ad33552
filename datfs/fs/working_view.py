"""Own archives as directories that can be written.

All state of what is being written is staging's (`WorkingArchive`); here it gets the shape of nodes
and handles. Whatever else changes the archive (the daemon's services) is told to
`datfs.fs.invalidation`, so the kernel may keep names, attributes and pages for good.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from datfs.errors import EntryMissing
from datfs.fs.archive_view import attributes_of
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
from datfs.staging.working_archive import Released

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datfs.hyperdrive.stat import Stat
    from datfs.staging.working_archive import FileHandle, WorkingArchive, WorkingEntry


class WorkingView:
    """One own archive in one place of the tree; its nodes share this object."""

    __slots__ = ("cached", "working")

    def __init__(self, working: WorkingArchive, *, cached: bool = True) -> None:
        """Makes a view.

        Args:
            working: The archive.
            cached: Whether the kernel may keep what it sees until it is invalidated.
        """
        self.working = working
        self.cached = cached

    @property
    def valid_s(self) -> float:
        """How long the kernel may believe names and attributes."""
        return UNTIL_INVALIDATED_S if self.cached else 0.0

    def node(self, identity: Identity, entry: WorkingEntry) -> Node:
        """The node of an entry."""
        if entry.stat.is_directory:
            return WorkingDirectory(self, identity)
        return WorkingFile(self, identity, entry.stat)

    def create(self, identity: Identity, mode: int, flags: int) -> tuple[Node, OpenFile]:
        """Makes an empty file and opens it."""
        handle = self.working.create(identity.path, mode)
        node = WorkingFile(self, identity, handle.stat())
        return node, node.opened(handle, flags)


class WorkingDirectory(Directory):
    """A directory of an own archive."""

    __slots__ = ("_last", "_view", "_working")

    def __init__(self, view: WorkingView, identity: Identity) -> None:
        super().__init__(identity)
        self._view = view
        self._working = view.working
        self._last = Attributes(mode=0)

    @property
    def names_valid_s(self) -> float:
        """For good, unless the view is not cached."""
        return self._view.valid_s

    def attributes(self) -> Attributes:
        """Those of the entry; a removed directory keeps its last ones."""
        if self.attached:
            entry = self._working.lookup(self.identity.path or "/")
            if entry is None:
                raise EntryMissing(self.identity.path)
            self._last = attributes_of(entry.stat, self._view.valid_s)
        return self._last

    async def lookup(self, name: str) -> Node | None:
        """The file or directory of a name."""
        identity = self.identity.child(name)
        entry = self._working.lookup(identity.path)
        return None if entry is None else self._view.node(identity, entry)

    def entries(self) -> Iterator[tuple[str, Node]]:
        """All names."""
        return ((name, node) for name, node, _ in self.entries_with_attributes())

    def entries_with_attributes(self) -> Iterator[tuple[str, Node, Attributes | None]]:
        """The archive lists names and Stats at once."""
        if self.attached:
            valid_s = self._view.valid_s
            for name, entry in self._working.list_directory(self.identity.path or "/"):
                node = self._view.node(self.identity.child(name), entry)
                yield name, node, attributes_of(entry.stat, valid_s)

    async def create(self, name: str, mode: int, flags: int) -> tuple[Node, OpenFile]:
        """Makes a file; it becomes a version when it is released."""
        if not flags & os.O_EXCL:
            # Made by somebody else since the kernel looked.
            node = await self.lookup(name)
            if isinstance(node, File):
                return node, await node.open(flags)
        return self._view.create(self.identity.child(name), mode, flags)

    async def mkdir(self, name: str, mode: int) -> Node:
        """Makes a directory: one version."""
        identity = self.identity.child(name)
        self._working.mkdir(identity.path, mode)
        return WorkingDirectory(self._view, identity)

    async def unlink(self, name: str) -> None:
        """Removes a file: one version, unless it was none yet."""
        self._working.unlink(self.identity.child(name).path)

    async def rmdir(self, name: str) -> None:
        """Removes an empty directory: one version."""
        self._working.rmdir(self.identity.child(name).path)

    async def rename(self, name: str, target: Directory, new_name: str, *, replace: bool) -> bool:
        """Renames: one version with one signature; a file may be completed under its new name."""
        old, new = self.identity.child(name).path, target.identity.child(new_name).path
        before = self._working.lookup(old)
        self._working.rename(old, new, replace=replace)
        after = self._working.lookup(new)
        return before is None or after is None or before.stat.size != after.stat.size

    async def set_attributes(self, change: AttributeChange, opened: OpenFile | None) -> None:
        """Sets mode and times: a version."""
        path = self.identity.path or "/"
        if change.size is not None:
            refuse(errno.EISDIR)
        if change.mode is not None:
            self._working.chmod(path, change.mode)
        if change.mtime_ms is not None:
            self._working.set_times(path, change.mtime_ms)

    async def fsync(self) -> None:
        """Syncs the committed feeds."""
        await self._working.sync()


class WorkingFile(File):
    """A file of an own archive, with what is being written to it."""

    __slots__ = ("_handles", "_last", "_view", "_working")

    def __init__(self, view: WorkingView, identity: Identity, now: Stat) -> None:
        super().__init__(identity)
        self._view = view
        self._working = view.working
        self._last = now
        self._handles: list[FileHandle] = []  # open ones; any of them knows the file without name

    def attributes(self) -> Attributes:
        """As readers see the file now."""
        return attributes_of(self.stat(), self._view.valid_s)

    def stat(self) -> Stat:
        """What staging says of the file now; an unlinked one is known by its handles."""
        if self._handles:
            self._last = self._handles[-1].stat()
        elif self.attached:
            entry = self._working.lookup(self.identity.path)
            if entry is None:
                raise EntryMissing(self.identity.path)
            self._last = entry.stat
        return self._last

    async def open(self, flags: int) -> OpenFile:
        """Opens it, and empties it for O_TRUNC."""
        if not self.attached:
            refuse(errno.ENOENT)
        write = wants_write(flags)
        handle = self._working.open(
            self.identity.path, write=write, truncate=write and bool(flags & os.O_TRUNC)
        )
        return self.opened(handle, flags)

    def opened(self, handle: FileHandle, flags: int) -> OpenFile:
        """One more handle of this file."""
        self._handles.append(handle)
        return _Working(self, handle, append=bool(flags & os.O_APPEND), cached=self._view.cached)

    def closed(self, handle: FileHandle) -> None:
        """A handle is about to end."""
        self._last = handle.stat()
        self._handles.remove(handle)

    async def set_attributes(self, change: AttributeChange, opened: OpenFile | None) -> None:
        """Sets size, mode and times, through a writing handle if there is one to go through."""
        handle = self._writing_handle(opened)
        path = self.identity.path
        if change.size is not None:
            if handle is not None:
                handle.truncate(change.size)
            else:
                await self._working.truncate(path, change.size)
        if change.mode is not None:
            if handle is not None:
                handle.chmod(change.mode)
            else:
                self._working.chmod(path, change.mode)
        if change.mtime_ms is not None:
            if handle is not None:
                handle.set_times(change.mtime_ms)
            else:
                self._working.set_times(path, change.mtime_ms)

    def _writing_handle(self, opened: OpenFile | None) -> FileHandle | None:
        if isinstance(opened, _Working) and opened.handle.writable:
            return opened.handle
        if self.attached:
            return None
        writing = [handle for handle in self._handles if handle.writable]
        if not writing:
            refuse(errno.ENOENT)
        return writing[-1]


class _Working(OpenFile):
    """One open(2) of a file in an own archive."""

    __slots__ = ("_append", "_file", "direct_io", "handle", "keep_cache")

    def __init__(
        self, file: WorkingFile, handle: FileHandle, *, append: bool, cached: bool
    ) -> None:
        self.handle = handle
        self._file = file
        self._append = append
        self.direct_io = not cached
        self.keep_cache = cached

    async def read(self, offset: int, size: int) -> bytes:
        return self.handle.read(offset, size)

    async def write(self, offset: int, data: bytes) -> None:
        # The kernel takes the end of an O_APPEND file from what it caches; ours is the truth.
        self.handle.write(self.handle.stat().size if self._append else offset, data)

    async def flush(self) -> bool:
        return self.handle.flush()

    async def fsync(self) -> None:
        await self.handle.fsync()

    async def release(self) -> bool:
        self._file.closed(self.handle)
        return await self.handle.release() is Released.REVERTED
