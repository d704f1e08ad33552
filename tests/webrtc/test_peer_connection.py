from __future__ import annotations

import pytest
import trio
import trio_asyncio  # type: ignore[import-untyped]

from datfs.errors import ChannelClosed, Timeout
from datfs.webrtc import ConnectionState, open_engine
from tests.webrtc.pairs import connect, engine, pair

pytestmark = pytest.mark.usefixtures("on_a_host")


async def test_waiting_for_a_peer_that_never_comes_ends_at_the_deadline() -> None:
    async with engine() as own:
        offer = await own.create_offer()
        with pytest.raises(Timeout):
            await offer.connection.wait_open(0.05)


async def test_closing_wakes_who_waits_for_the_channel_to_open() -> None:
    async with engine() as own, trio.open_nursery() as nursery:
        offer = await own.create_offer()

        async def wait() -> None:
            with pytest.raises(ChannelClosed):
                await offer.connection.wait_open()

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        await offer.aclose()


async def test_states_follow_the_connection_at_both_ends() -> None:
    async with engine() as own:
        offer = await own.create_offer()
        states = [offer.connection.state]

        async def follow() -> None:
            while not states[-1].ended:
                states.append(await offer.connection.next_state(states[-1]))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            answer = await own.answer(offer.sdp)
            await offer.accept_answer(answer.sdp)
            await offer.connection.wait_open(10)
            await answer.connection.wait_open(10)
            await answer.connection.aclose()
        await offer.connection.wait_ended()
        assert states == ["new", "connecting", "connected", "closed"]
        assert answer.connection.state is ConnectionState.CLOSED
        assert not own.connections


async def test_more_channels_come_in_under_their_labels() -> None:
    async with pair() as connected:
        for label in ("files", "files", "datfs-pake", "ünïcode"):
            opened = await connected.answerer.open_channel(label)
            incoming = await connected.offerer.incoming.receive()
            assert (incoming.label, incoming.reserved) == (label, label == "datfs-pake")
            await opened.send(label)
            assert await incoming.receive() == label
        assert connected.offerer.channel is connected.offered
        await connected.answerer.aclose()
        await connected.offerer.wait_ended()
        with pytest.raises(trio.EndOfChannel):
            await connected.offerer.incoming.receive()
        with pytest.raises(ChannelClosed):
            await connected.offerer.open_channel("late")


async def test_a_reserved_channel_is_never_taken_for_the_first() -> None:
    async with engine() as own:
        offer = await own.create_offer()
        first = offer.connection._bridge.create_data_channel("datfs-pake")
        answer = await own.answer(offer.sdp)
        answer.connection.on_data_channel(first)
        assert answer.connection.channel is None
        assert (await answer.connection.incoming.receive()).label == "datfs-pake"


async def test_channels_that_nobody_takes_are_closed_again() -> None:
    async with pair() as connected:
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(connected.offerer.open_channel, str(number))
        kept = [connected.answerer.incoming.receive_nowait() for _ in range(16)]
        with pytest.raises(trio.WouldBlock):
            connected.answerer.incoming.receive_nowait()
        assert all(channel.is_open for channel in kept)


async def test_a_peer_that_breaks_the_protocol_ends_its_own_connection_only() -> None:
    async with trio_asyncio.open_loop(), open_engine() as own, open_engine() as other:
        bad, good = await connect(own, other), await connect(own, other)
        sctp = bad.offerer._bridge._sctp
        again = b"\x03" + bytes(11)  # DATA_CHANNEL_OPEN on a stream that is open (RFC 8832)
        await trio_asyncio.aio_as_trio(sctp._send)(bad.offered._channel.id, 50, again)
        with trio.fail_after(5):
            await bad.answerer.wait_ended()
        await bad.offerer.abort()  # nobody told it: its own consent checks would take half a minute
        await good.offered.send("unharmed")
        assert await good.answered.receive() == "unharmed"
