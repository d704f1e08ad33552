"""The bytes of a file: those of a committed version, or written ranges laid over such.

A file that is being written is a stack. At the bottom lies an immutable version in the content
feed; over it a `DirtyContent`: ranges that were written, the length, and how far down the version
still shows. While that content is being committed it is frozen, and who writes meanwhile gets a
second layer over it; when the commit ends the frozen layer is exchanged for the new version, which
holds the same bytes. So a commit of many minutes is a snapshot and keeps nobody waiting, and one
byte written into a file of 4 GiB costs one byte until the file is committed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datfs.staging.disk import DiskErrors
from datfs.staging.extents import Extents

if TYPE_CHECKING:
    from datfs.hyperdrive.archive import Archive
    from datfs.hyperdrive.stat import Stat
    from datfs.staging.spool import Spool


class CommittedContent:
    """The bytes of one version of a file; stays readable when the path has other content."""

    __slots__ = ("_archive", "stat")

    def __init__(self, archive: Archive, stat: Stat) -> None:
        self._archive = archive
        self.stat = stat

    @property
    def size(self) -> int:
        """The length in bytes."""
        return self.stat.size

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset`.

        Raises:
            BlockMissing: a block was cleared.
            DiskFailed: the disk failed.
        """
        size = min(size, self.stat.size - offset)
        if size <= 0:
            return b""
        with DiskErrors():
            return self._archive.read(self.stat, offset, size)


class ConvertedContent(CommittedContent):
    """A version whose blocks hold another form of it (see `versions`)."""

    __slots__ = ("_text",)

    def __init__(self, archive: Archive, stat: Stat, text: bytes) -> None:
        super().__init__(archive, stat)
        self._text = text

    @property
    def size(self) -> int:
        """The length of the text in bytes; `stat.size` is that of the stored form."""
        return len(self._text)

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes of the text from `offset`."""
        return self._text[offset : offset + max(size, 0)]


class DirtyContent:
    """Written ranges over a base; what is neither written nor base reads as zeros."""

    __slots__ = (
        "base",
        "base_limit",
        "changed",
        "content_id",
        "durable",
        "frozen",
        "has_writes",
        "lowest_size",
        "rejected",
        "reserved_byte_length",
        "size",
        "spool",
        "staged",
        "staged_in_file",
        "unchecked",
        "unstaged",
        "written",
    )

    def __init__(
        self, content_id: int, base: CommittedContent | DirtyContent | None, spool: Spool
    ) -> None:
        """Begin with the content of `base` (None: empty)."""
        self.content_id = content_id
        self.base = base
        self.base_limit = base.size if base else 0  # from here on the base shows no more
        self.size: int = self.base_limit
        self.written = Extents()
        self.spool = spool
        self.frozen = False  # being committed: must not change
        # What the rules have seen of it:
        self.has_writes = False  # something was written, not only cut
        self.unchecked = False  # it differs from what was checked last
        self.rejected = False  # what was checked last must not be committed
        # What the journal knows of it:
        self.changed = True  # something differs from the journal's last record
        self.staged = False  # a record of it stands in the journal
        self.staged_in_file = False  # that record refers to the spool file
        self.unstaged = Extents()  # written since that record
        self.lowest_size = self.size  # the shortest it has been since that record
        self.durable = False  # an fsync has promised it
        self.reserved_byte_length = 0  # counted as room that its commit will need

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset`, fewer at the end.

        Raises:
            BlockMissing, DiskFailed
        """
        end = min(offset + size, self.size)
        if end <= offset:
            return b""
        if self.written.covers(offset, end):
            return self.spool.read(offset, end - offset)
        content = bytearray(end - offset)
        if self.base is not None and offset < self.base_limit:
            below = self.base.read(offset, min(end, self.base_limit) - offset)
            content[: len(below)] = below
        for start, stop in self.written.overlap(offset, end):
            content[start - offset : stop - offset] = self.spool.read(start, stop - start)
        return bytes(content)

    def write(self, offset: int, data: bytes) -> None:
        """Lay `data` over the content; past the end the gap reads as zeros.

        Raises:
            NoSpace, DiskFailed: size and ranges are as before.
        """
        if not data:
            return
        end = offset + len(data)
        self.spool.write(offset, data)
        self.written.add(offset, end)
        self.unstaged.add(offset, end)
        self.size = max(self.size, end)
        self.has_writes = self.unchecked = self.changed = True

    def truncate(self, size: int) -> None:
        """Cut the content or extend it with zeros.

        Raises:
            DiskFailed
        """
        if size < self.size:
            self.spool.truncate(size)
            self.base_limit = min(self.base_limit, size)
            self.written.clip(size)
            self.unstaged.clip(size)
            self.lowest_size = min(self.lowest_size, size)
        self.size = size
        self.changed = True
        if size == 0:
            self.has_writes = self.unchecked = self.rejected = False
        elif self.has_writes:
            self.unchecked = True

    def replace(self, data: bytes) -> None:
        """Exchange all of the content for bytes that need no check.

        Raises:
            NoSpace, DiskFailed: half of an exchange must not be committed; it counts as rejected.
        """
        self.truncate(0)
        self.rejected = True  # until all of it is there
        self.write(0, data)
        self.unchecked = self.rejected = False

    def forget_record(self) -> None:
        """Take it that the journal knows nothing of this content: the next record tells all."""
        self.staged = self.staged_in_file = False
        self.changed = True
        for start, end in self.written:
            self.unstaged.add(start, end)

    def layers(self) -> list[DirtyContent]:
        """Return this content and the dirty ones under it, the lowest first."""
        below = self.base.layers() if isinstance(self.base, DirtyContent) else []
        return [*below, self]

    def grown_from(self) -> CommittedContent | None:
        """Return the version of which this is a mere continuation, None if it is none."""
        base = self.base
        if not isinstance(base, CommittedContent) or self.base_limit < base.size:
            return None
        if isinstance(base, ConvertedContent):
            return None
        if self.written.start is not None and self.written.start < base.size:
            return None
        return base

    def possible_differences(self) -> list[tuple[int, int]] | None:
        """Return the ranges in which it may differ from its base, None if it surely does."""
        base = self.base
        if base is None or base.size != self.size:
            return None
        ranges = [*self.written]
        if self.base_limit < base.size:
            ranges.append((self.base_limit, base.size))
        return ranges


Content = CommittedContent | DirtyContent
