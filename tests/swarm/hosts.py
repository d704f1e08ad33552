"""A whole swarm member for tests: archives on disk or in memory, a real listener on loopback."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from datfs.crypto.keys import KeyPair
from datfs.hypercore.storage import MemoryStorage
from datfs.hyperdrive.archive import Archive, ArchiveStorage, Put
from datfs.hyperdrive.stat import Stat
from datfs.swarm.announcer import Announcer
from datfs.swarm.archive_replica import ArchiveReplica
from datfs.swarm.swarm import Swarm, SwarmOptions
from datfs.swarm.topic import Topic
from datfs.swarm.transport import Address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from datfs.hyperdrive.archive import Change
    from datfs.swarm.ended import Ended
    from datfs.swarm.peer import Peer

OFFLINE = SwarmOptions(offline=True)
"""For members that only meet over memory streams."""

MTIME_MS = 1_700_000_000_000


@dataclass
class Host:
    """One member of the swarm."""

    swarm: Swarm
    announcer: Announcer
    ended: list[Ended] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    changed: trio.Event = field(default_factory=trio.Event)
    said: list[bytes] = field(default_factory=list)
    peers_changed: trio.Event = field(default_factory=trio.Event)

    @property
    def address(self) -> Address:
        assert self.swarm.port is not None
        return Address("127.0.0.1", self.swarm.port)

    def serve(self, archive: Archive, *, download_all: bool = False) -> ArchiveReplica:
        topic = Topic(
            archive.key,
            archive.discovery_key,
            on_session_data=self._on_session_data,
            on_peers=self._on_peers,
        )
        replica = ArchiveReplica(
            archive,
            topic,
            self.announcer,
            on_change=self._on_change,
            download_all=download_all,
            metadata_deadline_s=20,
            data_deadline_s=20,
        )
        self.swarm.join(topic)
        return replica

    def dial(self, replica: ArchiveReplica, other: Address) -> None:
        self.swarm.add_address(replica.topic, other, "test")

    async def until(self, path: str, kind: str | None = None) -> Change:
        """Wait for a change of a path."""
        with trio.fail_after(20):
            while True:
                for change in self.changes:
                    if change.path == path and kind in (None, change.kind):
                        return change
                await self.changed.wait()

    async def until_peers(self, replica: ArchiveReplica, count: int) -> None:
        with trio.fail_after(20):
            while len(replica.topic.peers) != count:
                await self.peers_changed.wait()

    def _on_change(self, changes: Sequence[Change]) -> None:
        self.changes.extend(changes)
        self.changed.set()
        self.changed = trio.Event()

    def _on_session_data(self, _peer: Peer, payload: bytes) -> None:
        self.said.append(payload)
        self.changed.set()
        self.changed = trio.Event()

    def _on_peers(self) -> None:
        self.peers_changed.set()
        self.peers_changed = trio.Event()


def memory() -> ArchiveStorage:
    return ArchiveStorage(MemoryStorage(), MemoryStorage())


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something is the case that no event tells."""
    with trio.fail_after(10):
        while not condition():  # noqa: ASYNC110 - states of several objects are looked at
            await trio.sleep(0.01)


@contextlib.asynccontextmanager
async def host(
    options: SwarmOptions | None = None, announcer: Announcer | None = None
) -> AsyncIterator[Host]:
    """A running member, listening on a free port of loopback unless told otherwise."""
    ended: list[Ended] = []
    announcer = announcer or Announcer()
    swarm = Swarm(
        options or SwarmOptions(listen=("127.0.0.1",), port=0),
        announcer,
        on_ended=lambda _peer, how: ended.append(how),
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(swarm.run)
        yield Host(swarm, announcer, ended)
        nursery.cancel_scope.cancel()


def own_archive(storage: ArchiveStorage, seed: int, files: dict[str, bytes]) -> Archive:
    """An archive of our own with files in it."""
    archive = Archive.create(storage, KeyPair.from_seed(bytes([seed]) * 32))
    for path, content in files.items():
        put(archive, path, content)
    return archive


def put(archive: Archive, path: str, content: bytes) -> None:
    """Write a file as one version."""
    writer = archive.content_writer()
    writer.write(content)
    extent = writer.finish()
    stat = Stat(
        mode=0o100644,
        uid=0,
        gid=0,
        size=extent.size,
        blocks=extent.blocks,
        offset=extent.offset,
        byte_offset=extent.byte_offset,
        mtime_ms=MTIME_MS,
        ctime_ms=MTIME_MS,
    )
    archive.commit([Put(path, stat)])
