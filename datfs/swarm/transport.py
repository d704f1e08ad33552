"""TCP for the swarm: addresses, listening on 3282 or the next free port, dialling (design 5)."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from datfs.errors import ListenFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_PORT = 3282
"""The port of Dat v1 peers (discovery-swarm's default)."""

PORTS_TRIED = 64
"""How many ports from the default on are tried before giving up."""

CONNECT_DEADLINE_S = 3.0
"""How long a dialled peer may take to accept, as in discovery-swarm."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a peer listens, or whence it came."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def remote_address(stream: trio.SocketStream) -> Address:
    """The other end's address; IPv4 within IPv6 is told as IPv4."""
    try:
        host, port = stream.socket.getpeername()[:2]
    except OSError:
        return Address("unknown", 0)
    return Address(host.removeprefix("::ffff:"), port)


async def listen(hosts: Sequence[str], port: int | None) -> tuple[list[trio.SocketListener], int]:
    """Listen on addresses.

    Args:
        hosts: addresses to bind; an empty list means all of the machine, IPv4 and IPv6.
        port: the port; None means 3282 or the next free one.

    Returns:
        The listeners, and the port they share.

    Raises:
        ListenFailed: an address is not this machine's, or the port is taken.
    """
    candidates = range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED) if port is None else [port]
    for candidate in candidates:
        try:
            listeners = await _bind(hosts, candidate)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and port is None:
                continue
            where = ", ".join(hosts) or "all addresses"
            raise ListenFailed(
                f"cannot listen on {where} port {candidate}: {error.strerror}; "
                "choose another with --port or --listen"
            ) from error
        return listeners, listeners[0].socket.getsockname()[1]
    raise ListenFailed(
        f"the ports {candidates[0]} to {candidates[-1]} are all taken; choose one with --port"
    )


async def _bind(hosts: Sequence[str], port: int) -> list[trio.SocketListener]:
    if not hosts:
        first, *others = await trio.open_tcp_listeners(port)
        if port == 0:
            for other in others:
                await other.aclose()
            others = []
        return [first, *others]
    listeners: list[trio.SocketListener] = []
    with ExitStack() as on_failure:
        for host in hosts:
            for listener in await trio.open_tcp_listeners(port, host=host):
                on_failure.callback(listener.socket.close)
                listeners.append(listener)
            port = listeners[0].socket.getsockname()[1]
        on_failure.pop_all()
    return listeners


async def dial(address: Address) -> trio.SocketStream:
    """Connect to a peer.

    Raises:
        OSError: it cannot be reached, or did not accept in time (TimeoutError); its `strerror` says
            why in words.
    """
    try:
        with trio.move_on_after(CONNECT_DEADLINE_S):
            stream = await trio.open_tcp_stream(address.host, address.port)
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return stream
    except OSError as error:
        raise OSError(error.errno, _reason(error)) from error
    except (ValueError, OverflowError) as error:  # a name or number that no address can have
        raise OSError(errno.EINVAL, f"this is no address: {error}") from error
    raise TimeoutError(errno.ETIMEDOUT, f"no answer within {CONNECT_DEADLINE_S:g} s")


def _reason(error: BaseException) -> str:
    """Why connecting failed; trio says it only in what its own error came from."""
    if isinstance(error, BaseExceptionGroup):
        return ", ".join(dict.fromkeys(map(_reason, error.exceptions)))
    if isinstance(error, OSError) and error.strerror:
        is_lookup = isinstance(error, socket.gaierror)  # its numbers are not the system's
        return error.strerror if is_lookup or not error.errno else os.strerror(error.errno)
    return str(error) if error.__cause__ is None else _reason(error.__cause__)
