from __future__ import annotations

import errno
import stat
import threading

import pyfuse3
import pytest
import trio

from datfs.errors import EntryMissing
from datfs.fs.inodes import InodeTable
from datfs.fs.invalidation import Invalidator
from datfs.fs.node import Attributes, Identity, Node
from datfs.hyperdrive.entry import Change, ChangeKind

TOP = Identity(b"archive", "")


class Entry(Node):
    """An entry of an archive whose present state is a dict of types by path."""

    def __init__(self, archive: dict[str, int], path: str) -> None:
        super().__init__(Identity(b"archive", path))
        self._archive = archive
        self._type_bits = archive[path]

    @property
    def type_bits(self) -> int:
        return self._type_bits

    def attributes(self) -> Attributes:
        if self.identity.path not in self._archive:
            raise EntryMissing(self.identity.path)
        return Attributes(mode=self._archive[self.identity.path] | 0o644)


class Kernel:
    """Notes what it is told to forget."""

    def __init__(self) -> None:
        self.forgotten: list[tuple[int, bytes | None]] = []
        self.error: OSError | None = None
        self.stuck: dict[int, threading.Event] = {}  # inodes with a request in work

    def inode(self, inode: int) -> None:
        if self.error is not None:
            raise self.error
        if inode in self.stuck:
            self.stuck[inode].wait(10)
        self.forgotten.append((inode, None))

    def entry(self, inode: int, name: bytes) -> None:
        self.forgotten.append((inode, name))


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(pyfuse3, "invalidate_inode", kernel.inode)
    monkeypatch.setattr(pyfuse3, "invalidate_entry", kernel.entry)
    return kernel


@pytest.fixture
def archive() -> dict[str, int]:
    return {
        "": stat.S_IFDIR,
        "/d": stat.S_IFDIR,
        "/d/f": stat.S_IFREG,
        "/g": stat.S_IFREG,
    }


@pytest.fixture
def table(archive: dict[str, int]) -> InodeTable:
    table = InodeTable(Entry(archive, ""))
    for path in ("/d", "/d/f", "/g"):
        table.remember(Entry(archive, path))
    return table


@pytest.fixture
async def invalidator(table: InodeTable, nursery: trio.Nursery) -> Invalidator:
    invalidator = Invalidator(table)
    nursery.start_soon(invalidator.run)
    return invalidator


def _change(path: str, kind: ChangeKind) -> Change:
    return Change(path=path, kind=kind, seq=1)


def _inode(table: InodeTable, path: str) -> int:
    inode = table.find(Identity(b"archive", path))
    assert inode is not None
    return inode


async def test_changed_file_loses_pages_and_keeps_its_name(
    invalidator: Invalidator, table: InodeTable, kernel: Kernel
) -> None:
    invalidator.archive_changed(TOP, [_change("/d/f", ChangeKind.CHANGED)])
    await invalidator.told()
    assert kernel.forgotten == [(_inode(table, "/d/f"), None)]


async def test_what_the_kernel_does_not_know_costs_nothing(
    invalidator: Invalidator, kernel: Kernel
) -> None:
    invalidator.archive_changed(
        TOP, [_change("/x/y/z", ChangeKind.CREATED), _change("/x/y", ChangeKind.CHANGED)]
    )
    await invalidator.told()
    assert kernel.forgotten == []


async def test_created_and_removed_names(
    invalidator: Invalidator, table: InodeTable, kernel: Kernel, archive: dict[str, int]
) -> None:
    directory, gone = _inode(table, "/d"), _inode(table, "/d/f")
    node = table.node(gone)
    del archive["/d/f"]
    archive["/d/new"] = stat.S_IFREG
    changes = [_change("/d/f", ChangeKind.REMOVED), _change("/d/new", ChangeKind.CREATED)]
    invalidator.archive_changed(TOP, changes)
    await invalidator.told()
    assert kernel.forgotten == [(directory, b"f"), (directory, b"new")]
    assert not node.attached
    assert table.find(Identity(b"archive", "/d/f")) is None
    assert table.node(gone) is node


async def test_file_that_became_a_directory_is_looked_up_anew(
    invalidator: Invalidator, table: InodeTable, kernel: Kernel, archive: dict[str, int]
) -> None:
    archive["/g"] = stat.S_IFDIR
    invalidator.archive_changed(TOP, [_change("/g", ChangeKind.CHANGED)])
    await invalidator.told()
    assert kernel.forgotten == [(1, b"g")]
    assert table.find(Identity(b"archive", "/g")) is None


async def test_what_a_request_does_by_itself_is_not_told_back(
    invalidator: Invalidator, kernel: Kernel
) -> None:
    changes = [_change("/g", ChangeKind.CHANGED)]
    before = invalidator.changes_in(TOP.space)
    with invalidator.through_mount(TOP.space):
        invalidator.archive_changed(TOP, changes)
    assert invalidator.changes_in(TOP.space) > before
    with invalidator.through_mount(b"another space"):
        invalidator.archive_changed(TOP, changes)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.lowlevel.checkpoint)
    await invalidator.told()
    assert len(kernel.forgotten) == 1


async def test_pending_changes_are_told_once(invalidator: Invalidator, kernel: Kernel) -> None:
    for _ in range(1000):
        invalidator.content_changed(TOP.child("g"))
    await invalidator.told()
    assert len(kernel.forgotten) == 1


async def test_archive_whose_reader_waits_holds_up_no_other(
    invalidator: Invalidator, table: InodeTable, kernel: Kernel, archive: dict[str, int]
) -> None:
    other = Entry(archive, "/g")
    other.identity = Identity(b"other", "/g")
    inode, _ = table.remember(other)
    kernel.stuck[_inode(table, "/g")] = threading.Event()
    invalidator.content_changed(TOP.child("g"))
    invalidator.content_changed(other.identity)
    await invalidator.told(b"other")
    assert kernel.forgotten == [(inode, None)]
    kernel.stuck[_inode(table, "/g")].set()
    await invalidator.told()
    assert len(kernel.forgotten) == 2


async def test_inode_that_the_kernel_has_forgotten_is_no_error(
    invalidator: Invalidator, kernel: Kernel
) -> None:
    kernel.error = OSError(errno.ENOENT, "unknown")
    invalidator.content_changed(TOP.child("g"))
    await invalidator.told()


@pytest.mark.expect_log("would not forget")
async def test_kernel_that_refuses_is_logged(invalidator: Invalidator, kernel: Kernel) -> None:
    kernel.error = OSError(errno.EPERM, "no")
    invalidator.content_changed(TOP.child("g"))
    await invalidator.told()
