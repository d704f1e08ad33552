"""What a handle does to its file: read, write, cut, flush, sync, end.

The rules are those of design section 2. `echo x > f` comes as OPEN with O_TRUNC, FLUSH at size 0,
WRITE, FLUSH, RELEASE; a loop whose output is redirected as many FLUSHes over one RELEASE; a mapped
file writes after the last FLUSH. So FLUSH checks and makes safe what there is, any number of times,
and only the RELEASE of the last writing handle commits.
"""

from __future__ import annotations

import stat as posix
from typing import TYPE_CHECKING

from datfs.errors import FileTooLarge, NotOpenForWriting
from datfs.hyperdrive.stat import MAX_TIME_MS
from datfs.staging.commit import Released
from datfs.staging.content import CommittedContent, DirtyContent

if TYPE_CHECKING:
    from collections.abc import Callable

    from datfs.hyperdrive.stat import Stat
    from datfs.staging.commit import Committer
    from datfs.staging.stage import Stage
    from datfs.staging.versions import Versions
    from datfs.staging.working_file import WorkingFile, WorkingFiles


MAX_BYTE_LENGTH = 2**53 - 1
"""The longest file an archive can name: its integers are those of JavaScript."""


class Editor:
    """Opens, changes and releases the files of one working archive."""

    def __init__(
        self,
        versions: Versions,
        *,
        files: WorkingFiles,
        stage: Stage,
        committer: Committer,
        wall_clock_ms: Callable[[], int],
    ) -> None:
        self._versions = versions
        self._files = files
        self._stage = stage
        self._committer = committer
        self._wall_clock_ms = wall_clock_ms

    # --- files ---------------------------------------------------------------------------------

    def new_file(self, path: str, mode: int) -> WorkingFile:
        """Put an empty file at a free path; it is dirty."""
        file = self._files.new_file(
            path, committed=None, content=self._stage.new_content(None), mode=mode
        )
        file.mtime_ms = self._wall_clock_ms()
        return file

    def file_of(self, path: str, stat: Stat) -> WorkingFile:
        """Return the file at `path`, whose last version (if it is not open) has this Stat."""
        file = self._files.get(path)
        if file is not None:
            return file
        return self._files.new_file(
            path, committed=stat, content=self._versions.content(path, stat)
        )

    def hold(self, file: WorkingFile, *, write: bool) -> FileHandle:
        """Return a new handle of a file."""
        file.handles += 1
        file.writers += write
        return FileHandle(self, file, writable=write)

    def let_go(self, file: WorkingFile) -> None:
        """Forget a file that nobody has open and that holds nothing a version lacks."""
        if file.handles or file.dirty or any(layer.frozen for layer in file.layers()):
            return
        if file.path is None:
            self._stage.discard(file)
        elif self._files.get(file.path) is file:
            self._files.remove(file)

    # --- content -------------------------------------------------------------------------------

    def write(self, file: WorkingFile, offset: int, data: bytes) -> None:
        """Lay data over the file."""
        _check_size(offset + len(data))
        self._writable_content(file).write(offset, data)
        self._touch(file)

    def truncate(self, file: WorkingFile, size: int) -> None:
        """Cut or extend the file; the size that it has changes nothing."""
        _check_size(size)
        if size != file.content.size:
            self._writable_content(file).truncate(size)
            self._touch(file)

    def replace(self, file: WorkingFile, data: bytes) -> None:
        """Exchange the content for bytes that the rules have given or need not see."""
        self._writable_content(file).replace(data)
        self._touch(file)

    def chmod(self, file: WorkingFile, mode: int) -> None:
        """Set permission bits that the next version will have."""
        file.mode = posix.S_IFREG | posix.S_IMODE(mode)
        self._mark_changed(file)

    def set_times(self, file: WorkingFile, mtime_ms: int) -> None:
        """Set the time of modification that the next version will have."""
        file.mtime_ms = storable_time_ms(mtime_ms)
        file.mtime_set = True
        self._mark_changed(file)

    def _writable_content(self, file: WorkingFile) -> DirtyContent:
        content = file.content
        if isinstance(content, CommittedContent) or content.frozen:
            content = self._stage.new_content(content)
            file.content = content
        return content

    def _touch(self, file: WorkingFile) -> None:
        file.mtime_ms = self._wall_clock_ms()
        file.mtime_set = False

    @staticmethod
    def _mark_changed(file: WorkingFile) -> None:
        if isinstance(file.content, DirtyContent):
            file.content.changed = True

    # --- promises ------------------------------------------------------------------------------

    def flush(self, file: WorkingFile) -> bool:
        """Check the file, see that there is room, make it survive the process."""
        content = file.content
        if file.path is None or isinstance(content, CommittedContent):
            return False
        replaced = self._committer.check(file)
        if content.changed and not content.rejected:
            self._stage.reserve(content)
            self._stage.record(file)
        return replaced

    async def fsync(self, file: WorkingFile) -> None:
        """Make the file survive a loss of power."""
        if any(layer.frozen for layer in file.layers()):
            async with self._committer.turn():
                pass  # what is being committed now needs only the feeds to be synced
        content = file.content
        on_version = content
        while isinstance(on_version, DirtyContent) and on_version.base_limit:
            assert on_version.base is not None
            on_version = on_version.base
        if isinstance(on_version, CommittedContent):
            await self._stage.sync_archive()
        if isinstance(content, DirtyContent) and file.path is not None and not content.rejected:
            await self._stage.make_durable(file)

    async def release(self, file: WorkingFile, *, write: bool) -> Released:
        """End one handle; the last writing one commits."""
        file.handles -= 1
        file.writers -= write
        try:
            if write and not file.writers:
                return await self._committer.commit(file)
            return Released.NOTHING
        finally:
            self.let_go(file)


