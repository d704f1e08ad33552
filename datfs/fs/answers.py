"""What nodes say of themselves, in the structures that the kernel is answered with."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final, NamedTuple

from pyfuse3 import EntryAttributes, FUSEError, StatvfsData

if TYPE_CHECKING:
    from pathlib import Path

    from datfs.fs.node import Attributes

NS_IN_MS: Final = 1_000_000
_STAT_BLOCK_SIZE: Final = 512  # the unit of st_blocks, stat(2)
_IO_SIZE: Final = 65536  # st_blksize: how files are cut into blocks
_NAME_MAX: Final = 255


class Owner(NamedTuple):
    """To whom everything in a mount belongs."""

    uid: int
    gid: int


def entry_attributes(
    inode: int, attributes: Attributes, owner: Owner, name_valid_s: float
) -> EntryAttributes:
    """The attributes of a node as the kernel takes them; called for each name of a listing.

    Args:
        inode: Its number.
        attributes: What it says of itself.
        owner: The mounter.
        name_valid_s: How long the kernel may believe that the name stands for this inode.
    """
    entry = EntryAttributes()
    entry.st_ino = inode
    entry.entry_timeout = name_valid_s
    entry.attr_timeout = attributes.valid_s
    entry.st_mode = attributes.mode
    entry.st_uid, entry.st_gid = owner
    size = attributes.size
    entry.st_size = size
    entry.st_blksize = _IO_SIZE
    entry.st_blocks = -(-size // _STAT_BLOCK_SIZE)
    mtime_ns = attributes.mtime_ms * NS_IN_MS
    entry.st_atime_ns = mtime_ns
    entry.st_mtime_ns = mtime_ns
    entry.st_ctime_ns = attributes.ctime_ms * NS_IN_MS
    return entry


def absence(valid_s: float) -> EntryAttributes:
    """The answer that there is no such name: cached only where it will be taken back.

    Raises:
        FUSEError: ENOENT, where it must not be cached.
    """
    if not valid_s:
        raise FUSEError(errno.ENOENT)
    entry = EntryAttributes()
    entry.st_ino = 0
    entry.entry_timeout = valid_s
    return entry


def disk_figures(path: Path) -> StatvfsData:
    """What statfs(2) tells of the disk that a path lies on."""
    disk, figures = os.statvfs(path), StatvfsData()
    figures.f_bsize, figures.f_frsize = disk.f_bsize, disk.f_frsize
    figures.f_blocks, figures.f_bfree, figures.f_bavail = disk.f_blocks, disk.f_bfree, disk.f_bavail
    figures.f_files, figures.f_ffree, figures.f_favail = disk.f_files, disk.f_ffree, disk.f_favail
    figures.f_namemax = _NAME_MAX
    return figures
