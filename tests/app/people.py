"""People in the tests: what a mount shows of them, and sessions among them."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

from tests.support.mounts import force_unmount

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.mounts import Mount

ALONE = ("--no-lan", "--no-dht")
LOOPBACK = (*ALONE, "--listen", "127.0.0.1")

Json = dict[str, Any]


def identity(mount: Mount) -> str:
    """The key of the person's identity archive."""
    return (mount.path / ".datfs/identity").read_text().strip()


def status(mount: Mount) -> Json:
    found: Json = json.loads((mount.path / ".datfs/status.json").read_text())
    return found


def asked_at(host: Mount) -> list[str]:
    """Options of a mount on the same machine that asks this one for everything."""
    return [*LOOPBACK, "--peer", f"127.0.0.1:{status(host)['port']}"]


def events(mount: Mount, kind: str) -> list[Json]:
    lines = (mount.path / ".datfs/events").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def session(folder: Path) -> Json:
    """The session.json of an archive's directory."""
    found: Json = json.loads((folder / "session.json").read_text())
    return found


def hosted(
    mount: Mount, name: str = "Foobar", max_peers: int = 8, carrier: str = "archive"
) -> Path:
    """Hosts by writing session.json; gives the lobby's directory."""
    request = {"name": name, "max_peers": max_peers, "carrier": carrier}
    (mount.path / "me/session.json").write_text(json.dumps(request))
    return lobby(mount, session(mount.path / "me"))


def lobby(mount: Mount, of: Json) -> Path:
    """The directory of a session's lobby."""
    return mount.path / "lobby" / str(of["url"]).removeprefix("dat://")


def offer(lobby_folder: Path, guest: Mount) -> Path:
    """What `cat new-offer > HASH.offer.bin` does; gives the offer's path."""
    file = lobby_folder / f"{identity(guest)}.offer.bin"
    file.write_bytes((lobby_folder / "new-offer").read_bytes())
    return file


def kill(mount: Mount) -> None:
    """Lets the serving process die at once and takes the dead mount away."""
    os.kill(mount.process.pid, signal.SIGKILL)
    mount.process.wait()
    force_unmount(mount.path)
