"""Host and guests together, on a clock that jumps, over files that travel with a delay."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from datfs.lobby.admission import WriterUsage
from datfs.lobby.names import BEACON_NAME
from datfs.lobby.policy import Policy, PolicyKind
from datfs.lobby.seal import is_sealed
from datfs.lobby.signal import Beacon, Refusal, encode_offer, parse_answer, parse_beacon
from tests.lobby.sdp import description
from tests.lobby.world import HOST, LOBBY, LogView, View, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock


@pytest.fixture(autouse=True, params=[View, LogView], ids=["archive", "log"])
def carrier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything holds over both carriers."""
    monkeypatch.setattr(World, "carrier", request.param)


@asynccontextmanager
async def lobby(*, max_peers: int = 8, delay_s: float = 0.02) -> AsyncIterator[World]:
    async with trio.open_nursery() as nursery:
        world = World(nursery, max_peers=max_peers, delay_s=delay_s)
        await world.start()
        yield world
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("delay_s", [0.0, 0.02, 3.0])
async def test_an_offer_becomes_a_channel_and_leaves_nothing_behind(
    autojump_clock: MockClock, delay_s: float
) -> None:
    async with lobby(delay_s=delay_s) as world:
        guest = await world.add_guest()
        await trio.sleep(10)
        await guest.offer_by_engine()
        await trio.sleep(20)
        assert guest.said[-1] == "joined"
        host_end, guest_end = world.directory.peers[guest.hash], guest.directory.peers
        assert guest_end[HOST.public_key].other is host_end
        assert world.transient() == set()
        assert world.peers == [1]
        assert world.log.kinds() == ["join", "offer", "answer", "connected"]
        assert guest.path.sent >= 1
        sent = guest.path.sent
        await trio.sleep(100)
        assert guest.path.sent == sent, "who is let in asks no more"


async def test_the_beacon_is_there_before_anybody_comes(autojump_clock: MockClock) -> None:
    async with lobby() as world:
        beacon = parse_beacon(world.view.files[BEACON_NAME])
        assert beacon.host == HOST.public_key
        assert beacon.id == b"1" * 16


async def test_an_offer_written_before_the_host_is_met_waits(autojump_clock: MockClock) -> None:
    async with lobby() as world:
        guest = await world.add_guest(connected_after_s=500)
        await guest.offer_by_engine()
        await trio.sleep(400)
        assert str(guest.guest.status) == "waiting for host: asking the host to be let in"
        await trio.sleep(200)
        assert guest.said[-1] == "joined"


async def test_max_peers_holds_and_the_next_in_turn_follows(autojump_clock: MockClock) -> None:
    async with lobby(max_peers=1) as world:
        guests = [await world.add_guest() for _ in range(3)]
        await trio.sleep(1)
        for guest in guests:
            await guest.offer_by_engine()
            await trio.sleep(0.5)
        assert [guest.said[-1] for guest in guests] == ["joined", *["waiting for host"] * 2]
        await guests[0].guest.leave()
        await trio.sleep(1)
        assert [guest.said[-1] for guest in guests[1:]] == ["joined", "waiting for host"]
        assert len(world.directory.peers) == world.host.peers == 1
        assert world.host.waiting == 1


async def test_who_waits_too_long_for_a_place_is_told_and_leaves_nothing(
    autojump_clock: MockClock,
) -> None:
    async with lobby(max_peers=1) as world:
        guests = [await world.add_guest() for _ in range(3)]
        await trio.sleep(1)
        for guest in guests:
            await guest.offer_by_engine()
            await trio.sleep(0.1)
        await trio.sleep(61)
        assert [guest.said[-1] for guest in guests] == ["joined", "full", "full"]
        answer = parse_answer(world.view.text(guests[1].answer_name))
        assert isinstance(answer, Refusal)
        assert answer.reason == "full"
        await trio.sleep(61)
        assert world.transient() == set()
        assert guests[1].guest.status.word == "full"


async def test_an_offer_of_a_browser_is_answered_and_left_to_the_browser(
    autojump_clock: MockClock,
) -> None:
    async with lobby() as world:
        guest = await world.add_guest()
        await guest.offer_by_browser("browser")
        await trio.sleep(1)
        assert guest.answer_name in guest.view.files
        assert str(guest.guest.status).endswith("whoever made the offer completes it")
        (host_end,) = world.engine.answerers.values()
        host_end.opened.set()
        await trio.sleep(1)
        assert world.transient() == set()
        assert world.directory.peers == {guest.hash: host_end}
        assert guest.directory.peers == {}


