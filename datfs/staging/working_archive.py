"""An own archive that can be edited: files being written laid over the committed archive.

Follows design sections 2 (dirty state, FLUSH, RELEASE, promises) and 3. Paths are absolute and
normal ("/a/b", root "/"); names have passed `hyperdrive.path_rules` before they come here. Every
change of an own archive goes through this class, those of the mount and those of the daemon's
services alike. Kernel requests, inode numbers, caches and errno belong to the fs package.

Synchronous methods change state between two awaits only, so no other task sees half of them. Async
ones may wait for the disk or for the commit of another file; each of them may be cancelled
without harm: what was dirty stays dirty, in the journal if it was flushed.
"""

from __future__ import annotations

import stat as posix
from dataclasses import replace
from typing import TYPE_CHECKING

from datfs.errors import Busy, DatfsError, IsADirectory, NotPermitted, ReadOnlyArchive
from datfs.hyperdrive.archive import Put
from datfs.staging.commit import Committer, Released
from datfs.staging.content import CommittedContent
from datfs.staging.editor import Editor, FileHandle, storable_time_ms
from datfs.staging.names import Names
from datfs.staging.recovery import Recovered, staged_files
from datfs.staging.stage import Stage
from datfs.staging.tree import Tree, WorkingEntry
from datfs.staging.versions import Versions
from datfs.staging.working_file import WorkingFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from datfs.hyperdrive.archive import Archive
    from datfs.hyperdrive.entry import Change
    from datfs.hyperdrive.stat import Stat
    from datfs.staging.journal import Journal
    from datfs.staging.recovery import StagedFile
    from datfs.staging.rules import FileRules
    from datfs.staging.spool import SpoolFolder
    from datfs.staging.working_file import WorkingFile

