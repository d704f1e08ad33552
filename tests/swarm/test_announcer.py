"""What is told is on disk first, and nothing that fails ends the announcing."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
import trio

from datfs.hypercore.storage import MemoryFile, MemoryStorage
from datfs.hyperdrive.archive import Archive, ArchiveStorage
from datfs.swarm.announcer import LAZY_SYNC_S, RETRY_S, Announcer
from datfs.swarm.remote import WANT_LENGTH
from datfs.wire.messages import Data, Have, Request, Want
from tests.swarm.hosts import OFFLINE, eventually, host, memory, own_archive, put
from tests.swarm.raw_peer import linked, raw_peer

if TYPE_CHECKING:
    from trio.testing import MockClock

    from datfs.hypercore.storage import FileName


class SlowDisk(MemoryStorage):
    """Its syncs wait for leave, and may fail."""

    def __init__(self) -> None:
        super().__init__()
        self.may_sync = threading.Event()
        self.may_sync.set()
        self.waiting = threading.Event()
        self.error: Exception | None = None
        self.syncs = 0

    def open(self, name: FileName) -> MemoryFile:
        if name not in self.files:
            self.files[name] = _SlowFile(self) if name == "signatures" else MemoryFile()
        return self.files[name]


class _SlowFile(MemoryFile):
    def __init__(self, disk: SlowDisk) -> None:
        super().__init__()
        self._disk = disk

    def sync(self) -> None:
        self._disk.waiting.set()
        assert self._disk.may_sync.wait(20)
        self._disk.syncs += 1
        if self._disk.error is not None:
            raise self._disk.error


async def test_nothing_is_told_of_and_no_signature_goes_out_before_the_sync() -> None:
    disk = SlowDisk()
    own = own_archive(ArchiveStorage(disk, MemoryStorage()), 61, {"/a": b"x"})
    async with host(OFFLINE) as seed:
        served = seed.serve(own)
        async with raw_peer(seed, own.key) as raw:
            await seed.announcer.flush()
            await raw.say(Want(0, WANT_LENGTH))
            await raw.until(lambda: raw.heard(Have))
            told = len(raw.heard(Have))
            disk.may_sync.clear()
            put(own, "/b", b"y")
            served.committed()
            # Block 0 is durable, but its proof would be signed for all three blocks.
            await raw.say(Request(2), Request(0))
            await trio.sleep(0.1)
            assert not raw.heard(Data)
            assert len(raw.heard(Have)) == told
            disk.may_sync.set()
            await raw.until(lambda: len(raw.heard(Data)) == 2)
            assert Have(2) in raw.heard(Have)[told:]


async def test_an_archive_that_was_just_opened_is_synced_before_it_is_told_of() -> None:
    disk = SlowDisk()
    disk.may_sync.clear()
    own = own_archive(ArchiveStorage(disk, MemoryStorage()), 62, {"/a": b"x"})
    marks: dict[bytes, int] = {}
    announcer = Announcer(record_length=marks.__setitem__)
    async with host(OFFLINE, announcer) as seed:
        seed.serve(own)
        async with raw_peer(seed, own.key) as raw:
            await raw.say(Want(0, WANT_LENGTH), Request(0))
            await trio.sleep(0.1)
            assert raw.heard(Have) == [Have(0, WANT_LENGTH, b"")]
            assert not raw.heard(Data)
            assert own.key not in marks
            disk.may_sync.set()
            await raw.until(lambda: raw.heard(Data))
            assert own.content is not None
            assert marks == {own.key: 2, own.content.key: 1}


async def test_commits_during_a_sync_share_the_next_one() -> None:
    disk = SlowDisk()
    own = own_archive(ArchiveStorage(disk, MemoryStorage()), 63, {})
    async with host(OFFLINE) as seed:
        served = seed.serve(own)
        await seed.announcer.flush()
        before = disk.syncs
        disk.may_sync.clear()
        disk.waiting.clear()
        for number in range(50):
            put(own, f"/{number}", b"x")
            served.committed()
            if number == 0:
                await eventually(disk.waiting.is_set)  # the first sync has begun
        disk.may_sync.set()
        await seed.announcer.flush()
        assert disk.syncs - before == 2
        assert served.metadata.durable_length == 51


async def test_a_failed_sync_is_told_once_not_announced_and_tried_again(
    autojump_clock: MockClock,
) -> None:
    disk = SlowDisk()
    own = own_archive(ArchiveStorage(disk, MemoryStorage()), 64, {})
    failures: list[str] = []
    announcer = Announcer(on_sync_failed=lambda _key, reason: failures.append(reason))
    async with host(OFFLINE, announcer) as seed:
        served = seed.serve(own)
        await announcer.flush()
        async with raw_peer(seed, own.key) as raw:
            await raw.say(Want(0, WANT_LENGTH))
            await raw.until(lambda: raw.heard(Have))
            told = len(raw.heard(Have))
            disk.error = OSError(5, "Input/output error")
            put(own, "/a", b"x")
            served.committed()
            await announcer.flush()
            await trio.sleep(3 * RETRY_S)
            assert len(failures) == 1
            assert "Input/output error" in failures[0]
            assert len(raw.heard(Have)) == told
            assert served.metadata.durable_length == 1
            disk.error = None
            await trio.sleep(RETRY_S + 2 * LAZY_SYNC_S)
            assert Have(1) in raw.heard(Have)[told:]


@pytest.mark.expect_log("cannot be synced|could not be told|cannot be told")
async def test_no_mistake_of_others_ends_the_announcing(autojump_clock: MockClock) -> None:
    disk = SlowDisk()
    own = own_archive(ArchiveStorage(disk, MemoryStorage()), 65, {})
    other = own_archive(memory(), 66, {})

    def fail(_key: bytes, _reason: str) -> None:
        raise RuntimeError("a mistake in telling")

    announcer = Announcer(on_sync_failed=fail)
    async with host(OFFLINE, announcer) as seed:
        served = seed.serve(own)
        unharmed = seed.serve(other)
        await announcer.flush()
        disk.error = RuntimeError("a mistake in syncing")
        for archive, replica in ((own, served), (other, unharmed)):
            put(archive, "/a", b"x")
            replica.committed()
        await announcer.flush()
        assert served.metadata.durable_length == 1
        assert unharmed.metadata.durable_length == 2
        async with raw_peer(seed, other.key) as raw:
            (peer,) = unharmed.topic.peers
            peer.announce = lambda *_: 1 / 0  # type: ignore[method-assign,assignment]
            put(other, "/b", b"x")
            unharmed.committed()
            assert "could not be told" in await raw.until_ended()
        assert unharmed.metadata.durable_length == 3


async def test_downloads_are_synced_together_and_passed_on(autojump_clock: MockClock) -> None:
    own = own_archive(memory(), 67, {f"/{number}": b"x" for number in range(20)})
    disk = SlowDisk()
    async with host(OFFLINE) as seed, host(OFFLINE) as reader:
        seed.serve(own)
        copy = Archive.create_remote(ArchiveStorage(disk, MemoryStorage()), own.key)
        replica = reader.serve(copy)
        async with raw_peer(reader, own.key) as raw, linked(reader, replica, seed):
            await raw.say(Want(0, WANT_LENGTH))
            await replica.ready()
            assert disk.syncs == 0
            await raw.until(lambda: sum(have.length for have in raw.heard(Have)[1:]) >= 21)
            assert disk.syncs == 1


async def test_a_longer_length_that_a_peer_proves_makes_an_own_feed_read_only(
    autojump_clock: MockClock,
) -> None:
    storage = memory()
    own = own_archive(storage, 68, {"/a": b"x"})
    older = Archive.create_remote(memory(), own.key)
    proof = own.metadata.proof(0, digest=0)
    older.metadata.put(0, own.metadata.get(0), proof)
    restored = own_archive(memory(), 68, {"/a": b"x"})
    put(own, "/b", b"y")
    async with host(OFFLINE) as seed, host(OFFLINE) as reader:
        overtaken: list[int] = []
        served = seed.serve(restored)
        served._on_overtaken = lambda _feed, length: overtaken.append(length)
        copy = reader.serve(own)  # a copy that has more; here it does not matter whose
        async with linked(reader, copy, seed):
            await eventually(lambda: len(overtaken) == 2)
        assert sorted(overtaken) == [2, 3]  # the content's and the metadata's
        assert restored.read_only_reason is not None
        assert "proof of 3" in restored.read_only_reason
        assert not seed.ended or not seed.ended[0].lied