async def test_one_guest_s_failure_harms_nobody_else(autojump_clock: MockClock) -> None:
    async with lobby() as world:
        bad, worse, good = [await world.add_guest() for _ in range(3)]
        await trio.sleep(1)
        world.engine.broken.add("bad")
        await bad.offer_by_browser("bad")
        await worse.view.write(worse.offer_name, b"nonsense")
        await good.offer_by_engine()
        await trio.sleep(1)
        assert good.said[-1] == "joined"
        assert str(bad.guest.status) == "refused: failed"
        refusal = parse_answer(world.view.files[worse.answer_name])
        assert isinstance(refusal, Refusal)
        assert refusal.reason == "invalid offer"
        reasons = {fields.get("reason") for _, fields in world.log.events}
        assert "the engine has a bug" in reasons
        await trio.sleep(120)
        assert bad.answer_name not in world.transient()


async def test_a_file_that_cannot_be_read_delays_nobody_and_is_read_later(
    autojump_clock: MockClock,
) -> None:
    async with lobby() as world:
        slow, good = [await world.add_guest() for _ in range(2)]
        world.view.unreadable.add(slow.offer_name)
        await trio.sleep(1)
        await slow.offer_by_engine()
        await good.offer_by_engine()
        await trio.sleep(12)
        assert good.said[-1] == "joined"
        assert world.log.kinds().count("signal-unreadable") == 1
        world.view.unreadable.clear()
        await trio.sleep(6)
        assert slow.said[-1] == "joined"


async def test_a_channel_that_never_opens_is_tried_again_and_given_up(
    autojump_clock: MockClock,
) -> None:
    async with lobby() as world:
        world.engine.connect_s = 1e9
        guest = await world.add_guest()
        await guest.offer_by_engine()
        await trio.sleep(90)
        assert guest.guest.status.word == "waiting for host", "it is tried again"
        await trio.sleep(3000)
        assert str(guest.guest.status).startswith("looking: no channel opened in several tries")
        assert world.transient() == set()
        assert world.host.peers == world.host.waiting == 0


async def test_a_dropped_connection_comes_back_by_itself(autojump_clock: MockClock) -> None:
    async with lobby() as world:
        guest = await world.add_guest()
        await guest.offer_by_engine()
        await trio.sleep(1)
        first = world.directory.peers[guest.hash]
        first.drop()
        await trio.sleep(0.5)
        assert world.directory.peers == guest.directory.peers == {}
        await trio.sleep(2)
        assert guest.said[-1] == "joined"
        assert world.directory.peers[guest.hash] is not first
        assert world.peers == [1, 0, 1]
        assert world.transient() == set()


async def test_a_new_offer_over_an_open_channel_replaces_it(autojump_clock: MockClock) -> None:
    async with lobby(max_peers=1) as world:
        guest = await world.add_guest()
        await guest.offer_by_engine()
        await trio.sleep(1)
        first = world.directory.peers[guest.hash]
        await guest.offer_by_engine()
        await trio.sleep(1)
        assert first.ended.is_set()
        assert guest.said[-1] == "joined"
        assert not world.directory.peers[guest.hash].ended.is_set()


async def test_an_offer_that_is_changed_while_it_is_answered(autojump_clock: MockClock) -> None:
    async with lobby(delay_s=0.3) as world:
        guest = await world.add_guest()
        await trio.sleep(5)
        await guest.offer_by_browser("first")
        await trio.sleep(0.31)
        await guest.offer_by_engine()
        await trio.sleep(5)
        assert guest.said[-1] == "joined"
        assert world.transient() == set()


async def test_the_end_of_the_session_ends_everything(autojump_clock: MockClock) -> None:
    async with lobby(max_peers=1) as world:
        guests = [await world.add_guest() for _ in range(2)]
        for guest in guests:
            await guest.offer_by_engine()
            await trio.sleep(1)
        await world.host.end()
        await trio.sleep(10)
        assert [guest.said[-1] for guest in guests] == ["ended", "ended"]
        assert world.transient() == set()
        assert BEACON_NAME not in world.view.files
        assert world.directory.peers == guests[0].directory.peers == {}
        assert world.peers[-1] == 0


