"""Takes back what the kernel caches when something changes behind its back.

The kernel keeps names, attributes and pages for as long as they are true (`UNTIL_INVALIDATED_S`).
A change that did not come through the mount (a peer's new version, a file that the daemon wrote) is
told here, and exactly what it touches is forgotten: the name in its directory, the attributes and
pages of the inode. What the kernel never saw costs nothing.

A notification can block until a request that is being answered is done (it waits for the lock of
the directory or of a page, and that request perhaps for a peer). So notifications are sent from
threads, never from the task that answers, and one thread for each space, so that an archive whose
reader waits holds up no other. Within a space they are kept in order and made once: what is pending
is a set, bounded by what the kernel knows.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import stat
from collections import Counter
from typing import TYPE_CHECKING

import pyfuse3
import trio

from datfs.errors import EntryMissing
from datfs.hyperdrive.entry import ChangeKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from datfs.fs.inodes import InodeTable
    from datfs.fs.node import Identity, Node
    from datfs.hyperdrive.entry import Change

log = logging.getLogger(__name__)

_THREADS = 64

_Notification = tuple[int, bytes | None]  # a directory's inode and a name; or an inode


class Invalidator:
    """Sends the notifications of one mount."""

    def __init__(self, inodes: InodeTable) -> None:
        self._inodes = inodes
        self._pending: dict[bytes, dict[_Notification, None]] = {}  # by space
        self._telling: set[bytes] = set()  # spaces whose thread is at work
        self._threads = trio.CapacityLimiter(_THREADS)
        self._answered: dict[trio.lowlevel.Task, bytes] = {}
        self._changes: Counter[bytes] = Counter()
        self._wake = trio.Event()
        self._told = trio.Event()  # set, and made anew, whenever a space is done

    def content_changed(self, identity: Identity) -> None:
        """Size, times, mode or content of a node are no longer what they were."""
        inode = self._inodes.find(identity)
        if inode is not None:
            self._add(identity.space, (inode, None))

    def node_changed(self, node: Node) -> None:
        """A node is no longer what it was, or is gone."""
        if node.attached:
            self._entry_changed(node.identity, with_name=False)

    def name_changed(self, parent: Identity, name: str) -> None:
        """A name has come, gone, or stands for something else."""
        inode = self._inodes.find(parent)
        if inode is not None:
            self._add(parent.space, (inode, name.encode()))

    def archive_changed(self, top: Identity, changes: Iterable[Change]) -> None:
        """An archive has a new version, and the archive's views show it already.

        What a request that is being answered did by itself (`through_mount`) the kernel knows.

        Args:
            top: The top directory of the archive as one place of the tree shows it.
            changes: What differs; directories that came or went with a name below them included.
        """
        self._changes[top.space] += 1
        if self._answered.get(trio.lowlevel.current_task()) == top.space:
            return
        for change in changes:
            if change.path == "/":
                self.content_changed(top)
                continue
            identity = top._replace(path=top.path + change.path)
            self._entry_changed(identity, with_name=change.kind is not ChangeKind.CHANGED)

    @contextlib.contextmanager
    def through_mount(self, space: bytes) -> Iterator[None]:
        """Marks what the running task changes in a space meanwhile as asked for by the kernel."""
        task = trio.lowlevel.current_task()
        self._answered[task] = space
        try:
            yield
        finally:
            self._changes[space] += 1
            del self._answered[task]

    def changes_in(self, space: bytes) -> int:
        """How often something changed there, from wherever: what was read before may be old."""
        return self._changes[space]

    def _entry_changed(self, identity: Identity, *, with_name: bool) -> None:
        stays = self._stays(identity)
        if stays:
            self.content_changed(identity)
        else:
            self._inodes.removed(identity)
        if with_name or not stays:
            above, _, name = identity.path.rpartition("/")
            self.name_changed(identity._replace(path=above), name)

    def _stays(self, identity: Identity) -> bool:
        """Whether the node that the kernel knows by this name is still what stands there."""
        inode = self._inodes.find(identity)
        if inode is None:
            return False
        node = self._inodes.node(inode)
        try:
            return stat.S_IFMT(node.attributes().mode) == node.type_bits
        except (FileNotFoundError, EntryMissing):
            return False

    async def told(self, space: bytes | None = None) -> None:
        """Returns when the kernel knows of all changes until now: of a space, or of all."""
        while self._untold(space):
            await self._told.wait()

    def _untold(self, space: bytes | None) -> bool:
        if space is None:
            return bool(self._pending or self._telling)
        return space in self._pending or space in self._telling

    async def run(self) -> None:
        """Tells the kernel, until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                await self._wake.wait()
                self._wake = trio.Event()
                for space in self._pending.keys() - self._telling:
                    self._telling.add(space)
                    nursery.start_soon(self._tell, space)

    async def _tell(self, space: bytes) -> None:
        while batch := self._pending.pop(space, None):
            # Cut off only when the mount ends and the kernel did not let go of the thread in time.
            await trio.to_thread.run_sync(
                _notify, list(batch), abandon_on_cancel=True, limiter=self._threads
            )
        self._telling.discard(space)
        self._told.set()
        self._told = trio.Event()

    def _add(self, space: bytes, notification: _Notification) -> None:
        self._pending.setdefault(space, {})[notification] = None
        self._wake.set()


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
