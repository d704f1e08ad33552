"""Where errors of the operating system become errors of staging.

The disk under the store is full or broken in one of many ways, in files of the feeds as well as in
spool and journal; a caller acts differently on three of them only.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from datfs.errors import DiskFailed, FileTooLarge, NoSpace

if TYPE_CHECKING:
    from types import TracebackType

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class DiskErrors:
    """Context manager that turns `OSError` into an error of staging, the cause kept."""

    __slots__ = ()

    def __enter__(self) -> None:
        """Begin work on the disk."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Raise ours in place of the operating system's error.

        Raises:
            NoSpace: the disk or the quota is full.
            FileTooLarge: the disk's file system has no files of that length.
            DiskFailed: any other error of the operating system.
        """
        if isinstance(error, OSError):
            if error.errno in _FULL:
                raise NoSpace("the disk that holds the store is full") from error
            if error.errno == errno.EFBIG:
                raise FileTooLarge("the disk that holds the store has no files so long") from error
            raise DiskFailed(f"the disk that holds the store failed: {error}") from error


def write_all(descriptor: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    """Write all of `data` at `offset`, however little the system takes at a time.

    Raises:
        OSError: from the system; a part may have been written.
    """
    written = 0
    view = memoryview(data)
    while written < len(view):
        written += os.pwrite(descriptor, view[written:], offset + written)
