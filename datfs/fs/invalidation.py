"""Takes back what the kernel caches when something changes behind its back.

The kernel keeps names, attributes and pages for as long as they are true (`UNTIL_INVALIDATED_S`).
A change that did not come through the mount (a peer's new version, a file that the daemon wrote) is
told here, and exactly what it touches is forgotten: the name in its directory, the attributes and
pages of the inode. What the kernel never saw costs nothing.

A notification can block until a request that is being answered is done (it waits for the lock of
the directory or of a page), so notifications are sent from a thread, never from the task that
answers. They are kept in order and made once: what is pending is a set, bounded by what the kernel
knows.
"""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING

import pyfuse3
import trio

from datfs.hyperdrive.entry import ChangeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from datfs.fs.inodes import InodeTable
    from datfs.fs.node import Identity
    from datfs.hyperdrive.entry import Change

log = logging.getLogger(__name__)

_Notification = tuple[int, bytes | None]  # a directory's inode and a name; or an inode


class Invalidator:
    """Sends the notifications of one mount."""

    def __init__(self, inodes: InodeTable) -> None:
        self._inodes = inodes
        self._pending: dict[_Notification, None] = {}
        self._asked = 0  # changes told to us
        self._sent = 0  # of these, told to the kernel
        self._wake = trio.Event()
        self._sent_more = trio.Event()

    def content_changed(self, identity: Identity) -> None:
        """Size, times, mode or content of a node are no longer what they were."""
        inode = self._inodes.find(identity)
        if inode is not None:
            self._add((inode, None))

    def name_changed(self, parent: Identity, name: str) -> None:
        """A name has come, gone, or stands for something else."""
        inode = self._inodes.find(parent)
        if inode is not None:
            self._add((inode, name.encode()))

    def archive_changed(
        self, top: Identity, changes: Iterable[Change], exists: Callable[[str], bool]
    ) -> None:
        """An archive has a new version.

        Args:
            top: The top directory of the archive as one place of the tree shows it.
            changes: What differs.
            exists: Whether a path of the archive ("/a/b") exists now.
        """
        for change in changes:
            parts = change.path.strip("/").split("/")
            if change.kind is not ChangeKind.CHANGED:
                self._names_changed(top, parts, exists)
            self.content_changed(_below(top, parts))

    def _names_changed(
        self, top: Identity, parts: list[str], exists: Callable[[str], bool]
    ) -> None:
        """The last of the parts came or went.

        A directory without an entry of its own comes and goes with what is in it, so the name that
        changes may be one further up; it ends at the first directory that the kernel keeps.
        """
        for depth in range(len(parts) - 1, -1, -1):
            here, parent = parts[: depth + 1], _below(top, parts[:depth])
            self.name_changed(parent, parts[depth])
            if not exists("/" + "/".join(here)):
                self._inodes.removed(_below(top, here))
            elif self._inodes.find(parent) is not None:
                break

    async def told(self) -> None:
        """Returns when the kernel knows of all changes until now."""
        goal = self._asked
        while self._sent < goal:
            await self._sent_more.wait()

    async def run(self) -> None:
        """Tells the kernel, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            batch, self._pending = list(self._pending), {}
            goal = self._asked
            # Cut off only when the mount ends and the kernel did not let go of the thread in time.
            await trio.to_thread.run_sync(_notify, batch, abandon_on_cancel=True)
            self._sent = goal
            self._sent_more.set()
            self._sent_more = trio.Event()

    def _add(self, notification: _Notification) -> None:
        self._pending[notification] = None
        self._asked += 1
        self._wake.set()


def _below(top: Identity, parts: list[str]) -> Identity:
    return top._replace(path="/".join([top.path, *parts]))


def _notify(batch: list[_Notification]) -> None:
    for inode, name in batch:
        try:
            if name is None:
                pyfuse3.invalidate_inode(inode)
            else:
                pyfuse3.invalidate_entry(inode, name)
        except OSError as error:
            # ENOENT: the kernel has forgotten it by itself; ENOTCONN, ENODEV: the mount is gone.
            if error.errno not in {errno.ENOENT, errno.ENOTCONN, errno.ENODEV, errno.EBADF}:
                log.warning("the kernel would not forget inode %d, name %r: %s", inode, name, error)
