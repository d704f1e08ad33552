from __future__ import annotations

import math
import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest
import trio

from datfs.channels import PeerPipes
from datfs.errors import ChannelClosed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from trio.testing import MockClock


class Peer:
    """The other end, in memory: `sent` is what came to it, `say` what it says."""

    def __init__(self, room: float = math.inf) -> None:
        self._sent_send, self.sent = trio.open_memory_channel[str](room)
        self._said_send, self._said = trio.open_memory_channel[str | bytes](0)
        self._gone = trio.Event()

    async def say(self, message: str | bytes) -> None:
        await self._said_send.send(message)

    def go(self) -> None:
        self._said_send.close()
        self._gone.set()

    @property
    def max_message_byte_length(self) -> int | None:
        return None

    async def send(self, message: str) -> None:
        if self._gone.is_set():
            raise ChannelClosed("the peer is gone")
        await self._sent_send.send(message)

    async def receive(self) -> str | bytes:
        return await self._said.receive()

    async def wait_closed(self) -> None:
        await self._gone.wait()


@pytest.fixture
async def peer() -> Peer:
    return Peer()


@pytest.fixture
async def pipes(tmp_path: Path, peer: Peer, nursery: trio.Nursery) -> AsyncIterator[PeerPipes]:
    pipes = PeerPipes(tmp_path / "runtime" / "peer")
    nursery.start_soon(pipes.run, peer)
    await trio.testing.wait_all_tasks_blocked()
    yield pipes
    nursery.cancel_scope.cancel()


async def shell(command: str, pipes: PeerPipes) -> str:
    done = await trio.run_process(
        ["sh", "-c", command], cwd=pipes.in_path.parent, capture_stdout=True
    )
    return done.stdout.decode()


def test_only_the_owner_can_get_at_the_pipes(tmp_path: Path) -> None:
    async def look() -> None:
        pipes = PeerPipes(tmp_path / "a" / "b")
        assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
        assert stat.S_IMODE(pipes.in_path.stat().st_mode) == 0o600
        assert stat.filemode(pipes.out_path.stat().st_mode) == "prw-------"
        pipes.remove()
        assert not (tmp_path / "a" / "b").exists()

    trio.run(look)


async def test_each_line_is_one_message(pipes: PeerPipes, peer: Peer) -> None:
    await shell("echo one > in; echo two > in; printf 'three\\nfour\\n' > in", pipes)
    assert [await peer.sent.receive() for _ in range(4)] == ["one", "two", "three", "four"]


async def test_a_last_line_without_newline_is_sent_when_its_writer_has_gone(
    pipes: PeerPipes, peer: Peer
) -> None:
    await shell("printf unfinished > in", pipes)
    assert await peer.sent.receive() == "unfinished"
    await shell(": > in; echo next > in", pipes)
    assert await peer.sent.receive() == "next"


async def test_a_line_written_in_parts_by_one_writer_stays_one(
    pipes: PeerPipes, peer: Peer
) -> None:
    await shell("{ printf 'hel'; sleep 0.05; echo lo; } > in", pipes)
    assert await peer.sent.receive() == "hello"


async def test_what_the_peer_says_comes_out_a_line_each(pipes: PeerPipes, peer: Peer) -> None:
    for message in ("hello", "", "ünïcode", b"bytes"):
        await peer.say(message)
    expected = "hello\n\nünïcode\nbytes\n"
    assert await shell(f"head -c {len(expected.encode())} < out", pipes) == expected


async def test_a_reader_waits_while_the_peer_is_there_and_ends_when_it_goes(
    pipes: PeerPipes, peer: Peer
) -> None:
    reader = await trio.lowlevel.open_process(["cat", str(pipes.out_path)], stdout=subprocess.PIPE)
    await peer.say("first")
    assert reader.stdout is not None
    assert await reader.stdout.receive_some() == b"first\n"
    with trio.move_on_after(0.1):
        await reader.wait()
    assert reader.returncode is None
    await peer.say("last")
    peer.go()
    assert await reader.stdout.receive_some() == b"last\n"
    assert await reader.stdout.receive_some() == b""
    assert await reader.wait() == 0
    await reader.stdout.aclose()


async def test_what_nobody_read_is_there_after_the_peer_has_gone(
    pipes: PeerPipes, peer: Peer
) -> None:
    await peer.say("unread")
    peer.go()
    assert await shell("head -c 3 < out", pipes) == "unr"
    assert await shell("cat out; cat out", pipes) == "ead\n"


async def test_a_writer_is_told_when_the_peer_has_gone(pipes: PeerPipes, peer: Peer) -> None:
    held = os.open(pipes.in_path, os.O_WRONLY)
    peer.go()
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(OSError, match="No such device"):
        os.open(pipes.in_path, os.O_WRONLY)
    with pytest.raises(BrokenPipeError):
        os.write(held, b"too late\n")
    os.close(held)


async def test_a_peer_that_takes_nothing_stops_the_writer_and_nothing_is_lost(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    peer = Peer(room=0)
    pipes = PeerPipes(tmp_path / "peer")
    nursery.start_soon(pipes.run, peer)
    await trio.testing.wait_all_tasks_blocked()
    writer = await trio.lowlevel.open_process(["sh", "-c", f"seq 1 100000 > {pipes.in_path}"])
    with trio.move_on_after(0.3):
        await writer.wait()
    assert writer.returncode is None
    assert [await peer.sent.receive() for _ in range(100_000)] == [
        str(number) for number in range(1, 100_001)
    ]
    assert await writer.wait() == 0
    nursery.cancel_scope.cancel()


async def test_a_shell_that_reads_nothing_stops_the_peer_and_nothing_is_lost(
    pipes: PeerPipes, peer: Peer, nursery: trio.Nursery
) -> None:
    said = 0

    async def talk() -> None:
        nonlocal said
        for number in range(200):
            await peer.say(f"{number} " + "x" * 1000)
            said += 1
        peer.go()

    nursery.start_soon(talk)
    await trio.testing.wait_all_tasks_blocked()
    assert said < 100  # a FIFO holds 64 KiB
    lines = (await shell("cat out", pipes)).splitlines()
    assert [line.split()[0] for line in lines] == [str(number) for number in range(200)]


async def test_a_peer_that_comes_back_finds_the_same_pipes(tmp_path: Path) -> None:
    pipes = PeerPipes(tmp_path / "peer")
    for word in ("before", "after"):
        peer = Peer()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pipes.carry, peer)
            await trio.testing.wait_all_tasks_blocked()
            await shell(f"echo {word} > in", pipes)
            assert await peer.sent.receive() == word
            await peer.say(word)
            peer.go()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pipes.keep_unread)
        assert await shell("cat out", pipes) == "before\nafter\n"
        nursery.cancel_scope.cancel()
    pipes.remove()


async def test_unread_words_are_kept_for_ten_minutes(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    peer = Peer()
    pipes = PeerPipes(tmp_path / "peer")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pipes.run, peer)
        await peer.say("unread")
        began = trio.current_time()
        peer.go()
        await trio.sleep(599)
        assert pipes.out_path.exists()
    assert trio.current_time() - began == pytest.approx(600)
    assert not pipes.out_path.exists()


async def test_a_queue_that_nobody_reads_is_given_up_after_its_time(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    peer = Peer()
    pipes = PeerPipes(tmp_path / "peer")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pipes.run, peer)
        await peer.say("x" * 1_000_000)
        peer.go()
    assert trio.current_time() == pytest.approx(600, abs=1)
    assert not pipes.out_path.parent.exists()
