"""A working archive on a bench: real archive, real spool folder, a clock that counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import trio

from datfs.crypto.keys import KeyPair
from datfs.errors import LobbyError
from datfs.hypercore.storage import DirectoryStorage, MemoryStorage
from datfs.hyperdrive.archive import Archive, ArchiveStorage
from datfs.staging.journal import Journal
from datfs.staging.spool import SpoolFolder
from datfs.staging.working_archive import WorkingArchive

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from datfs.hyperdrive.entry import Change
    from datfs.staging.rules import StoredForm
    from datfs.staging.working_archive import Recovered, Released

SEED = bytes(range(32))


async def slices_written() -> None:
    """Wait until a commit that was just started has written a slice or two of five."""
    for _ in range(2):
        await trio.lowlevel.checkpoint()


def full_disk(*_: object) -> NoReturn:
    """Stand in for a call that finds the disk full."""
    raise OSError(28, "No space left on device")


class Refused(LobbyError):
    """What the rules of the bench answer."""


class BenchRules:
    """Files named *.checked hold "good ..." (taken), "complete ..." (completed), else an error."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes]] = []
        self.forms: dict[str, StoredForm] = {}

    def may_create(self, path: str) -> None:
        if path.endswith(".forbidden"):
            raise Refused(path)

    def form(self, path: str) -> StoredForm | None:
        return self.forms.get(path)

    def max_checked_size(self, path: str) -> int | None:
        return 100 if path.endswith(".checked") else None

    def check(self, path: str, content: bytes) -> bytes | None:
        self.asked.append((path, content))
        if content.startswith(b"good"):
            return None
        if content.startswith(b"complete"):
            return b"good and complete"
        raise Refused(path)


class Bench:
    """One archive through the lives of several processes."""

    def __init__(self, folder: Path, feeds: Path | None = None) -> None:
        """Keep spool and journal in `folder`, the archive in `feeds` or else in memory."""
        self.folder = folder
        self._feeds = feeds
        self._memory = ArchiveStorage(MemoryStorage(), MemoryStorage())
        self.archive = Archive.create(self.storage(), KeyPair.from_seed(SEED))
        self.rules = BenchRules()
        self.now_ms = 1_000
        self.changes: list[Change] = []
        self.small_byte_length = 64 * 1024
        self.free_byte_length = 2**40
        self.known_metadata_length = 0
        self.working = self._working()

    def storage(self) -> ArchiveStorage:
        """Return where the archive lies, as a new process finds it."""
        if self._feeds is None:
            return self._memory
        return ArchiveStorage(
            DirectoryStorage(self._feeds / "metadata"), DirectoryStorage(self._feeds / "content")
        )

    def _clock_ms(self) -> int:
        self.now_ms += 1
        return self.now_ms

    def _on_commit(self, changes: Sequence[Change]) -> None:
        self.changes.extend(changes)

    def _working(self) -> WorkingArchive:
        self.journal = Journal(self.folder / "journal")
        return WorkingArchive(
            self.archive,
            spool=BenchSpool(self),
            journal=self.journal,
            rules=self.rules,
            on_commit=self._on_commit,
            wall_clock_ms=self._clock_ms,
        )

    async def crash(self) -> list[Recovered]:
        """Let the process die and the next one begin."""
        self.archive = Archive.open(
            self.storage(), known_metadata_length=self.known_metadata_length
        )
        self.working = self._working()
        return await self.working.recover()

    async def put(self, path: str, data: bytes) -> Released:
        """Do what `cat > path` does."""
        if self.working.lookup(path) is None:
            handle = self.working.create(path)
        else:
            handle = self.working.open(path, write=True, truncate=True)
        handle.flush()  # the shell's dup2 and close come before the first write
        handle.write(0, data)
        handle.flush()
        return await handle.release()

    def committed(self, path: str) -> bytes | None:
        """Return what a reader of the archive sees at a path."""
        entry = self.archive.lookup(path)
        if entry is None:
            return None
        return self.archive.read(entry.stat, 0, entry.stat.size)

    def leftovers(self) -> list[str]:
        """Return the spool files."""
        return sorted(file.name for file in self.folder.glob("*.spool"))


class BenchSpool(SpoolFolder):
    """A spool folder on a disk whose size the test says."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench.folder, small_byte_length=bench.small_byte_length)
        self._bench = bench

    def free_byte_length(self) -> int:
        return self._bench.free_byte_length
