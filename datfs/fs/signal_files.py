"""Signals that lie in no archive: files that are written as a whole, and `signals.log`.

A file shows what counts now. What is written to a handle is its own until it is flushed; then it is
taken as a whole, or refused so that close(2) returns the error. Lines appended to `signals.log` go
the same way.
"""

from __future__ import annotations

import errno
import os
import stat
from functools import partial
from typing import TYPE_CHECKING

from datfs.fs.node import (
    AttributeChange,
    Attributes,
    File,
    Identity,
    Node,
    OpenFile,
    refuse,
    wants_write,
)
from datfs.fs.virtual import ComputedDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from datfs.fs.ports import LinesView, SignalLog, SignalsView

LOG_NAME = "signals.log"

LIMIT_BYTE_LENGTH = 256 * 1024
"""The most that one handle takes; signals have a smaller limit of their own."""


def signal_node(here: Identity, signals: SignalsView, name: str) -> Node | None:
    """The node of a name at the top of a lobby; None if there is none."""
    if name == LOG_NAME:
        lines = signals.lines
        return None if lines is None else LogFile(here.child(name), signals, lines)
    if signals.read(name) is not None:
        return SignalFile(here.child(name), signals, name)
    if name in signals.names(""):
        return ComputedDirectory(here.child(name), partial(_folder, here.child(name), signals))
    return None


def signal_nodes(here: Identity, signals: SignalsView) -> Iterator[tuple[str, Node]]:
    """All names at the top of a lobby."""
    for name in (LOG_NAME, *signals.names("")):
        node = signal_node(here, signals, name)
        if node is not None:
            yield name, node


def _folder(here: Identity, signals: SignalsView) -> Mapping[str, Node]:
    folder = here.path.rpartition("/")[2]
    return {
        name: SignalFile(here.child(name), signals, f"{folder}/{name}")
        for name in signals.names(folder)
    }


class SignalFile(File):
    """One signal."""

    __slots__ = ("_draft", "_name", "_signals")

    def __init__(self, identity: Identity, signals: SignalsView, name: str) -> None:
        super().__init__(identity)
        self._signals = signals
        self._name = name
        self._draft = bytearray()  # of a file that is being made

    def attributes(self) -> Attributes:
        """Its size as it counts; while it is being made, that of what was written so far."""
        content = self._signals.read(self._name)
        size = len(self._draft) if content is None else len(content)
        return Attributes(mode=stat.S_IFREG | 0o644, size=size)

    async def set_attributes(self, change: AttributeChange, opened: OpenFile | None) -> None:
        """Cuts what a handle wrote; times are not kept."""
        if change.mode is not None or change.size:
            refuse(errno.EPERM)
        if change.size == 0 and isinstance(opened, _Writing):
            opened.cut()

    async def open(self, flags: int) -> OpenFile:
        """Opens it; to be written only if it is one's own."""
        content = self._signals.read(self._name) or b""
        if not wants_write(flags):
            return _Reading(content)
        self._signals.check_writable(self._name)
        opened = _Writing(self._signals, self._name, b"" if flags & os.O_TRUNC else content)
        self._draft = opened.text
        return opened


class _Reading(OpenFile):
    """One state of a signal."""

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def read(self, offset: int, size: int) -> bytes:
        return self._content[offset : offset + size]


class _Writing(OpenFile):
    """What one handle writes, and reads of it."""

    __slots__ = ("_changed", "_name", "_signals", "text")

    def __init__(self, signals: SignalsView, name: str, content: bytes) -> None:
        self._signals = signals
        self._name = name
        self.text = bytearray(content)
        self._changed = False

    def cut(self) -> None:
        """Takes back everything."""
        self.text.clear()

    async def read(self, offset: int, size: int) -> bytes:
        return bytes(self.text[offset : offset + size])

    async def write(self, offset: int, data: bytes) -> None:
        if offset + len(data) > LIMIT_BYTE_LENGTH:
            refuse(errno.EFBIG)
        self.text.extend(bytes(max(0, offset - len(self.text))))
        self.text[offset : offset + len(data)] = data
        self._changed = True

    async def flush(self) -> bool:
        if self._changed:  # a shell closes a duplicate before anything is written
            await self._signals.write(self._name, bytes(self.text))
            self._changed = False
        return False

    async def fsync(self) -> None:
        await self.flush()
        await self._signals.sync()


class LogFile(File):
    """`signals.log`: read from its beginning, written by lines at its end."""

    __slots__ = ("_lines", "_signals")

    def __init__(self, identity: Identity, signals: SignalsView, lines: SignalLog) -> None:
        super().__init__(identity)
        self._signals = signals
        self._lines = lines

    def attributes(self) -> Attributes:
        """The size is that of all lines now."""
        return Attributes(mode=stat.S_IFREG | 0o644, size=self._lines.byte_length)

    async def open(self, flags: int) -> OpenFile:
        """Opens it; to be written only at its end."""
        if wants_write(flags) and not flags & os.O_APPEND:
            refuse(errno.EPERM)
        return _Log(self._signals, self._lines.open())


class _Log(OpenFile):
    """One open(2) of the log: the lines as it has seen them, and those that it appends."""

    __slots__ = ("_appended", "_lines", "_signals")

    def __init__(self, signals: SignalsView, lines: LinesView) -> None:
        self._signals = signals
        self._lines = lines
        self._appended = bytearray()

    async def read(self, offset: int, size: int) -> bytes:
        return self._lines.read(offset, size)

    async def write(self, offset: int, data: bytes) -> None:
        # Where the end is the kernel only guesses, for others append too.
        if len(self._appended) + len(data) > LIMIT_BYTE_LENGTH:
            refuse(errno.EFBIG)
        self._appended += data

    async def flush(self) -> bool:
        if self._appended:
            await self._signals.append_lines(bytes(self._appended))
            self._appended.clear()
        return False

    async def fsync(self) -> None:
        await self.flush()
        await self._signals.sync()
