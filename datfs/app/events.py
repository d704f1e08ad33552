"""What happened, as a growing file of numbered JSON lines.

    {"n": 17, "time": 1732170000123, "event": "connected", "lobby": "...", "peer": "..."}

Numbers go up by one and go on over mounts. The file is bounded: where it would grow past its limit
its older part is dropped, and the line of a `gap` event in its place says which numbers are gone.
A reader holds the number of its last line and nothing else, so a slow one costs no memory and loses
lines only where the file did, which it is told in the same way.

Kinds and their fields are those of whoever appends; `datfs.app.daemon` lists them.
"""

from __future__ import annotations

import json
import logging
import os
import time
from typing import TYPE_CHECKING, Any

import trio

from datfs.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator
    from pathlib import Path

GAP = "gap"
KEPT_FRACTION = 2  # dropping leaves this part (one half) of the limit
READ_BYTES = 64 * 1024
RESERVED = frozenset({"n", "time", "event"})

Event = dict[str, Any]

_log = logging.getLogger(__name__)


def _system_time_ms() -> int:
    return time.time_ns() // 1_000_000


class EventLog:
    """The event file of one store; made by whoever holds the store.

    Args:
        file: Continued if it is there; a line cut short by a crash is cut off.
        limit_bytes: The file never stays longer.
        clock_ms: Milliseconds since 1970.

    Raises:
        StoreError: The file cannot be opened.
    """

    def __init__(
        self, file: Path, limit_bytes: int, clock_ms: Callable[[], int] = _system_time_ms
    ) -> None:
        self._path = file
        self._limit_bytes = limit_bytes
        self._clock_ms = clock_ms
        self._appended = trio.Event()
        try:
            self._file = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise StoreError(f"cannot open {file}: {error.strerror}") from error
        self.byte_length = self._cut_torn_line()
        self.generation = 0
        """Goes up when older lines are dropped, and offsets in the file mean other lines then."""
        self.last_number = self._read_last_number()

    def append(self, kind: str, **fields: Any) -> Event:  # noqa: ANN401 - any JSON
        """Adds an event.

        Args:
            kind: One word or a few joined by dashes, such as `archive-updated`.
            fields: JSON values; not `n`, `time` or `event`.

        Returns:
            The event with its number and time, as it stands in the file.
        """
        assert not RESERVED & fields.keys()
        event = {"n": self.last_number + 1, "time": self._clock_ms(), "event": kind, **fields}
        line = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        try:
            if self.byte_length + len(line) > self._limit_bytes:
                self._drop_oldest(len(line))
            self._write(line)
        except OSError as error:  # a full disk must not end what the event is about
            _log.error("event %s is not in the log: %s", kind, error.strerror)
        self.last_number = event["n"]
        appended, self._appended = self._appended, trio.Event()
        appended.set()
        return event

    def read(self, byte_offset: int, size: int) -> bytes:
        """Bytes of the file as it is now; fewer at its end."""
        return os.pread(self._file, size, byte_offset)

    async def follow(self, after: int | None = None) -> AsyncGenerator[Event, None]:
        """Gives events as they come, for ever.

        Args:
            after: Start behind the event of this number; 0 gives all that there are, None only new
                ones.

        Yields:
            Events with rising numbers. Where lines were dropped before they were read, one
            `{"event": "gap", "from": ..., "to": ...}` with the missing numbers.
        """
        last = self.last_number if after is None else min(after, self.last_number)
        generation, offset = self.generation, self.byte_length if after is None else 0
        while True:
            if generation != self.generation:
                generation, offset = self.generation, 0
            if last == self.last_number:
                await self._appended.wait()
                continue
            # one chunk at a time: while the reader is busy with it, the file may change
            chunk = self._whole_lines(offset)
            if not chunk:
                last = self.last_number  # the newest are not in the file: a full disk
                continue
            offset += len(chunk)
            for event in _unread(chunk, last):
                last = event["n"]
                yield event
            await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Lets go of the file."""
        os.close(self._file)

    def _write(self, line: bytes) -> None:
        written = os.write(self._file, line)
        if written < len(line):  # no room for all of it; half a line would spoil the next
            os.ftruncate(self._file, self.byte_length)
            raise OSError(0, "the disk is full")
        self.byte_length += written

    def _drop_oldest(self, room: int) -> None:
        """Keeps the newest lines and says in a first line what is gone; readers see old or new."""
        kept_bytes = max(0, self._limit_bytes // KEPT_FRACTION - room)
        kept = self.read(max(0, self.byte_length - kept_bytes), kept_bytes)
        kept = kept[kept.find(b"\n") + 1 :]  # not half a line
        first_kept = json.loads(kept.partition(b"\n")[0])["n"] if kept else self.last_number + 1
        gap = {"n": first_kept - 1, "time": self._clock_ms(), "event": GAP}
        gap |= {"from": 1, "to": first_kept - 1}
        unfinished = self._path.with_name(f".{self._path.name}.new")
        unfinished.write_bytes(json.dumps(gap, separators=(",", ":")).encode() + b"\n" + kept)
        unfinished.chmod(0o600)
        unfinished.rename(self._path)
        os.close(self._file)
        self._file = os.open(self._path, os.O_RDWR | os.O_APPEND)
        self.byte_length = os.fstat(self._file).st_size
        self.generation += 1

    def _cut_torn_line(self) -> int:
        end = os.fstat(self._file).st_size
        kept = end
        while kept and os.pread(self._file, 1, kept - 1) != b"\n":
            start = max(0, kept - READ_BYTES)
            kept = start + self.read(start, kept - start).rfind(b"\n") + 1
        if kept != end:
            os.ftruncate(self._file, kept)
        return kept

    def _read_last_number(self) -> int:
        start = max(0, self.byte_length - READ_BYTES)
        lines = self.read(start, self.byte_length - start).splitlines()
        if not lines:
            return 0
        try:
            return int(json.loads(lines[-1])["n"])
        except (ValueError, KeyError, TypeError):
            _log.warning("%s did not end with an event and starts anew", self._path)
            os.ftruncate(self._file, 0)
            self.byte_length = 0
            return 0

    def _whole_lines(self, offset: int) -> bytes:
        size = READ_BYTES
        while True:
            chunk = self.read(offset, size)
            end = chunk.rfind(b"\n") + 1
            if end or len(chunk) < size:
                return chunk[:end]
            size *= 2  # until a line of unusual length fits


def _unread(lines: bytes, last: int) -> Iterator[Event]:
    for line in lines.splitlines():
        if int(line[len(b'{"n":') : line.index(b",")]) <= last:
            continue  # told by the head of the line: a late reader passes over thousands
        event: Event = json.loads(line)
        if event["event"] == GAP:
            event["from"] = last + 1
        yield event
        last = event["n"]