class FileHandle:
    """One open of a file. All handles of a file see one state; fs makes one for each open(2)."""

    __slots__ = ("_editor", "_file", "_released", "writable")

    def __init__(self, editor: Editor, file: WorkingFile, *, writable: bool) -> None:
        self._editor = editor
        self._file = file
        self._released = False
        self.writable = writable

    @property
    def path(self) -> str | None:
        """Where the file stands now; None once it is unlinked."""
        return self._file.path

    @property
    def file_id(self) -> int:
        """The id of the file, see `WorkingEntry`."""
        return self._file.file_id

    def stat(self) -> Stat:
        """Return the file's stat as it is now, also when it is unlinked."""
        return self._file.stat

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset`, fewer at the end of the file.

        Raises:
            BlockMissing: a block of the committed version is not here (cleared).
            DiskFailed: the store's disk failed.
        """
        return self._file.content.read(offset, size)

    def write(self, offset: int, data: bytes) -> int:
        """Write all of `data` at `offset`, past the end with zeros between; returns its length.

        Raises:
            NotOpenForWriting, FileTooLarge, NoSpace, DiskFailed: the size is as before.
        """
        self._editor.write(self._for_writing(), offset, data)
        return len(data)

    def truncate(self, size: int) -> None:
        """Cut the file or extend it with zeros to `size` bytes.

        Raises:
            NotOpenForWriting, FileTooLarge, DiskFailed
        """
        self._editor.truncate(self._for_writing(), size)

    def chmod(self, mode: int) -> None:
        """Set the permission bits, in the version that the last writing handle's end commits."""
        self._editor.chmod(self._for_writing(), mode)

    def set_times(self, mtime_ms: int) -> None:
        """Set the time of modification (milliseconds since 1970), in that version."""
        self._editor.set_times(self._for_writing(), mtime_ms)

    def flush(self) -> bool:
        """Do what close(2) promises (FLUSH; comes at each close of each duplicate).

        Checks what was written, sees that there is room for the commit, and makes the dirty state
        survive the death of this process. Costs nothing for a reading handle or an unchanged file.

        Returns:
            True if the rules replaced the content: pages and size that the kernel caches are stale.

        Raises:
            DatfsError: from the rules; the content will not be committed unless it is written anew.
            FileTooLarge, NoSpace, DiskFailed
        """
        return self.writable and self._editor.flush(self._file)

    async def fsync(self) -> None:
        """Make the file as it is now survive a loss of power.

        Raises:
            NoSpace, DiskFailed
        """
        await self._editor.fsync(self._file)

    async def release(self) -> Released:
        """End the handle (RELEASE); that of the last writing one commits one version.

        The version is the file as it is when its turn to be written comes (at once, unless a large
        file is just being committed; if somebody has opened it for writing again by then, that
        one's release commits). From there on it is a snapshot: who writes while it is being
        committed makes the next version. A second release does nothing.

        Raises:
            NoSpace, DiskFailed, BlockMissing: the file stays dirty, and in the journal if it was
                flushed; the next release and `WorkingArchive.commit_all` try again.
        """
        if self._released:
            return Released.NOTHING
        self._released = True
        return await self._editor.release(self._file, write=self.writable)

    def _for_writing(self) -> WorkingFile:
        if not self.writable:
            raise NotOpenForWriting("the file was opened for reading only")
        return self._file


def storable_time_ms(time_ms: int) -> int:
    """Return the time that an archive can hold which is nearest; it knows none before 1970."""
    return min(max(0, time_ms), MAX_TIME_MS)


def _check_size(byte_length: int) -> None:
    if byte_length > MAX_BYTE_LENGTH:
        raise FileTooLarge(f"a file in an archive has at most {MAX_BYTE_LENGTH} bytes")
