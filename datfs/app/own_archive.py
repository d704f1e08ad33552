"""An archive of our own in the running daemon: what is committed, being written, and replicated."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from datfs.errors import BlockMissing, DatfsError, EntryMissing
from datfs.staging.journal import Journal
from datfs.staging.spool import SpoolFolder
from datfs.staging.working_archive import WorkingArchive
from datfs.swarm.archive_replica import ArchiveReplica

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from datfs.hypercore.feed import Feed
    from datfs.hyperdrive.archive import Archive
    from datfs.hyperdrive.entry import Change
    from datfs.staging.rules import FileRules
    from datfs.staging.working_archive import Recovered
    from datfs.swarm.announcer import Announcer
    from datfs.swarm.topic import Topic


def wall_clock_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class OwnArchive:
    """An own archive: files in work over it, and its replica in the swarm.

    Args:
        archive: open; writable, unless it says why not.
        staging_folder: where its journal and spool files lie.
        rules: what is checked in its files.
        topic: whose connections carry it.
        announcer: syncs and announces its commits.
        spool_memory_byte_length: what its files in work may keep in memory together.
        on_overtaken: called with a feed and the longer length that it once had, as a peer or what
            came from one has shown; the archive is read-only from then on.

    Attributes:
        working: through which everything is written.
        replica: its side in the swarm.
        on_commit: called with the changes of every version, in order.
        on_service_commit: called in addition with changes that did not come through the mount, of
            which the kernel must be told.
    """

    def __init__(
        self,
        archive: Archive,
        staging_folder: Path,
        *,
        rules: FileRules,
        topic: Topic,
        announcer: Announcer,
        spool_memory_byte_length: int,
        on_overtaken: Callable[[Feed, int], None],
    ) -> None:
        self.archive = archive
        self.topic = topic
        self._on_overtaken = on_overtaken
        self._seen_length = archive.applied_length
        self.on_commit: list[Callable[[Sequence[Change]], None]] = []
        self.on_service_commit: list[Callable[[Sequence[Change]], None]] = []
        self._by_service: set[str] = set()
        staging_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.working = WorkingArchive(
            archive,
            spool=SpoolFolder(
                staging_folder / "spool", memory_byte_length=spool_memory_byte_length
            ),
            journal=Journal(staging_folder / "journal"),
            rules=rules,
            on_commit=self._committed,
            wall_clock_ms=wall_clock_ms,
        )
        self.replica = ArchiveReplica(
            archive,
            topic,
            announcer,
            on_change=self._came_back,
            on_overtaken=on_overtaken,
            download_all=True,  # what is missing of our own was lost
        )

    @property
    def key(self) -> bytes:
        """The archive's key."""
        return self.archive.key

    async def recover(self) -> list[Recovered]:
        """Commit what an earlier process left in the journal."""
        return await self.working.recover()

    async def write(self, path: str, data: bytes) -> None:
        """Write a file for a service of the daemon.

        Raises:
            Busy: somebody has it open for writing.
            DatfsError: it could not be written.
        """
        self._by_service.add(path)
        try:
            await self.working.write_file(path, data)
        finally:
            self._by_service.discard(path)

    def remove(self, path: str) -> None:
        """Remove a file for a service of the daemon; nothing happens if it is not there.

        Raises:
            DatfsError: it could not be removed.
        """
        self._by_service.add(path)
        try:
            self.working.unlink(path)
        except EntryMissing:
            pass
        finally:
            self._by_service.discard(path)

    def read(self, path: str) -> bytes | None:
        """A small file as it is now; None if it is not there, or its content was lost."""
        try:
            return self.working.read_file(path)
        except (EntryMissing, BlockMissing):
            return None

    def close(self) -> None:
        """Let go of the files; what is dirty stays in the journal."""
        self.replica.leave()
        self.working.close()
        self.archive.close()

    def _came_back(self, changes: Sequence[Change]) -> None:
        """Peers gave a store that was put back from a copy what was written since.

        They may have all of the metadata and little of the content: what its entries name was
        signed all the same.
        """
        content = self.archive.content
        named = self.archive.named_content_length(self._seen_length)
        self._seen_length = self.archive.applied_length
        if content is not None and named > content.length:
            content.forbid_appending(
                f"it has {content.length} blocks here, but the metadata names {named}: going on "
                "would fork it"
            )
            self._on_overtaken(content, named)
        for listener in (*self.on_commit, *self.on_service_commit):
            listener(changes)

    def _committed(self, changes: Sequence[Change]) -> None:
        self.replica.committed()
        for listener in self.on_commit:
            listener(changes)
        by_service = [change for change in changes if change.path in self._by_service]
        if by_service:
            for listener in self.on_service_commit:
                listener(by_service)


async def commit_everything(own: Sequence[OwnArchive]) -> list[str]:
    """Commit what is still in work, archive by archive.

    Returns:
        A sentence for each archive that could not; its files stay in the journal.
    """
    failed = []
    for archive in own:
        try:
            await archive.working.commit_all()
        except DatfsError as error:
            failed.append(f"{archive.key.hex()}: {error}")
    return failed
