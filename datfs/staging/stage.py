"""The dirty contents of an archive and what the journal knows of them.

The stage gives each dirty content an id and a spool, writes its records, counts the room that
commits will need, and keeps what an fsync has promised until the committed feeds are on the disk.

What makes the journal safe to read after any end of the process:

- A record tells the difference to the one before; the first of a content, and the first after its
  bytes went into the spool file, tells everything.
- A content is settled by a record behind its commit. If the process dies between the two, the next
  start finds the version equal to the content and writes nothing.
- Records that go with a change of names stand before that change and count only if the archive has
  got as long as the change makes it: with the change or not at all.
- Room for a record that only settles may be missing. It is owed then, and goes before whatever the
  journal gets next; a journal of which nothing is live any more is cut, which needs no room.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from datfs.errors import NoSpace, StagingError
from datfs.staging.content import CommittedContent, DirtyContent
from datfs.staging.disk import DiskErrors
from datfs.staging.records import BaseVersion, Moved, Record, Settled, Staged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datfs.hyperdrive.archive import Archive
    from datfs.staging.journal import Journal
    from datfs.staging.spool import SpoolFolder
    from datfs.staging.working_file import WorkingFile

SPARE_BYTE_LENGTH = 256 * 1024
"""Room that stays free beyond what commits need: their entries, signatures and journal records."""


class Stage:
    """Spool and journal of one working archive."""

    def __init__(self, archive: Archive, spool: SpoolFolder, journal: Journal) -> None:
        self._archive = archive
        self._spool = spool
        self._journal = journal
        self._last_content_id = 0
        self._live: dict[int, tuple[WorkingFile, DirtyContent]] = {}
        self._awaiting_sync: list[DirtyContent] = []
        self._owed: list[Record] = []
        self._reserved_byte_length = 0

    # --- contents ------------------------------------------------------------------------------

    def new_content(self, base: CommittedContent | DirtyContent | None) -> DirtyContent:
        """Return a dirty content that equals its base so far."""
        self._last_content_id += 1
        return DirtyContent(self._last_content_id, base, self._spool.spool(self._last_content_id))

    def adopt(self, content: DirtyContent, file: WorkingFile) -> None:
        """Take over a content that was read from the journal and still stands there."""
        content.staged = True
        content.changed = False
        self._live[content.content_id] = (file, content)

    def content_with_id(self, content_id: int) -> DirtyContent:
        """Return an empty content with the id that it had in an earlier process."""
        return DirtyContent(content_id, None, self._spool.spool(content_id))

    def reserve_id(self, content_id: int) -> None:
        """Give no new content this id or a lower one."""
        self._last_content_id = max(self._last_content_id, content_id)

    def reserve(self, content: DirtyContent) -> None:
        """See that the disk has room for this content's commit and those that wait already.

        Raises:
            NoSpace: it has not; nothing is reserved.
        """
        base = content.grown_from()
        needed = content.size - base.size if base else content.size
        waiting = self._reserved_byte_length - content.reserved_byte_length
        if needed:
            room = self._spool.free_byte_length() - SPARE_BYTE_LENGTH
            if waiting + needed + needed // 256 > room:
                raise NoSpace(f"no room to commit {needed} bytes: the disk is almost full")
        self._reserved_byte_length = waiting + needed
        content.reserved_byte_length = needed

    # --- records -------------------------------------------------------------------------------

    def record(self, file: WorkingFile) -> None:
        """Make the file's dirty state survive the death of the process.

        Raises:
            NoSpace, DiskFailed: it may not; the next call tries again.
        """
        layers = [layer for layer in file.layers() if layer.changed or not layer.staged]
        if not layers:
            return
        self._append([_staged_record(file, layer) for layer in layers])
        for layer in layers:
            self._mark_staged(file, layer)
        if self._journal.wants_rewrite and not self._awaiting_sync:
            self._rewrite()

    def record_move(self, file: WorkingFile, path: str, *, metadata_length: int) -> list[Record]:
        """Return the records that say that the file goes to `path` when the archive is so long."""
        return [
            Moved(content_id=layer.content_id, path=path, metadata_length=metadata_length)
            for layer in file.layers()
            if layer.staged
        ]

    def record_end(self, file: WorkingFile, *, metadata_length: int) -> list[Record]:
        """Return the records that give the file's dirty state up when the archive is so long."""
        return [
            Settled(content_id=layer.content_id, metadata_length=metadata_length, content_length=0)
            for layer in file.layers()
            if layer.staged
        ]

    def append(self, records: Sequence[Record]) -> None:
        """Write records of moves and ends, if there are any.

        Raises:
            NoSpace, DiskFailed: none was written.
        """
        if records:
            self._append(records)

    def record_anew(self, file: WorkingFile) -> None:
        """Undo what was recorded of a change of names that failed."""
        for layer in file.layers():
            if layer.staged:
                layer.forget_record()
        if file.layers():
            self.record(file)

    # --- ends ----------------------------------------------------------------------------------

    def withdraw(self, content: DirtyContent) -> None:
        """Have the journal forget a content that must not be committed as it is."""
        if content.staged:
            content.forget_record()
            self._settle([content], metadata_length=0, content_length=0)

    def forget(self, file: WorkingFile) -> None:
        """Take note that the file's records ended with its name; open handles keep the bytes."""
        for layer in file.layers():
            self._live.pop(layer.content_id, None)
            layer.staged = False
            self._release_room(layer)
        self._shrink()

    def discard(self, file: WorkingFile) -> None:
        """Give up the file's dirty contents, whose bytes nobody can read any more."""
        layers = file.layers()
        self._settle(layers, metadata_length=0, content_length=0)
        for layer in layers:
            layer.spool.close()
        self._shrink()

    def committed(self, file: WorkingFile, content: DirtyContent) -> None:
        """Take note that a content (and what lay under it) has become a version.

        A content that lies over it has the version as its base from now on.
        """
        metadata_length = self._archive.metadata.length
        content_length = self._archive.content.length if self._archive.content else 0
        layers = content.layers()
        above = [layer for layer in file.layers() if layer.staged]
        if above:
            try:
                self._append([_staged_record(file, layer) for layer in above])
            except StagingError:
                for layer in above:
                    layer.forget_record()
            else:
                for layer in above:
                    self._mark_staged(file, layer)
        self._settle(layers, metadata_length=metadata_length, content_length=content_length)
        for layer in layers:
            if layer.durable:
                self._awaiting_sync.append(layer)
            else:
                layer.spool.close()
        self._shrink()

    @property
    def awaits_sync(self) -> bool:
        """Whether something that an fsync promised is held here by the journal alone."""
        return bool(self._awaiting_sync)

    # --- durability ----------------------------------------------------------------------------

    async def sync_archive(self) -> None:
        """Make what is committed survive a loss of power, and let go what was kept for that.

        Raises:
            NoSpace, DiskFailed
        """
        settled = self._awaiting_sync[:]
        with DiskErrors():
            await trio.to_thread.run_sync(self._archive.sync)
        for content in settled:
            if content in self._awaiting_sync:
                self._awaiting_sync.remove(content)
                content.spool.close()
        self._shrink()

    async def make_durable(self, file: WorkingFile) -> None:
        """Make the file's dirty state survive a loss of power: spool and one record, no copy.

        Raises:
            NoSpace, DiskFailed
        """
        self.record(file)
        descriptors = []
        try:
            for layer in file.layers():
                descriptor = layer.spool.duplicate_descriptor()
                if descriptor is not None:
                    descriptors.append(descriptor)
                layer.durable = True
            descriptors.append(self._journal.duplicate_descriptor())
            with DiskErrors():
                await trio.to_thread.run_sync(self._sync_files, descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _sync_files(self, descriptors: Sequence[int]) -> None:
        for descriptor in descriptors:
            os.fdatasync(descriptor)
        in_files = len(descriptors) > 1
        for folder in {self._journal.folder} | ({self._spool.path} if in_files else set()):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)  # the files' names; nothing to do if they were there
            finally:
                os.close(descriptor)

    def close(self) -> None:
        """Close all files; what is staged stays in journal and spool for the next start.

        Raises:
            DiskFailed
        """
        kept = [*(content for _, content in self._live.values()), *self._awaiting_sync]
        for content in kept:
            content.spool.close(keep_file=True)
        if not kept:
            self._journal.clear()
        elif self._owed:
            with suppress(StagingError):  # there may be room by now
                self._append([])
        self._live.clear()
        self._journal.close()

    def clear(self) -> None:
        """Drop journal and spool files once nothing of them is needed."""
        if not self._live and not self._awaiting_sync:
            self._owed.clear()
            self._journal.clear()
            self._spool.remove_leftovers()

    # --- within --------------------------------------------------------------------------------

    def _append(self, records: Sequence[Record]) -> None:
        self._journal.append([*self._owed, *records])
        self._owed.clear()

    def _mark_staged(self, file: WorkingFile, content: DirtyContent) -> None:
        content.staged = True
        content.staged_in_file = content.spool.in_file
        content.changed = False
        content.unstaged.clear()
        content.lowest_size = content.size
        self._live[content.content_id] = (file, content)

    def _settle(
        self, contents: Sequence[DirtyContent], *, metadata_length: int, content_length: int
    ) -> None:
        records = []
        for content in contents:
            self._release_room(content)
            if self._live.pop(content.content_id, None):
                records.append(
                    Settled(
                        content_id=content.content_id,
                        metadata_length=metadata_length,
                        content_length=content_length,
                    )
                )
        if not records:
            return
        try:
            self._append(records)
        except StagingError:
            self._owed.extend(records)

    def _shrink(self) -> None:
        if self._live or self._awaiting_sync:
            return
        if self._owed:
            self._owed.clear()
            self._journal.clear()
        else:
            self._journal.shrink()

    def _rewrite(self) -> None:
        live = [self._live[content_id] for content_id in sorted(self._live)]
        for _, content in live:
            content.forget_record()
        with suppress(StagingError):  # the old records are as true, only longer
            self._journal.rewrite([_staged_record(file, content) for file, content in live])
            self._owed.clear()
        for file, content in live:
            self._mark_staged(file, content)

    def _release_room(self, content: DirtyContent) -> None:
        self._reserved_byte_length -= content.reserved_byte_length
        content.reserved_byte_length = 0


def _staged_record(file: WorkingFile, content: DirtyContent) -> Staged:
    """Return the record that tells what the journal does not know of a content yet."""
    assert file.path is not None
    base: BaseVersion | int | None = None
    if isinstance(content.base, CommittedContent):
        stat = content.base.stat
        base = BaseVersion(
            size=stat.size, blocks=stat.blocks, offset=stat.offset, byte_offset=stat.byte_offset
        )
    elif content.base is not None:
        base = content.base.content_id
    in_file = content.spool.in_file
    everything = in_file and not content.staged_in_file
    extents = tuple(content.written if everything else content.unstaged)
    data = b""
    if not in_file:
        data = b"".join([content.spool.read(start, end - start) for start, end in extents])
    return Staged(
        content_id=content.content_id,
        path=file.path,
        written=content.has_writes,
        mtime_set=file.mtime_set,
        mode=file.mode,
        mtime_ms=file.mtime_ms,
        base=base,
        base_limit=content.base_limit,
        lowest_size=content.lowest_size,
        size=content.size,
        in_file=in_file,
        extents=extents,
        data=data,
    )
