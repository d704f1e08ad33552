"""Connections between two processes on two hosts, with real ICE, DTLS and SCTP."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import trio

from datfs.channels import PeerPipes
from datfs.webrtc import ConnectionState, DataChannel, EngineConfig, PeerConnection
from tests.webrtc.pairs import engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from datfs.webrtc import LocalOffer
    from tests.support.netns import Host

IMPATIENT = EngineConfig(consent_interval_s=0.2, consent_expiry_s=2.0)


@contextlib.asynccontextmanager
async def echo_peer(host: Host, offer: LocalOffer) -> AsyncIterator[trio.Process]:
    """An echoing peer on `host` that has answered `offer`; killed at the end if it still lives."""
    command = [*host.prefix, sys.executable, "-m", "tests.webrtc.echo_peer"]
    process = await trio.lowlevel.open_process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with process.stdin, process.stdout:
            await process.stdin.send_all(json.dumps({"sdp": offer.sdp}).encode() + b"\n")
            line = b""
            while not line.endswith(b"\n"):
                received = await process.stdout.receive_some()
                assert received, "the peer ended without an answer"
                line += received
            await offer.accept_answer(json.loads(line)["sdp"])
            yield process
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def echoed(connection: PeerConnection, message: str) -> DataChannel:
    channel = await connection.wait_open(10)
    await channel.send(message)
    assert await channel.receive() == message
    return channel


async def test_two_hosts_talk_and_part(hosts: list[Host]) -> None:
    async with engine() as own:
        offer = await own.create_offer()
        async with echo_peer(hosts[1], offer) as process:
            await echoed(offer.connection, "hello")
            remote_address = offer.connection.stats().remote_address
            assert remote_address is not None
            assert remote_address.startswith("10.77.0.2:")
            await offer.connection.aclose()
            with trio.fail_after(10):
                assert await process.wait() == 0


async def test_a_peer_that_vanishes_is_disconnected_then_failed(hosts: list[Host]) -> None:
    async with engine(IMPATIENT) as own:
        offer = await own.create_offer()
        async with echo_peer(hosts[1], offer) as process:
            channel = await echoed(offer.connection, "hello")
            process.kill()
            with trio.fail_after(20):
                state = await offer.connection.next_state(ConnectionState.CONNECTED)
                assert state is ConnectionState.DISCONNECTED
                state = await offer.connection.next_state(state)
                assert state is ConnectionState.FAILED
                with pytest.raises(trio.EndOfChannel):
                    await channel.receive()
                await offer.connection.wait_ended()


async def test_a_peer_that_is_cut_off_for_a_moment_comes_back(hosts: list[Host]) -> None:
    async with engine(IMPATIENT) as own:
        offer = await own.create_offer()
        async with echo_peer(hosts[1], offer):
            channel = await echoed(offer.connection, "hello")
            link = ["ip", "-n", hosts[1].name, "link", "set", "eth0"]
            await trio.run_process([*link, "down"])
            with trio.fail_after(20):
                state = await offer.connection.next_state(ConnectionState.CONNECTED)
                assert state is ConnectionState.DISCONNECTED
                await trio.run_process([*link, "up"])
                state = await offer.connection.next_state(state)
                assert state is ConnectionState.CONNECTED
                await channel.send("again")
                assert await channel.receive() == "again"


async def test_a_shell_talks_through_the_pipes(hosts: list[Host], tmp_path: Path) -> None:
    async with engine() as own:
        offer = await own.create_offer()
        async with echo_peer(hosts[1], offer) as process, trio.open_nursery() as nursery:
            pipes = PeerPipes(tmp_path / "peer")
            nursery.start_soon(pipes.run, await offer.connection.wait_open(10))
            await trio.testing.wait_all_tasks_blocked()
            await trio.run_process(["sh", "-c", f"seq 1 5000 > {pipes.in_path}"])
            heard = await trio.run_process(
                ["head", "-n", "5000", str(pipes.out_path)], capture_stdout=True
            )
            assert heard.stdout.decode().split() == [str(number) for number in range(1, 5001)]
            await offer.connection.aclose()
            rest = await trio.run_process(["cat", str(pipes.out_path)], capture_stdout=True)
            assert rest.stdout == b""
            nursery.cancel_scope.cancel()
        assert process.returncode is not None
