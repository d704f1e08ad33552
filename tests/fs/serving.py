"""What the child processes that serve test mounts have in common."""

from __future__ import annotations

import logging
import signal
from typing import TYPE_CHECKING

import trio

from datfs.errors import ArchiveUnreachable, BlockMissing, BlockUnavailable
from datfs.fs.mount import Mounted, MountOptions, Tree, serve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from datfs.hyperdrive.archive import Archive
    from datfs.hyperdrive.stat import Stat


def run(
    tree: Tree,
    mountpoint: Path,
    *,
    options: MountOptions | None = None,
    beside: Callable[[Mounted], Awaitable[None]] | None = None,
) -> None:
    """Serves until SIGTERM or an unmount.

    Args:
        tree: What to show.
        mountpoint: Where.
        options: How.
        beside: Runs while the mount serves; what changes behind the kernel's back.
    """
    logging.basicConfig(level=logging.INFO)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_end_on_signal, nursery.cancel_scope)
            async with trio.open_nursery() as inner:
                mounted = await inner.start(serve, tree, mountpoint, options or MountOptions())
                if beside is not None:
                    nursery.start_soon(beside, mounted)
            nursery.cancel_scope.cancel()

    trio.run(main)


class LocalSource:
    """An archive of which all that there is lies in the store; nobody is asked for the rest."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive

    def used(self) -> None:
        pass

    async def ready(self) -> None:
        if self.archive.version == 0:
            raise ArchiveUnreachable("nobody")

    async def read(self, stat: Stat, offset: int, size: int) -> bytes:
        try:
            return self.archive.read(stat, offset, size)
        except BlockMissing as error:
            raise BlockUnavailable("nobody") from error


async def _end_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()
