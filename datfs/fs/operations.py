"""Kernel requests answered out of nodes: the pyfuse3 side of the tree, a few lines a handler.

Every handler is wrapped by `answering`, so that nothing but a `FUSEError` comes out. What the
kernel may cache, and for how long, the nodes say; what changes behind the kernel's back goes
through `datfs.fs.invalidation`. There are no handlers for extended attributes: once one exists,
each file of an `ls -l` costs a request more, for ever.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

import pyfuse3
import trio
from pyfuse3 import EntryAttributes, FileInfo, FUSEError

from datfs.errors import EntryMissing
from datfs.fs.answers import NS_IN_MS, Owner, absence, disk_figures, entry_attributes
from datfs.fs.errno_table import answering, silencing
from datfs.fs.handles import HandleTable, Listing
from datfs.fs.inodes import ROOT_INODE, InodeTable
from datfs.fs.invalidation import Invalidator
from datfs.fs.node import AttributeChange, Directory, File, Link, OpenFile
from datfs.hyperdrive.path_rules import check_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pyfuse3 import (
        FileHandleT,
        FileNameT,
        FlagT,
        InodeT,
        ModeT,
        ReaddirToken,
        RequestContext,
        SetattrFields,
        StatvfsData,
    )

    from datfs.fs.node import Attributes, Node

_DOTS = frozenset({b".", b".."})


class _Opened(NamedTuple):
    """One open(2)."""

    file: OpenFile
    node: Node

    @property
    def space(self) -> bytes:
        """Where its changes count."""
        return self.node.identity.space


class Operations(pyfuse3.Operations):
    """The handlers of one mount."""

    supports_dot_lookup = False  # the kernel resolves . and .. by itself; only NFS export asks
    enable_writeback_cache = False  # it makes streaming writes slower (tried)

    def __init__(self, root: Directory, store: Path) -> None:
        """Serves a tree.

        Args:
            root: Top of the tree.
            store: A path on the disk that statfs(2) speaks for.
        """
        super().__init__()
        self.inodes = InodeTable(root)
        self.initialised = trio.Event()  # set by the kernel's first request
        self.invalidator = Invalidator(self.inodes)
        self._files: HandleTable[_Opened] = HandleTable()
        self._listings: HandleTable[Listing] = HandleTable()
        self._store = store
        self._owner = Owner(os.getuid(), os.getgid())

    def init(self) -> None:
        """The kernel has introduced itself."""
        self.initialised.set()

    # --- names and attributes ------------------------------------------------------------------

    @answering
    async def lookup(
        self,
        parent_inode: InodeT,
        name: FileNameT,
        ctx: RequestContext,
    ) -> EntryAttributes:
        """Gives the entry of a name, or its absence."""
        directory = self._directory(parent_inode)
        text = _known_name(name)
        node = None if text is None else await directory.lookup(text)
        if node is None:
            return absence(directory.names_valid_s)
        return self._remember(node, directory.names_valid_s)

    @silencing
    async def forget(self, inode_list: Sequence[tuple[InodeT, int]]) -> None:
        """Takes lookups back."""
        for inode, lookups in inode_list:
            self.inodes.forget(inode, lookups)

    @answering
    async def getattr(self, inode: InodeT, ctx: RequestContext) -> EntryAttributes:
        """Gives the attributes of an inode."""
        with _looked_up_again():
            return self._entry(inode, self._node(inode).attributes(), 0)

    @answering
    async def setattr(
        self,
        inode: InodeT,
        attr: EntryAttributes,
        fields: SetattrFields,
        fh: FileHandleT | None,
        ctx: RequestContext,
    ) -> EntryAttributes:
        """Changes mode, size and times; owner and group only to what they are."""
        node = self._node(inode)
        if (fields.update_uid and attr.st_uid != self._owner.uid) or (
            fields.update_gid and attr.st_gid != self._owner.gid
        ):
            raise FUSEError(errno.EPERM)
        change = AttributeChange(
            mode=stat.S_IMODE(attr.st_mode) if fields.update_mode else None,
            size=attr.st_size if fields.update_size else None,
            mtime_ms=attr.st_mtime_ns // NS_IN_MS if fields.update_mtime else None,
        )
        if change != AttributeChange():
            opened = None if fh is None else self._files[fh].file
            with self.invalidator.through_mount(node.identity.space), _looked_up_again():
                await node.set_attributes(change, opened)
        return self._entry(inode, node.attributes(), 0)

    @answering
    async def readlink(self, inode: InodeT, ctx: RequestContext) -> FileNameT:
        """Gives the target of a link."""
        node = self._node(inode)
        if not isinstance(node, Link):
            raise FUSEError(errno.EINVAL)
        return os.fsencode(node.target)

    # --- changes of names ----------------------------------------------------------------------

    @answering
    async def create(
        self,
        parent_inode: InodeT,
        name: FileNameT,
        mode: ModeT,
        flags: FlagT,
        ctx: RequestContext,
    ) -> tuple[FileInfo, EntryAttributes]:
        """Makes a file and opens it."""
        directory = self._directory(parent_inode)
        with self.invalidator.through_mount(directory.identity.space):
            node, opened = await directory.create(check_name(name), stat.S_IMODE(mode), flags)
        entry = self._remember(node, directory.names_valid_s)
        return self._file_info(opened, self._node(entry.st_ino)), entry

    @answering
    async def mknod(
        self,
        parent_inode: InodeT,
        name: FileNameT,
        mode: ModeT,
        rdev: int,
        ctx: RequestContext,
    ) -> EntryAttributes:
        """Makes a regular file; Dat v1 holds no devices, FIFOs and sockets."""
        directory = self._directory(parent_inode)
        if not stat.S_ISREG(mode):
            raise FUSEError(errno.EROFS if directory.refusal == errno.EROFS else errno.EPERM)
        flags = os.O_WRONLY | os.O_CREAT
        with self.invalidator.through_mount(directory.identity.space):
            node, opened = await directory.create(check_name(name), stat.S_IMODE(mode), flags)
            await opened.release()
        return self._remember(node, directory.names_valid_s)

    @answering
    async def mkdir(
        self,
        parent_inode: InodeT,
        name: FileNameT,
        mode: ModeT,
        ctx: RequestContext,
    ) -> EntryAttributes:
        """Makes a directory."""
        directory = self._directory(parent_inode)
        with self.invalidator.through_mount(directory.identity.space):
            node = await directory.mkdir(check_name(name), stat.S_IMODE(mode))
        return self._remember(node, directory.names_valid_s)

    @answering
    async def unlink(self, parent_inode: InodeT, name: FileNameT, ctx: RequestContext) -> None:
        """Removes a name that is no directory."""
        directory, text = self._directory(parent_inode), _existing_name(name)
        with self.invalidator.through_mount(directory.identity.space):
            await directory.unlink(text)
        self.inodes.removed(directory.identity.child(text))

    @answering
    async def rmdir(self, parent_inode: InodeT, name: FileNameT, ctx: RequestContext) -> None:
        """Removes an empty directory."""
        directory, text = self._directory(parent_inode), _existing_name(name)
        with self.invalidator.through_mount(directory.identity.space):
            await directory.rmdir(text)
        self.inodes.removed(directory.identity.child(text))

    @answering
    async def rename(
        self,
        parent_inode_old: InodeT,
        name_old: FileNameT,
        parent_inode_new: InodeT,
        name_new: FileNameT,
        flags: FlagT,
        ctx: RequestContext,
    ) -> None:
        """Renames within one archive; EXDEV across, so that mv(1) copies."""
        if flags & ~pyfuse3.RENAME_NOREPLACE:
            raise FUSEError(errno.EINVAL)
        source, target = self._directory(parent_inode_old), self._directory(parent_inode_new)
        if source.identity.space != target.identity.space:
            raise FUSEError(errno.EXDEV)  # mv(1) then copies
        old, new = _existing_name(name_old), check_name(name_new)
        replace = not flags & pyfuse3.RENAME_NOREPLACE
        with self.invalidator.through_mount(source.identity.space):
            is_stale = await source.rename(old, target, new, replace=replace)
        self.inodes.moved(source.identity.child(old), target.identity.child(new))
        if is_stale:
            self.invalidator.content_changed(target.identity.child(new))
            await self.invalidator.told(target.identity.space)

    @answering
    async def link(
        self,
        inode: InodeT,
        new_parent_inode: InodeT,
        new_name: FileNameT,
        ctx: RequestContext,
    ) -> EntryAttributes:
        """Refuses: Dat v1 holds no hard links."""
        raise FUSEError(self._directory(new_parent_inode).refusal)

    @answering
    async def symlink(
        self,
        parent_inode: InodeT,
        name: FileNameT,
        target: FileNameT,
        ctx: RequestContext,
    ) -> EntryAttributes:
        """Refuses: Dat v1 holds no symbolic links."""
        raise FUSEError(self._directory(parent_inode).refusal)

    # --- open files ----------------------------------------------------------------------------

    @answering
    async def open(self, inode: InodeT, flags: FlagT, ctx: RequestContext) -> FileInfo:
        """Opens a file."""
        node = self._node(inode)
        if not isinstance(node, File):
            raise FUSEError(errno.EISDIR)
        with self.invalidator.through_mount(node.identity.space), _looked_up_again():
            opened = await node.open(flags)
        return self._file_info(opened, node)

    @answering
    async def read(self, fh: FileHandleT, off: int, size: int) -> bytes:
        """Reads from an open file."""
        return await self._files[fh].file.read(off, size)

    @answering
    async def write(self, fh: FileHandleT, off: int, buf: bytes) -> int:
        """Writes to an open file."""
        opened = self._files[fh]
        with self.invalidator.through_mount(opened.space):
            await opened.file.write(off, buf)
        return len(buf)

    @answering
    async def flush(self, fh: FileHandleT) -> None:
        """One descriptor of an open file was closed."""
        opened = self._files[fh]
        with self.invalidator.through_mount(opened.space):
            is_stale = await opened.file.flush()
        if is_stale:
            # Who opens the file after close(2) must see it as it is now.
            self.invalidator.node_changed(opened.node)
            await self.invalidator.told(opened.space)

    @answering
    async def fsync(self, fh: FileHandleT, datasync: bool) -> None:
        """Makes an open file survive power loss."""
        await self._files[fh].file.fsync()

    @answering
    async def release(self, fh: FileHandleT) -> None:
        """The last descriptor of an open file was closed."""
        opened = self._files.pop(fh)
        with self.invalidator.through_mount(opened.space):
            is_stale = await opened.file.release()
        if is_stale:
            self.invalidator.node_changed(opened.node)

    # --- open directories ----------------------------------------------------------------------

    @answering
    async def opendir(self, inode: InodeT, ctx: RequestContext) -> FileHandleT:
        """Opens a directory; waits for an archive's first metadata."""
        directory = self._directory(inode)
        await directory.ready()
        return self._listings.add(Listing(directory, self._above(directory)))

    @answering
    async def readdir(self, fh: FileHandleT, start_id: int, token: ReaddirToken) -> None:
        """Tells names with their attributes, each counted as a lookup."""
        listing = self._listings[fh]
        inodes, valid_s = self.inodes, listing.directory.names_valid_s
        changes = self.invalidator.changes_in(listing.directory.identity.space)
        entries = listing.entries(restart=start_id == 0, changes=changes)
        is_current = listing.is_current(changes)
        for position in range(start_id, len(entries)):
            name, node, attributes = entries[position]
            inode, node = inodes.remember(node)
            told = False
            try:
                if attributes is None or not is_current:
                    attributes = node.attributes()
                entry = self._entry(inode, attributes, valid_s)
                told = pyfuse3.readdir_reply(token, name, entry, position + 1)
            except (FileNotFoundError, EntryMissing):
                continue  # removed since the listing began
            finally:
                # The kernel does not count a directory's names for itself and the one above.
                if not told or name in _DOTS:
                    inodes.forget(inode, 1)
            if not told:
                break

    @answering
    async def releasedir(self, fh: FileHandleT) -> None:
        """A directory was closed."""
        self._listings.pop(fh)

    @answering
    async def fsyncdir(self, fh: FileHandleT, datasync: bool) -> None:
        """Makes the committed state of an archive survive power loss."""
        await self._listings[fh].directory.fsync()

    @answering
    async def statfs(self, ctx: RequestContext) -> StatvfsData:
        """Speaks for the store's disk."""
        return disk_figures(self._store)

    async def release_all(self) -> None:
        """Releases what the kernel did not come to release before the mount ended."""
        for opened in self._files:
            await opened.file.release()
        self._files = HandleTable()

    # --- from nodes to the kernel's structures -------------------------------------------------

    def _node(self, inode: int) -> Node:
        try:
            return self.inodes.node(inode)
        except KeyError:
            raise FUSEError(errno.ESTALE) from None

    def _directory(self, inode: int) -> Directory:
        node = self._node(inode)
        if not isinstance(node, Directory):
            raise FUSEError(errno.ENOTDIR)
        return node

    def _above(self, directory: Directory) -> Node:
        """What `..` is shown as; only its number is looked at, for the kernel knows its parents."""
        above, slash, _ = directory.identity.path.rpartition("/")
        inode = self.inodes.find(directory.identity._replace(path=above)) if slash else None
        return self.inodes.node(ROOT_INODE if inode is None else inode)

    def _file_info(self, opened: OpenFile, node: Node) -> FileInfo:
        return FileInfo(
            fh=self._files.add(_Opened(opened, node)),
            direct_io=opened.direct_io,
            keep_cache=opened.keep_cache,
        )

    def _remember(self, node: Node, name_valid_s: float) -> EntryAttributes:
        attributes = node.attributes()  # may raise, so before counting
        inode, known = self.inodes.remember(node)
        return self._entry(inode, attributes if known is node else known.attributes(), name_valid_s)

    def _entry(self, inode: int, attributes: Attributes, name_valid_s: float) -> EntryAttributes:
        return entry_attributes(inode, attributes, self._owner, name_valid_s)


@contextlib.contextmanager
def _looked_up_again() -> Iterator[None]:
    """Lets the kernel look a name up anew when what it stood for is gone.

    A name that went away behind the kernel's back may be used before the notification is there.
    For ESTALE the kernel repeats the system call without trusting its cache, and nobody sees it.
    """
    try:
        yield
    except EntryMissing:
        raise FUSEError(errno.ESTALE) from None


def _known_name(name: bytes) -> str | None:
    """A name to look for; None if no entry can be called so."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return None


def _existing_name(name: bytes) -> str:
    """A name that an entry must have.

    Raises:
        FUSEError: ENOENT, no entry can be called so.
    """
    text = _known_name(name)
    if text is None:
        raise FUSEError(errno.ENOENT)
    return text


assert ROOT_INODE == pyfuse3.ROOT_INODE