async def test_a_guest_that_leaves_takes_its_offer_with_it(autojump_clock: MockClock) -> None:
    async with lobby() as world:
        guest = await world.add_guest(connected_after_s=1e6)
        await guest.offer_by_engine()
        await trio.sleep(1)
        await guest.guest.leave()
        await trio.sleep(1)
        assert world.transient() == set()


async def test_a_host_that_starts_anew_clears_up_and_is_joined_again(
    autojump_clock: MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        world = World(nursery)
        async with trio.open_nursery() as process:
            await process.start(lambda task_status: world.host.run(task_status=task_status))
            world.engine.connect_s = 1e9
            guest = await world.add_guest()
            await guest.offer_by_engine()
            await trio.sleep(1)
            assert guest.answer_name in world.transient()
            process.cancel_scope.cancel()
        world.engine.connect_s = 0.05
        world.host = world.make_host(b"2" * 16)
        await world.start()
        await trio.sleep(5)
        assert guest.said[-1] == "joined"
        assert world.transient() == set()
        nursery.cancel_scope.cancel()


async def test_an_offer_for_an_older_beacon_is_not_answered(autojump_clock: MockClock) -> None:
    async with lobby() as world:
        guest = await world.add_guest()
        await trio.sleep(1)
        await guest.view.write(guest.offer_name, encode_offer(description("old"), b"0" * 16))
        await trio.sleep(5)
        assert guest.answer_name not in world.view.files


async def test_a_remounting_guest_removes_its_leftover(autojump_clock: MockClock) -> None:
    async with lobby() as world:
        guest = await world.add_guest(connected_after_s=1e6)
        await guest.guest.leave()
        await trio.sleep(1)
        await guest.offer_by_browser("gone")
        guest.guest = guest.make_guest(fresh=False)
        await world.nursery.start(lambda task_status: guest.guest.run(task_status=task_status))
        await trio.sleep(1)
        assert world.transient() == set()


async def test_a_guest_that_writes_too_much_is_struck_off(autojump_clock: MockClock) -> None:
    async with lobby() as world:
        guest, other = [await world.add_guest() for _ in range(2)]
        for member in (guest, other):
            await member.offer_by_engine()
        await trio.sleep(1)
        world.usage[guest.writer] = WriterUsage(byte_length=5_000_000, entries=3)
        await trio.sleep(6)
        assert str(guest.guest.status) == "refused: the host has struck us off"
        assert set(world.directory.peers) == {other.hash}
        assert guest.directory.peers == {}
        assert "struck-off" in world.log.kinds()
        await guest.offer_by_engine()
        await trio.sleep(60)
        assert guest.guest.status.word == "refused", "asking again does not help"
        assert world.transient() <= {guest.offer_name}


async def test_a_kicked_guest_stays_out_for_a_minute_though_its_engine_tries_again(
    autojump_clock: MockClock,
) -> None:
    async with lobby() as world:
        guest = await world.add_guest()
        await guest.offer_by_engine()
        await trio.sleep(2)
        await world.host.kick(guest.hash)
        await trio.sleep(10)
        assert str(guest.guest.status).startswith("refused: the host has closed our connection")
        assert world.directory.peers == guest.directory.peers == {}
        assert world.peers == [1, 0]
        await trio.sleep(80)
        assert world.transient() == set()
        await guest.offer_by_engine()
        await trio.sleep(2)
        assert guest.said[-1] == "joined"


async def test_friends_come_in_and_others_are_told_why_not(autojump_clock: MockClock) -> None:
    async with lobby() as world:
        friend, stranger = [await world.add_guest() for _ in range(2)]
        friends = frozenset([friend.hash])
        await world.host.set_policy(Policy(kind=PolicyKind.FRIENDS, friends=friends))
        for guest in (friend, stranger):
            await guest.offer_by_engine()
        await trio.sleep(2)
        assert friend.said[-1] == "joined"
        assert str(stranger.guest.status) == "refused: the host lets only friends in"
        asked = stranger.path.sent
        await trio.sleep(200)
        assert stranger.path.sent == asked, "who is refused asks no more"
        assert world.transient() == set()


async def test_a_ban_ends_what_is_open_and_can_be_lifted(autojump_clock: MockClock) -> None:
    async with lobby() as world:
        guest, other = [await world.add_guest() for _ in range(2)]
        for member in (guest, other):
            await member.offer_by_engine()
        await trio.sleep(2)
        await world.host.set_policy(Policy(banned=frozenset([guest.hash])))
        await trio.sleep(20)
        assert str(guest.guest.status) == "refused: the host has banned us"
        assert set(world.directory.peers) == {other.hash}
        await guest.offer_by_engine()
        await trio.sleep(20)
        assert guest.guest.status.word == "refused"
        await world.host.set_policy(Policy())
        await trio.sleep(1)
        await guest.offer_by_engine()
        await trio.sleep(2)
        assert guest.said[-1] == "joined"


async def test_a_ban_from_before_the_host_began_holds(autojump_clock: MockClock) -> None:
    async with lobby() as world:
        guest = await world.add_guest()
        await guest.offer_by_engine()
        await trio.sleep(2)
        await world.host.end()
        await trio.sleep(10)
        world.policy = Policy(banned=frozenset([guest.hash]))
        world.host = world.make_host(b"2" * 16)
        await world.start()
        await trio.sleep(1)
        await guest.offer_by_engine()
        await trio.sleep(5)
        assert str(guest.guest.status) == "refused: the host has banned us"
        assert world.directory.peers == {}


async def test_only_the_two_ends_read_offer_and_answer(autojump_clock: MockClock) -> None:
    async with lobby() as world:
        guest, other = await world.add_guest(), await world.add_guest()
        written = encode_offer(description("browser"))
        await guest.view.write(guest.offer_name, written)
        await trio.sleep(1)
        for name in (guest.offer_name, guest.answer_name):
            assert is_sealed(other.view.files[name])
            assert other.view.text(name) == other.view.files[name]
            assert guest.view.text(name) == world.view.text(name)
        assert guest.view.text(guest.offer_name) == written


async def test_a_certificate_that_was_not_signalled_ends_the_connection(
    autojump_clock: MockClock,
) -> None:
    async with lobby() as world:
        world.engine.connects_others = True
        guest = await world.add_guest()
        await trio.sleep(1)
        await guest.offer_by_engine()
        await trio.sleep(1.5)
        assert "not-pinned" in world.log.kinds()
        assert "not-pinned" in guest.log.kinds()
        assert all(peer.ended.is_set() for peer in world.engine.answerers.values())
        assert not world.directory.peers
        assert not guest.directory.peers
        assert "joined" not in guest.said
        world.engine.connects_others = False
        await trio.sleep(30)
        assert guest.said[-1] == "joined", "the next try is with the right one"


async def test_a_host_that_takes_no_plain_offers_says_so(autojump_clock: MockClock) -> None:
    async with lobby() as world:
        world.sealing.plain_offers = False
        guest = await world.add_guest()
        await trio.sleep(1)
        guest.view.sealing = None
        await guest.offer_by_browser("plain")
        await trio.sleep(1)
        assert str(guest.guest.status) == "refused: the offer is not sealed"
        assert world.log.kinds().count("offer-invalid") == 1


async def test_an_unproven_beacon_gets_no_offer_unless_that_is_wanted(
    autojump_clock: MockClock,
) -> None:
    async with lobby() as world:
        proven = parse_beacon(world.view.files[BEACON_NAME])
        unproven = Beacon(sdp=proven.sdp, host=proven.host, id=proven.id, seal=proven.seal)
        await world.view.write(BEACON_NAME, unproven.encode())
        guest = await world.add_guest()
        await trio.sleep(1)
        await guest.offer_by_engine()
        await trio.sleep(1)
        assert guest.offer_name not in guest.view.files
        assert guest.log.kinds().count("beacon-unproven") == 1
        assert str(guest.guest.status) == (
            "waiting for host: the offer is written; the beacon has no valid proof: "
            "offers are kept back (--allow-unproven lets them go)"
        )
        guest.sealing.allow_unproven = True
        await guest.view.write_waiting()
        assert guest.view.files[guest.offer_name].startswith(b"{")
        await trio.sleep(10)
        assert guest.said[-1] == "joined"


async def test_a_host_s_answer_of_an_earlier_attempt_is_not_taken(
    autojump_clock: MockClock,
) -> None:
    async with lobby() as world:
        guest = await world.add_guest()
        await trio.sleep(1)
        await guest.offer_by_browser("first")
        await trio.sleep(1)
        replayed = guest.view.files[guest.answer_name]
        await guest.offer_by_browser("second")
        await trio.sleep(0.01)
        world.publish(world.view, world.view.change(LOBBY, guest.answer_name, replayed))
        await trio.sleep(0.025)
        assert guest.guest.status.word == "waiting for host"
        assert "whoever" not in guest.guest.status.reason
        await trio.sleep(1)
        assert "whoever" in guest.guest.status.reason
