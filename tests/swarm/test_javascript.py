"""The real JavaScript peers (hyperdrive 9, hypercore-protocol 6) as the other side."""

from __future__ import annotations

import filecmp
import os
from typing import TYPE_CHECKING

import trio

from datfs.hyperdrive.archive import Archive
from datfs.hyperdrive.folder import raw_storage
from datfs.swarm.conversation import Conversation
from datfs.swarm.transport import Address
from datfs.wire.messages import Request
from tests.support.node_peers import NodePeer
from tests.swarm.hosts import Host, eventually, host, memory, own_archive, put

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from datfs.swarm.archive_replica import ArchiveReplica
    from datfs.wire.messages import FeedMessage

FILES = {"/hello.txt": b"hello\n", "/dir/big.bin": os.urandom(400_000), "/dir/empty": b""}
IDLE_S = 9.0  # the original drops who is silent for 7.5 s


def target(own: Archive, seed: Host) -> str:
    return f"{own.key.hex()}@{seed.address}"


async def until_version(replica: ArchiveReplica, version: int) -> None:
    await eventually(lambda: replica.archive.version >= version)


async def content(replica: ArchiveReplica, path: str) -> bytes:
    entry = replica.archive.lookup(path)
    assert entry is not None, path
    return await replica.read(entry.stat, 0, entry.stat.size)


async def test_they_clone_ours(peers: Path, tmp_path: Path) -> None:
    own = own_archive(raw_storage(tmp_path / "own"), 11, FILES)
    async with host() as seed:
        seed.serve(own)
        arguments = (target(own, seed), tmp_path / "copy", "--files", tmp_path / "files")
        with NodePeer(peers, "clone.js", *arguments, "--history") as clone:
            done = await clone.wait_event("done")
    assert done["version"] == own.version
    for path, expected in FILES.items():
        assert (tmp_path / "files" / path[1:]).read_bytes() == expected
    for feed in ("metadata", "content"):
        for name in ("data", "tree", "bitfield", "key"):
            ours, theirs = (tmp_path / who / feed / name for who in ("own", "copy"))
            assert filecmp.cmp(ours, theirs, shallow=False), f"{feed}/{name}"


async def test_we_clone_theirs(peers: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for path, data in FILES.items():
        (source / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (source / path[1:]).write_bytes(data)
    with NodePeer(peers, "make.js", source, tmp_path / "theirs") as make:
        await make.wait_event("done")
    with NodePeer(peers, "serve.js", tmp_path / "theirs") as serve:
        listening = await serve.wait_event("listening")
        async with host() as reader:
            remote = Archive.create_remote(memory(), bytes.fromhex(listening["key"]))
            replica = reader.serve(remote, download_all=True)
            reader.dial(replica, Address("127.0.0.1", listening["port"]))
            await replica.ready()
            for path, expected in FILES.items():
                assert await content(replica, path) == expected
            assert replica.archive.version == listening["version"]


async def test_their_changes_reach_us_live(peers: Path, tmp_path: Path) -> None:
    with NodePeer(peers, "writer.js", tmp_path / "theirs", "--create") as writer:
        listening = await writer.wait_event("listening")
        async with host() as reader:
            remote = Archive.create_remote(memory(), bytes.fromhex(listening["key"]))
            replica = reader.serve(remote)
            reader.dial(replica, Address("127.0.0.1", listening["port"]))
            await reader.until_peers(replica, 1)
            for number in range(5):
                writer.send({"cmd": "put", "path": f"/f{number}", "text": f"text {number}"})
                await until_version(replica, number + 1)
                assert await content(replica, f"/f{number}") == f"text {number}".encode()
            writer.send({"cmd": "del", "path": "/f0"})
            await until_version(replica, 6)
            assert replica.archive.lookup("/f0") is None


async def test_our_changes_reach_them_live_and_an_idle_connection_lives(
    peers: Path, tmp_path: Path
) -> None:
    own = own_archive(memory(), 12, {"/a": b"a"})
    async with host() as seed:
        served = seed.serve(own)
        arguments = (target(own, seed), tmp_path / "copy", "--min-version", "3")
        with NodePeer(peers, "clone.js", *arguments) as clone:
            await clone.wait_event("handshake")
            await trio.sleep(IDLE_S)  # the clock of the other side is real
            assert len(served.topic.peers) == 1
            put(own, "/b", b"bb")
            served.committed()
            put(own, "/c", b"ccc")
            served.committed()
            done = await clone.wait_event("done")
    assert [row["path"] for row in done["tree"]] == ["/a", "/b", "/c"]


async def test_a_cleared_block_that_they_ask_for_is_answered_and_they_stay(
    peers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = own_archive(memory(), 14, {"/gone": b"x" * 100, "/kept": b"y" * 100})
    content = own.content
    assert content is not None
    content.clear(0, 1)
    # As if it had been cleared after they were told of it, without an Unhave that came in time.
    monkeypatch.setattr(content, "have_bits", lambda _start, length: b"\xff" * (length // 8))
    asked: list[int] = []
    handle = Conversation.handle

    def listen(conversation: Conversation, message: FeedMessage, now: float) -> None:
        if isinstance(message, Request) and conversation.feed is content:
            asked.append(message.block_index)
        handle(conversation, message, now)

    monkeypatch.setattr(Conversation, "handle", listen)
    async with host() as seed:
        served = seed.serve(own)
        with NodePeer(peers, "clone.js", target(own, seed), tmp_path / "copy") as clone:
            await clone.wait_event("handshake")
            await eventually(lambda: set(asked) == {0, 1})
            await trio.sleep(IDLE_S)
            assert len(served.topic.peers) == 1
            assert not seed.ended
            assert asked.count(0) == 1


async def test_session_data_flows_both_ways(peers: Path) -> None:
    own = own_archive(memory(), 13, {})
    async with host() as seed:
        served = seed.serve(own)
        served.topic.say(b"from python")
        arguments = (target(own, seed), "--send", "from node", "--wait", "15")
        with NodePeer(peers, "session.js", *arguments) as session:
            heard = await session.wait_event("extension")
            assert (heard["name"], heard["text"]) == ("session-data", "from python")
            await eventually(lambda: bool(seed.said))
            assert seed.said == [b"from node"]
            (peer,) = served.topic.peers
            assert peer.session_data.latest == b"from node"


async def test_a_clone_that_is_not_live_ends_by_itself(peers: Path, tmp_path: Path) -> None:
    own = own_archive(memory(), 14, FILES)
    async with host() as seed:
        seed.serve(own)
        arguments = (target(own, seed), tmp_path / "copy", "--end")
        with NodePeer(peers, "clone.js", *arguments) as clone:
            done = await clone.wait_event("done")
    assert done["version"] == own.version


async def test_they_read_sparsely(peers: Path, tmp_path: Path) -> None:
    own = own_archive(memory(), 15, {**FILES, "/other.bin": os.urandom(400_000)})
    async with host() as seed:
        seed.serve(own)
        arguments = (target(own, seed), tmp_path / "copy", "--paths", "/other.bin")
        with NodePeer(peers, "clone.js", *arguments) as clone:
            done = await clone.wait_event("done")
    assert done["contentBlocksHeld"] == 7
