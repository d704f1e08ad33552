"""Peers that lie, flood, stay silent or never read: each costs its own connection and no more."""

from __future__ import annotations

import contextlib
import os
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import trio

from datfs.encoding.varint import encode_varint
from datfs.hyperdrive.archive import Archive
from datfs.swarm import peer as peer_module
from datfs.swarm.archive_replica import ArchiveReplica
from datfs.swarm.conversation import MAX_QUEUED_REQUESTS, MAX_QUEUED_WANTS
from datfs.swarm.remote import WANT_LENGTH
from datfs.swarm.transport import Address
from datfs.wire.handshake import HandshakeOptions
from datfs.wire.messages import (
    Data,
    Feed,
    Handshake,
    Have,
    ProofNode,
    Request,
    Unhave,
    Want,
)
from tests.swarm.hosts import OFFLINE, eventually, host, memory, own_archive, put
from tests.swarm.raw_peer import linked, raw_peer

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio.testing import MockClock

    from datfs.hypercore.feed import Feed as StoredFeed

FAR = 2**52
FILES = {"/a": b"x" * 1000, "/b": b"y" * 1000}


def honest(feed: StoredFeed, request: Request) -> Data:
    proof = feed.proof(request.block_index, digest=request.digest, with_hash=request.hash_only)
    nodes = tuple(ProofNode(*node) for node in proof.nodes)
    value = None if request.hash_only else feed.get(request.block_index)
    return Data(request.block_index, value, nodes, proof.signature)


def other_content(data: Data) -> Data:
    assert data.value is not None
    return Data(data.block_index, bytes(len(data.value)), data.nodes, data.signature)


def other_proof(data: Data) -> Data:
    first, *rest = data.nodes
    forged = ProofNode(first.node_index, bytes(32), first.byte_length)
    return Data(data.block_index, data.value, (forged, *rest), data.signature)


def other_signature(data: Data) -> Data:
    return Data(data.block_index, data.value, data.nodes, bytes(64))


@pytest.mark.parametrize("lie", [other_content, other_proof, other_signature])
async def test_a_liar_is_dropped_and_the_download_comes_from_the_honest(
    autojump_clock: MockClock,
    lie: Callable[[Data], Data],
) -> None:
    own = own_archive(memory(), 31, FILES)
    async with host(OFFLINE) as seed, host(OFFLINE) as reader:
        seed.serve(own)
        replica = reader.serve(Archive.create_remote(memory(), own.key), download_all=True)
        async with raw_peer(reader, own.key) as liar:
            await liar.say(Want(0, WANT_LENGTH), Have(0, 3))
            await liar.until(lambda: liar.heard(Request))
            await liar.say(lie(honest(own.metadata, liar.heard(Request)[0])))
            assert "does not verify" in await liar.until_ended()
            assert reader.ended[0].lied
            assert ("10.0.0.7", b"\x07" * 32) in replica.topic.liars
        async with raw_peer(reader, own.key) as liar:
            assert "before" in await liar.until_ended()
        async with raw_peer(reader, own.key, address="10.0.0.8") as namesake:
            assert not namesake.ended  # whoever only has the same id is no liar
        async with linked(reader, replica, seed):
            await replica.ready()
            for path, content in FILES.items():
                entry = replica.archive.lookup(path)
                assert entry is not None
                assert await replica.read(entry.stat, 0, 10**6) == content


async def test_lengths_beyond_all_reason_cost_nothing(
    autojump_clock: MockClock,
) -> None:
    own = own_archive(memory(), 32, FILES)
    async with host(OFFLINE) as seed, host(OFFLINE) as reader:
        served = seed.serve(own)
        replica = reader.serve(Archive.create_remote(memory(), own.key), download_all=True)
        grid = FAR - FAR % 8192
        for member in (seed, reader):
            async with raw_peer(member, own.key) as raw:
                await raw.say(
                    Have(0, FAR),
                    Have(FAR, FAR),
                    Have(grid, bitfield=b"\x02\xff"),
                    Unhave(1, FAR),
                    Have(5, FAR),
                    Unhave(FAR, FAR),
                    Want(0, grid),
                    Want(grid, grid),
                    Request(FAR),
                    Request(0, byte_offset=FAR),
                    Request(FAR, hash_only=True, digest=FAR),
                )
                await raw.until(lambda raw=raw: len(raw.heard(Data)) == 3)  # type: ignore[misc]
                assert {(have.start, have.length) for have in raw.heard(Have)} >= {
                    (0, grid),
                    (grid, grid),
                }
                assert not raw.ended
        async with linked(reader, replica, seed):
            await replica.ready()
        assert not served.topic.liars


