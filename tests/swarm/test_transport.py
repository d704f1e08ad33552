"""Listening and dialling on real sockets of loopback."""

from __future__ import annotations

import socket

import pytest

from datfs.errors import ListenFailed
from datfs.swarm import transport
from datfs.swarm.transport import Address, dial, listen, remote_address

LOOPBACK = ("127.0.0.1",)


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def two_ports_in_a_row() -> int:
    """A port that is free, as the one after it is."""
    for _ in range(50):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port
    pytest.skip("no two free ports next to each other")


async def test_the_next_free_port_is_taken_after_dats_own(monkeypatch: pytest.MonkeyPatch) -> None:
    default = two_ports_in_a_row()
    monkeypatch.setattr(transport, "DEFAULT_PORT", default)
    first, port = await listen(LOOPBACK, None)
    second, next_port = await listen(LOOPBACK, None)
    assert (port, next_port) == (default, default + 1)
    for listener in first + second:
        await listener.aclose()


async def test_a_port_that_was_asked_for_and_is_taken_is_named_with_what_to_do() -> None:
    taken, port = await listen(LOOPBACK, 0)
    with pytest.raises(ListenFailed) as failure:
        await listen(LOOPBACK, port)
    assert str(failure.value) == (
        f"cannot listen on 127.0.0.1 port {port}: Address already in use; "
        "choose another with --port or --listen"
    )
    await taken[0].aclose()


async def test_an_address_of_another_machine_or_none_at_all_is_named() -> None:
    with pytest.raises(ListenFailed, match=r"192\.0\.2\.1 port 0: Cannot assign"):
        await listen(["192.0.2.1"], 0)
    with pytest.raises(ListenFailed, match="not an address port 0"):
        await listen(["not an address"], 0)


async def test_what_was_bound_before_a_failure_is_given_back() -> None:
    taken, port = await listen(["127.0.0.2"], 0)
    with pytest.raises(ListenFailed):
        await listen(["127.0.0.1", "127.0.0.2"], port)
    again, _ = await listen(LOOPBACK, port)
    for listener in taken + again:
        await listener.aclose()


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_without_an_address_both_families_are_served() -> None:
    port = two_ports_in_a_row()
    listeners, port = await listen((), port)
    for host in ("127.0.0.1", "::1"):
        stream = await dial(Address(host, port))
        accepted = await next(
            listener for listener in listeners if _family(listener) == stream.socket.family
        ).accept()
        assert remote_address(accepted).host == host
        assert str(Address(host, port)) in (f"127.0.0.1:{port}", f"[::1]:{port}")
        await stream.aclose()
        await accepted.aclose()
    for listener in listeners:
        await listener.aclose()


def _family(listener: object) -> int:
    return int(listener.socket.family)  # type: ignore[attr-defined]


async def test_why_a_dial_failed_is_said_in_words() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(OSError, match="refused") as refused:
            await dial(Address("127.0.0.1", port))
    assert refused.value.strerror == "Connection refused"
    for host in ("x" * 300, "a..b", "\0"):
        with pytest.raises(OSError) as no_address:  # noqa: PT011 - its words differ
            await dial(Address(host, 1))
        assert no_address.value.strerror
