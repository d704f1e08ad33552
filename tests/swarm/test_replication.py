"""Members of a swarm on loopback: copies, live changes, several peers, bad ones."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import trio

from datfs.crypto.keys import KeyPair
from datfs.errors import ArchiveUnreachable, BlockUnavailable
from datfs.hyperdrive.archive import Archive
from datfs.hyperdrive.folder import raw_storage
from tests.swarm.hosts import eventually, host, memory, own_archive, put

if TYPE_CHECKING:
    from pathlib import Path

    from datfs.swarm.archive_replica import ArchiveReplica

BIG = os.urandom(1_500_000)


async def test_a_reader_sees_the_files_and_fetches_only_what_it_reads(tmp_path: Path) -> None:
    own = own_archive(raw_storage(tmp_path), 1, {"/hello": b"hello\n", "/big": BIG})
    async with host() as seed, host() as reader:
        seed.serve(own)
        replica = reader.serve(Archive.create_remote(memory(), own.key))
        reader.dial(replica, seed.address)
        await replica.ready()
        assert [name for name, _ in replica.archive.list_directory("/")] == ["hello", "big"]
        entry = replica.archive.lookup("/big")
        assert entry is not None
        assert await replica.read(entry.stat, 1_000_000, 10) == BIG[1_000_000:1_000_010]
        assert replica.archive.content is not None
        assert replica.archive.content.held_count() == 1
        assert await replica.read(entry.stat, 0, 10**9) == BIG


async def test_a_commit_reaches_the_reader_without_polling() -> None:
    own = own_archive(memory(), 2, {"/a": b"one"})
    async with host() as seed, host() as reader:
        served = seed.serve(own)
        replica = reader.serve(Archive.create_remote(memory(), own.key))
        reader.dial(replica, seed.address)
        await replica.ready()
        for number in range(20):
            put(own, f"/new{number}", b"content")
            served.committed()
            await reader.until(f"/new{number}", "created")
            entry = replica.archive.lookup(f"/new{number}")
            assert entry is not None
            assert await replica.read(entry.stat, 0, 100) == b"content"


async def test_a_reader_who_comes_back_is_told_of_new_content_too() -> None:
    """It knows both feeds when it dials, so they are opened together."""
    own = own_archive(memory(), 10, {"/a": b"one"})
    kept = memory()
    async with host() as seed:
        served = seed.serve(own)
        async with host() as reader:
            replica = reader.serve(Archive.create_remote(kept, own.key), download_all=True)
            reader.dial(replica, seed.address)
            await replica.ready()
        await seed.until_peers(served, 0)
        async with host() as reader:
            replica = reader.serve(Archive.open(kept, key=own.key), download_all=True)
            reader.dial(replica, seed.address)
            await reader.until_peers(replica, 1)
            await seed.until_peers(served, 1)
            put(own, "/b", b"two")
            served.committed()
            await reader.until("/b")
            entry = replica.archive.lookup("/b")
            assert entry is not None
            assert await replica.read(entry.stat, 0, 100) == b"two"


async def test_a_whole_download_comes_from_two_peers_and_goes_on_to_a_fourth() -> None:
    own = own_archive(memory(), 3, {"/big": BIG, "/small": b"x"})
    async with host() as seed, host() as second, host() as third:
        seed.serve(own)
        copy = second.serve(Archive.create_remote(memory(), own.key), download_all=True)
        second.dial(copy, seed.address)
        await copy.ready()
        entry = copy.archive.lookup("/big")
        assert entry is not None
        assert await copy.read(entry.stat, 0, len(BIG)) == BIG
        last = third.serve(Archive.create_remote(memory(), own.key), download_all=True)
        third.dial(last, second.address)
        third.dial(last, seed.address)
        await third.until_peers(last, 2)
        await last.ready()
        assert await last.read(entry.stat, 0, len(BIG)) == BIG


async def test_nobody_has_it_is_an_error_after_the_deadline_and_no_hang(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with host() as reader:
        replica = reader.serve(Archive.create_remote(memory(), KeyPair.generate().public_key))
        with pytest.raises(ArchiveUnreachable, match="within 20 s"):
            await replica.ready()


async def test_a_block_that_the_only_peer_lacks_is_an_error_after_the_deadline() -> None:
    own = own_archive(memory(), 4, {"/a": b"x" * 100})
    async with host() as seed, host() as second, host() as third:
        seed.serve(own)
        copy = second.serve(Archive.create_remote(memory(), own.key))
        second.dial(copy, seed.address)
        await copy.ready()
        last = third.serve(Archive.create_remote(memory(), own.key))
        last._data_deadline_s = 0.2
        third.dial(last, second.address)
        await last.ready()
        entry = last.archive.lookup("/a")
        assert entry is not None
        with pytest.raises(BlockUnavailable):
            await last.read(entry.stat, 0, 100)


async def test_both_dial_and_one_connection_stays() -> None:
    own = own_archive(memory(), 5, {"/a": b"x"})
    async with host() as seed, host() as reader:
        served = seed.serve(own)
        replica = reader.serve(Archive.create_remote(memory(), own.key))
        reader.dial(replica, seed.address)
        seed.dial(served, reader.address)
        await reader.until_peers(replica, 1)
        await seed.until_peers(served, 1)
        await eventually(lambda: any(how.duplicate_of for how in [*seed.ended, *reader.ended]))
        assert len(served.topic.peers) == len(replica.topic.peers) == 1


async def test_a_connection_to_oneself_is_closed_and_not_tried_again() -> None:
    own = own_archive(memory(), 6, {"/a": b"x"})
    async with host() as seed:
        served = seed.serve(own)
        seed.dial(served, seed.address)
        await eventually(lambda: "itself" in outcome(served))
        assert not served.topic.peers


async def test_an_archive_that_is_not_served_is_not_given() -> None:
    public = own_archive(memory(), 7, {"/a": b"x"})
    private = own_archive(memory(), 8, {"/secret": b"x"})
    async with host() as seed, host() as reader:
        seed.serve(public)
        replica = reader.serve(Archive.create_remote(memory(), private.key))
        reader.dial(replica, seed.address)
        await eventually(lambda: bool(seed.ended))
        assert "not served here" in seed.ended[0].words
        assert replica.archive.metadata.length == 0


async def test_garbage_costs_its_own_connection_only() -> None:
    own = own_archive(memory(), 9, {"/a": b"x", "/b": b"y"})
    async with host() as seed, host() as reader:
        served = seed.serve(own)
        replica = reader.serve(Archive.create_remote(memory(), own.key))
        reader.dial(replica, seed.address)
        await replica.ready()
        bad = await trio.open_tcp_stream("127.0.0.1", seed.address.port)
        await bad.send_all(b"\x05\x00GET / HTTP/1.1\r\n\r\n" * 100)
        await eventually(lambda: bool(seed.ended))
        await bad.aclose()
        put(own, "/c", b"still here")
        served.committed()
        await reader.until("/c")
        assert len(served.topic.peers) == 1


def outcome(replica: ArchiveReplica) -> str:
    found = replica.topic.outcomes.get("test")
    return "" if found is None else found.words
