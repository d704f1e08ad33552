"""Sending on a connection's stream, for no longer than the other side goes on reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

SEND_BYTE_LENGTH = 256 * 1024
"""The most that is given to the stream at once."""

SEND_DEADLINE_S = 30.0
"""How long the peer may take to read what one send holds."""


class NotRead(Exception):
    """The other side read nothing for `SEND_DEADLINE_S`."""


async def send_all(
    stream: trio.abc.SendStream, data: bytes | bytearray, between: Callable[[], None]
) -> None:
    """Send data in pieces, each with a deadline of its own: a slow reader is judged by progress.

    Args:
        stream: where to.
        data: all of it.
        between: called between two pieces, for what must not wait until all is sent.

    Raises:
        NotRead: a piece was not taken in time.
        trio.BrokenResourceError, trio.ClosedResourceError: the stream is over.
    """
    waiting = memoryview(data)
    while waiting:
        with trio.move_on_after(SEND_DEADLINE_S) as sending:
            await stream.send_all(waiting[:SEND_BYTE_LENGTH])
        if sending.cancelled_caught:
            raise NotRead
        waiting = waiting[SEND_BYTE_LENGTH:]
        if waiting:
            between()
