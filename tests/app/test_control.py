from __future__ import annotations

import json
import socket
import stat
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from datfs.app.control import MAX_CONNECTIONS, MAX_REQUEST_BYTES, ControlServer, Params
from datfs.app.control_client import ControlClient
from datfs.errors import BlockMissing, EncodingError, NotMounted, StoreInUse, Timeout, TooBusy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path


async def echo(params: Params) -> Any:  # noqa: ANN401 - JSON
    return {"said": params["text"]}


async def count(params: Params) -> AsyncGenerator[int, None]:
    for n in range(params["to"]):
        yield n


async def sleep(params: Params) -> None:
    await trio.sleep_forever()


async def use(params: Params) -> None:
    raise StoreInUse("/store", 7, "/mnt")


async def stumble(params: Params) -> None:
    raise BlockMissing(3)


async def crash(params: Params) -> None:
    raise ZeroDivisionError


SERVER = ControlServer(
    {"echo": echo, "count": count, "sleep": sleep, "use": use, "stumble": stumble, "crash": crash}
)


@pytest.fixture
async def client(tmp_path: Path, nursery: trio.Nursery) -> ControlClient:
    path = tmp_path / "control"
    path.write_text("left by a crash")
    await nursery.start(SERVER.serve, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return ControlClient(path)


async def call(client: ControlClient, verb: str, **params: object) -> Any:  # noqa: ANN401 - JSON
    return await trio.to_thread.run_sync(lambda: client.call(verb, params, timeout_s=5))


async def test_answer_and_row_of_answers(client: ControlClient) -> None:
    assert await call(client, "echo", text="hi \u2603") == {"said": "hi \u2603"}
    row = await trio.to_thread.run_sync(lambda: list(client.stream("count", {"to": 3})))
    assert row == [0, 1, 2]


async def test_errors_arrive_as_what_they_were(client: ControlClient) -> None:
    with pytest.raises(StoreInUse, match="process 7, mounted at /mnt") as raised:
        await call(client, "use")
    assert raised.value.exit_code == 75
    with pytest.raises(BlockMissing, match="block 3 is not here"):
        await call(client, "stumble")
    with pytest.raises(EncodingError, match="does not know `dance`"):
        await call(client, "dance")


@pytest.mark.expect_log("a control request failed")
async def test_bug_in_a_handler_is_logged_and_ends_that_request_alone(
    client: ControlClient,
) -> None:
    with pytest.raises(Exception, match="internal error"):
        await call(client, "crash")
    assert await call(client, "echo", text=1) == {"said": 1}


async def test_deadline_of_the_client_holds(client: ControlClient) -> None:
    with pytest.raises(Timeout, match="`sleep` within"):
        await trio.to_thread.run_sync(lambda: client.call("sleep", timeout_s=0.05))


async def test_daemon_that_ends_in_the_middle_is_told(tmp_path: Path) -> None:
    path = tmp_path / "control"

    async def end_daemon(params: Params) -> None:
        daemon.cancel_scope.cancel()
        await trio.sleep_forever()

    async def ask_for_the_end() -> None:
        with pytest.raises(NotMounted, match="ended before it answered"):
            await call(ControlClient(path), "end")

    async with trio.open_nursery() as asking, trio.open_nursery() as daemon:
        await daemon.start(ControlServer({"end": end_daemon}).serve, path)
        asking.start_soon(ask_for_the_end)
    assert not await trio.Path(path).exists()


def test_nobody_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotMounted, match="datfs mount"):
        ControlClient(tmp_path / "control").call("status")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "control"))
    with pytest.raises(NotMounted, match="datfs mount"):
        ControlClient(tmp_path / "control").call("status")


async def ask(server: ControlServer, request: bytes) -> dict[str, Any]:
    ours, theirs = trio.testing.memory_stream_pair()
    answer = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve_connection, theirs)
        await ours.send_all(request)
        async for part in ours:
            answer += part
    return dict(json.loads(answer)) if answer else {}


@pytest.mark.parametrize(
    "request_line",
    [
        b"\n",
        b"[]\n",
        b"7\n",
        b"{}\n",
        b'{"verb": 7}\n',
        b'{"verb": "echo", "params": 7}\n',
        b"\xff\n",
    ],
)
async def test_request_that_is_none_is_refused(request_line: bytes) -> None:
    answer = await ask(SERVER, request_line)
    assert answer["error"]["kind"] == "EncodingError"


async def test_endless_request_is_refused() -> None:
    answer = await ask(SERVER, b"x" * (MAX_REQUEST_BYTES + 1))
    assert "longer than" in answer["error"]["message"]


async def test_silent_client_is_dropped(autojump_clock: trio.testing.MockClock) -> None:
    assert (await ask(SERVER, b'{"verb": "ec'))["error"]["kind"] == "EncodingError"


async def test_hanging_up_cancels_what_was_asked() -> None:
    cancelled = trio.Event()

    async def wait(params: Params) -> None:
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ControlServer({"wait": wait}).serve_connection, theirs)
        await ours.send_all(b'{"verb": "wait"}\n')
        await trio.testing.wait_all_tasks_blocked()
        await ours.aclose()
        await cancelled.wait()


async def test_too_many_clients_are_turned_away() -> None:
    server = ControlServer({"sleep": sleep})
    async with trio.open_nursery() as nursery:
        for _ in range(MAX_CONNECTIONS):
            ours, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(server.serve_connection, theirs)
            await ours.send_all(b'{"verb": "sleep"}\n')
        answer = await ask(server, b'{"verb": "sleep"}\n')
        assert answer["error"]["kind"] == TooBusy.__name__
        nursery.cancel_scope.cancel()
