"""A file system of one empty directory, for trying the mounting of tests: `tiny_fs.py MOUNTPOINT`.

Without a clean end (`--stubborn`) it ignores SIGTERM.
"""

from __future__ import annotations

import os
import signal
import stat
import sys

import pyfuse3
import trio


class TinyFs(pyfuse3.Operations):
    """Knows its root and nothing else."""

    async def getattr(
        self, inode: pyfuse3.InodeT, ctx: pyfuse3.RequestContext | None = None
    ) -> pyfuse3.EntryAttributes:
        entry = pyfuse3.EntryAttributes()
        entry.st_ino = inode
        entry.st_mode = pyfuse3.ModeT(stat.S_IFDIR | 0o755)
        entry.st_nlink = 2
        entry.st_uid, entry.st_gid = os.getuid(), os.getgid()
        return entry


async def serve(mountpoint: str, *, stubborn: bool) -> None:
    """Serves until SIGTERM."""
    options = {*pyfuse3.default_options, "subtype=datfs", "fsname=tiny"}
    # before the mount appears: whoever sees it may end it
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        pyfuse3.init(TinyFs(), mountpoint, options)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pyfuse3.main)
                async for _ in signals:
                    if not stubborn:
                        nursery.cancel_scope.cancel()
        finally:
            pyfuse3.close(unmount=True)


trio.run(lambda: serve(sys.argv[-1], stubborn="--stubborn" in sys.argv))
