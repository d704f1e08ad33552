from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio_asyncio  # type: ignore[import-untyped]
from aiortc import (
    RTCConfiguration,
    RTCPeerConnection,
    RTCSctpTransport,
    RTCSessionDescription,
)

from datfs.webrtc import EngineConfig
from tests.webrtc.pairs import engine, pair

if TYPE_CHECKING:
    from datfs.webrtc import DataChannel

pytestmark = pytest.mark.usefixtures("on_a_host")

WINDOW = 1 << 20
PACKET = 1200


async def send_numbered(channel: DataChannel, count: int, sent: list[int]) -> None:
    for number in range(count):
        await channel.send(number.to_bytes(4, "big") + bytes(16_380))
        sent.append(number)


async def numbers(channel: DataChannel, count: int) -> list[int]:
    received = []
    for _ in range(count):
        message = await channel.receive()
        assert isinstance(message, bytes)
        received.append(int.from_bytes(message[:4], "big"))
    return received


async def test_a_reader_that_stops_stops_the_sender_and_nothing_is_lost() -> None:
    async with pair() as connected, trio.open_nursery() as nursery:
        sent: list[int] = []
        nursery.start_soon(send_numbered, connected.offered, 256, sent)
        previous = -1
        while len(sent) != previous:  # until it stands still
            previous = len(sent)
            await trio.sleep(0.3)
        assert connected.answered.queued_byte_length <= WINDOW
        assert (
            WINDOW // 2 < len(sent) * 16_384 < WINDOW + EngineConfig().send_buffer_byte_length * 2
        )
        with trio.fail_after(20):
            assert await numbers(connected.answered, 256) == list(range(256))


async def test_a_stopped_direction_does_not_stop_the_other() -> None:
    async with pair() as connected, trio.open_nursery() as nursery:
        nursery.start_soon(send_numbered, connected.offered, 256, [])
        await trio.sleep(0.5)
        for number in range(20):
            await connected.answered.send(str(number))
            assert await connected.offered.receive() == str(number)
        assert await numbers(connected.answered, 256) == list(range(256))


async def test_the_window_opens_again_without_waiting_for_a_timer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited: list[float] = []
    expired = RTCSctpTransport._t3_expired

    def noted(transport: RTCSctpTransport) -> None:
        if transport._t3_handle is not None:  # else nobody waited: it was called, not due
            waited.append(trio.current_time())
        expired(transport)

    monkeypatch.setattr(RTCSctpTransport, "_t3_expired", noted)
    async with (
        pair(EngineConfig(receive_window_byte_length=100_000)) as connected,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(send_numbered, connected.offered, 100, [])
        await trio.sleep(0.5)
        began = trio.current_time()
        assert await numbers(connected.answered, 100) == list(range(100))
        assert not [time for time in waited if time >= began]


async def test_small_messages_count_with_what_they_cost() -> None:
    async with (
        pair(EngineConfig(receive_window_byte_length=10_000)) as connected,
        trio.open_nursery() as nursery,
    ):

        async def send() -> None:
            for number in range(2000):
                await connected.offered.send(str(number))

        nursery.start_soon(send)
        await trio.sleep(0.5)
        assert len(connected.answered._received) < 200
        for number in range(2000):
            assert await connected.answered.receive() == str(number)


async def test_unread_messages_of_a_closed_channel_free_the_window() -> None:
    async with (
        pair(EngineConfig(receive_window_byte_length=50_000, close_timeout_s=0.2)) as connected,
        trio.open_nursery() as nursery,
    ):
        other = await connected.offerer.open_channel("other")
        incoming = await connected.answerer.incoming.receive()
        nursery.start_soon(send_numbered, connected.offered, 2, [])
        await trio.sleep(0.2)
        await connected.answered.aclose()
        await other.send(bytes(40_000))
        with trio.fail_after(5):
            assert await incoming.receive() == bytes(40_000)


async def test_a_peer_that_knows_no_window_is_held_back_and_loses_nothing() -> None:
    """aiortc as it is sends into a closed window; what does not fit is dropped and sent again."""
    async with engine(EngineConfig(receive_window_byte_length=200_000)) as own:
        plain = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        channel = plain.createDataChannel("plain")
        opened = trio.Event()
        channel.on("open", opened.set)
        aio: Any = trio_asyncio.aio_as_trio
        await aio(plain.setLocalDescription)()
        answer = await own.answer(plain.localDescription.sdp)
        await aio(plain.setRemoteDescription)(RTCSessionDescription(answer.sdp, "answer"))
        received = await answer.connection.wait_open(10)
        await opened.wait()
        for number in range(60):
            channel.send(number.to_bytes(4, "big") + bytes(16_380))
        await trio.sleep(1.5)
        assert received.queued_byte_length < 200_000 + PACKET
        assert await numbers(received, 60) == list(range(60))
        await aio(plain.close)()
