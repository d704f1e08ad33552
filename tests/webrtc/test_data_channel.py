from __future__ import annotations

import pytest
import trio

from datfs.errors import ChannelClosed, MessageTooLarge
from datfs.webrtc import EngineConfig
from tests.webrtc.pairs import pair

pytestmark = pytest.mark.usefixtures("on_a_host")


async def test_text_and_bytes_of_any_length_come_as_they_were_sent() -> None:
    messages: list[str | bytes] = [
        "hello",
        "",
        "ünïcode",
        b"",
        b"\x00\xff",
        "x" * 65_536,
        bytes(262_144),
    ]
    async with pair() as connected, trio.open_nursery() as nursery:

        async def send() -> None:
            for message in messages:
                await connected.offered.send(message)

        nursery.start_soon(send)
        assert [await connected.answered.receive() for _ in messages] == messages


async def test_a_longer_message_than_the_peer_takes_is_refused_and_the_channel_lives() -> None:
    async with pair() as connected:
        assert connected.offered.max_message_byte_length == 262_144
        with pytest.raises(MessageTooLarge, match="262145"):
            await connected.offered.send(bytes(262_145))
        await connected.offered.send("still here")
        assert await connected.answered.receive() == "still here"


async def test_closing_lets_what_was_sent_arrive_and_then_ends_the_reader() -> None:
    async with pair() as connected:
        for number in range(200):
            await connected.offered.send(f"{number} " + "x" * 1000)
        await connected.offered.aclose()
        await connected.answered.wait_closed()
        for number in range(200):
            message = await connected.answered.receive()
            assert isinstance(message, str)
            assert message.split()[0] == str(number)
        with pytest.raises(trio.EndOfChannel):
            await connected.answered.receive()
        with pytest.raises(ChannelClosed):
            await connected.answered.send("too late")
        with pytest.raises(ChannelClosed):
            await connected.offered.send("too late")


async def test_closing_the_connection_lets_what_was_sent_arrive() -> None:
    async with pair() as connected:
        await connected.offered.send(bytes(200_000))
        await connected.offered.send("bye")
        await connected.offerer.aclose()
        assert await connected.answered.receive() == bytes(200_000)
        assert await connected.answered.receive() == "bye"
        with pytest.raises(trio.EndOfChannel):
            await connected.answered.receive()


async def test_closing_does_not_wait_for_ever_for_a_reader_that_has_stopped() -> None:
    async with pair(EngineConfig(close_timeout_s=0.2)) as connected:
        with trio.move_on_after(0.5):
            while True:
                await connected.offered.send(bytes(100_000))
        with trio.fail_after(5):
            await connected.offered.aclose()


async def test_a_waiting_reader_and_a_waiting_sender_hear_of_the_end() -> None:
    async with pair() as connected, trio.open_nursery() as nursery:
        ends: list[str] = []

        async def read() -> None:
            with pytest.raises(trio.EndOfChannel):
                await connected.offered.receive()
            ends.append("reader")

        async def send_until_closed() -> None:
            while True:
                await connected.offered.send(bytes(100_000))

        async def write() -> None:
            with pytest.raises(ChannelClosed):
                await send_until_closed()
            ends.append("sender")

        nursery.start_soon(read)
        nursery.start_soon(write)
        await trio.sleep(0.3)
        assert not ends
        await connected.answerer.abort()
        await connected.offerer.wait_ended()
    assert sorted(ends) == ["reader", "sender"]
