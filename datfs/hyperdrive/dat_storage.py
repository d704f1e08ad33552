"""The content of a `.dat` folder: plain files beside it stand in for the feed's data file.

Follows formats.md section 3 (dat-storage 1.1.2, always in hyperdrive's `latest` mode). A content
byte belongs to the entry whose byte range holds it, and lies in the plain file of that entry's
name. Only the newest version of each file is there; what was replaced has no data bits, so nobody
asks for it. datfs reads and serves such folders and does not write them: a change would have to
reach file and feed together.

The metadata may be anybody's, so a name passes the path rules before it becomes a path here, and no
symbolic link on the way is followed: else an archive could name files outside of its folder and
have them served.
"""

from __future__ import annotations

import errno
import os
import stat
from bisect import bisect_right
from typing import TYPE_CHECKING, Final, NoReturn

from datfs.errors import EncodingError
from datfs.hypercore.storage import DirectoryStorage
from datfs.hyperdrive.append_tree import decode_node, split_name
from datfs.hyperdrive.path_rules import is_visible
from datfs.hyperdrive.stat import decode_stat

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datfs.encoding.buffer import Buffer
    from datfs.hypercore.feed import Feed
    from datfs.hypercore.storage import FileName, OpenFiles, RandomAccess

DAT_FOLDER: Final = ".dat"
METADATA_PREFIX: Final = "metadata."
CONTENT_PREFIX: Final = "content."


class ContentMap:
    """Which plain file holds which bytes of the content feed."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._sizes: list[int] = []
        self._names: list[tuple[str, ...]] = []

    @classmethod
    def of(cls, metadata: Feed) -> ContentMap:
        """Read the map out of all entries that are here; garbage among them counts for nothing."""
        found: dict[int, tuple[int, tuple[str, ...]]] = {}
        for seq in range(1, metadata.length):
            if not metadata.has(seq):
                continue
            try:
                node = decode_node(metadata.get(seq))
                entry = None if node.value is None else decode_stat(node.value)
            except EncodingError:
                continue
            name = split_name(node.name)
            if entry is not None and entry.blocks and entry.size and all(map(is_visible, name)):
                found[entry.byte_offset] = (entry.size, name)
        content_map = cls()
        for start, (size, name) in sorted(found.items()):
            content_map._starts.append(start)
            content_map._sizes.append(size)
            content_map._names.append(name)
        return content_map

    @property
    def byte_length(self) -> int:
        """The end of the last file."""
        return self._starts[-1] + self._sizes[-1] if self._starts else 0

    def locate(self, byte_index: int) -> tuple[tuple[str, ...], int, int] | None:
        """Return the name of a byte's file, its place there and how many bytes follow in it."""
        position = bisect_right(self._starts, byte_index) - 1
        if position < 0:
            return None
        place = byte_index - self._starts[position]
        rest = self._sizes[position] - place
        return (self._names[position], place, rest) if rest > 0 else None


class PlainFiles:
    """The `data` file of a content feed, put together from plain files; it cannot be written."""

    def __init__(self, folder: Path, read_map: Callable[[], ContentMap]) -> None:
        self._folder = folder
        self._read_map = read_map
        self._map: ContentMap | None = None

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes of one or several files; fewer where a file is missing or too short."""
        parts: list[bytes] = []
        while size > 0:
            place = self._content_map.locate(offset)
            if place is None:
                break
            name, start, rest = place
            wanted = min(size, rest)
            part = self._read_file(name, start, wanted)
            parts.append(part)
            if len(part) < wanted:
                break
            offset += wanted
            size -= wanted
        return b"".join(parts)

    def size(self) -> int:
        """Return the end of the last byte that a file stands for."""
        return self._content_map.byte_length

    def next_data(self, offset: int) -> int | None:
        """Return `offset` while it is inside: what is a hole is not known here."""
        return offset if offset < self.size() else None

    def write(self, offset: int, data: Buffer) -> None:
        """Refuse."""
        self._refuse()

    def truncate(self, size: int) -> None:
        """Refuse."""
        self._refuse()

    def punch(self, offset: int, size: int) -> None:
        """Refuse."""
        self._refuse()

    def sync(self) -> None:
        """Do nothing: nothing is written."""

    def close(self) -> None:
        """Do nothing: nothing is held open."""

    @property
    def _content_map(self) -> ContentMap:
        if self._map is None:
            self._map = self._read_map()
        return self._map

    def _read_file(self, name: tuple[str, ...], offset: int, size: int) -> bytes:
        """Read a plain file, component by component so that no link leads elsewhere."""
        folder = os.open(self._folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for component in name[:-1]:
                flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                below = os.open(component, flags, dir_fd=folder)
                os.close(folder)
                folder = below
            # Without O_NONBLOCK a FIFO under that name would wait for its writer for ever.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            file = os.open(name[-1], flags, dir_fd=folder)
        except (FileNotFoundError, NotADirectoryError):
            return b""
        except OSError as error:
            if error.errno == errno.ELOOP:
                return b""
            raise
        finally:
            os.close(folder)
        try:
            is_file = stat.S_ISREG(os.fstat(file).st_mode)
            return os.pread(file, size, offset) if is_file else b""
        finally:
            os.close(file)

    def _refuse(self) -> NoReturn:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self._folder))


class PlainContentStorage:
    """The content feed's files of a `.dat` folder.

    Args:
        folder: The folder that holds `.dat`.
        metadata: The archive's metadata feed, open.
        open_files: Where open descriptors of the files in `.dat` are kept.
    """

    def __init__(self, folder: Path, metadata: Feed, open_files: OpenFiles | None = None) -> None:
        self._folder = folder
        self._files = DirectoryStorage(
            folder / DAT_FOLDER, CONTENT_PREFIX, open_files=open_files, create=False
        )
        self._data = PlainFiles(folder, lambda: ContentMap.of(metadata))

    def open(self, name: FileName) -> RandomAccess:
        """Return a file of the feed, `data` being the plain files."""
        return self._data if name == "data" else self._files.open(name)

    def exists(self, name: FileName) -> bool:
        """Tell whether a file is there."""
        return name == "data" or self._files.exists(name)

    def path(self, name: FileName) -> str:
        """Return the file's path, the folder itself for `data`."""
        return str(self._folder) if name == "data" else self._files.path(name)
