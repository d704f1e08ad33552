"""Files that are replaced whole: readers, and a mount after a crash, see the old or the new one."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700


def replace_file(path: Path, data: bytes, mode: int = PRIVATE_FILE) -> None:
    """Puts data in a file's place, on disk before it gets the name.

    Two processes that replace the same file must hold a lock of their own.

    Args:
        path: Its folder must exist.
        data: All of the new file.
        mode: Permission bits, whatever the umask says.
    """
    unfinished = path.with_name(f".{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        unfinished.unlink()  # left by a crash
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fdatasync(descriptor)
    unfinished.rename(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes names that were made, replaced or removed in a folder survive power loss."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
