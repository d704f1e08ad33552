"""A lobby's topic: archives that members bring along, on the connections of the lobby."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datfs.hyperdrive.archive import Archive
from datfs.swarm.archive_replica import ArchiveReplica
from datfs.swarm.peer import Peer
from tests.swarm.hosts import eventually, host, memory, own_archive, put

if TYPE_CHECKING:
    from datfs.swarm.topic import Topic


@pytest.mark.parametrize("writer_first", [True, False])
@pytest.mark.parametrize("known_first", [True, False])
async def test_a_members_archive_reaches_the_host_in_whatever_order(
    writer_first: bool, known_first: bool
) -> None:
    lobby = own_archive(memory(), 21, {"/beacon": b"x"})
    written = own_archive(memory(), 22, {})
    async with host() as hosting, host() as guest:
        hosted = hosting.serve(lobby)
        hosted.topic.grows = True
        joined = guest.serve(Archive.create_remote(memory(), lobby.key))

        def bring() -> ArchiveReplica:
            return ArchiveReplica(
                written, joined.topic, guest.announcer, on_change=guest._on_change
            )

        def take() -> ArchiveReplica:
            return ArchiveReplica(
                Archive.create_remote(memory(), written.key),
                hosted.topic,
                hosting.announcer,
                on_change=hosting._on_change,
                download_all=True,
                everywhere=False,
            )

        taken = take() if known_first else None
        brought = bring() if writer_first else None
        guest.dial(joined, hosting.address)
        await joined.ready()
        brought = brought or bring()
        if taken is None:
            await eventually(lambda: any(p._announced for p in hosted.topic.peers))
            taken = take()
        put(written, "/offer", b"signal")
        brought.committed()
        await hosting.until("/offer")
        entry = taken.archive.lookup("/offer")
        assert entry is not None
        assert await taken.read(entry.stat, 0, 10) == b"signal"


async def test_an_archive_added_while_the_connection_opens_is_carried_too() -> None:
    lobby = own_archive(memory(), 23, {"/beacon": b"x"})
    written = own_archive(memory(), 24, {"/offer": b"signal"})
    async with host() as hosting, host() as guest:
        hosted = hosting.serve(lobby)
        hosted.topic.grows = True
        joined = guest.serve(Archive.create_remote(memory(), lobby.key))
        # At the first handshake the connection has begun, and the topic does not know of it yet.
        brought: list[ArchiveReplica] = []
        begin = Peer._begin

        def begin_and_bring(peer: Peer, topic: Topic) -> None:
            begin(peer, topic)
            if topic is joined.topic and not brought:
                brought.append(
                    ArchiveReplica(written, topic, guest.announcer, on_change=guest._on_change)
                )

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Peer, "_begin", begin_and_bring)
            guest.dial(joined, hosting.address)
            await joined.ready()
        await eventually(
            lambda: any(p.announced(brought[0].archive.discovery_key) for p in hosted.topic.peers)
        )
