"""What a reader of a working archive sees: its files in work laid over the committed tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from datfs.errors import EntryMissing, NotADirectory

if TYPE_CHECKING:
    from datfs.hyperdrive.archive import Archive
    from datfs.hyperdrive.entry import Entry
    from datfs.hyperdrive.stat import Stat
    from datfs.staging.working_file import WorkingFile, WorkingFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingEntry:
    """A file or directory as a reader of the working archive sees it now.

    Attributes:
        path: Absolute, "/" for the root.
        stat: Size, mode and times as now; offset, byte_offset and blocks of the last version.
        file_id: Equal for one file while it is open or dirty, renamed or not; else None.
        dirty: Something of it is not a version yet.
    """

    path: str
    stat: Stat
    file_id: int | None
    dirty: bool


class Tree:
    """Looks names up in one working archive."""

    def __init__(self, archive: Archive, files: WorkingFiles) -> None:
        self._archive = archive
        self._files = files

    def lookup(self, path: str) -> WorkingEntry | None:
        """Return the file or directory at `path`, None if there is none."""
        file = self._files.get(path)
        if file is not None:
            return _entry_of_file(path, file)
        entry = self._archive.lookup(path)
        return None if entry is None else _entry_of_version(entry)

    def require(self, path: str) -> WorkingEntry:
        """Return the file or directory at `path`.

        Raises:
            EntryMissing: there is none.
        """
        entry = self.lookup(path)
        if entry is None:
            raise EntryMissing(f"{path} does not exist")
        return entry

    def require_directory(self, path: str) -> None:
        """See that there is a directory at `path`.

        Raises:
            EntryMissing, NotADirectory
        """
        if not self.require(path).stat.is_directory:
            raise NotADirectory(f"{path} is no directory")

    def list_directory(self, path: str) -> list[tuple[str, WorkingEntry]]:
        """Return the entries of a directory by name.

        Raises:
            EntryMissing, NotADirectory
        """
        self.require_directory(path)
        listing = {
            name: _entry_of_version(entry) for name, entry in self._archive.list_directory(path)
        }
        for name, file in self._files.children(path):
            assert file.path is not None
            listing[name] = _entry_of_file(file.path, file)
        return [*listing.items()]

    def is_empty(self, path: str) -> bool:
        """Tell whether nothing lies in a directory."""
        if self._files.children(path):
            return False
        return next(iter(self._archive.list_directory(path)), None) is None


def _entry_of_file(path: str, file: WorkingFile) -> WorkingEntry:
    return WorkingEntry(path=path, stat=file.stat, file_id=file.file_id, dirty=file.dirty)


def _entry_of_version(entry: Entry) -> WorkingEntry:
    return WorkingEntry(path=entry.path, stat=entry.stat, file_id=None, dirty=False)
