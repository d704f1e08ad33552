"""Changes of names: mkdir, rmdir, unlink, rename, each one append batch with one signature.

Files that are being written take part: their new names go into the journal before the batch and
count only if the batch was written, so a crash leaves all of a change or nothing of it.

A directory without an entry of its own (hyperdrive: it exists because something lies below it)
would vanish with its last child. A program that removes a file does not expect that; the same batch
gives such a directory an entry.
"""

from __future__ import annotations

import stat as posix
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from datfs.errors import (
    DatfsError,
    DirectoryNotEmpty,
    EntryExists,
    InvalidMove,
    IsADirectory,
    NameTooLong,
    NotADirectory,
    NotPermitted,
)
from datfs.hyperdrive.append_tree import MAX_NAME_BYTE_LENGTH
from datfs.hyperdrive.archive import Delete, Put
from datfs.hyperdrive.path_rules import check_name
from datfs.hyperdrive.stat import Stat

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from datfs.hyperdrive.archive import Archive
    from datfs.staging.commit import Committer
    from datfs.staging.editor import Editor
    from datfs.staging.records import Record
    from datfs.staging.rules import FileRules
    from datfs.staging.stage import Stage
    from datfs.staging.tree import Tree, WorkingEntry
    from datfs.staging.versions import Versions
    from datfs.staging.working_file import WorkingFile, WorkingFiles


