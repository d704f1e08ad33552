from __future__ import annotations

import asyncio
import os
import re

import pytest
import trio
import trio_asyncio  # type: ignore[import-untyped]

from datfs.errors import ChannelClosed, InvalidSdp, Timeout, TooManyOffers, WebRTCError
from datfs.webrtc import Certificate, ConnectionState, EngineConfig, IceServer, open_engine, sdp
from tests.webrtc.pairs import connect, engine, pair

pytestmark = pytest.mark.usefixtures("on_a_host")


async def test_an_offer_and_its_answer_open_a_channel_with_the_given_certificates() -> None:
    guest, host = Certificate.generate(), Certificate.generate()
    async with engine() as own:
        offer = await own.create_offer(guest)
        assert offer.fingerprint == guest.fingerprint
        assert offer.connection.remote_fingerprint() is None
        answer = await own.answer(offer.sdp, host)
        assert sdp.fingerprint(answer.sdp) == host.fingerprint
        await offer.accept_answer(answer.sdp)
        here = await offer.connection.wait_open(10)
        there = await answer.connection.wait_open(10)
        assert here.label == there.label == "datfs"
        assert offer.connection.remote_fingerprint() == host.fingerprint
        assert answer.connection.remote_fingerprint() == guest.fingerprint
        states = {offer.connection.state, answer.connection.state}
        assert states == {ConnectionState.CONNECTED}
        stats = answer.connection.stats()
        assert stats.remote_address is not None
        assert stats.remote_address.startswith("10.77.0.1:")
        assert stats.bytes_received > 0


async def test_descriptions_are_complete_and_name_no_server_by_default() -> None:
    async with engine() as own:
        offer = await own.create_offer()
        assert sdp.has_candidates(offer.sdp)
        assert "a=end-of-candidates" in offer.sdp
        assert set(re.findall(r"typ (\w+)", offer.sdp)) == {"host"}
        ice = offer.connection._bridge._ice
        assert ice.stun_server is None
        assert ice.turn_server is None


@pytest.mark.parametrize("url", ["stun:10.77.0.9", "stun:nowhere.invalid", "turn:10.77.0.9"])
async def test_a_dead_server_adds_no_more_than_the_time_for_gathering(url: str) -> None:
    servers = (IceServer(url, "user", "secret"),)
    async with engine(EngineConfig(ice_servers=servers, gathering_timeout_s=0.3)) as own:
        began = trio.current_time()
        offer = await own.create_offer()
        assert trio.current_time() - began < 0.8
        assert sdp.has_candidates(offer.sdp)


async def test_the_time_for_gathering_is_two_seconds() -> None:
    assert EngineConfig().gathering_timeout_s == 2.0


async def test_a_server_that_is_none_is_named() -> None:
    async with engine(EngineConfig(ice_servers=(IceServer("https://example.org"),))) as own:
        with pytest.raises(WebRTCError, match=r"https://example\.org"):
            await own.create_offer()


async def test_offers_that_nobody_commits_are_few_and_end() -> None:
    config = EngineConfig(offer_lifetime_s=0.3, max_uncommitted_offers=2)
    async with engine(config) as own:
        kept = await own.create_offer()
        left = await own.create_offer()
        with pytest.raises(TooManyOffers):
            await own.create_offer()
        kept.commit()
        another = await own.create_offer()
        assert own.find_offer(left.ufrag, left.fingerprint) is left
        await left.connection.wait_ended()
        await another.connection.wait_ended()
        await trio.testing.wait_all_tasks_blocked()
        assert own.find_offer(left.ufrag, left.fingerprint) is None
        assert own.find_offer(kept.ufrag, kept.fingerprint) is kept
        assert own.find_offer(kept.ufrag, bytes(32)) is None
        assert own.connections == {kept.connection}
        with pytest.raises(ChannelClosed):
            await left.accept_answer(kept.sdp)


async def test_a_beacon_shows_the_certificate_and_leaves_nothing_behind() -> None:
    certificate = Certificate.generate()
    async with engine() as own:
        beacon = await own.create_beacon(certificate)
        sdp.check_description(beacon)
        assert sdp.fingerprint(beacon) == certificate.fingerprint
        assert not sdp.has_candidates(beacon)
        assert not own.connections


async def test_an_offer_without_any_candidate_is_answered_and_connects() -> None:
    async with engine() as own:
        offer = await own.create_offer()
        answer = await own.answer(sdp.without_candidates(offer.sdp))
        await offer.accept_answer(answer.sdp)
        await answer.connection.wait_open(10)


async def test_a_name_that_nobody_resolves_holds_up_neither_answer_nor_connection() -> None:
    async with engine() as own:
        offer = await own.create_offer()
        unknown = "a=candidate:9 1 udp 2130706431 aaaaaaaa-bbbb.local 5000 typ host\r\n"
        began = trio.current_time()
        answer = await own.answer(offer.sdp.replace("a=candidate", f"{unknown}a=candidate", 1))
        await offer.accept_answer(answer.sdp)
        await answer.connection.wait_open(10)
        assert trio.current_time() - began < 0.8  # resolving gives up after 1 s


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a=setup:actpass", "a=setup:nonsense"),
        ("a=sctp-port:5000", "a=sctp-port:x"),
        ("a=mid:0", "a=mid:"),
        ("typ host", ""),
        ("UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP x"),
        ("v=0", "v=1"),
    ],
)
async def test_a_broken_offer_leaves_nothing_behind(old: str, new: str) -> None:
    async with engine() as own:
        offer = await own.create_offer()
        await offer.aclose()
        try:
            answer = await own.answer(offer.sdp.replace(old, new))
        except InvalidSdp:
            pass
        else:
            await answer.connection.abort()
        assert not own.connections


async def test_an_answer_to_another_offer_is_refused_or_never_opens() -> None:
    async with engine() as own:
        offer, other = await own.create_offer(), await own.create_offer()
        answer = await own.answer(other.sdp)
        await offer.accept_answer(answer.sdp)
        with pytest.raises((Timeout, ChannelClosed)):
            await offer.connection.wait_open(0.5)
        with pytest.raises(InvalidSdp):
            await other.accept_answer(other.sdp)


async def test_a_certificate_that_the_description_did_not_name_fails_the_connection() -> None:
    async with engine() as own:
        offer = await own.create_offer()
        answer = await own.answer(offer.sdp)
        shown = re.sub(r"(sha-256) \S+", r"\1 " + ":".join(["00"] * 32), answer.sdp)
        await offer.accept_answer(shown)
        with pytest.raises(ChannelClosed):
            await offer.connection.wait_open(10)
        assert offer.connection.state is ConnectionState.FAILED


async def test_an_ended_engine_leaves_no_task_and_no_descriptor() -> None:
    before: set[str] = set()
    for _ in range(2):  # what the process opens once, it has open after the first
        async with trio_asyncio.open_loop() as loop:
            before = set(os.listdir("/proc/self/fd"))
            async with open_engine() as offering, open_engine() as answering:
                await connect(offering, answering)
                await offering.create_offer()
                half = await offering.create_offer()
                await answering.answer(half.sdp)
            assert not asyncio.all_tasks(loop)
            after = set(os.listdir("/proc/self/fd"))
    assert after == before


async def test_a_cancelled_engine_ends_too() -> None:
    with trio.move_on_after(0.2) as scope:
        async with pair() as connected:
            await connected.answered.receive()
    assert scope.cancelled_caught


async def test_what_fails_in_the_block_comes_out_as_it_is() -> None:
    async with trio_asyncio.open_loop():
        with pytest.raises(KeyError):
            async with open_engine():
                raise KeyError
