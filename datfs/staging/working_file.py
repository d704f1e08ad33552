"""One file that is open or dirty, and the table of all of them.

Dirty state is one per file, whatever number of handles it has: every handle refers to the same
`WorkingFile`, which keeps its id through renames and lives on without a path once it is unlinked.
"""

from __future__ import annotations

import stat as posix
from typing import TYPE_CHECKING

from datfs.hyperdrive.stat import Stat
from datfs.staging.content import CommittedContent, DirtyContent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datfs.staging.content import Content


class WorkingFile:
    """A file that is open, dirty, or both.

    Attributes:
        file_id: Equal for one file as long as it is open or dirty.
        path: Where it stands; None once it is unlinked.
        committed: The Stat of its last version, None if it never was one.
        content: Its bytes now.
        mode: Type and permission bits now.
        mtime_ms: Last change now, milliseconds since 1970.
        mtime_set: The time was set by utimens and no write came after.
        handles: How many handles it has, and `writers` how many of them may write.
    """

    __slots__ = (
        "committed",
        "content",
        "file_id",
        "handles",
        "mode",
        "mtime_ms",
        "mtime_set",
        "path",
        "writers",
    )

    def __init__(
        self, file_id: int, path: str, *, committed: Stat | None, content: Content, mode: int = 0
    ) -> None:
        self.file_id = file_id
        self.path: str | None = path
        self.committed = committed
        self.content = content
        self.mode = committed.mode if committed else posix.S_IFREG | posix.S_IMODE(mode)
        self.mtime_ms = committed.mtime_ms if committed else 0
        self.mtime_set = False
        self.handles = 0
        self.writers = 0

    @property
    def dirty(self) -> bool:
        """Whether something of it has a path and is not a version yet."""
        if self.path is None:
            return False
        return isinstance(self.content, DirtyContent) or self.has_new_attributes

    @property
    def has_new_attributes(self) -> bool:
        """Whether mode or time differ from those of its last version."""
        committed = self.committed
        return committed is None or (committed.mode, committed.mtime_ms) != (
            self.mode,
            self.mtime_ms,
        )

    @property
    def stat(self) -> Stat:
        """Its attributes now; where content lies is said of the last version."""
        committed = self.committed
        return Stat(
            mode=self.mode,
            size=self.content.size,
            blocks=committed.blocks if committed else 0,
            offset=committed.offset if committed else 0,
            byte_offset=committed.byte_offset if committed else 0,
            mtime_ms=self.mtime_ms,
            ctime_ms=max(self.mtime_ms, committed.ctime_ms) if committed else self.mtime_ms,
        )

    def is_unlinked(self) -> bool:
        """Whether it has lost its name (which may happen during any await)."""
        return self.path is None

    def layers(self) -> list[DirtyContent]:
        """Return its dirty contents, the lowest first."""
        content = self.content
        return content.layers() if isinstance(content, DirtyContent) else []

    def settle_on(self, version: CommittedContent) -> None:
        """Take a version as what the file is, nothing of it being dirty."""
        self.committed = version.stat
        self.content = version
        self.mode = version.stat.mode
        self.mtime_ms = version.stat.mtime_ms
        self.mtime_set = False


class WorkingFiles:
    """The files that are open or dirty, by path and by directory."""

    def __init__(self) -> None:
        self._directories: dict[str, dict[str, WorkingFile]] = {}
        self._last_file_id = 0

    def __iter__(self) -> Iterator[WorkingFile]:
        for files in self._directories.values():
            yield from files.values()

    def new_file(
        self, path: str, *, committed: Stat | None, content: Content, mode: int = 0
    ) -> WorkingFile:
        """Put a file with an id that none had before at a free path."""
        self._last_file_id += 1
        file = WorkingFile(
            self._last_file_id, path, committed=committed, content=content, mode=mode
        )
        self.add(file)
        return file

    def get(self, path: str) -> WorkingFile | None:
        """Return the file at a path."""
        directory, _, name = path.rpartition("/")
        files = self._directories.get(directory)
        return files.get(name) if files else None

    def add(self, file: WorkingFile) -> None:
        """Put a file where its path says."""
        assert file.path is not None
        directory, _, name = file.path.rpartition("/")
        self._directories.setdefault(directory, {})[name] = file

    def remove(self, file: WorkingFile) -> None:
        """Take a file out of the table; it keeps its path."""
        assert file.path is not None
        directory, _, name = file.path.rpartition("/")
        files = self._directories[directory]
        del files[name]
        if not files:
            del self._directories[directory]

    def move(self, file: WorkingFile, path: str) -> None:
        """Give a file another path, which is free."""
        self.remove(file)
        file.path = path
        self.add(file)

    def children(self, directory: str) -> list[tuple[str, WorkingFile]]:
        """Return name and file of those that stand directly in a directory."""
        return [*self._directories.get(directory.rstrip("/"), {}).items()]

    def below(self, directory: str) -> list[WorkingFile]:
        """Return the files at any depth under a directory."""
        prefix = directory.rstrip("/")
        return [
            file
            for parent, files in self._directories.items()
            if parent == prefix or parent.startswith(prefix + "/")
            for file in files.values()
        ]