async def test_a_bitfield_bomb_ends_its_connection(
    autojump_clock: MockClock,
) -> None:
    own = own_archive(memory(), 33, FILES)
    async with host(OFFLINE) as reader:
        replica = reader.serve(Archive.create_remote(memory(), own.key))
        run = encode_varint((1 << 45) << 2 | 0b11)
        async with (
            raw_peer(reader, own.key) as other,
            raw_peer(reader, own.key, handshake_id=b"\x09" * 32) as bomber,
        ):
            await bomber.say(Have(0, 8192, bitfield=run))
            assert "bitfield" in await bomber.until_ended()
            assert not other.ended
            assert len(replica.topic.peers) == 1


@pytest.mark.parametrize(
    ("message", "limit"), [(Request(1), MAX_QUEUED_REQUESTS), (Want(0, 8192), MAX_QUEUED_WANTS)]
)
async def test_a_storm_of_questions_without_reading_is_bounded(
    autojump_clock: MockClock, message: Request | Want, limit: int
) -> None:
    own = own_archive(memory(), 34, {"/big": os.urandom(200_000)})
    async with host(OFFLINE) as seed:
        seed.serve(own)
        assert own.content is not None
        async with raw_peer(seed, own.key, narrow=True) as raw:
            raw.stop_reading()
            await raw.say(*[message] * (limit + 2000))
            assert "wait for an answer" in await raw.until_ended()


async def test_what_is_not_held_is_refused_and_never_met_with_silence(
    autojump_clock: MockClock,
) -> None:
    own = own_archive(memory(), 35, FILES)
    assert own.content is not None
    own.content.clear(0, 1)
    async with host(OFFLINE) as seed:
        seed.serve(own)
        async with raw_peer(seed, own.key) as raw:
            await raw.until(lambda: own.content and own.content.discovery_key in raw.announced())
            await raw.open(own.content.key)
            await raw.say(Request(999), Request(2**40, digest=1))
            await raw.say(Request(0), Request(0, hash_only=True), key=own.content.key)
            await raw.until(lambda: len(raw.heard(Data, own.content.key)) == 2)  # type: ignore[union-attr]
            assert raw.heard(Data) == [Data(999), Data(2**40)]
            assert raw.heard(Unhave) == [Unhave(999), Unhave(2**40)]
            cleared, proof = raw.heard(Data, own.content.key)
            # The hash with its proof, or the original would end the connection.
            assert cleared == proof
            assert (cleared.value, bool(cleared.nodes)) == (None, True)
            assert raw.heard(Unhave, own.content.key) == [Unhave(0)]


@pytest.mark.expect_log("block 1 .* is cut short")
async def test_a_block_that_cannot_be_read_is_refused_and_the_others_are_given(
    autojump_clock: MockClock,
) -> None:
    storage = memory()
    own = own_archive(storage, 36, FILES)
    assert own.content is not None
    storage.content.open("data").truncate(1500)
    async with host(OFFLINE) as seed:
        seed.serve(own)
        async with raw_peer(seed, own.key) as raw:
            content = own.content.key
            await raw.open(content)
            await raw.say(Request(1), Request(0), key=content)
            await raw.until(lambda: len(raw.heard(Data, content)) == 2)
            assert [data.value for data in raw.heard(Data, content)] == [None, FILES["/a"]]
            assert not raw.ended


async def test_a_refused_block_is_not_asked_of_the_same_peer_for_ever(
    autojump_clock: MockClock,
) -> None:
    own = own_archive(memory(), 37, FILES)
    async with host(OFFLINE) as reader:
        reader.serve(Archive.create_remote(memory(), own.key))
        async with raw_peer(reader, own.key) as raw:
            await raw.say(Want(0, WANT_LENGTH), Have(0))
            for _ in range(5):
                await raw.until(lambda: raw.heard(Request))
                await raw.say(Data(0))
                await trio.sleep(1)
            assert len(raw.heard(Request)) == 1


