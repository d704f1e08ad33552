"""Programs that know nothing of datfs join a lobby: Chromium, and simple-peer over wrtc.

What carries their offer into the guest's mount and the answer back is the script of README.md, run
as it stands there.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.chromium import chromium_page
from tests.support.mounts import Mount, mounted
from tests.support.node_peers import PROJECT, NodePeer, strangers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.netns import Host

STEP_S = 30.0

MAKE_OFFER = """
(async () => {
  globalThis.peer = new RTCPeerConnection()
  globalThis.channel = peer.createDataChannel('text')
  globalThis.opened = new Promise(done => { channel.onopen = () => done(true) })
  globalThis.heard = new Promise(done => { channel.onmessage = message => done(message.data) })
  const gathered = new Promise(done => { peer.onicecandidate = e => e.candidate || done() })
  await peer.setLocalDescription()
  await gathered
  return JSON.stringify(peer.localDescription)
})()
"""


class Meeting:
    """A host and a guest on two networks, and the README's script in the guest's home."""

    def __init__(self, host: Mount, guest: Mount) -> None:
        self.host = host
        self.guest = guest
        self.host_key = (host.path / ".datfs/identity").read_text().strip()
        self.guest_key = (guest.path / ".datfs/identity").read_text().strip()
        home = Path(guest.environment["HOME"])
        (home / "dat").symlink_to(guest.path)
        self._script = home / "join.sh"
        self._script.write_text(_script_of_readme())
        (host.path / "me/session.json").write_text('{"name": "open house", "max_peers": 2}')
        session = json.loads((host.path / "me/session.json").read_text())
        self.lobby = re.sub(".*/", "", session["url"].rstrip("/"))

    def answer(self, offer: str) -> str:
        """What the README's script makes of an offer."""
        done = subprocess.run(
            [*self.guest.prefix, "sh", "-e", self._script, self.host_key],
            input=offer,
            env={
                **self.guest.environment,
                "PATH": f"{Path(sys.executable).parent}:{self.guest.environment['PATH']}",
            },
            capture_output=True,
            text=True,
            timeout=STEP_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def host_says(self, line: str) -> None:
        self._in_room("in", 'echo "$0" > "$1"', line)

    def host_hears(self) -> str:
        return self._in_room("out", 'head -n 1 "$1"', "").rstrip("\n")

    def assert_nothing_is_left(self) -> None:
        """Offer and answer go from both directories, the beacon stays."""
        for mount in (self.host, self.guest):
            _eventually(partial(self._has_only_the_beacon, mount))

    def assert_gone(self) -> None:
        """The host notices that the stranger has left."""
        state = self.host.path / "lobby" / self.lobby / "peers" / self.guest_key / "state"
        _eventually(lambda: state.read_text().startswith("gone"))

    def _has_only_the_beacon(self, mount: Mount) -> bool:
        names = [entry.name for entry in (mount.path / "lobby" / self.lobby).iterdir()]
        return [name for name in names if name.endswith(".bin")] == ["host.offer.bin"]

    def _in_room(self, pipe: str, command: str, line: str) -> str:
        path = f"lobby/{self.lobby}/peers/{self.guest_key}/{pipe}"
        self.host.datfs("wait", path)
        return self.host.run("sh", "-c", command, line, self.host.path / path).stdout


@pytest.fixture
def meeting(two_hosts: list[Host], tmp_path: Path) -> Iterator[Meeting]:
    first, second = two_hosts
    alone = ("--no-lan", "--no-dht")
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(mounted(tmp_path / "host", *alone, "--port", "3282", host=first))
        peer = ("--peer", f"{first.address}:3282")
        guest = stack.enter_context(mounted(tmp_path / "guest", *alone, *peer, host=second))
        yield Meeting(host, guest)


def test_a_browser_s_page_joins_by_the_script_of_the_readme(
    meeting: Meeting, two_hosts: list[Host], tmp_path: Path
) -> None:
    with chromium_page(tmp_path / "browser", prefix=two_hosts[1].prefix) as page:
        answer = meeting.answer(page.evaluate(MAKE_OFFER))
        page.evaluate(f"peer.setRemoteDescription({answer})")
        assert page.evaluate("opened") is True
        page.evaluate("channel.send('hello from a page')")
        assert meeting.host_hears() == "hello from a page"
        meeting.host_says("hello yourself")
        assert page.evaluate("heard") == "hello yourself"
        meeting.assert_nothing_is_left()
        page.evaluate("peer.close()")
        meeting.assert_gone()


def test_simple_peer_joins_by_the_script_of_the_readme(
    meeting: Meeting, two_hosts: list[Host]
) -> None:
    with NodePeer(strangers(), "simple_peer.js", prefix=two_hosts[1].prefix) as peer:
        offer: dict[str, Any] = peer.event("offer")["offer"]
        peer.send({"answer": json.loads(meeting.answer(json.dumps(offer)))})
        peer.event("connected")
        peer.send({"say": "hello from simple-peer"})
        assert meeting.host_hears() == "hello from simple-peer"
        meeting.host_says("hello yourself")
        assert peer.event("message")["text"] == "hello yourself"
        meeting.assert_nothing_is_left()
        peer.send({"leave": True})
        meeting.assert_gone()


def _script_of_readme() -> str:
    readme = (PROJECT / "README.md").read_text()
    found = re.search(r"^    #!/bin/sh.*?(?=^\S)", readme, re.DOTALL | re.MULTILINE)
    assert found is not None
    return textwrap.dedent(found[0])


def _eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + STEP_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
