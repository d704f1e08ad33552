"""An own archive that can be edited: files being written laid over the committed archive.

Follows design sections 2 (dirty state, FLUSH, RELEASE, promises) and 3. Paths are absolute and
normal ("/a/b", root "/"); names have passed `hyperdrive.path_rules` before they come here. Every
change of an own archive goes through this class, those of the mount and those of the daemon's
services alike. Kernel requests, inode numbers, caches and errno belong to the fs package.

Synchronous methods change state between two awaits only, so no other task sees half of them. Async
ones may wait for the disk or for the commit of another file; every one of them may be cancelled
without harm: what was dirty stays dirty, in the journal if it was flushed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datfs.hyperdrive.archive import Archive, Change
    from datfs.hyperdrive.stat import Stat
    from datfs.staging.journal import Journal
    from datfs.staging.rules import FileRules
    from datfs.staging.spool import SpoolFolder


class Released(Enum):
    """What the end of a handle did."""

    NOTHING = "nothing"  # other writing handles remain, or nothing had changed
    COMMITTED = "committed"  # one version was written (on_commit has been called)
    DISCARDED = "discarded"  # the file was unlinked meanwhile: nothing is kept
    REVERTED = "reverted"  # the content failed its check: cached pages and attributes are stale


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingEntry:
    """A file or directory as a reader of the working archive sees it now."""

    path: str
    stat: Stat  # size, mode and times as now; offset, byte_offset, blocks of the committed version
    file_id: int | None  # equal for one file while it is open or dirty, renamed or not; else None
    dirty: bool  # something of it is not a version yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """A file that the journal of an earlier process held."""

    path: str
    outcome: str  # a sentence for the log


class FileHandle:
    """One open of a file. All handles of a file see one state; fs makes one for each open(2)."""

    @property
    def path(self) -> str | None:
        """Where the file stands now; None once it is unlinked."""
        raise NotImplementedError

    @property
    def file_id(self) -> int:
        """The id of the file, see `WorkingEntry`."""
        raise NotImplementedError

    @property
    def writable(self) -> bool:
        """Whether the handle was opened for writing."""
        raise NotImplementedError

    def stat(self) -> Stat:
        """Return the file's stat as it is now, also when it is unlinked."""
        raise NotImplementedError

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset`, fewer at the end of the file.

        Raises:
            BlockMissing: a block of the committed version is not here (cleared).
            DiskFailed: the store's disk failed.
        """
        raise NotImplementedError

    def write(self, offset: int, data: bytes) -> int:
        """Write all of `data` at `offset`, past the end with zeros between; returns its length.

        Raises:
            NotOpenForWriting, NoSpace, DiskFailed: nothing was written.
        """
        raise NotImplementedError

    def truncate(self, size: int) -> None:
        """Cut the file or extend it with zeros to `size` bytes."""
        raise NotImplementedError

    def chmod(self, mode: int) -> None:
        """Set the permission bits; part of the version that the last release commits."""
        raise NotImplementedError

    def set_times(self, mtime_ms: int) -> None:
        """Set the time of modification, in milliseconds since 1970."""
        raise NotImplementedError

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
        raise NotImplementedError

    async def fsync(self) -> None:
        """Make the file as it is now survive a loss of power."""
        raise NotImplementedError

    async def release(self) -> Released:
        """End the handle (RELEASE); that of the last writing one commits one version.

        The version is the file as it is at this moment, with the path it has when the commit ends.
        Whoever opens and writes the file meanwhile makes the next version. On an error the file
        stays dirty and in the journal; `commit_all` and the next release try again.
        """
        raise NotImplementedError


class WorkingArchive:
    """An archive of our own and what is written in it but not a version yet."""

    def __init__(
        self,
        archive: Archive,
        *,
        spool: SpoolFolder,
        journal: Journal,
        rules: FileRules,
        on_commit: Callable[[Sequence[Change]], None],
        wall_clock_ms: Callable[[], int],
    ) -> None:
        raise NotImplementedError

    async def recover(self) -> list[Recovered]:
        """Commit what the journal of an earlier process holds; to be called once, before use."""
        raise NotImplementedError

    # --- looking -------------------------------------------------------------------------------

    def lookup(self, path: str) -> WorkingEntry | None:
        """Return the file or directory at `path`, None if there is none."""
        raise NotImplementedError

    def list_directory(self, path: str) -> list[tuple[str, WorkingEntry]]:
        """Return the entries of a directory by name.

        Raises:
            EntryMissing, NotADirectory
        """
        raise NotImplementedError

    def read_file(self, path: str) -> bytes:
        """Return the whole content of a (small) file as it is now.

        Raises:
            EntryMissing, IsADirectory, BlockMissing, DiskFailed
        """
        raise NotImplementedError

    def has_writers(self, path: str) -> bool:
        """Tell whether somebody has the file open for writing."""
        raise NotImplementedError

    def uncommitted(self) -> list[str]:
        """Return the paths of the files that are not a version yet, sorted."""
        raise NotImplementedError

    # --- files ---------------------------------------------------------------------------------

    def create(self, path: str, mode: int = 0o644) -> FileHandle:
        """Make an empty file, open for reading and writing; it becomes a version at release.

        Raises:
            EntryExists, EntryMissing (the directory), NotADirectory, DatfsError (from the rules)
        """
        raise NotImplementedError

    def open(self, path: str, *, write: bool, truncate: bool = False) -> FileHandle:
        """Open a file; `truncate` (O_TRUNC, only with `write`) empties it.

        Raises:
            EntryMissing, IsADirectory
        """
        raise NotImplementedError

    async def truncate(self, path: str, size: int) -> None:
        """truncate(2): one version, or part of the one that open writing handles will make.

        Raises:
            EntryMissing, IsADirectory, NoSpace, DiskFailed
        """
        raise NotImplementedError

    def chmod(self, path: str, mode: int) -> None:
        """Set permission bits of a file or directory.

        Raises:
            EntryMissing, NotPermitted (the root has no entry), NoSpace, DiskFailed
        """
        raise NotImplementedError

    def set_times(self, path: str, mtime_ms: int) -> None:
        """Set the time of modification of a file or directory, in milliseconds since 1970.

        Raises:
            EntryMissing, NotPermitted (the root has no entry), NoSpace, DiskFailed
        """
        raise NotImplementedError

    async def write_file(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """Replace (or make) a file in one version, for services; the rules are not asked.

        Equal content commits nothing. Open readers see the new content.

        Raises:
            Busy: somebody has the file open for writing.
            EntryMissing (the directory), IsADirectory, NoSpace, DiskFailed
        """
        raise NotImplementedError

    # --- names ---------------------------------------------------------------------------------

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        """Make a directory: one version.

        Raises:
            EntryExists, EntryMissing, NotADirectory, DatfsError (from the rules)
        """
        raise NotImplementedError

    def rmdir(self, path: str) -> None:
        """Remove an empty directory: one version.

        Raises:
            EntryMissing, NotADirectory, DirectoryNotEmpty, NotPermitted (the root)
        """
        raise NotImplementedError

    def unlink(self, path: str) -> None:
        """Remove a file's name; who has it open goes on reading and writing it.

        Raises:
            EntryMissing, IsADirectory
        """
        raise NotImplementedError

    def rename(self, old: str, new: str, *, replace: bool = True) -> None:
        """Move a file or a whole directory, over an existing file or empty directory too.

        One append batch with one signature. `replace=False` is RENAME_NOREPLACE.

        Raises:
            EntryMissing, EntryExists, NotADirectory, IsADirectory, DirectoryNotEmpty, InvalidMove,
            DatfsError (from the rules)
        """
        raise NotImplementedError

    # --- durability ----------------------------------------------------------------------------

    async def sync(self) -> None:
        """Make everything that is committed survive a loss of power (fsync of a directory)."""
        raise NotImplementedError

    async def commit_all(self) -> None:
        """Commit every dirty file, also those that are still open (the mount ends)."""
        raise NotImplementedError

    def close(self) -> None:
        """Close journal and spool files; what is not committed stays in the journal."""
        raise NotImplementedError
