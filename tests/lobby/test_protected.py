"""A protected session, host and guests together: the real exchange over a pretended engine."""

from __future__ import annotations

import hashlib
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from datfs.crypto.keys import KeyPair
from datfs.crypto.pake import ENTROPY_SIZE, REFUSAL, PakeSide, PasswordExchange
from datfs.errors import ChannelClosed
from datfs.lobby.door import EXCHANGE_S
from datfs.lobby.names import answer_name, offer_name, writer_name
from datfs.lobby.password import PAKE_CHANNEL, PAKE_VERSION, PASSWORD_S, side_name
from datfs.lobby.room import RESERVATION_S
from datfs.lobby.signal import Answer, Refusal, encode_offer, parse_answer
from datfs.lobby.throttle import AT_ONCE
from datfs.lobby.writers import WriterRecord
from tests.lobby.world import (
    HOST,
    LOBBY,
    FakeChannel,
    FakeOffer,
    FakePeer,
    LogView,
    Member,
    View,
    World,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

PASSWORD = b"correct horse"
WRONG = "refused: wrong password"


@pytest.fixture(autouse=True, params=[View, LogView], ids=["archive", "log"])
def carrier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything holds over both carriers."""
    monkeypatch.setattr(World, "carrier", request.param)


@asynccontextmanager
async def lobby(*, max_peers: int = 8) -> AsyncIterator[World]:
    async with trio.open_nursery() as nursery:
        world = World(nursery, max_peers=max_peers, password=PASSWORD)
        await world.start()
        yield world
        nursery.cancel_scope.cancel()


async def offering(world: World, password: bytes | None) -> Member:
    """A guest with a password that has made its offer."""
    guest = await world.add_guest()
    guest.prover.password = password
    await trio.sleep(1)
    await guest.offer_by_engine()
    return guest


class Stranger:
    """A guest that was let in and has software of its own."""

    def __init__(self, world: World, number: int) -> None:
        self._world = world
        self.hash = KeyPair.from_seed(number.to_bytes(32, "big")).public_key
        self._writer = b"writer" + number.to_bytes(26, "big")
        self._publish(LOBBY, writer_name(self.hash), WriterRecord(self._writer).encode())

    def _publish(self, writer: bytes, name: str, data: bytes) -> None:
        view = self._world.view
        self._world.publish(view, view.change(writer, name, data))

    async def answer_to(self, offer: FakeOffer) -> Answer | Refusal:
        """Write an offer, of the kind that datfs makes, and wait for what the host says to it."""
        text = encode_offer(offer.sdp, pake=PAKE_VERSION)
        offer_id = hashlib.sha256(text).digest()
        self._publish(self._writer, offer_name(self.hash), text)
        while True:
            await trio.sleep(0.25)
            data = self._world.view.files.get(answer_name(self.hash))
            answer = None if data is None else parse_answer(data)
            if answer is not None and answer.offer_id == offer_id:
                return answer


async def connected(world: World, guest: Stranger, certificate: str = "") -> FakePeer:
    """The guest's end of a connection, its channel open."""
    offer = await world.engine.create_offer(certificate)
    with trio.fail_after(60):
        answer = await guest.answer_to(offer)
    assert not isinstance(answer, Refusal), answer.reason
    await offer.accept_answer(answer.sdp)
    return offer.connection


def side_a(
    guest: bytes,
    peer: FakePeer,
    password: bytes = PASSWORD,
    *,
    lobby_key: bytes = LOBBY,
    host: bytes = HOST.public_key,
    own_fingerprint: bytes | None = None,
    host_fingerprint: bytes | None = None,
) -> PasswordExchange:
    assert peer.other is not None
    theirs = host_fingerprint or peer.other.local_fingerprint
    return PasswordExchange(
        PakeSide.A,
        password,
        a=side_name(guest, lobby_key, own_fingerprint or peer.local_fingerprint),
        b=side_name(host, lobby_key, theirs),
        entropy=b"\7" * ENTROPY_SIZE,
    )


async def guess(exchange: PasswordExchange, peer: FakePeer) -> str | bytes:
    """Try it; return the last message of the host."""
    channel = await peer.open_channel(PAKE_CHANNEL)
    await channel.send(exchange.begin())
    await channel.send(exchange.receive(await channel.receive()))
    return await channel.receive()


def reasons(world: World) -> list[object]:
    return [fields.get("reason") for kind, fields in world.log.events if kind == "refused"]


async def test_the_right_password_opens_and_only_then_the_peer_counts(
    autojump_clock: MockClock,
) -> None:
    async with lobby() as world:
        guest = await offering(world, PASSWORD)
        await trio.sleep(5)
        assert guest.said[-1] == "joined"
        assert set(world.directory.peers) == {guest.hash}
        assert set(guest.directory.peers) == {HOST.public_key}
        assert world.peers == [1]
        assert world.transient() == set()


async def test_a_wrong_password_is_told_once_and_delivers_nothing(
    autojump_clock: MockClock,
) -> None:
    async with lobby() as world:
        guest = await offering(world, b"battery staple")
        await trio.sleep(5)
        assert str(guest.guest.status) == WRONG
        assert reasons(world) == ["wrong password"]
        assert guest.directory.peers == world.directory.peers == {}
        assert world.peers == []
        await trio.sleep(300)
        assert str(guest.guest.status) == WRONG, "it is not guessed again by itself"
        assert world.transient() == set()
        guest.prover.password = PASSWORD
        await guest.offer_by_engine()
        await trio.sleep(5)
        assert guest.said[-1] == "joined"


async def test_without_a_password_no_host_is_bothered(autojump_clock: MockClock) -> None:
    async with lobby() as world:
        guest = await offering(world, None)
        await trio.sleep(5)
        assert str(guest.guest.status).startswith("refused: a password is needed")
        assert world.transient() == set()
        assert "answer" not in world.log.kinds()
        guest.prover.password = PASSWORD
        await guest.offer_by_engine()
        await trio.sleep(5)
        assert guest.said[-1] == "joined"


async def test_an_offer_of_a_browser_is_refused_with_a_reason(autojump_clock: MockClock) -> None:
    async with lobby() as world:
        guest = await world.add_guest()
        guest.prover.password = PASSWORD
        await guest.offer_by_browser("browser")
        await trio.sleep(5)
        assert str(guest.guest.status).startswith("refused: the session is protected: only datfs")
        assert world.engine.answerers == {}


async def test_a_connection_that_drops_comes_back_by_the_same_password(
    autojump_clock: MockClock,
) -> None:
    async with lobby() as world:
        guest = await offering(world, PASSWORD)
        await trio.sleep(5)
        world.directory.peers[guest.hash].drop()
        await trio.sleep(5)
        assert guest.said[-1] == "joined"
        assert world.peers == [1, 0, 1]


async def test_a_new_password_holds_for_those_who_come_later(autojump_clock: MockClock) -> None:
    async with lobby() as world:
        first = await offering(world, PASSWORD)
        await trio.sleep(5)
        assert world.door is not None
        world.door.password = b"another"
        late, right = await offering(world, PASSWORD), await offering(world, b"another")
        await trio.sleep(5)
        assert [first.said[-1], late.said[-1], right.said[-1]] == ["joined", "refused", "joined"]


async def test_a_host_that_does_not_know_the_password_is_not_joined(
    autojump_clock: MockClock,
) -> None:
    async with lobby() as world:
        guest = await world.add_guest()
        guest.prover.password = PASSWORD
        peer, host_end = FakePeer(), FakePeer()
        peer.other, host_end.other = host_end, peer
        proven: list[bool] = []

        async def prove() -> None:
            proven.append(await guest.prover.prove(peer, HOST.public_key))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(prove)
            channel = await host_end.accept_channel(PAKE_CHANNEL)
            impostor = PasswordExchange(
                PakeSide.B, b"a guess", a=b"a", b=b"b", entropy=b"\5" * ENTROPY_SIZE
            )
            await channel.send(impostor.receive(await channel.receive()))
            await channel.receive()
            await channel.send(b"b" + bytes(32))
        assert proven == [False]


@pytest.mark.parametrize("what", ["own", "host's", "lobby", "host", "guest"])
async def test_the_right_password_over_anything_else_is_wrong(
    autojump_clock: MockClock, what: str
) -> None:
    """A man in the middle has other certificates; a proof for elsewhere names something else."""
    async with lobby() as world:
        guest = Stranger(world, 100)
        peer = await connected(world, guest)
        exchange = {
            "own": lambda: side_a(guest.hash, peer, own_fingerprint=b"m" * 32),
            "host's": lambda: side_a(guest.hash, peer, host_fingerprint=b"m" * 32),
            "lobby": lambda: side_a(guest.hash, peer, lobby_key=b"M" * 32),
            "host": lambda: side_a(guest.hash, peer, host=b"M" * 32),
            "guest": lambda: side_a(b"M" * 32, peer),
        }[what]()
        assert await guess(exchange, peer) == REFUSAL
        await trio.sleep(1)
        assert reasons(world) == ["wrong password"]
        assert world.directory.peers == {}


async def test_what_a_friend_once_sent_opens_nothing(autojump_clock: MockClock) -> None:
    """Replay over another connection, even with the same certificates and by the same identity."""
    async with lobby() as world:
        guest = Stranger(world, 100)
        first = await connected(world, guest, "kept")
        channel = await first.open_channel(PAKE_CHANNEL)
        exchange = side_a(guest.hash, first)
        said = [exchange.begin()]
        await channel.send(said[0])
        said.append(exchange.receive(await channel.receive()))
        await channel.send(said[1])
        await channel.receive()
        await trio.sleep(1)
        assert world.peers == [1]
        second = await connected(world, guest, "kept")
        assert second.local_fingerprint == first.local_fingerprint
        assert second.remote_fingerprint() == first.remote_fingerprint()
        channel = await second.open_channel(PAKE_CHANNEL)
        await channel.send(said[0])
        await channel.receive()
        await channel.send(said[1])
        assert await channel.receive() == REFUSAL
        await trio.sleep(1)
        assert world.directory.peers == {}


async def test_every_kind_of_breaking_off_counts_as_a_wrong_guess(
    autojump_clock: MockClock,
) -> None:
    async def before_proving(channel: FakeChannel, peer: FakePeer) -> None:
        await channel.receive()
        peer.drop()

    async def silent(channel: FakeChannel, peer: FakePeer) -> None:
        await trio.sleep(EXCHANGE_S + 1)

    async def closing(channel: FakeChannel, peer: FakePeer) -> None:
        await channel.receive()
        await channel.aclose()

    async def garbling(channel: FakeChannel, peer: FakePeer) -> None:
        await channel.receive()
        await channel.send(b"hello")

    async with lobby() as world:
        assert world.door is not None
        guest = Stranger(world, 100)
        for breaking_off in (before_proving, silent, closing, garbling):
            peer = await connected(world, guest)
            channel = await peer.open_channel(PAKE_CHANNEL)
            await channel.send(side_a(guest.hash, peer).begin())
            await breaking_off(channel, peer)
            await trio.sleep(15)
            assert world.peers == []
        for _ in range(2):
            peer = await connected(world, guest)
            assert await guess(side_a(guest.hash, peer, b"wrong"), peer) == REFUSAL
            await trio.sleep(16)
        assert world.door.delay_s(guest.hash) > PASSWORD_S
        answer = await guest.answer_to(await world.engine.create_offer())
        assert isinstance(answer, Refusal)
        assert answer.reason.startswith("too many wrong passwords; try again in")


async def test_who_opens_no_exchange_is_closed_in_time_and_holds_no_turn(
    autojump_clock: MockClock,
) -> None:
    async with lobby(max_peers=1) as world:
        peer = await connected(world, Stranger(world, 100))
        stray = await peer.open_channel("chat")
        guest = await offering(world, PASSWORD)
        with pytest.raises(trio.EndOfChannel):
            await stray.receive()
        await trio.sleep(PASSWORD_S + 1)
        assert peer.ended.is_set()
        assert guest.said[-1] == "joined"


async def test_the_place_is_kept_for_as_long_as_the_password_may_take(
    autojump_clock: MockClock,
) -> None:
    async with lobby(max_peers=1) as world:
        world.engine.connect_s = RESERVATION_S + PASSWORD_S - 1
        slow = await offering(world, PASSWORD)
        world.engine.connect_s = 0.05
        other = await offering(world, PASSWORD)
        await trio.sleep(RESERVATION_S + PASSWORD_S + 5)
        assert [slow.said[-1], other.said[-1]] == ["joined", "waiting for host"]


class Crowd:
    """Identities that guess, each again and again.

    A proof by the wrong password is to the host as random as random bytes, which cost nothing.
    """

    def __init__(self, world: World, *, identities: int, guesses: int) -> None:
        self.guesses = 0
        self.heard: set[str | bytes] = set()
        self.running = 0
        self.most_running = 0
        self._world = world
        entropy = b"\7" * ENTROPY_SIZE
        self._share = PasswordExchange(PakeSide.A, b"", a=b"", b=b"", entropy=entropy).begin()
        self._wanted = guesses
        self._enough = trio.Event()
        self._members = [Stranger(world, 1000 + number) for number in range(identities)]

    async def guess(self) -> None:
        async with trio.open_nursery() as nursery:
            for member in self._members:
                nursery.start_soon(self._guess_on, member)
            await self._enough.wait()
            nursery.cancel_scope.cancel()

    async def _guess_on(self, member: Stranger) -> None:
        while True:
            offer = await self._world.engine.create_offer()
            with trio.move_on_after(70):
                answer = await member.answer_to(offer)
                if isinstance(answer, Refusal):
                    await trio.sleep(5)
                    continue
                await offer.accept_answer(answer.sdp)
                try:
                    await self._exchange(offer.connection)
                except (trio.EndOfChannel, ChannelClosed):
                    await trio.sleep(1)

    async def _exchange(self, peer: FakePeer) -> None:
        channel = await peer.open_channel(PAKE_CHANNEL)
        await channel.send(self._share)
        await channel.receive()
        self.guesses += 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await trio.sleep(0.5)  # to hold the turn for a while
        self.running -= 1
        await channel.send(b"a" + os.urandom(32))
        self.heard.add(await channel.receive())
        if self.guesses >= self._wanted:
            self._enough.set()


async def test_a_thousand_wrong_guesses_admit_nobody_and_keep_no_friend_out(
    autojump_clock: MockClock,
) -> None:
    async with lobby() as world:
        crowd = Crowd(world, identities=120, guesses=1000)
        friend = await world.add_guest()
        friend.prover.password = PASSWORD
        world.friends.add(friend.hash)
        took_s: list[float] = []

        async def join_again_and_again() -> None:
            while True:
                await trio.sleep(20)
                began = trio.current_time()
                joined = len(world.peers)
                await friend.offer_by_engine()
                while len(world.peers) == joined or friend.said[-1] != "joined":
                    assert friend.said[-1] not in {"full", "refused"}
                    await trio.sleep(0.5)
                took_s.append(trio.current_time() - began)
                assert set(world.directory.peers) == {friend.hash}
                await friend.guest.leave()
                await restarted(friend)

        async def restarted(member: Member) -> None:
            await trio.sleep(1)
            member.guest = member.make_guest(fresh=True)
            await world.nursery.start(lambda task_status: member.guest.run(task_status=task_status))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(join_again_and_again)
            await crowd.guess()
            nursery.cancel_scope.cancel()
        assert crowd.heard == {REFUSAL}
        assert crowd.most_running == AT_ONCE
        assert set(world.peers) <= {0, 1}
        assert len(took_s) >= 5
        assert max(took_s) < RESERVATION_S + PASSWORD_S