async def test_who_knows_only_the_discovery_key_learns_nothing(
    autojump_clock: MockClock,
) -> None:
    own = own_archive(memory(), 38, {"/secret": b"the secret content"})
    async with host(OFFLINE) as seed:
        seed.serve(own)
        async with raw_peer(seed, own.key, listens=False, greeted=False) as raw:
            # The clear first frame is what anybody can send who saw the discovery key somewhere.
            heard = bytearray()
            async with trio.open_nursery() as nursery:

                async def listen() -> None:
                    async for data in raw.stream:
                        heard.extend(data)

                nursery.start_soon(listen)
                for _ in range(3):
                    await trio.sleep(1)
                    with contextlib.suppress(trio.BrokenResourceError):  # it was dropped at once
                        await raw.stream.send_all(os.urandom(10))
                await raw.until_ended()
                nursery.cancel_scope.cancel()
        assert own.key not in heard
        assert b"secret" not in heard
        assert len(heard) < 500


async def test_other_archives_are_not_given_on_a_connection(
    autojump_clock: MockClock,
) -> None:
    public = own_archive(memory(), 39, FILES)
    private = own_archive(memory(), 40, {"/secret": b"x"})
    async with host(OFFLINE) as seed:
        seed.serve(public)
        seed.serve(private)
        async with raw_peer(seed, public.key) as raw:
            await raw.open(private.key)
            await raw.say(Want(0, WANT_LENGTH), Request(0))
            await raw.until(lambda: raw.heard(Data))
            await trio.sleep(20)
            assert private.discovery_key not in raw.announced()
            assert not raw.heard(Have, private.key)
            assert not raw.ended


async def test_who_never_reads_stops_its_own_uploads_alone(
    autojump_clock: MockClock,
) -> None:
    own = own_archive(memory(), 41, {"/big": os.urandom(4_000_000)})
    assert own.content is not None
    async with host(OFFLINE) as seed, host(OFFLINE) as reader:
        seed.serve(own)
        async with raw_peer(seed, own.key, narrow=True, listens=False, greeted=False) as raw:
            await raw.open(own.content.key)
            replica = reader.serve(Archive.create_remote(memory(), own.key), download_all=True)
            async with linked(reader, replica, seed):
                await replica.ready()
                entry = replica.archive.lookup("/big")
                assert entry is not None
                assert len(await replica.read(entry.stat, 0, 10**7)) == 4_000_000
            assert "read nothing for 30 s" in await raw.until_ended()


async def test_a_silent_peer_is_dropped_and_a_live_one_hears_of_us_every_five_seconds(
    autojump_clock: MockClock,
) -> None:
    own = own_archive(memory(), 42, FILES)
    async with host(OFFLINE) as seed:
        seed.serve(own)
        began = trio.current_time()
        async with raw_peer(seed, own.key, listens=False, greeted=False) as raw:
            assert "silent" in await raw.until_ended()
            assert 7.5 <= trio.current_time() - began < 8
        async with raw_peer(seed, own.key) as raw:
            await trio.sleep(60)
            assert not raw.ended
            times = raw.received_at
            assert max(b - a for a, b in pairwise(times)) <= 5
            assert trio.current_time() - times[-1] <= 5


async def test_who_does_not_say_what_it_wants_is_dropped_after_five_seconds(
    autojump_clock: MockClock,
) -> None:
    own = own_archive(memory(), 43, FILES)
    async with host(OFFLINE) as seed:
        served = seed.serve(own)
        began = trio.current_time()
        theirs, ours = trio.testing.memory_stream_pair()
        peer = peer_module.Peer(theirs, Address("x", 1), seed.announcer)
        ended = await seed.swarm._serve(peer, None)
        assert "did not say what it wants" in ended.words
        assert trio.current_time() - began == pytest.approx(5)
        await ours.aclose()
        # Our own handshake id, said by somebody else: no way to stay without being counted.
        async with raw_peer(seed, own.key, handshake_id=served.topic.handshake_id) as raw:
            await raw.until_ended()
            assert not served.topic.peers


async def test_an_archive_takes_so_many_connections_and_no_more(
    autojump_clock: MockClock,
) -> None:
    own = own_archive(memory(), 44, FILES)
    async with host(OFFLINE) as seed:
        served = seed.serve(own)
        served.topic.max_connections = 2
        async with (
            raw_peer(seed, own.key, handshake_id=b"\x01" * 32) as first,
            raw_peer(seed, own.key, handshake_id=b"\x02" * 32),
            raw_peer(seed, own.key, handshake_id=b"\x03" * 32) as third,
        ):
            assert "as many connections as allowed" in await third.until_ended()
            assert not first.ended
            assert len(served.topic.peers) == 2


async def test_a_newcomer_with_the_id_of_a_live_peer_does_not_push_it_out(
    autojump_clock: MockClock,
) -> None:
    own = own_archive(memory(), 45, FILES)
    async with host(OFFLINE) as seed:
        served = seed.serve(own)
        async with raw_peer(seed, own.key) as established:
            await trio.sleep(20)
            async with raw_peer(seed, own.key, address="10.0.0.9") as newcomer:
                assert "is open" in await newcomer.until_ended()
            assert not established.ended
            assert len(served.topic.peers) == 1