__all__ = ["FileHandle", "Recovered", "Released", "WorkingArchive", "WorkingEntry"]


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
        """Join the parts; `recover` must run before anything is changed.

        Args:
            archive: writable; nothing else writes to it.
            spool: the folder of this archive's spool files.
            journal: this archive's journal.
            rules: what the owner of the archive says about its files.
            on_commit: called with the changes of each version, at once and in order; must not fail.
            wall_clock_ms: milliseconds since 1970.
        """
        self._archive = archive
        self._journal = journal
        self._wall_clock_ms = wall_clock_ms
        self._files = WorkingFiles()
        self._versions = Versions(archive, rules)
        self._stage = Stage(archive, spool, journal)
        self._tree = Tree(archive, self._files)
        self._committer = Committer(
            archive,
            versions=self._versions,
            files=self._files,
            stage=self._stage,
            rules=rules,
            on_commit=on_commit,
            wall_clock_ms=wall_clock_ms,
        )
        self._editor = Editor(
            self._versions,
            files=self._files,
            stage=self._stage,
            committer=self._committer,
            wall_clock_ms=wall_clock_ms,
        )
        self._names = Names(
            archive,
            versions=self._versions,
            tree=self._tree,
            files=self._files,
            stage=self._stage,
            editor=self._editor,
            committer=self._committer,
            rules=rules,
            wall_clock_ms=wall_clock_ms,
        )

    async def recover(self) -> list[Recovered]:
        """Commit what the journal of an earlier process holds.

        An archive that may not be written at present (a store that was restored) keeps it: the
        files show as dirty, and a later start commits them.

        Returns:
            What was found there; empty after an orderly end.

        Raises:
            EncodingError: the journal is not ours to read.
            NoSpace, DiskFailed, BlockMissing: the journal stands, and those files are dirty.
        """
        found = staged_files(self._journal.read(), self._archive, self._versions, self._stage)
        report = [
            Recovered(path=staged.path, outcome=f"could not be committed: {staged.lost}")
            for staged in found
            if staged.lost is not None
        ]
        files = [self._take_over(staged) for staged in found if staged.lost is None]
        for file in dict.fromkeys(files):
            if file.path is None:
                continue
            path = file.path
            if self._archive.read_only_reason is not None:
                reason = f"stays in the journal: {self._archive.read_only_reason}"
                report.append(Recovered(path=path, outcome=reason))
                continue
            outcome = await self._committer.commit_recovered(file)
            self._editor.let_go(file)
            report.append(Recovered(path=path, outcome=_SAYING[outcome]))
        if found:
            await self._stage.sync_archive()
        self._stage.clear()
        return report

    def _take_over(self, staged: StagedFile) -> WorkingFile:
        """Make a dirty file of what the journal holds, or one more layer of such a file."""
        content, last = staged.content, staged.last
        file = self._files.get(staged.path)
        if file is None or content.base is not file.content:
            if file is not None:  # the name was taken by another file and the younger one counts
                self._committer.revert(file)
                self._editor.let_go(file)
            committed = content.base.stat if isinstance(content.base, CommittedContent) else None
            file = self._files.new_file(staged.path, committed=committed, content=content)
        file.content = content
        file.mode, file.mtime_ms, file.mtime_set = last.mode, last.mtime_ms, last.mtime_set
        self._stage.adopt(content, file)
        return file

    # --- looking -------------------------------------------------------------------------------

    def lookup(self, path: str) -> WorkingEntry | None:
        """Return the file or directory at `path`, None if there is none."""
        entry = self._tree.lookup(path)
        return None if entry is None else self._shown(entry)

    def list_directory(self, path: str) -> list[tuple[str, WorkingEntry]]:
        """Return the entries of a directory by name.

        Raises:
            EntryMissing, NotADirectory
        """
        return [(name, self._shown(entry)) for name, entry in self._tree.list_directory(path)]

    def read_file(self, path: str) -> bytes:
        """Return the whole content of a (small) file as it is now.

        Raises:
            EntryMissing, IsADirectory, BlockMissing, DiskFailed
        """
        file = self._file(path)
        try:
            return file.content.read(0, file.content.size)
        finally:
            self._editor.let_go(file)

    def _shown(self, entry: WorkingEntry) -> WorkingEntry:
        """Give a version the size that readers see; a file that is open has it."""
        if entry.file_id is not None:
            return entry
        stat = self._versions.shown(entry.path, entry.stat)
        return entry if stat is entry.stat else replace(entry, stat=stat)

    def has_writers(self, path: str) -> bool:
        """Tell whether somebody has the file open for writing."""
        file = self._files.get(path)
        return file is not None and file.writers > 0

    def uncommitted(self) -> list[str]:
        """Return the paths of the files that are not a version yet, sorted."""
        return sorted(file.path for file in self._files if file.dirty and file.path is not None)

    # --- files ---------------------------------------------------------------------------------

    def create(self, path: str, mode: int = 0o644) -> FileHandle:
        """Make an empty file, open for reading and writing; it becomes a version at release.

        Raises:
            EntryExists, EntryMissing (the directory), NotADirectory, InvalidPath (for archives),
            DatfsError (from the rules), ReadOnlyArchive
        """
        self._require_writable()
        self._names.require_free(path)
        return self._editor.hold(self._editor.new_file(path, mode), write=True)

    def open(self, path: str, *, write: bool, truncate: bool = False) -> FileHandle:
        """Open a file; `truncate` (O_TRUNC, only with `write`) empties it.

        Raises:
            EntryMissing, IsADirectory, DiskFailed, ReadOnlyArchive (for writing)
        """
        if write:
            self._require_writable()
        file = self._file(path)
        if truncate and write:
            self._editor.truncate(file, 0)
        return self._editor.hold(file, write=write)

    async def truncate(self, path: str, size: int) -> None:
        """Cut or extend a file: one version, or a part of the one that writing handles will make.

        Raises:
            EntryMissing, IsADirectory, NoSpace, DiskFailed
        """
        handle = self.open(path, write=True)
        try:
            handle.truncate(size)
            handle.flush()
        finally:
            await handle.release()

    def chmod(self, path: str, mode: int) -> None:
        """Set permission bits of a file or directory; of a file in work, for its next version.

        Raises:
            EntryMissing, NotPermitted (the root has no entry), NoSpace, DiskFailed
        """
        file = self._files.get(path)
        if file is not None and (file.dirty or file.writers):
            self._editor.chmod(file, mode)
            return
        stat = self._version(path)
        self._put_attributes(path, replace(stat, mode=posix.S_IFMT(stat.mode) | mode & 0o7777))

    def set_times(self, path: str, mtime_ms: int) -> None:
        """Set the time of modification, in milliseconds since 1970; of a file in work as `chmod`.

        Raises:
            EntryMissing, NotPermitted (the root has no entry), NoSpace, DiskFailed
        """
        file = self._files.get(path)
        if file is not None and (file.dirty or file.writers):
            self._editor.set_times(file, mtime_ms)
            return
        stat = self._version(path)
        self._put_attributes(path, replace(stat, mtime_ms=storable_time_ms(mtime_ms)))

    def _version(self, path: str) -> Stat:
        """Return the Stat of what is committed, which names the size that is stored."""
        file = self._files.get(path)
        if file is not None and file.committed is not None:
            return file.committed
        return self._tree.require(path).stat

    def _put_attributes(self, path: str, stat: Stat) -> None:
        if path == "/":
            raise NotPermitted("the root directory has no attributes of its own in an archive")
        stat = replace(stat, ctime_ms=self._wall_clock_ms())
        self._committer.change([Put(path, stat)])
        file = self._files.get(path)
        if file is not None:
            file.settle_on(self._versions.content(path, stat))

    async def write_file(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """Replace (or make) a file in one version, for services; the rules are not asked.

        Equal content commits nothing. Open readers see the new content. Nothing is journaled: a
        process that dies before this returns has written all or nothing.

        Raises:
            Busy: somebody has the file open for writing.
            EntryMissing (the directory), NotADirectory, IsADirectory, NoSpace, DiskFailed
        """
        async with self._committer.turn():
            if self._tree.lookup(path) is None:
                self._names.require_parent(path)
                file = self._editor.new_file(path, mode)
            else:
                file = self._file(path)
                if file.dirty and not file.writers:  # a commit failed: it comes first
                    await self._committer.commit_in_turn(file)
            if file.writers:
                raise Busy(f"{path} is open for writing")
            try:
                self._editor.replace(file, data)
                await self._committer.commit_in_turn(file)
            except BaseException:
                self._committer.give_up(file)
                raise
            finally:
                self._editor.let_go(file)

    def _require_writable(self) -> None:
        reason = self._archive.read_only_reason
        if reason is not None:
            raise ReadOnlyArchive(reason)

    def _file(self, path: str) -> WorkingFile:
        entry = self._tree.require(path)
        if entry.stat.is_directory:
            raise IsADirectory(f"{path} is a directory")
        return self._editor.file_of(path, entry.stat)

    # --- names ---------------------------------------------------------------------------------

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        """Make a directory: one version.

        Raises:
            EntryExists, EntryMissing, NotADirectory, InvalidPath (for archives), DatfsError (from
            the rules), NoSpace, DiskFailed
        """
        self._names.mkdir(path, mode)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory: one version.

        Raises:
            EntryMissing, NotADirectory, DirectoryNotEmpty, NotPermitted (the root), NoSpace,
            DiskFailed
        """
        self._names.rmdir(path)

    def unlink(self, path: str) -> None:
        """Remove a file's name; who has it open goes on reading and writing it.

        Raises:
            EntryMissing, IsADirectory, NoSpace, DiskFailed
        """
        self._names.unlink(path)

    def rename(self, old: str, new: str, *, replace: bool = True) -> None:
        """Move a file or a whole directory, over an existing file or empty directory too.

        One append batch with one signature. A file that comes to a checked name is checked.

        Args:
            old: what to move.
            new: where to.
            replace: False is RENAME_NOREPLACE.

        Raises:
            EntryMissing, EntryExists, NotADirectory, IsADirectory, DirectoryNotEmpty, InvalidMove,
            InvalidPath (for archives), DatfsError (from the rules), NoSpace, DiskFailed
            Busy: the rules replace the content while a large file is being committed.
        """
        self._names.rename(old, new, replace_target=replace)

    # --- durability ----------------------------------------------------------------------------

    async def sync(self) -> None:
        """Make everything that is committed survive a loss of power (fsync of a directory).

        Raises:
            NoSpace, DiskFailed
        """
        await self._stage.sync_archive()

    async def commit_all(self) -> None:
        """Commit every dirty file, also those that are still open (the mount ends).

        Raises:
            NoSpace, DiskFailed, BlockMissing: the first that was met, after all were tried.
        """
        failure: DatfsError | None = None
        for file in [*self._files]:
            try:
                await self._committer.commit(file, although_open=True)
            except DatfsError as error:
                failure = failure or error
            self._editor.let_go(file)
        if failure is not None:
            raise failure

    async def commit_closed(self) -> None:
        """Commit what files hold that nobody has open for writing: a commit failed, or had to wait.

        Raises:
            NoSpace, DiskFailed, BlockMissing
        """
        for file in [*self._files]:
            if not file.writers:
                await self._committer.commit(file)
                self._editor.let_go(file)

    def close(self) -> None:
        """Close journal and spool files; what is not committed stays there for the next start.

        Raises:
            DiskFailed
        """
        self._stage.close()


_SAYING = {
    Released.COMMITTED: "was written but no version yet when the last process ended; it is one now",
    Released.UNCHANGED: "had become a version before the last process ended",
    Released.REVERTED: "was not committed: its content is not what it must be",
    Released.DISCARDED: "was removed",
    Released.WAITING: "waits in the journal",
    Released.NOTHING: "had become a version before the last process ended",
}
