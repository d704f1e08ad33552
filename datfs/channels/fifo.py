"""The two FIFOs of a channel, as the daemon holds them (fifo(7), Linux).

What each end must look like from a shell, and what it takes:

- `in` is opened for reading only. Once every writer has gone, poll reports a hang-up and read an
  end of file: so a last line without newline is known to be complete. That state stays with the
  open file, hence a fresh one is opened after each. A writer never waits in open, as there is
  always a reader; and when there is no peer, `in` is a socket node, which open(2) answers with
  ENXIO, the very errno of a FIFO that nobody reads (a missing file would be created by a shell, a
  FIFO without reader would block it).
- `out` is opened for reading and writing while the peer may still say something: what is written
  with no reader about waits in the FIFO, and a reader sees no end of file. Afterwards only a
  reading end is kept, so that what is unread stays and who reads gets its end of file after it.
  Opening for reading then waits for a writer: one that comes and goes at once, several times a
  second, lets such a reader in.

Files are opened again through /proc/self/fd, so that it is the same FIFO whatever the path has
become.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from pathlib import Path

READ_SIZE: Final = 64 * 1024
PULSE_INTERVAL_S: Final = 0.2

_OWNER_ONLY: Final = 0o600


class InFifo:
    """The reading end of `in`."""

    def __init__(self, path: Path) -> None:
        """Show a node at `path` that refuses writers; `open` puts the FIFO there."""
        self._path = path
        self._descriptor: int | None = None
        self._put_node(stat.S_IFSOCK)

    def open(self) -> None:
        """Let writers in."""
        if self._descriptor is None:
            self._put_node(stat.S_IFIFO)
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)

    async def read(self) -> bytes:
        """Return the next bytes, or none of them when every writer has gone; others may come."""
        assert self._descriptor is not None
        while True:
            await trio.lowlevel.wait_readable(self._descriptor)
            try:
                data = os.read(self._descriptor, READ_SIZE)
            except BlockingIOError:
                continue
            if not data:
                fresh = _reopen(self._descriptor, os.O_RDONLY)
                os.close(self._descriptor)
                self._descriptor = fresh
            return data

    def refuse(self) -> None:
        """Let no writer in; those who are in get SIGPIPE at their next write."""
        if self._descriptor is not None:
            self._put_node(stat.S_IFSOCK)
            trio.lowlevel.notify_closing(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None

    def remove(self) -> None:
        """End it and take the node away."""
        self.refuse()
        self._path.unlink(missing_ok=True)

    def _put_node(self, kind: int) -> None:
        _replace_node(self._path, kind)


class OutFifo:
    """The writing end of `out`."""

    def __init__(self, path: Path) -> None:
        """Make the FIFO at `path`; it accepts what is written at once."""
        self._path = path
        _replace_node(path, stat.S_IFIFO)
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)
        self._stream: trio.lowlevel.FdStream | None = trio.lowlevel.FdStream(descriptor)
        self._kept: int | None = None

    async def send_all(self, data: bytes) -> None:
        """Write `data`, waiting for readers where the FIFO is full."""
        assert self._stream is not None
        await self._stream.send_all(data)

    def end(self) -> None:
        """Let readers have their end of file after the last byte, and keep what is unread."""
        if self._stream is not None:
            descriptor = self._stream.fileno()
            self._kept = _reopen(descriptor, os.O_RDONLY)
            self._stream.close()
            self._stream = None

    def resume(self) -> None:
        """Write again after what is still unread."""
        if self._kept is not None:
            self._stream = trio.lowlevel.FdStream(_reopen(self._kept, os.O_RDWR))
            os.close(self._kept)
            self._kept = None

    async def admit_readers(self) -> None:
        """Let readers open the ended FIFO, for as long as this runs."""
        while True:
            self._admit()
            await trio.sleep(PULSE_INTERVAL_S)

    def remove(self) -> None:
        """End it, drop what is unread, and take the node away."""
        self.end()
        self._path.unlink(missing_ok=True)
        if self._kept is not None:
            self._admit()  # the last who waits in open
            os.close(self._kept)
            self._kept = None

    def _admit(self) -> None:
        assert self._kept is not None
        os.close(_reopen(self._kept, os.O_WRONLY))


def _reopen(descriptor: int, mode: int) -> int:
    return os.open(f"/proc/self/fd/{descriptor}", mode | os.O_NONBLOCK)


def _replace_node(path: Path, kind: int) -> None:
    """Put a FIFO or a socket node at `path` in one step, over whatever is there."""
    made = path.with_name(f".{path.name}.new")
    made.unlink(missing_ok=True)
    os.mknod(made, kind | _OWNER_ONLY)
    made.replace(path)
