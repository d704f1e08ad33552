"""Handlers called directly, without a mount."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import pyfuse3
import pytest
from pyfuse3 import FUSEError

from datfs.fs.node import Identity
from datfs.fs.operations import Operations
from datfs.fs.working_view import WorkingDirectory, WorkingView
from datfs.staging.rules import NoRules
from tests.fs.own_archive import own_archive, working_archive

if TYPE_CHECKING:
    from pathlib import Path

    from datfs.staging.working_archive import WorkingArchive

ROOT = pyfuse3.ROOT_INODE
CONTEXT = pyfuse3.RequestContext()
WRITE_NEW = os.O_WRONLY | os.O_CREAT


@pytest.fixture
def working(tmp_path: Path) -> WorkingArchive:
    archive = own_archive(tmp_path, seed=7)
    return working_archive(archive, tmp_path, rules=NoRules(), on_commit=lambda _: None)


@pytest.fixture
def operations(working: WorkingArchive, tmp_path: Path) -> Operations:
    top = WorkingDirectory(WorkingView(working), Identity(b"me", ""))
    return Operations(top, tmp_path)


async def _put(operations: Operations, name: bytes, content: bytes, parent: int = ROOT) -> int:
    opened, entry = await operations.create(parent, name, stat.S_IFREG | 0o644, WRITE_NEW, CONTEXT)
    await operations.write(opened.fh, 0, content)
    await operations.flush(opened.fh)
    await operations.release(opened.fh)
    return entry.st_ino


async def test_created_file_is_looked_up_and_read(operations: Operations) -> None:
    inode = await _put(operations, b"f", b"content")
    entry = await operations.lookup(ROOT, b"f", CONTEXT)
    assert (entry.st_ino, entry.st_size, entry.st_mode) == (inode, 7, 0o100644)
    assert entry.entry_timeout > 3600
    assert entry.attr_timeout > 3600
    opened = await operations.open(inode, os.O_RDONLY, CONTEXT)
    assert opened.keep_cache
    assert not opened.direct_io
    assert await operations.read(opened.fh, 2, 100) == b"ntent"
    await operations.release(opened.fh)
    with pytest.raises(FUSEError) as error:
        await operations.read(opened.fh, 0, 1)
    assert error.value.errno == errno.EBADF


async def test_absence_is_cached(operations: Operations) -> None:
    entry = await operations.lookup(ROOT, b"nope", CONTEXT)
    assert entry.st_ino == 0
    assert entry.entry_timeout > 3600


async def test_lookups_are_counted_and_forgotten(operations: Operations) -> None:
    inode = await _put(operations, b"f", b"x")
    await operations.lookup(ROOT, b"f", CONTEXT)
    assert operations.inodes.lookups(inode) == 2
    await operations.forget([(inode, 2)])
    assert len(operations.inodes) == 1
    with pytest.raises(FUSEError) as error:
        await operations.getattr(inode, CONTEXT)
    assert error.value.errno == errno.ESTALE


async def test_name_that_went_behind_the_kernels_back_is_looked_up_again(
    operations: Operations, working: WorkingArchive
) -> None:
    inode = await _put(operations, b"f", b"x")
    working.unlink("/f")
    for call in (
        operations.open(inode, os.O_RDONLY, CONTEXT),
        operations.getattr(inode, CONTEXT),
    ):
        with pytest.raises(FUSEError) as error:
            await call
        assert error.value.errno == errno.ESTALE


async def test_creation_over_a_name_that_a_service_just_made_opens_it(
    operations: Operations, working: WorkingArchive
) -> None:
    await working.write_file("/f", b"service")
    opened, entry = await operations.create(ROOT, b"f", 0o100644, WRITE_NEW, CONTEXT)
    assert entry.st_size == 7
    await operations.release(opened.fh)
    with pytest.raises(FUSEError) as error:
        await operations.create(ROOT, b"f", 0o100644, WRITE_NEW | os.O_EXCL, CONTEXT)
    assert error.value.errno == errno.EEXIST


async def test_number_follows_a_rename(operations: Operations) -> None:
    inode = await _put(operations, b"f", b"x")
    directory = await operations.mkdir(ROOT, b"d", 0o755, CONTEXT)
    await operations.rename(ROOT, b"f", directory.st_ino, b"g", 0, CONTEXT)
    assert (await operations.lookup(directory.st_ino, b"g", CONTEXT)).st_ino == inode
    assert (await operations.lookup(ROOT, b"f", CONTEXT)).st_ino == 0
    assert (await operations.getattr(inode, CONTEXT)).st_size == 1
    assert await _put(operations, b"f", b"another") != inode


async def test_release_of_what_the_kernel_left_open(
    operations: Operations, working: WorkingArchive
) -> None:
    opened, _ = await operations.create(ROOT, b"f", 0o100644, WRITE_NEW, CONTEXT)
    await operations.write(opened.fh, 0, b"left")
    await operations.release_all()
    assert working.uncommitted() == []
    assert working.read_file("/f") == b"left"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (b"a\\b", errno.EINVAL),
        (b"\x01", errno.EINVAL),
        (b"\xff", errno.EILSEQ),
        (b"x" * 256, errno.ENAMETOOLONG),
    ],
)
async def test_new_names_pass_the_path_rules(
    operations: Operations, name: bytes, code: int
) -> None:
    await _put(operations, b"f", b"x")
    for call in (
        operations.create(ROOT, name, 0o100644, WRITE_NEW, CONTEXT),
        operations.mkdir(ROOT, name, 0o755, CONTEXT),
        operations.mknod(ROOT, name, 0o100644, 0, CONTEXT),
        operations.rename(ROOT, b"f", ROOT, name, 0, CONTEXT),
    ):
        with pytest.raises(FUSEError) as error:
            await call
        assert error.value.errno == code


async def test_regular_file_by_mknod(operations: Operations, working: WorkingArchive) -> None:
    await operations.mknod(ROOT, b"f", stat.S_IFREG | 0o600, 0, CONTEXT)
    entry = working.lookup("/f")
    assert entry is not None
    assert entry.stat.mode == 0o100600
    for kind in (stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK):
        with pytest.raises(FUSEError) as error:
            await operations.mknod(ROOT, b"g", kind | 0o600, 0, CONTEXT)
        assert error.value.errno == errno.EPERM


async def test_listing_keeps_its_positions_while_names_come_and_go(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[bytes, int]] = []

    def reply(_: object, name: bytes, entry: pyfuse3.EntryAttributes, next_id: int) -> bool:
        if len(told) % 4 == 3:  # the buffer is full
            told.append((b"", 0))
            return False
        told.append((name, next_id))
        assert entry.st_ino
        return True

    monkeypatch.setattr(pyfuse3, "readdir_reply", reply)
    for number in range(6):
        await _put(operations, b"f%d" % number, b"x" * number)
    known = len(operations.inodes)
    handle = await operations.opendir(ROOT, CONTEXT)
    position = 0
    token = pyfuse3.ReaddirToken.__new__(pyfuse3.ReaddirToken)
    while True:
        before = len(told)
        await operations.readdir(handle, position, token)
        if len(told) == before:
            break
        position = [next_id for name, next_id in told if name][-1]
        if position == 3:
            await operations.unlink(ROOT, b"f4", CONTEXT)
            await _put(operations, b"late", b"x")
    names = [name for name, _ in told if name]
    assert names == [b".", b"..", b"f0", b"f1", b"f2", b"f3", b"f5"]
    assert len(operations.inodes) == known + 1  # "late"; f4 is gone but not forgotten
    await operations.releasedir(handle)


async def test_owner_and_group_stay(operations: Operations) -> None:
    inode = await _put(operations, b"f", b"x")

    class Fields:
        update_uid = update_gid = True
        update_mode = update_size = update_mtime = False

    attributes = await operations.getattr(inode, CONTEXT)
    answer = await operations.setattr(inode, attributes, Fields(), None, CONTEXT)  # type: ignore[arg-type]
    assert answer.st_uid == os.getuid()
    attributes.st_uid = os.getuid() + 1
    with pytest.raises(FUSEError) as error:
        await operations.setattr(inode, attributes, Fields(), None, CONTEXT)  # type: ignore[arg-type]
    assert error.value.errno == errno.EPERM
