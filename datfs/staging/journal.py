"""The journal: one append-only file that makes dirty state survive the death of the process.

One write at each FLUSH, one after each commit; small content stands in the record itself, so the
usual small file costs no file of its own. When nothing staged is left and the file has grown past a
bound it is cut to nothing; when something stays staged for long (a log kept open) its owner writes
it anew with the live records only.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from datfs.staging.disk import DiskErrors, write_all
from datfs.staging.records import Record, decode_records, encode_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

IDLE_BYTE_LENGTH = 1024 * 1024
"""How long a journal without live records may be: cutting it at each commit would cost more than
reading it at the next start."""

REWRITE_BYTE_LENGTH = 8 * 1024 * 1024
"""How long it may grow while records are live before they are written anew."""


class Journal:
    """The journal file of one working archive, made (0600) by the first record.

    Attributes:
        byte_length: how long the file is.
    """

    def __init__(
        self,
        path: Path,
        *,
        idle_byte_length: int = IDLE_BYTE_LENGTH,
        rewrite_byte_length: int = REWRITE_BYTE_LENGTH,
    ) -> None:
        self._path = path
        self._was_read = False
        self._idle_byte_length = idle_byte_length
        self._rewrite_byte_length = rewrite_byte_length
        self._descriptor: int | None = None
        self.byte_length = 0

    def read(self) -> list[Record]:
        """Return the records an earlier process left, and open the file to go on behind them.

        Raises:
            EncodingError: another version of datfs wrote it.
            DiskFailed
        """
        self._was_read = True
        with DiskErrors():
            if not self._path.exists():
                return []
            content = self._path.read_bytes()
        records, byte_length = decode_records(content)
        self._cut(byte_length)
        return records

    @property
    def folder(self) -> Path:
        """Where the file lies."""
        return self._path.parent

    @property
    def wants_rewrite(self) -> bool:
        """Whether the file is so long that live records should be written anew."""
        return self.byte_length > self._rewrite_byte_length

    def append(self, records: Iterable[Record]) -> None:
        """Write records at the end, in one write; they survive the death of this process.

        Raises:
            NoSpace, DiskFailed: none of them was written.
        """
        frames = b"".join([encode_record(record) for record in records])
        with DiskErrors():
            descriptor = self._open()
            try:
                write_all(descriptor, frames, self.byte_length)
            except OSError:
                os.ftruncate(descriptor, self.byte_length)
                raise
        self.byte_length += len(frames)

    def rewrite(self, records: Sequence[Record]) -> None:
        """Replace all records by these, all or nothing, also over a loss of power.

        Raises:
            NoSpace, DiskFailed: the old records stand.
        """
        frames = b"".join([encode_record(record) for record in records])
        fresh = self._path.with_suffix(".new")
        with DiskErrors():
            descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                write_all(descriptor, frames, 0)
                os.fdatasync(descriptor)
                fresh.replace(self._path)
            except OSError:
                os.close(descriptor)
                fresh.unlink(missing_ok=True)
                raise
            if self._descriptor is not None:
                os.close(self._descriptor)
            self._descriptor = descriptor
        self.byte_length = len(frames)

    def shrink(self) -> None:
        """Cut a file without live records to nothing if it has grown past its bound."""
        if self.byte_length > self._idle_byte_length:
            self.clear()

    def clear(self) -> None:
        """Cut the file to nothing.

        Raises:
            DiskFailed
        """
        if self.byte_length:
            self._cut(0)

    def duplicate_descriptor(self) -> int:
        """Return a descriptor of its own of the file, for a sync in a worker thread."""
        with DiskErrors():
            return os.dup(self._open())

    def close(self) -> None:
        """Close the file; it stays as it is."""
        if self._descriptor is not None:
            with DiskErrors():
                os.close(self._descriptor)
            self._descriptor = None

    def _cut(self, byte_length: int) -> None:
        with DiskErrors():
            os.ftruncate(self._open(), byte_length)
        self.byte_length = byte_length

    def _open(self) -> int:
        if self._descriptor is None:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            assert self._was_read or not os.fstat(self._descriptor).st_size, "read it first"
        return self._descriptor
