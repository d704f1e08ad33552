"""Nodes without an archive behind them: fixed directories, computed files, control files, logs.

Their content changes by itself, so the kernel caches neither attributes nor pages of them, and each
open of a computed file sees one state of it. A control file has its own parser, a callable that
takes what was written as a whole; it refuses at FLUSH, so that close(2) returns the error.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from typing import TYPE_CHECKING

from datfs.fs.node import (
    UNTIL_INVALIDATED_S,
    AttributeChange,
    Attributes,
    Directory,
    File,
    Identity,
    Node,
    OpenFile,
    refuse,
    wants_write,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from pathlib import Path


class FixedDirectory(Directory):
    """A directory whose names are given when it is made."""

    __slots__ = ("_children",)

    def __init__(self, identity: Identity, children: Mapping[str, Node]) -> None:
        super().__init__(identity)
        self._children = dict(children)

    @property
    def names_valid_s(self) -> float:
        """For good: a path through here then costs the kernel no request."""
        return UNTIL_INVALIDATED_S

    def attributes(self) -> Attributes:
        """Anybody may look, nobody may change."""
        return Attributes(mode=stat.S_IFDIR | 0o555, valid_s=UNTIL_INVALIDATED_S)

    async def lookup(self, name: str) -> Node | None:
        """One of the given nodes."""
        return self._children.get(name)

    def entries(self) -> Iterable[tuple[str, Node]]:
        """The given nodes."""
        return self._children.items()


class ComputedDirectory(Directory):
    """A directory whose names are computed, shortly, whenever it is asked for them."""

    __slots__ = ("_children",)

    def __init__(self, identity: Identity, children: Callable[[], Mapping[str, Node]]) -> None:
        super().__init__(identity)
        self._children = children

    def attributes(self) -> Attributes:
        """Anybody may look, nobody may change."""
        return Attributes(mode=stat.S_IFDIR | 0o555)

    async def lookup(self, name: str) -> Node | None:
        """One of the nodes that there are now."""
        return self._children().get(name)

    def entries(self) -> Iterable[tuple[str, Node]]:
        """The nodes that there are now."""
        return self._children().items()


class TextFile(File):
    """A file whose content is computed, shortly, whenever it is asked for."""

    __slots__ = ("_content", "_mtime_ms")

    def __init__(
        self, identity: Identity, content: Callable[[], bytes], *, mtime_ms: int = 0
    ) -> None:
        super().__init__(identity)
        self._content = content
        self._mtime_ms = mtime_ms

    def attributes(self) -> Attributes:
        """The size is that of the content now."""
        return Attributes(
            mode=stat.S_IFREG | 0o444,
            size=len(self._content()),
            mtime_ms=self._mtime_ms,
            ctime_ms=self._mtime_ms,
        )

    async def open(self, flags: int) -> OpenFile:
        """Takes the content as it is now."""
        if wants_write(flags):
            refuse(errno.EACCES)
        return _Snapshot(self._content())


class ComputedFile(File):
    """A file whose content takes time to make: once for each open, never for stat(2)."""

    __slots__ = ("_compute",)

    def __init__(self, identity: Identity, compute: Callable[[], Awaitable[bytes]]) -> None:
        """Makes the node.

        Args:
            identity: Which node it is.
            compute: Makes the content; keeps a deadline of its own.
        """
        super().__init__(identity)
        self._compute = compute

    def attributes(self) -> Attributes:
        """The size is not known before it is made: 0, as in /proc."""
        return Attributes(mode=stat.S_IFREG | 0o444)

    async def open(self, flags: int) -> OpenFile:
        """Makes the content."""
        if wants_write(flags):
            refuse(errno.EACCES)
        return _Snapshot(await self._compute())


class _Snapshot(OpenFile):
    """One state of a computed file."""

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def read(self, offset: int, size: int) -> bytes:
        return self._content[offset : offset + size]


class ControlFile(File):
    """A file that is written to make something happen; readable if it has a content to show."""

    __slots__ = ("_content", "_limit", "_take")

    def __init__(
        self,
        identity: Identity,
        take: Callable[[bytes], Awaitable[None]],
        *,
        limit_byte_length: int,
        content: Callable[[], bytes] | None = None,
    ) -> None:
        """Makes the node.

        Args:
            identity: Which node it is.
            take: Gets what was written, whole, at FLUSH; its error is what close(2) returns. It
                keeps a deadline of its own.
            limit_byte_length: More is refused with EMSGSIZE.
            content: What readers see; None makes the file write-only.
        """
        super().__init__(identity)
        self._take = take
        self._limit = limit_byte_length
        self._content = content

    def attributes(self) -> Attributes:
        """Only its owner writes it, and reads it if it can be read."""
        if self._content is None:
            return Attributes(mode=stat.S_IFREG | 0o200)
        return Attributes(mode=stat.S_IFREG | 0o600, size=len(self._content()))

    async def set_attributes(self, change: AttributeChange, opened: OpenFile | None) -> None:
        """Takes the truncation that `>` may ask for; there is nothing to cut."""
        if change != AttributeChange(size=0):
            refuse(errno.EPERM)

    async def open(self, flags: int) -> OpenFile:
        """Opens it to be written, or to be read where that is possible, not both."""
        if wants_write(flags):
            return _Command(self._take, self._limit)
        if self._content is None:
            refuse(errno.EACCES)
        return _Snapshot(self._content())


class _Command(OpenFile):
    """What one handle writes to a control file."""

    __slots__ = ("_changed", "_limit", "_take", "_written")

    def __init__(self, take: Callable[[bytes], Awaitable[None]], limit: int) -> None:
        self._take = take
        self._limit = limit
        self._written = bytearray()
        self._changed = False

    async def write(self, offset: int, data: bytes) -> None:
        if offset + len(data) > self._limit:
            refuse(errno.EMSGSIZE)
        if offset > len(self._written):
            self._written.extend(bytes(offset - len(self._written)))
        self._written[offset : offset + len(data)] = data
        self._changed = True

    async def flush(self) -> bool:
        # A shell closes a duplicate before it writes: what was not written is no command.
        if self._changed:
            self._changed = False
            await self._take(bytes(self._written))
        return False


class GrowingFile(File):
    """A real file of the store that others append to, passed through; `tail -f` follows it."""

    __slots__ = ("_path",)

    def __init__(self, identity: Identity, path: Path) -> None:
        super().__init__(identity)
        self._path = path

    def attributes(self) -> Attributes:
        """Those of the real file, asked anew each time."""
        try:
            real = self._path.stat()
        except FileNotFoundError:  # nothing was logged yet
            return Attributes(mode=stat.S_IFREG | 0o444)
        return Attributes(
            mode=stat.S_IFREG | 0o444,
            size=real.st_size,
            mtime_ms=real.st_mtime_ns // 1_000_000,
            ctime_ms=real.st_ctime_ns // 1_000_000,
        )

    async def open(self, flags: int) -> OpenFile:
        """Opens the real file."""
        if wants_write(flags):
            refuse(errno.EACCES)
        try:
            return _PassThrough(os.open(self._path, os.O_RDONLY | os.O_CLOEXEC))
        except FileNotFoundError:
            return _Snapshot(b"")


class _PassThrough(OpenFile):
    """An open file of the store. Reading at its end gives no bytes, and never waits for more."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def read(self, offset: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, offset)

    async def release(self) -> bool:
        os.close(self._descriptor)
        return False


def as_json(value: object) -> bytes:
    """The content of a status file: JSON that people can read."""
    return json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n"
