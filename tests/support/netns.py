"""Hosts as network namespaces: two joined by a cable (veth pair), or more on a bridge.

Namespaces carry the maker's process id in their name, so that a later run can sweep away what a
killed one left behind. Commands enter them with `nsenter`, which changes the network alone:
`ip netns exec` would also give the child a mount namespace of its own and hide its mounts.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.requirements import require_namespaces

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMESPACES = Path("/run/netns")
_OWN_NAME = re.compile(r"datfs-t(\d+)-")
_serial = itertools.count()


@dataclass(frozen=True, slots=True)
class Host:
    """A network namespace with one interface, `eth0`, and a loopback that is up."""

    name: str
    address: str  # IPv4, without the prefix length

    @property
    def prefix(self) -> list[str]:
        """Put before a command's arguments, this runs it on the host (same pid, same mounts)."""
        return ["nsenter", f"--net={NAMESPACES / self.name}", "--"]


@contextlib.contextmanager
def network(hosts: int = 2) -> Iterator[list[Host]]:
    """Makes hosts 10.77.0.1, 10.77.0.2, ... that reach each other, and removes them at the end.

    Two are joined by a veth pair directly and pass traffic at once; more sit on a bridge without
    spanning tree, whose ports forward at once because its forward delay is 0.
    """
    require_namespaces()
    stem = f"datfs-t{os.getpid()}-{next(_serial)}"
    made = [Host(f"{stem}-{n}", f"10.77.0.{n}") for n in range(1, hosts + 1)]
    bridge = f"{stem}-bridge"
    with contextlib.ExitStack() as cleanup:
        for host in made:
            _add_namespace(host.name, cleanup)
        if hosts == 2:
            _ip("link", "add", "eth0", "netns", made[0].name, "type", "veth",
                "peer", "name", "eth0", "netns", made[1].name)  # fmt: skip
        else:
            _add_namespace(bridge, cleanup)
            _ip("-n", bridge, "link", "add", "br0", "type", "bridge",
                "forward_delay", "0", "stp_state", "0")  # fmt: skip
            _ip("-n", bridge, "link", "set", "br0", "up")
            for n, host in enumerate(made, 1):
                _ip("link", "add", "eth0", "netns", host.name, "type", "veth",
                    "peer", "name", f"port{n}", "netns", bridge)  # fmt: skip
                _ip("-n", bridge, "link", "set", f"port{n}", "master", "br0", "up")
        for host in made:
            _ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", "eth0")
            _ip("-n", host.name, "link", "set", "eth0", "up")
            # multicast without a default route has no interface to go to
            _ip("-n", host.name, "route", "add", "default", "dev", "eth0")
        yield made


def sweep_namespaces() -> None:
    """Removes namespaces of test processes that are gone."""
    if os.geteuid() != 0 or not NAMESPACES.exists():
        return
    for entry in NAMESPACES.iterdir():
        own = _OWN_NAME.match(entry.name)
        if own and not Path(f"/proc/{own[1]}").exists():
            _ip("netns", "delete", entry.name)


def _add_namespace(name: str, cleanup: contextlib.ExitStack) -> None:
    _ip("netns", "add", name)
    cleanup.callback(_ip, "netns", "delete", name)
    _ip("-n", name, "link", "set", "lo", "up")


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
