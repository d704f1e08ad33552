"""The command line's end of the control socket: plain blocking calls, every one with a deadline.

The protocol stands in `datfs.app.control`. No trio here: what only asks should start fast.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

from datfs.app.error_record import from_record
from datfs.errors import NotMounted, Timeout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

ANSWER_S = 30.0
RECEIVE_BYTES = 64 * 1024

_CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid


class ControlClient:
    """Asks the process that holds a store; one connection a request.

    Args:
        path: The control socket.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def server_pid(self) -> int:
        """The process that serves the socket.

        Raises:
            NotMounted: There is none.
        """
        with _connected(self._path, time.monotonic() + ANSWER_S) as connection:
            credentials = connection.getsockopt(
                socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
            )
            pid: int = _CREDENTIALS.unpack(credentials)[0]
            return pid

    def call(
        self, verb: str, params: Mapping[str, Any] | None = None, timeout_s: float = ANSWER_S
    ) -> Any:  # noqa: ANN401 - whatever JSON the verb answers
        """Asks for one answer.

        Raises:
            NotMounted: Nobody serves the socket, or the daemon ended before it answered.
            Timeout: No answer in time.
            DatfsError: What the daemon raised, as the same class with the same text.
        """
        for kind, value in self._replies(verb, params, timeout_s):
            if kind == "result":
                return value
        raise NotMounted(f"datfs ended before it answered `{verb}`")

    def stream(
        self,
        verb: str,
        params: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[Any]:
        """Asks for a row of values and gives each as it comes.

        Args:
            verb: One that answers so, such as `events`.
            params: For the verb.
            timeout_s: How long all of it may take; None: as long as the daemon lives.

        Raises:
            NotMounted: As for `call`, also when the daemon ends in the middle.
            Timeout: It took longer.
            DatfsError: What the daemon raised.
        """
        for kind, value in self._replies(verb, params, timeout_s):
            if kind == "item":
                yield value
            else:
                return
        raise NotMounted(f"datfs ended in the middle of `{verb}`")

    def _replies(
        self, verb: str, params: Mapping[str, Any] | None, timeout_s: float | None
    ) -> Iterator[tuple[str, Any]]:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            with _connected(self._path, deadline) as connection:
                request = {"verb": verb, "params": dict(params or {})}
                connection.sendall(json.dumps(request).encode() + b"\n")
                for line in _lines(connection, deadline):
                    yield _reply(line)
        except TimeoutError:
            raise Timeout(f"datfs did not answer `{verb}` within {timeout_s:g} s") from None
        except ConnectionError:
            return  # it ended; the caller knows what is missing


@contextlib.contextmanager
def _connected(path: Path, deadline: float | None) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        _arm(connection, deadline)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionError):
            raise NotMounted(
                "no datfs runs with this store; start one with `datfs mount MOUNTPOINT`"
            ) from None
        yield connection


def _arm(connection: socket.socket, deadline: float | None) -> None:
    """Gives the next wait what is left of the time."""
    if deadline is None:
        connection.settimeout(None)
        return
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    connection.settimeout(left)


def _lines(connection: socket.socket, deadline: float | None) -> Iterator[bytes]:
    buffer = bytearray()
    while True:
        end = buffer.find(b"\n")
        if end >= 0:
            yield bytes(buffer[:end])
            del buffer[: end + 1]
            continue
        _arm(connection, deadline)
        received = connection.recv(RECEIVE_BYTES)
        if not received:
            return
        buffer += received


def _reply(line: bytes) -> tuple[str, Any]:
    reply = json.loads(line)
    if "error" in reply:
        raise from_record(reply["error"])
    kind = next(iter(reply))
    return kind, reply[kind]
