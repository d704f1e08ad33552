"""A network for engines that run in the test process."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.netns import NAMESPACES, Host, network

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLONE_NEWNET = 0x40000000


def _enter(namespace: Path) -> None:
    """Move this thread into a network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(namespace, os.O_RDONLY)
    try:
        if libc.setns(descriptor, _CLONE_NEWNET):
            error = ctypes.get_errno()
            raise OSError(error, f"cannot enter {namespace}: {os.strerror(error)}")
    finally:
        os.close(descriptor)


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    """Runs the test on the first of two hosts, 10.77.0.1; the other is 10.77.0.2."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    with network(2) as made:
        _enter(NAMESPACES / made[0].name)
        try:
            yield made
        finally:
            _enter(Path(f"/proc/self/fd/{before}"))
            os.close(before)


@pytest.fixture
def on_a_host(hosts: list[Host]) -> Host:
    """Runs the test on a host of its own, 10.77.0.1."""
    return hosts[0]
