"""The control socket: how commands speak with the process that holds the store.

A connection carries one request and its answer, JSON objects on a line each:

    -> {"verb": "status", "params": {}}
    <- {"result": ...}                                           one answer
    <- {"item": ...} ... {"end": true}                           or a row of them
    <- {"error": {"kind": "Timeout", "message": "..."}}          or a class of `datfs.errors`

When the client hangs up, what it asked for is cancelled. What the verbs do is the application's
business; this file knows none. The client's end is `datfs.app.control_client`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import trio

from datfs.app.error_record import to_record
from datfs.errors import DatfsError, EncodingError, TooBusy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Params = Mapping[str, Any]
Answering = Callable[[Params], Awaitable[Any]]
Streaming = Callable[[Params], AsyncGenerator[Any, None]]

MAX_REQUEST_BYTES = 256 * 1024  # an offer of 64 KiB fits in, escaped
MAX_CONNECTIONS = 64
REQUEST_S = 10.0  # between connecting and the end of the request line
ANSWER_WRITE_S = 30.0  # for a client that stopped reading

_log = logging.getLogger(__name__)


class ControlServer:
    """Answers requests by handlers.

    Args:
        handlers: By verb: an async function of the params that gives JSON, or an async generator
            function for a row of values. What they raise as DatfsError reaches the client; anything
            else is logged and reported as an internal error.
    """

    def __init__(self, handlers: Mapping[str, Answering | Streaming]) -> None:
        self._handlers = dict(handlers)
        self._connections = 0

    async def serve(
        self, path: Path, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Listens until cancelled; the caller holds the store, so an old socket there is dead.

        Args:
            path: Of the socket (mode 0600); its folder is private.
            task_status: Started when connections are accepted.
        """
        with _listener(path) as listener:
            async with trio.open_nursery() as nursery:
                task_status.started()
                await trio.serve_listeners(
                    self.serve_connection, [listener], handler_nursery=nursery
                )

    async def serve_connection(self, stream: trio.abc.Stream) -> None:
        """Answers the one request of a connection, then closes it."""
        self._connections += 1
        try:
            async with stream:
                await self._answer(stream)
        except trio.BrokenResourceError:
            _log.debug("a control client hung up before it was answered")
        finally:
            self._connections -= 1

    async def _answer(self, stream: trio.abc.Stream) -> None:
        try:
            if self._connections > MAX_CONNECTIONS:
                raise TooBusy("datfs has too many control clients at once")
            request = await _request(stream)
            if request is not None:
                await self._run(stream, *request)
        except DatfsError as error:
            await _send(stream, _failure(error))
        except trio.BrokenResourceError:
            raise
        except Exception:
            _log.exception("a control request failed")
            await _send(stream, _failure(DatfsError("internal error; datfs's log tells more")))

    async def _run(self, stream: trio.abc.Stream, verb: str, params: Params) -> None:
        handler = self._handlers.get(verb)
        if handler is None:
            raise EncodingError(f"the running datfs does not know `{verb}`; is it an older one?")
        outcome: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_at_hang_up, stream, nursery.cancel_scope)
            try:
                await _relay(stream, handler(params))
            except Exception as error:  # raised again below, outside of the nursery's group
                outcome = error
            nursery.cancel_scope.cancel()
        if outcome is not None:
            raise outcome


@contextlib.contextmanager
def _listener(path: Path) -> Iterator[trio.SocketListener]:
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        try:
            path.chmod(0o600)
            listening.listen()
            yield trio.SocketListener(trio.socket.from_stdlib_socket(listening))
        finally:
            path.unlink(missing_ok=True)


async def _relay(
    stream: trio.abc.Stream, answer: Awaitable[Any] | AsyncGenerator[Any, None]
) -> None:
    if isinstance(answer, AsyncGenerator):
        async with contextlib.aclosing(answer):
            async for item in answer:
                await _send(stream, {"item": item})
        await _send(stream, {"end": True})
    else:
        await _send(stream, {"result": await answer})


async def _request(stream: trio.abc.Stream) -> tuple[str, Params] | None:
    """The verb and its params; None for a client that came and went."""
    line = bytearray()
    with trio.move_on_after(REQUEST_S):
        while not line.endswith(b"\n"):
            received = await stream.receive_some()
            if not received:
                return None
            line += received
            if len(line) > MAX_REQUEST_BYTES:
                raise EncodingError(f"a request is longer than {MAX_REQUEST_BYTES} bytes")
    try:
        request = json.loads(line)
        verb, params = request["verb"], request.get("params", {})
    except (ValueError, TypeError, KeyError, AttributeError):
        raise EncodingError("a request is one line with a JSON object that has a verb") from None
    if not isinstance(verb, str) or not isinstance(params, dict):
        raise EncodingError("a request's verb is a string and its params are an object")
    return verb, params


async def _cancel_at_hang_up(stream: trio.abc.Stream, scope: trio.CancelScope) -> None:
    with contextlib.suppress(trio.BrokenResourceError):
        while await stream.receive_some():
            pass  # a client has nothing more to say; what it sends is passed over
    scope.cancel()


async def _send(stream: trio.abc.Stream, reply: Mapping[str, Any]) -> None:
    line = json.dumps(reply).encode() + b"\n"
    with trio.move_on_after(ANSWER_WRITE_S) as deadline:
        await stream.send_all(line)
    if deadline.cancelled_caught:
        raise trio.BrokenResourceError("the client does not read its answer")


def _failure(error: DatfsError) -> dict[str, Any]:
    return {"error": to_record(error)}
