"""How many handlers may wait for peers at once, and for how long.

A handler that waits holds one of pyfuse3's tasks and one of the kernel's slots, and its reader
cannot be interrupted. So each wait has a deadline, and waits are counted: past the caps a request
is refused at once with `TooBusy` (EAGAIN), so that metadata and commits always find a task.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING

import trio

from datfs.errors import Timeout, TooBusy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable


class WaitingRoom:
    """Seats for handlers that wait, and what the mount could do about the kernel's own slots."""

    def __init__(self, *, total: int = 256, per_archive: int = 64) -> None:
        """Makes an empty room.

        Args:
            total: Handlers that may wait at once; far below the mount's tasks.
            per_archive: Of these for any one archive.
        """
        self.total = total
        self.per_archive = per_archive
        # Read-ahead and other background reads share a few slots of the kernel. Until the mount
        # has raised their number, files that are not wholly here must stay out of them.
        self.background_is_scarce = True
        self._waiting: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        return self._waiting.total()

    @contextlib.asynccontextmanager
    async def seat(self, archive: Hashable, deadline_s: float) -> AsyncIterator[None]:
        """Holds a seat while the block waits.

        Raises:
            TooBusy: All seats are taken.
            Timeout: The block took longer than the deadline.
        """
        if self._waiting.total() >= self.total or self._waiting[archive] >= self.per_archive:
            raise TooBusy("too many reads are waiting for peers already")
        self._waiting[archive] += 1
        try:
            with trio.fail_after(deadline_s):
                yield
        except trio.TooSlowError:
            raise Timeout(f"nothing came within {deadline_s:g} s") from None
        finally:
            self._waiting[archive] -= 1
            if not self._waiting[archive]:
                del self._waiting[archive]
