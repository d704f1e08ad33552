"""Where a feed's files lie: in a folder, in memory, or where somebody else maps them.

A feed sees six byte arrays by name (DEP-0009, formats.md section 2) and neither paths nor
descriptors. What stands in them is the business of `sleep` and `feed`. Failures of the disk come
through as OSError: their errno is what a file system has to answer with.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from datfs.encoding.buffer import Buffer

FileName: TypeAlias = Literal["key", "secret_key", "tree", "signatures", "bitfield", "data"]
"""The files of a feed, by DEP-0009's names."""

OPEN_FILES_DEFAULT: Final = 128
"""Descriptors that an `OpenFiles` keeps unless told otherwise."""

_PUNCH_HOLE_KEEP_SIZE: Final = 0x02 | 0x01
_NO_HOLES_HERE: Final = (errno.EOPNOTSUPP, errno.ENOSYS)

_libc: Final = ctypes.CDLL(None, use_errno=True)


class RandomAccess(Protocol):
    """A growing array of bytes. A file that does not exist reads as an empty one."""

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset` on: fewer only at the end of the file."""

    def write(self, offset: int, data: Buffer) -> None:
        """Write all of `data` at `offset`; what lies between the old end and it reads as zeros."""

    def size(self) -> int:
        """Return the number of bytes, holes included."""

    def next_data(self, offset: int) -> int | None:
        """Return the first place from `offset` on that may hold other bytes than zeros.

        None means that there is none. An array that knows no holes returns `offset` itself while
        it is inside.
        """

    def truncate(self, size: int) -> None:
        """Cut or extend to `size` bytes."""

    def sync(self) -> None:
        """Return once what was written before the call survives a loss of power.

        The one method that another thread may call while the owner reads and writes.
        """

    def punch(self, offset: int, size: int) -> None:
        """Give back the space of a range, which then reads as zeros, where that is possible."""

    def close(self) -> None:
        """Give back what is held open. A later use opens it again."""


class FeedStorage(Protocol):
    """The files of one feed."""

    def open(self, name: FileName) -> RandomAccess:
        """Return a file; it is made by the first write."""

    def exists(self, name: FileName) -> bool:
        """Tell whether a file is there at all."""

    def path(self, name: FileName) -> str:
        """Return what to call a file in a message to the user."""


class MemoryFile:
    """A `RandomAccess` over a bytearray."""

    def __init__(self, content: Buffer = b"") -> None:
        self.content = bytearray(content)

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes."""
        return bytes(self.content[offset : offset + size])

    def write(self, offset: int, data: Buffer) -> None:
        """Write `data`, filling a gap with zeros."""
        gap = offset - len(self.content)
        if gap > 0:
            self.content += bytes(gap)
        self.content[offset : offset + len(data)] = data

    def size(self) -> int:
        """Return the number of bytes."""
        return len(self.content)

    def next_data(self, offset: int) -> int | None:
        """Return `offset` while it is inside: memory knows no holes."""
        return offset if offset < len(self.content) else None

    def truncate(self, size: int) -> None:
        """Cut or extend to `size` bytes."""
        del self.content[size:]
        self.content += bytes(size - len(self.content))

    def sync(self) -> None:
        """Do nothing: memory does not survive."""

    def punch(self, offset: int, size: int) -> None:
        """Zero the range as far as it lies inside."""
        end = min(offset + size, len(self.content))
        if offset < end:
            self.content[offset:end] = bytes(end - offset)

    def close(self) -> None:
        """Do nothing: the content stays for a later use."""


class MemoryStorage:
    """The files of a feed in memory, for tests and for feeds that live no longer than the process.

    Attributes:
        files: What was written so far, by name.
    """

    def __init__(self) -> None:
        self.files: dict[FileName, MemoryFile] = {}

    def open(self, name: FileName) -> MemoryFile:
        """Return the file of that name."""
        return self.files.setdefault(name, MemoryFile())

    def exists(self, name: FileName) -> bool:
        """Tell whether anything was written to the file."""
        return name in self.files and self.files[name].size() > 0

    def path(self, name: FileName) -> str:
        """Return the bare name."""
        return name


class _Descriptor:
    """An open descriptor that is closed when its last user lets go of it.

    So the pool may drop it at any time, also while another thread is in the middle of a sync.
    """

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self, _close: Callable[[int], None] = os.close) -> None:
        # Bound here, for at the end of the interpreter the module may be gone before this is.
        _close(self.number)


class OpenFiles:
    """A bounded set of open descriptors, the least recently used closed first.

    One is shared by all storages of a process, which may have far more feeds than descriptors.
    """

    def __init__(self, limit: int = OPEN_FILES_DEFAULT) -> None:
        self._limit = limit
        self._open: OrderedDict[DirectoryFile, _Descriptor] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def get(self, file: DirectoryFile) -> _Descriptor | None:
        """Return the descriptor of a file if it is open, as the one used last."""
        descriptor = self._open.get(file)
        if descriptor is not None:
            self._open.move_to_end(file)
        return descriptor

    def peek(self, file: DirectoryFile) -> _Descriptor | None:
        """Return the descriptor of a file if it is open; changes nothing, so any thread may ask."""
        return self._open.get(file)

    def add(self, file: DirectoryFile, descriptor: _Descriptor) -> None:
        """Keep a descriptor, at the cost of the one that was not used for longest."""
        self._open[file] = descriptor
        while len(self._open) > self._limit:
            self._open.popitem(last=False)

    def drop(self, file: DirectoryFile) -> None:
        """Let go of the descriptor of a file."""
        self._open.pop(file, None)


class DirectoryFile:
    """A `RandomAccess` over a file, opened when needed through an `OpenFiles`."""

    def __init__(self, path: Path, mode: int, open_files: OpenFiles, *, make_folder: bool) -> None:
        self._path = path
        self._mode = mode
        self._open_files = open_files
        self._make_folder = make_folder
        # Both are set after the write that they speak of and cleared before the sync that covers
        # it, so a write that falls between costs one sync too many and never one too few.
        self._unsynced = False
        self._entry_unsynced = False

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes; nothing if the file does not exist."""
        descriptor = self._descriptor()
        if descriptor is None:
            return b""
        data = os.pread(descriptor.number, size, offset)
        while 0 < len(data) < size:
            more = os.pread(descriptor.number, size - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def write(self, offset: int, data: Buffer) -> None:
        """Write all of `data`; the first write makes the file."""
        descriptor = self._writable_descriptor()
        done = os.pwrite(descriptor.number, data, offset)
        while done < len(data):
            done += os.pwrite(descriptor.number, memoryview(data)[done:], offset + done)
        self._unsynced = True

    def size(self) -> int:
        """Return the size of the file, 0 if it does not exist."""
        descriptor = self._descriptor()
        return 0 if descriptor is None else os.fstat(descriptor.number).st_size

    def next_data(self, offset: int) -> int | None:
        """Return where the next range begins that is no hole, as the file system knows it."""
        descriptor = self._descriptor()
        if descriptor is None:
            return None
        try:
            return os.lseek(descriptor.number, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return None
            raise

    def truncate(self, size: int) -> None:
        """Cut or extend the file."""
        descriptor = self._writable_descriptor()
        os.ftruncate(descriptor.number, size)
        self._unsynced = True

    def sync(self) -> None:
        """Run fdatasync if anything was written since the last call, and sync a new entry."""
        if self._unsynced:
            self._unsynced = False
            try:
                # In a worker thread the owner may drop the descriptor at any moment: this one
                # reference keeps it open, and one opened anew syncs the same file.
                descriptor = self._open_files.peek(self) or self._open(os.O_RDWR)
                os.fdatasync(descriptor.number)
            except BaseException:
                self._unsynced = True
                raise
        if self._entry_unsynced:
            self._entry_unsynced = False
            try:
                # The feed's folder may be as new as its file, so its own entry counts too.
                for folder in (self._path.parent, self._path.parent.parent):
                    descriptor = _Descriptor(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
                    os.fsync(descriptor.number)
            except BaseException:
                self._entry_unsynced = True
                raise

    def punch(self, offset: int, size: int) -> None:
        """Punch a hole; on a file system without holes the bytes stay."""
        descriptor = self._descriptor()
        if descriptor is None or size <= 0:
            return
        result = _libc.fallocate(
            descriptor.number,
            _PUNCH_HOLE_KEEP_SIZE,
            ctypes.c_longlong(offset),
            ctypes.c_longlong(size),
        )
        if result != 0 and (number := ctypes.get_errno()) not in _NO_HOLES_HERE:
            raise OSError(number, os.strerror(number), str(self._path))
        self._unsynced = True

    def close(self) -> None:
        """Let go of the descriptor."""
        self._open_files.drop(self)

    def _descriptor(self) -> _Descriptor | None:
        descriptor = self._open_files.get(self)
        if descriptor is not None:
            return descriptor
        try:
            descriptor = self._open(os.O_RDWR)
        except FileNotFoundError:
            return None
        except OSError as error:
            # A store on read-only media can still be read.
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            descriptor = self._open(os.O_RDONLY)
        self._open_files.add(self, descriptor)
        return descriptor

    def _writable_descriptor(self) -> _Descriptor:
        descriptor = self._descriptor()
        if descriptor is not None:
            return descriptor
        if self._make_folder:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = self._open(os.O_RDWR | os.O_CREAT)
        self._entry_unsynced = True
        self._open_files.add(self, descriptor)
        return descriptor

    def _open(self, flags: int) -> _Descriptor:
        return _Descriptor(os.open(self._path, flags | os.O_CLOEXEC, self._mode))


class DirectoryStorage:
    """The files of a feed in a folder, as hyperdrive's own ("raw") layout has them.

    Args:
        folder: The folder.
        prefix: Stands before each file name; "metadata." gives the `.dat` layout's names.
        open_files: Where open descriptors are kept; an own set if none is given.
        create: Whether the first write may make the folder.
    """

    def __init__(
        self,
        folder: Path,
        prefix: str = "",
        *,
        open_files: OpenFiles | None = None,
        create: bool = True,
    ) -> None:
        self._folder = Path(folder)
        self._prefix = prefix
        self._open_files = OpenFiles() if open_files is None else open_files
        self._create = create

    def open(self, name: FileName) -> DirectoryFile:
        """Return a file; secret keys are made readable by their owner alone."""
        mode = 0o600 if name == "secret_key" else 0o666
        return DirectoryFile(self._file(name), mode, self._open_files, make_folder=self._create)

    def exists(self, name: FileName) -> bool:
        """Tell whether the file is there."""
        return self._file(name).exists()

    def path(self, name: FileName) -> str:
        """Return the file's path."""
        return str(self._file(name))

    def _file(self, name: FileName) -> Path:
        return self._folder / f"{self._prefix}{name}"
