from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from datfs.errors import BlockUnavailable
from datfs.hyperdrive.archive import Archive
from datfs.swarm.clearing import CLEAR_AFTER_S, Clearing
from tests.hyperdrive.memory_archives import memory_storage
from tests.support.node_peers import NodePeer
from tests.swarm.hosts import eventually, host, own_archive, put

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock

    from datfs.swarm.archive_replica import ArchiveReplica

SECRET, KEPT = b"s" * 1000, b"k" * 1000


async def read(replica: ArchiveReplica, path: str) -> bytes:
    entry = replica.archive.lookup(path)
    assert entry is not None
    return await replica.read(entry.stat, 0, entry.stat.size)


def blocks_of(archive: Archive, path: str) -> range:
    entry = archive.lookup(path)
    assert entry is not None
    return range(entry.stat.offset, entry.stat.offset + entry.stat.blocks)


async def cleared(replica: ArchiveReplica, path: str) -> None:
    """Tell peers, and clear without waiting for the time."""
    clearing = Clearing()
    assert replica.content is not None
    clearing.forget(replica.content, blocks_of(replica.archive, path))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clearing.run)
        await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def test_blocks_go_half_a_minute_after_peers_were_told(autojump_clock: MockClock) -> None:
    archive = own_archive(memory_storage(), 50, {"/secret": SECRET, "/kept": KEPT})
    async with host() as seed, trio.open_nursery() as nursery:
        content = seed.serve(archive).content
        assert content is not None
        clearing = Clearing()
        nursery.start_soon(clearing.run)
        secret, kept = blocks_of(archive, "/secret"), blocks_of(archive, "/kept")
        clearing.forget(content, secret)
        await trio.sleep(CLEAR_AFTER_S - 1)
        assert content.feed.has_all(secret.start, secret.stop)
        await trio.sleep(2)
        assert not any(map(content.feed.has, secret))
        assert content.feed.has_all(kept.start, kept.stop)
        nursery.cancel_scope.cancel()


async def test_who_holds_everything_does_not_fetch_again_what_was_cleared() -> None:
    own = own_archive(memory_storage(), 51, {"/secret": SECRET, "/kept": KEPT})
    async with host() as seed, host() as reader:
        served = seed.serve(own)
        copy = reader.serve(Archive.create_remote(memory_storage(), own.key), download_all=True)
        reader.dial(copy, seed.address)
        await reader.until("/kept")
        await eventually(lambda: copy.content is not None and copy.content.feed.held_count() == 2)
        await cleared(copy, "/secret")
        put(own, "/later", KEPT)
        served.committed()
        await reader.until("/later")
        assert copy.content is not None
        await eventually(lambda: copy.content is not None and copy.content.feed.has(2))
        assert copy.content.feed.held_count() == 2
        assert await read(copy, "/kept") == KEPT
        assert await read(copy, "/secret") == SECRET, "a reader may still ask for it"


async def test_peers_learn_that_blocks_are_gone_and_stay_connected(
    peers: Path, tmp_path: Path
) -> None:
    own = own_archive(memory_storage(), 52, {"/secret": SECRET, "/kept": KEPT})
    async with host() as seed, host() as reader:
        served = seed.serve(own)
        copy = reader.serve(Archive.create_remote(memory_storage(), own.key))
        reader.dial(copy, seed.address)
        await reader.until("/secret")
        assert await read(copy, "/kept") == KEPT
        await cleared(served, "/secret")
        assert copy.content is not None
        with pytest.raises(BlockUnavailable):
            await copy.content.fetch([0], deadline_s=0.5)
        assert len(copy.topic.peers) == 1
        arguments = (f"{own.key.hex()}@{seed.address}", tmp_path / "copy", "--paths", "/kept")
        with NodePeer(peers, "clone.js", *arguments) as clone:
            assert (await clone.wait_event("done"))["contentBlocksHeld"] == 1