async def test_an_id_that_would_fill_the_memory_is_refused(
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = own_archive(memory(), 46, FILES)
    message = HandshakeOptions.message
    too_long = Handshake(id=bytes(100_000), live=True, user_data=None, extensions=(), ack=False)
    monkeypatch.setattr(
        HandshakeOptions,
        "message",
        lambda options: too_long if options.id == b"\x01" * 32 else message(options),
    )
    async with host(OFFLINE) as seed:
        seed.serve(own)
        async with raw_peer(seed, own.key, handshake_id=b"\x01" * 32) as raw:
            assert "too long" in await raw.until_ended()


async def test_feeds_named_without_end_are_not_remembered_without_end(
    autojump_clock: MockClock,
) -> None:
    own = own_archive(memory(), 47, FILES)
    async with host(OFFLINE) as seed:
        seed.serve(own)
        async with raw_peer(seed, own.key) as raw:
            for _ in range(3000):
                feed = Feed(os.urandom(32))
                raw.connection._queue(1, Feed.TYPE, feed.encode())
            await raw.flush()
            assert "named more than" in await raw.until_ended()


@pytest.mark.expect_log("no more of")
async def test_a_fork_in_a_members_archive_costs_that_archive_and_no_connection(
    autojump_clock: MockClock,
) -> None:
    """In a lobby the peer that gives a block may have it from a writer who signed two of them."""
    lobby = own_archive(memory(), 48, FILES)
    written = own_archive(memory(), 49, {"/offer": b"one"})
    async with host(OFFLINE) as hosting:
        served = hosting.serve(lobby)
        served.topic.grows = True
        taken = Archive.create_remote(memory(), written.key)
        replica = ArchiveReplica(
            taken,
            served.topic,
            hosting.announcer,
            on_change=hosting._on_change,
            everywhere=False,
        )
        async with raw_peer(hosting, lobby.key) as guest:
            await guest.open(written.key)
            await guest.until(lambda: written.discovery_key in guest.announced())
            await guest.say(Want(0, WANT_LENGTH), Have(0, 2), key=written.key)
            await guest.until(lambda: guest.heard(Request, written.key))
            request = guest.heard(Request, written.key)[0]
            lie = other_signature(honest(written.metadata, request))
            await guest.say(lie, key=written.key)
            await eventually(lambda: not replica.metadata.scheduler.remotes)
            await guest.say(Request(0))
            await guest.until(lambda: guest.heard(Data))
            assert not guest.ended
            assert not served.topic.liars


@pytest.mark.expect_log("the connection with 10.0.0.66:1 failed")
async def test_an_error_in_one_connection_ends_no_other(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    own = own_archive(memory(), 50, FILES)
    async with host(OFFLINE) as seed:
        served = seed.serve(own)
        async with raw_peer(seed, own.key) as other:
            handshake = peer_module.Peer._on_handshake

            def fail(peer: peer_module.Peer, message: object) -> None:
                if peer.address.host == "10.0.0.66":
                    raise RuntimeError("a mistake of ours")
                handshake(peer, message)  # type: ignore[arg-type]

            monkeypatch.setattr(peer_module.Peer, "_on_handshake", fail)
            async with raw_peer(seed, own.key, address="10.0.0.66", greeted=False) as bad:
                assert "mistake" in await bad.until_ended()
            assert "a mistake of ours" in caplog.text
            put(own, "/c", b"more")
            served.committed()
            await other.say(Want(0, WANT_LENGTH))
            await other.until(lambda: other.heard(Have))
            assert not other.ended


@pytest.mark.expect_log("cannot be brought up to date")
async def test_an_archive_that_cannot_take_in_what_came_ends_no_connection(
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    own = own_archive(memory(), 51, FILES)
    async with host(OFFLINE) as seed, host(OFFLINE) as reader:
        seed.serve(own)
        replica = reader.serve(Archive.create_remote(memory(), own.key), download_all=True)

        def fail(_changes: object) -> None:
            raise RuntimeError("nobody caught this")

        replica._on_change = fail
        async with linked(reader, replica, seed):
            await eventually(lambda: replica.archive.version == 2)
            assert len(replica.topic.peers) == 1
        assert "nobody caught this" in caplog.text
        assert "cannot be taken in" in replica.topic.outcomes["archive"].words
