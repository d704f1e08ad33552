"""A host and a guest with a mount each, on two networks that are joined by a cable."""

from __future__ import annotations

import contextlib
import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.mounts import Mount, mounted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.support.netns import Host

STEP_S = 30.0
ALONE = ("--no-lan", "--no-dht")


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """Two people who know each other's keys."""

    host: Mount
    guest: Mount

    @property
    def host_key(self) -> str:
        return identity_of(self.host)

    @property
    def guest_key(self) -> str:
        return identity_of(self.guest)

    @property
    def answer_name(self) -> str:
        """The host's answer to the guest, in the lobby's directory."""
        return f"{self.guest_key}.answer.bin"

    def open_session(self, *options: str | Path) -> str:
        """Hosts a session by the command; returns the lobby's key."""
        answer = self.host.datfs("host", "Foobar", "--json", *options).stdout
        return re.sub(".*/", "", str(json.loads(answer)["url"]).rstrip("/"))

    def join(self, *, expect: int = 0) -> str:
        """Joins the host's session by the command; returns what that said, on either stream."""
        done = self.guest.datfs("join", self.host_key, "--timeout", "25", check=False)
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + done.stderr

    def state(self, lobby: str) -> str:
        """What the guest's file `state` says."""
        return (self.guest.path / "lobby" / lobby / "state").read_text().strip()

    def peers(self, mount: Mount, lobby: str) -> list[str]:
        """The peers that somebody's directory of the lobby shows."""
        return [peer.name for peer in (mount.path / "lobby" / lobby / "peers").iterdir()]


def identity_of(mount: Mount) -> str:
    """The key of somebody's identity archive."""
    return (mount.path / ".datfs/identity").read_text().strip()


@contextlib.contextmanager
def meeting(
    hosts: Sequence[Host],
    folder: Path,
    *,
    host_options: Sequence[str | Path] = (),
    guest_options: Sequence[str | Path] = (),
) -> Iterator[Meeting]:
    """Mounts for both until the block ends; called again with the folder, they are mounted again.

    Args:
        hosts: the networks of host and guest.
        folder: holds their stores.
        host_options: more for the host's `datfs mount`.
        guest_options: more for the guest's.
    """
    first, second = hosts
    peer = ("--peer", f"{first.address}:3282")
    with (
        mounted(folder / "host", *ALONE, "--port", "3282", *host_options, host=first) as host,
        mounted(folder / "guest", *ALONE, *peer, *guest_options, host=second) as guest,
    ):
        yield Meeting(host=host, guest=guest)


def eventually(holds: Callable[[], bool], limit_s: float = STEP_S) -> None:
    """Waits until something holds.

    Raises:
        AssertionError: It never did.
    """
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.05)
