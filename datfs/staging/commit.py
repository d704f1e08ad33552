"""Dirty files become versions, one at a time.

A file's blocks are one run of the content feed (hyperdrive 9), so only one file's content may be
written at a time: commits take turns. The bytes go in slices with a trio checkpoint between them,
so that a file of many GB delays nobody else's request by more than one slice. Metadata changes
(names, attributes) need no turn: each is one append batch between two awaits.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING

import trio

from datfs.errors import Busy, DatfsError, FileTooLarge, NotYet
from datfs.hyperdrive.archive import Put
from datfs.hyperdrive.entry import Entry
from datfs.hyperdrive.stat import Stat
from datfs.staging.content import CommittedContent, DirtyContent
from datfs.staging.disk import DiskErrors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from datfs.hyperdrive.archive import Archive, Change, Delete
    from datfs.staging.rules import FileRules, StoredForm
    from datfs.staging.stage import Stage
    from datfs.staging.versions import Versions
    from datfs.staging.working_file import WorkingFile, WorkingFiles

SLICE_BYTE_LENGTH = 1024 * 1024
"""What is hashed and written between two checkpoints: a few milliseconds of work."""


class Released(Enum):
    """What the end of a handle, or a commit, did."""

    NOTHING = "nothing"  # other writing handles remain, or nothing was changed
    COMMITTED = "committed"  # one version was written (on_commit has been called)
    UNCHANGED = "unchanged"  # equal to the version before: none was written, times are as before
    DISCARDED = "discarded"  # the file was unlinked: nothing is kept
    WAITING = "waiting"  # something has to come first: the file is dirty, and in the journal
    REVERTED = "reverted"  # the content failed its check: cached pages and attributes are stale


class Committer:
    """Writes versions of one archive."""

    def __init__(
        self,
        archive: Archive,
        *,
        versions: Versions,
        files: WorkingFiles,
        stage: Stage,
        rules: FileRules,
        on_commit: Callable[[Sequence[Change]], None],
        wall_clock_ms: Callable[[], int],
    ) -> None:
        self._archive = archive
        self._versions = versions
        self._files = files
        self._stage = stage
        self._rules = rules
        self._on_commit = on_commit
        self._wall_clock_ms = wall_clock_ms
        self._turn = trio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until no file's content is being written, and keep it so."""
        await self._take_turn()
        try:
            yield
        finally:
            self._turn.release()

    async def _take_turn(self) -> None:
        try:  # the usual commit waits for nobody and need not pass through the scheduler
            self._turn.acquire_nowait()
        except trio.WouldBlock:
            await self._turn.acquire()

    # --- checks --------------------------------------------------------------------------------

    def check(self, file: WorkingFile) -> bool:
        """Ask the rules about what was written since they were asked last.

        Returns:
            True if they replaced the content.

        Raises:
            DatfsError: theirs, or `FileTooLarge`; the content will not be committed.
        """
        content = file.content
        if file.path is None or not isinstance(content, DirtyContent) or not content.unchecked:
            return False
        try:
            replacement = self.checked_replacement(file.path, content)
            content.unchecked = content.rejected = False
            if replacement is not None:
                content.replace(replacement)
        except DatfsError:
            content.unchecked = False
            content.rejected = True
            self._stage.withdraw(content)
            raise
        return replacement is not None

    def checked_replacement(
        self, path: str, content: CommittedContent | DirtyContent
    ) -> bytes | None:
        """Return what the rules put in place of a content at `path`, None to leave it.

        Raises:
            DatfsError: theirs, or `FileTooLarge`.
        """
        limit = self._rules.max_checked_size(path)
        if limit is None:
            return None
        if content.size > limit:
            raise FileTooLarge(f"{path} may have {limit} bytes, not {content.size}")
        return self._rules.check(path, content.read(0, content.size))

    def revert(self, file: WorkingFile) -> None:
        """Go back to the version before; a file that never was one loses its name."""
        self._stage.discard(file)
        if file.committed is None:
            self._files.remove(file)
            file.path = None
            file.content = CommittedContent(self._archive, Stat(mode=file.mode))
        else:
            assert file.path is not None
            file.settle_on(self._versions.content(file.path, file.committed))

    def give_up(self, file: WorkingFile) -> None:
        """Revert a file unless somebody has begun to write it, or removed it."""
        if file.path is not None and not file.writers:
            self.revert(file)

    # --- versions ------------------------------------------------------------------------------

    def change(self, operations: Sequence[Put | Delete]) -> None:
        """Write a change of names or attributes as one append batch.

        Raises:
            NoSpace, DiskFailed: nothing was changed.
        """
        with DiskErrors():
            changes = self._archive.commit(operations)
        self._on_commit(changes)

    async def commit(self, file: WorkingFile, *, although_open: bool = False) -> Released:
        """Make the file as it is a version, if there is anything to it.

        Args:
            file: what to commit.
            although_open: also if somebody has it open for writing when the turn comes; otherwise
                that handle's end commits.

        Raises:
            NoSpace, DiskFailed, BlockMissing: the file is still dirty.
        """
        await self._take_turn()
        try:
            if file.writers and not although_open:
                return Released.NOTHING
            outcome = await self.commit_in_turn(file)
        finally:
            self._turn.release()
        if self._stage.awaits_sync:
            await self._stage.sync_archive()
        return outcome

    async def commit_recovered(self, file: WorkingFile) -> Released:
        """Commit a file from the journal, unless the earlier process had done so and died then.

        Raises:
            NoSpace, DiskFailed, BlockMissing: the file is still dirty.
        """
        content = file.content
        entry = self._archive.lookup(file.path) if file.path else None
        if isinstance(content, DirtyContent) and entry and not entry.stat.is_directory:
            version = self._versions.content(entry.path, entry.stat)
            if (version.size, entry.stat.mode) == (content.size, file.mode) and await self._equal(
                content, version, [(0, content.size)]
            ):
                file.settle_on(version)
                self._stage.committed(file, content)
                return Released.UNCHANGED
        return await self.commit(file)

    async def commit_in_turn(self, file: WorkingFile) -> Released:
        """Do what `commit` does, for one who holds the turn."""
        if file.path is None:
            return Released.DISCARDED
        if not file.dirty:
            return Released.NOTHING
        content = file.content
        if isinstance(content, CommittedContent):
            return self._put(file, content.stat)
        with suppress(DatfsError):  # told at FLUSH, unless the write came after it (mmap)
            self.check(file)
        if content.rejected:
            self.revert(file)
            return Released.REVERTED
        content.frozen = True
        try:
            if await self._equals_base(content):
                return self._settle_unchanged(file, content)
            form = self._rules.form(file.path)
            if form is not None:
                return self._commit_converted(file, content, form)
            run = await self._write(file, content)
            if run is None:
                return Released.DISCARDED
            return self._put(file, run, content)
        finally:
            content.frozen = False

    def write_now(self, data: bytes) -> Stat:
        """Write a small content between two awaits; returns where it lies.

        Raises:
            Busy: a large file is being committed.
            NoSpace, DiskFailed
        """
        if self._turn.locked():
            raise Busy("a large file is being committed; try again when it is done")
        return self._write_small(data)

    # --- within --------------------------------------------------------------------------------

    def _commit_converted(
        self, file: WorkingFile, content: DirtyContent, form: StoredForm
    ) -> Released:
        """Make a version of a (checked, hence small) content in the form that the rules give it."""
        try:
            stored = form.stored(content.read(0, content.size))
        except NotYet:
            self._stage.reserve(content)
            self._stage.record(file)
            return Released.WAITING
        self._stage.reserve(content)
        return self._put(file, self._write_small(stored), content)

    def _write_small(self, data: bytes) -> Stat:
        with DiskErrors():
            writer = self._archive.content_writer(None)
            writer.write(data)
            size, blocks, offset, byte_offset = writer.finish()
        return Stat(mode=0, size=size, blocks=blocks, offset=offset, byte_offset=byte_offset)

    async def _equals_base(self, content: DirtyContent) -> bool:
        """Tell whether the content is, byte for byte, the version under it."""
        ranges = content.possible_differences()
        if ranges is None or not isinstance(content.base, CommittedContent):
            return False
        return await self._equal(content, content.base, ranges)

    @staticmethod
    async def _equal(
        content: DirtyContent, version: CommittedContent, ranges: Sequence[tuple[int, int]]
    ) -> bool:
        compared = 0
        for start, end in ranges:
            for offset in range(start, end, SLICE_BYTE_LENGTH):
                size = min(SLICE_BYTE_LENGTH, end - offset)
                if compared >= SLICE_BYTE_LENGTH:
                    await trio.lowlevel.checkpoint()
                    compared = 0
                compared += size
                if content.read(offset, size) != version.read(offset, size):
                    return False
        return True

    async def _write(self, file: WorkingFile, content: DirtyContent) -> Stat | None:
        """Append the content's blocks to the content feed.

        Returns:
            Where they lie; None if the file was unlinked meanwhile.
        """
        if file.is_unlinked():
            return None
        self._stage.reserve(content)
        base = self._continued(content)
        offset = base.stat.size if base else 0
        with DiskErrors():
            writer = self._archive.content_writer(base)
        while offset < content.size:
            piece = content.read(offset, SLICE_BYTE_LENGTH)
            with DiskErrors():
                writer.write(piece)
            offset += len(piece)
            if offset < content.size:
                await trio.lowlevel.checkpoint()
                if file.is_unlinked():
                    return None
        with DiskErrors():
            size, blocks, first_block, byte_offset = writer.finish()
        return Stat(
            mode=file.mode, size=size, blocks=blocks, offset=first_block, byte_offset=byte_offset
        )

    def _continued(self, content: DirtyContent) -> Entry | None:
        """Return the version that the content continues in place, None to write it whole."""
        base = content.grown_from()
        if base is None or not base.size or not self._archive.is_at_tail(base.stat):
            return None
        return Entry(path="", stat=base.stat, seq=0, explicit=True)

    def _put(self, file: WorkingFile, run: Stat, content: DirtyContent | None = None) -> Released:
        """Write the metadata entry that makes blocks in the content feed the file's version."""
        if file.path is None:
            return Released.DISCARDED
        stat = replace(run, mode=file.mode, mtime_ms=file.mtime_ms, ctime_ms=self._wall_clock_ms())
        with DiskErrors():
            changes = self._archive.commit([Put(file.path, stat)])
        self._settle(file, self._versions.content(file.path, stat), content)
        self._on_commit(changes)
        return Released.COMMITTED

    def _settle_unchanged(self, file: WorkingFile, content: DirtyContent) -> Released:
        base = content.base
        assert isinstance(base, CommittedContent)
        if file.content is content and not file.mtime_set:
            file.mtime_ms = base.stat.mtime_ms
        if file.content is content and file.has_new_attributes:
            return self._put(file, base.stat, content)
        self._settle(file, base, content)
        return Released.UNCHANGED

    def _settle(
        self, file: WorkingFile, version: CommittedContent, content: DirtyContent | None
    ) -> None:
        """Let the version take the place of the content that has become it."""
        file.committed = version.stat
        if content is None:
            file.content = version
            return
        if file.content is content:
            file.content = version
            file.mtime_set = False
        else:
            for layer in file.layers():
                if layer.base is content:
                    layer.base = version
        self._stage.committed(file, content)