class Names:
    """Makes, moves and removes the names of one working archive."""

    def __init__(
        self,
        archive: Archive,
        *,
        versions: Versions,
        tree: Tree,
        files: WorkingFiles,
        stage: Stage,
        editor: Editor,
        committer: Committer,
        rules: FileRules,
        wall_clock_ms: Callable[[], int],
    ) -> None:
        self._archive = archive
        self._versions = versions
        self._tree = tree
        self._files = files
        self._stage = stage
        self._editor = editor
        self._committer = committer
        self._rules = rules
        self._wall_clock_ms = wall_clock_ms

    def require_free(self, path: str) -> None:
        """See that a new name may be made here.

        Raises:
            EntryExists, EntryMissing, NotADirectory, InvalidPath, DatfsError (from the rules)
        """
        self.require_parent(path)
        if self._tree.lookup(path) is not None:
            raise EntryExists(f"{path} exists")
        self._require_allowed(path)

    def _require_allowed(self, path: str) -> None:
        """See that archives can hold a new name and that the rules have nothing against it.

        What has been created and closed must become a version, so this cannot wait for the commit.
        """
        check_name(path.rpartition("/")[2].encode("utf-8", "surrogateescape"))
        _require_short(path)
        self._rules.may_create(path)

    def require_parent(self, path: str) -> None:
        """See that the directory of a name exists.

        Raises:
            EntryMissing, NotADirectory
        """
        self._tree.require_directory(parent_of(path))

    def mkdir(self, path: str, mode: int) -> None:
        """Make a directory."""
        self.require_free(path)
        self._committer.change([Put(path, self._directory_stat(mode))])

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        if path == "/":
            raise NotPermitted("the root directory cannot be removed")
        self._tree.require_directory(path)
        if not self._tree.is_empty(path):
            raise DirectoryNotEmpty(f"{path} is not empty")
        self._committer.change([*self._kept_parent(path), Delete(path)])

    def unlink(self, path: str) -> None:
        """Remove the name of a file."""
        if self._tree.require(path).stat.is_directory:
            raise IsADirectory(f"{path} is a directory")
        operations: list[Put | Delete] = []
        if self._archive.lookup(path) is not None:
            operations = [*self._kept_parent(path), Delete(path)]
        self._apply(operations, gone=self._files.get(path))

    def rename(self, old: str, new: str, *, replace_target: bool) -> None:
        """Move a file or directory."""
        source = self._tree.require(old)
        if old == new:
            return
        if old == "/" or new.startswith(f"{old}/"):
            raise InvalidMove(f"{old} cannot be moved into itself")
        self._tree.require_directory(parent_of(new))
        target = self._tree.lookup(new)
        if target is None:
            self._require_allowed(new)
        elif not replace_target:
            raise EntryExists(f"{new} exists")
        else:
            self._require_replaceable(source, target)
        if source.stat.is_directory:
            operations = [*self._archive.rename_operations(old, new)]
            moved = self._files.below(old)
            self._apply([*self._kept_parent(old, new), *operations], moved=moved, old=old, new=new)
        else:
            self._rename_file(old, new)

    def _rename_file(self, old: str, new: str) -> None:
        file = self._files.get(old)
        entry = self._archive.lookup(old)
        committed = file.committed if file else entry.stat if entry else None
        replacement, stored = self._checked(old, new)
        operations: list[Put | Delete] = []
        if entry is not None:
            operations = [*self._kept_parent(old, new), Delete(old)]
        if committed is not None:
            if stored is not None:
                run = self._committer.write_now(stored)
                committed = replace(
                    run,
                    mode=committed.mode,
                    mtime_ms=self._wall_clock_ms(),
                    ctime_ms=self._wall_clock_ms(),
                )
            operations.insert(0, Put(new, committed))
        moved = [file] if file else []
        self._apply(operations, moved=moved, old=old, new=new, gone=self._files.get(new))
        if file is None:
            return
        if committed is not None and stored is not None:
            self._stage.discard(file)
            file.settle_on(self._versions.content(new, committed))
        elif replacement is not None:
            self._editor.replace(file, replacement)

    def _checked(self, old: str, new: str) -> tuple[bytes | None, bytes | None]:
        """Ask the rules about the content that comes to stand at `new`.

        Returns:
            What takes its place, and what the archive is to keep in place of the blocks it has if
            the content is a version already; None where nothing changes.
        """
        form = self._rules.form(new)
        leaves_its_form = form is None and self._rules.form(old) is not None
        if self._rules.max_checked_size(new) is None and not leaves_its_form:
            return None, None
        file = self._editor.file_of(old, self._tree.require(old).stat)
        try:
            replacement = self._committer.checked_replacement(new, file.content)
            if file.committed is None or (form is None and not leaves_its_form):
                return replacement, replacement
            text = replacement or file.content.read(0, file.content.size)
            return replacement, text if form is None else form.stored(text)
        finally:
            self._editor.let_go(file)

    def _require_replaceable(self, source: WorkingEntry, target: WorkingEntry) -> None:
        if not source.stat.is_directory:
            if target.stat.is_directory:
                raise IsADirectory(f"{target.path} is a directory")
        elif not target.stat.is_directory:
            raise NotADirectory(f"{target.path} is a file")
        elif not self._tree.is_empty(target.path):
            raise DirectoryNotEmpty(f"{target.path} is not empty")

    def _apply(
        self,
        operations: Sequence[Put | Delete],
        *,
        moved: Sequence[WorkingFile] = (),
        old: str = "",
        new: str = "",
        gone: WorkingFile | None = None,
    ) -> None:
        """Write the batch, with what goes with it in the journal and among the open files."""
        length = self._archive.metadata.length + len(operations) if operations else 0
        records: list[Record] = []
        if gone is not None:
            records += self._stage.record_end(gone, metadata_length=length)
        paths = [new + file.path[len(old) :] for file in moved if file.path is not None]
        for path in paths:
            _require_short(path)
        for file, path in zip(moved, paths, strict=True):
            records += self._stage.record_move(file, path, metadata_length=length)
        self._stage.append(records)
        if operations:
            try:
                self._committer.change(operations)
            except DatfsError:
                for file in [*moved, gone] if gone else moved:
                    self._stage.record_anew(file)
                raise
        if gone is not None:
            self._files.remove(gone)
            gone.path = None
            self._stage.forget(gone)
            self._editor.let_go(gone)
        for file, path in zip(moved, paths, strict=True):
            self._files.move(file, path)

    def _kept_parent(self, path: str, new: str = "/") -> list[Put | Delete]:
        """Return what keeps the directory of `path` when that name goes (and `new` comes)."""
        parent = parent_of(path)
        if parent in ("/", parent_of(new)):
            return []
        entry = self._archive.lookup(parent)
        if entry is None or entry.explicit:
            return []
        if len([*islice(self._archive.list_directory(parent), 2)]) > 1:
            return []
        return [Put(parent, self._directory_stat(entry.stat.mode))]

    def _directory_stat(self, mode: int) -> Stat:
        now_ms = self._wall_clock_ms()
        content = self._archive.content
        return Stat(
            mode=posix.S_IFDIR | posix.S_IMODE(mode),
            offset=content.length if content else 0,
            byte_offset=content.byte_length if content else 0,
            mtime_ms=now_ms,
            ctime_ms=now_ms,
        )


def parent_of(path: str) -> str:
    """Return the directory that a path stands in; the root's is the root."""
    return path.rpartition("/")[0] or "/"


def _require_short(path: str) -> None:
    byte_length = len(path.encode())
    if byte_length > MAX_NAME_BYTE_LENGTH:
        raise NameTooLong(
            f"a path of {byte_length} bytes is too long, {MAX_NAME_BYTE_LENGTH} are allowed"
        )
