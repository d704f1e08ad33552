"""The highest length ever signed of each own feed, kept outside the store.

Two signatures for one length are a fork, and a fork is for ever. A store put back from a backup is
shorter than what was signed before; the mark here outlives that, and the feed opens read-only
(`Feed.open(known_length=...)`). One small file a feed, named by its key, under
`$XDG_STATE_HOME/datfs/marks`: a decimal number, with leading zeros to one size.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from datfs.errors import StoreError
from datfs.store.atomic import PRIVATE_FOLDER, replace_file

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEXT: Final = b"%020d\n"  # of one size, whatever the number


def state_folder(environment: Mapping[str, str]) -> Path:
    """`$XDG_STATE_HOME/datfs`, by default `~/.local/state/datfs`."""
    state = environment.get("XDG_STATE_HOME")
    base = Path(state) if state else Path.home() / ".local" / "state"
    return base / "datfs"


class LengthMarks:
    """The marks of one user.

    Args:
        folder: Where they lie; made when first needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[bytes, int] = {}

    def get(self, key: bytes) -> int:
        """The highest length, in blocks, that this feed was ever signed at here; 0 if never.

        Raises:
            StoreError: The mark cannot be read as a number; signing without it would be a gamble.
        """
        length = self._read(key)
        self._known[key] = length
        return length

    def raise_to(self, key: bytes, length: int) -> None:
        """Records that a feed was signed at a length; a lower one than recorded changes nothing.

        It is on disk when this returns: a few bytes written over and synced, so call it from where
        the feed itself is synced. Safe from worker threads for different feeds, and against other
        processes.
        """
        if length <= self._known.get(key, 0):
            return
        self._folder.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
        lock = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            highest = max(self._read(key), length)
            if highest == length:
                self._write(key, _TEXT % length)
            self._known[key] = highest
        finally:
            os.close(lock)

    def _write(self, key: bytes, text: bytes) -> None:
        """Writes over a mark of the same size, which no loss of power can cut; else a new file."""
        file = self._file(key)
        try:
            descriptor = os.open(file, os.O_WRONLY)
        except FileNotFoundError:
            replace_file(file, text)
            return
        try:
            in_place = os.fstat(descriptor).st_size == len(text)
            if in_place:
                os.pwrite(descriptor, text, 0)
                os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        if not in_place:
            replace_file(file, text)

    def _file(self, key: bytes) -> Path:
        return self._folder / key.hex()

    def _read(self, key: bytes) -> int:
        file = self._file(key)
        try:
            text = file.read_text()
        except FileNotFoundError:
            return 0
        if not text.strip().isascii() or not text.strip().isdigit():
            raise StoreError(
                f"{file} should hold the number of blocks signed and does not; "
                "remove it if you are sure that this store is the newest one"
            )
        return int(text)
