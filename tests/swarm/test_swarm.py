"""Dials, limits and what is said about them: "why no peers" is answered in words."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, NoReturn

import pytest
import trio

from datfs.hyperdrive.archive import Archive
from datfs.swarm import swarm as swarm_module
from datfs.swarm import transport
from datfs.swarm.swarm import LISTENER, SwarmOptions
from datfs.swarm.transport import Address
from tests.swarm.hosts import OFFLINE, eventually, host, memory, own_archive, put
from tests.swarm.raw_peer import linked, raw_peer

if TYPE_CHECKING:
    from trio.testing import MockClock

    from datfs.swarm.archive_replica import ArchiveReplica

LOOPBACK = SwarmOptions(listen=("127.0.0.1",), port=0)


def words(replica: ArchiveReplica, mechanism: str = "test") -> str:
    found = replica.topic.outcomes.get(mechanism)
    return "" if found is None else found.words


async def test_offline_opens_no_socket_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    own = own_archive(memory(), 71, {})

    def refuse(*_: object) -> NoReturn:
        raise AssertionError("a socket was made")

    options = SwarmOptions(
        listen=("127.0.0.1",), port=0, fixed_peers=(Address("127.0.0.1", 9),), offline=True
    )
    async with host(options) as member:
        monkeypatch.setattr(trio.socket, "socket", refuse)
        monkeypatch.setattr(trio.socket, "getaddrinfo", refuse)
        monkeypatch.setattr(socket, "socket", refuse)
        served = member.serve(own)
        member.dial(served, Address("127.0.0.1", 9))
        await trio.sleep(0.05)
        assert member.swarm.port is None
        assert words(served, "network") == "switched off (--offline)"


async def test_a_dial_that_fails_says_why() -> None:
    async with host() as seed, host() as reader:
        replica = reader.serve(Archive.create_remote(memory(), own_archive(memory(), 72, {}).key))
        assert "none given" in words(replica, "fixed peers")
        assert f"port {reader.swarm.port}" in words(replica, LISTENER)
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            address = Address("127.0.0.1", unused.getsockname()[1])
            reader.dial(replica, address)
            await eventually(lambda: "refused" in words(replica))
            assert words(replica) == f"{address} does not answer: Connection refused"
        # This one answers, and closes at once: it does not serve the archive.
        reader.swarm.add_address(replica.topic, seed.address, "other")
        await eventually(lambda: "does not serve this archive" in words(replica, "other"))


async def test_an_address_is_dialled_once_however_often_it_is_found() -> None:
    own = own_archive(memory(), 73, {})
    async with host() as seed, host() as reader:
        served = seed.serve(own)
        replica = reader.serve(Archive.create_remote(memory(), own.key))
        for _ in range(5):
            reader.dial(replica, seed.address)
        await reader.until_peers(replica, 1)
        await trio.sleep(0.1)
        assert not reader.ended
        reader.swarm.leave(replica.topic)
        await eventually(lambda: not served.topic.peers)
        assert not replica.topic.peers
        assert "the peer closed it" in words(served, LISTENER)


async def test_all_connections_together_are_limited() -> None:
    own = own_archive(memory(), 74, {})
    async with host(SwarmOptions(listen=("127.0.0.1",), port=0, max_connections=1)) as seed:
        served = seed.serve(own)
        async with raw_peer(seed, own.key) as raw:
            stream = await trio.open_tcp_stream("127.0.0.1", seed.address.port)
            with contextlib.suppress(trio.BrokenResourceError):
                assert await stream.receive_some() == b""
            await stream.aclose()
            assert not raw.ended
            seed.dial(served, Address("127.0.0.1", 9))
            await eventually(lambda: "as many connections as allowed" in words(served))


async def test_who_opens_connections_and_says_nothing_keeps_nobody_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(swarm_module, "MAX_OPENING", 3)
    own = own_archive(memory(), 75, {})
    async with host() as seed, host() as reader:
        seed.serve(own)
        silent = [await trio.open_tcp_stream("127.0.0.1", seed.address.port) for _ in range(3)]
        replica = reader.serve(Archive.create_remote(memory(), own.key))
        reader.dial(replica, seed.address)
        await reader.until_peers(replica, 1)
        await eventually(lambda: bool(seed.ended))
        assert "had not said" in seed.ended[0].words
        for stream in silent:
            await stream.aclose()


async def test_an_archive_that_leaves_while_it_is_connected_ends_its_connections(
    autojump_clock: MockClock,
) -> None:
    own = own_archive(memory(), 76, {})
    async with host(OFFLINE) as seed:
        served = seed.serve(own)
        async with raw_peer(seed, own.key) as raw:
            served.leave()
            assert "no longer served" in await raw.until_ended()


async def test_thousands_of_small_entries_are_all_taken_in(autojump_clock: MockClock) -> None:
    own = own_archive(memory(), 77, {})
    for number in range(2500):
        put(own, f"/{number}", b"")
    async with host(OFFLINE) as seed, host(OFFLINE) as reader:
        seed.serve(own)
        replica = reader.serve(Archive.create_remote(memory(), own.key))
        async with linked(reader, replica, seed):
            await replica.ready()
            assert replica.archive.version == 2500


async def test_what_an_earlier_connection_left_unapplied_is_taken_in(
    autojump_clock: MockClock,
) -> None:
    own = own_archive(memory(), 78, {f"/{number}": b"" for number in range(5)})
    async with host(OFFLINE) as reader:
        copy = Archive.create_remote(memory(), own.key)
        replica = reader.serve(copy)
        for index in range(own.metadata.length):
            proof = own.metadata.proof(index, digest=copy.metadata.digest(index))
            copy.metadata.put(index, own.metadata.get(index), proof)
        await replica.ready()
        assert copy.version == 5


@pytest.mark.expect_log("dialling .* failed")
async def test_a_mistake_in_a_dial_ends_that_dial_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    own = own_archive(memory(), 79, {})
    async with host() as seed, host() as reader:
        seed.serve(own)
        replica = reader.serve(Archive.create_remote(memory(), own.key))
        dial = transport.dial

        async def fail(address: Address) -> trio.SocketStream:
            if address.port == 9:
                raise RuntimeError("a mistake of ours")
            return await dial(address)

        monkeypatch.setattr(transport, "dial", fail)
        reader.swarm.add_address(replica.topic, Address("127.0.0.1", 9), "bad")
        reader.dial(replica, seed.address)
        await reader.until_peers(replica, 1)
        assert "a mistake of ours" in words(replica, "bad")
