"""Where written bytes wait: in memory while they are few, then in a file of the spool folder.

A spool file holds each byte at its own offset of the file that is written, so it is sparse where
nothing was written, and what the journal says about it are ranges and never data. Bytes reach the
spool file at the write itself: they survive the death of the process without any copying later.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from datfs.staging.disk import DiskErrors, write_all

if TYPE_CHECKING:
    from pathlib import Path

SMALL_BYTE_LENGTH = 64 * 1024
"""What one file may keep in memory: its journal records carry the data inline, so a small file
costs no file of its own."""

MEMORY_BYTE_LENGTH = 32 * 1024 * 1024
"""What all files of one folder may keep in memory together, however many are open."""


class SpoolFolder:
    """The folder with the spool files of one working archive."""

    def __init__(
        self,
        path: Path,
        *,
        small_byte_length: int = SMALL_BYTE_LENGTH,
        memory_byte_length: int = MEMORY_BYTE_LENGTH,
    ) -> None:
        """Use the folder at `path`, made (0700) when the first spool file needs it."""
        self.path = path
        self.small_byte_length = small_byte_length
        self._memory_left = memory_byte_length
        # The folder, or what it will be made in: asked for its disk at every close(2).
        self._nearest: str | None = None

    def spool(self, content_id: int) -> Spool:
        """Return an empty spool for the content with this id."""
        return Spool(self, content_id)

    def remove_leftovers(self) -> None:
        """Remove every spool file; nothing may be spooled at this time."""
        with DiskErrors():
            for file in self.path.glob("*.spool"):
                file.unlink()

    def free_byte_length(self) -> int:
        """Return how many bytes the disk under the folder has room for."""
        with DiskErrors():
            if self._nearest is None:
                folders = (self.path, *self.path.parents)
                self._nearest = next(str(folder) for folder in folders if folder.exists())
            status = os.statvfs(self._nearest)
        return status.f_bavail * status.f_frsize

    def file(self, content_id: int) -> Path:
        """Return the place of one content's spool file."""
        return self.path / f"{content_id:016x}.spool"

    def take_memory(self, byte_length: int) -> bool:
        """Count bytes that come into memory; False if there is no room for them."""
        if byte_length > self._memory_left:
            return False
        self._memory_left -= byte_length
        return True

    def give_memory(self, byte_length: int) -> None:
        """Count bytes that have left memory."""
        self._memory_left += byte_length


class Spool:
    """The written bytes of one content, each at its offset in the file.

    Only ranges that were written may be read: what lies between is whatever it is.
    """

    __slots__ = ("_buffer", "_content_id", "_descriptor", "_folder", "_low")

    def __init__(self, folder: SpoolFolder, content_id: int) -> None:
        self._folder = folder
        self._content_id = content_id
        self._buffer = bytearray()  # the bytes from offset _low on, while there is no file
        self._low = 0
        self._descriptor: int | None = None

    @property
    def in_file(self) -> bool:
        """Whether the bytes are in a spool file (and no longer in memory)."""
        return self._descriptor is not None

    def write(self, offset: int, data: bytes) -> None:
        """Keep `data` for `offset`.

        Raises:
            NoSpace, DiskFailed: some of the range may hold new bytes; the spool can be used on.
        """
        with DiskErrors():
            if self._descriptor is None:
                if self._write_to_memory(offset, data):
                    return
                self._move_to_file()
            assert self._descriptor is not None
            write_all(self._descriptor, data, offset)

    def read(self, offset: int, size: int) -> bytes:
        """Return the bytes of a range that was written."""
        if self._descriptor is None:
            start = offset - self._low
            return bytes(self._buffer[start : start + size])
        with DiskErrors():
            return os.pread(self._descriptor, size, offset).ljust(size, b"\0")

    def truncate(self, size: int) -> None:
        """Drop what lies at `size` and beyond."""
        if self._descriptor is None:
            keep = max(0, size - self._low)
            if keep < len(self._buffer):
                self._folder.give_memory(len(self._buffer) - keep)
                del self._buffer[keep:]
            return
        with DiskErrors():
            if os.fstat(self._descriptor).st_size > size:
                os.ftruncate(self._descriptor, size)

    def attach(self) -> bool:
        """Take over the file of an earlier process in place of memory; False if there is none."""
        with DiskErrors():
            try:
                self._descriptor = os.open(self._folder.file(self._content_id), os.O_RDWR)
            except FileNotFoundError:
                return False
        self._folder.give_memory(len(self._buffer))
        self._buffer.clear()
        return True

    def file_byte_length(self) -> int:
        """Return the length of the spool file."""
        assert self._descriptor is not None
        with DiskErrors():
            return os.fstat(self._descriptor).st_size

    def duplicate_descriptor(self) -> int | None:
        """Return a descriptor of its own of the spool file, for a sync in a worker thread."""
        with DiskErrors():
            return None if self._descriptor is None else os.dup(self._descriptor)

    def close(self, *, keep_file: bool = False) -> None:
        """Forget the bytes and remove the spool file, or keep it for the next process."""
        self._folder.give_memory(len(self._buffer))
        self._buffer.clear()
        if self._descriptor is None:
            return
        with DiskErrors():
            os.close(self._descriptor)
            self._descriptor = None
            if not keep_file:
                self._folder.file(self._content_id).unlink(missing_ok=True)

    def _write_to_memory(self, offset: int, data: bytes) -> bool:
        buffer = self._buffer
        if not buffer:
            self._low = offset
        low = min(self._low, offset)
        high = max(self._low + len(buffer), offset + len(data))
        growth = high - low - len(buffer)
        if high - low > self._folder.small_byte_length or not self._folder.take_memory(growth):
            return False
        if low < self._low:
            buffer[:0] = bytes(self._low - low)
            self._low = low
        start = offset - low
        if start > len(buffer):
            buffer.extend(bytes(start - len(buffer)))
        buffer[start : start + len(data)] = data
        return True

    def _move_to_file(self) -> None:
        self._folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC
        descriptor = os.open(self._folder.file(self._content_id), flags, 0o600)
        try:
            write_all(descriptor, self._buffer, self._low)
        except OSError:
            os.close(descriptor)
            self._folder.file(self._content_id).unlink()
            raise
        self._descriptor = descriptor
        self._folder.give_memory(len(self._buffer))
        self._buffer.clear()
