"""Programs that know nothing of datfs join a lobby: Chromium, and simple-peer over wrtc.

What carries their offer into the guest's mount and the answer back is the script of README.md, run
as it stands there.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.chromium import chromium_page
from tests.support.meeting import STEP_S, Meeting, eventually, meeting
from tests.support.node_peers import PROJECT, NodePeer, strangers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.mounts import Mount
    from tests.support.netns import Host

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


class OpenHouse:
    """A session of the host, and the README's script in the guest's home."""

    def __init__(self, people: Meeting) -> None:
        self.host = people.host
        self.guest = people.guest
        self.host_key = people.host_key
        self.guest_key = people.guest_key
        home = Path(self.guest.environment["HOME"])
        (home / "dat").symlink_to(self.guest.path)
        self._script = home / "join.sh"
        self._script.write_text(_script_of_readme())
        self.lobby = people.open_session()

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
            eventually(partial(self._has_only_the_beacon, mount))

    def assert_gone(self) -> None:
        """The host notices that the stranger has left."""
        state = self.host.path / "lobby" / self.lobby / "peers" / self.guest_key / "state"
        eventually(lambda: state.read_text().startswith("gone"))

    def _has_only_the_beacon(self, mount: Mount) -> bool:
        names = [entry.name for entry in (mount.path / "lobby" / self.lobby).iterdir()]
        return [name for name in names if name.endswith(".bin")] == ["host.offer.bin"]

    def _in_room(self, pipe: str, command: str, line: str) -> str:
        path = f"lobby/{self.lobby}/peers/{self.guest_key}/{pipe}"
        self.host.datfs("wait", path)
        return self.host.run("sh", "-c", command, line, self.host.path / path).stdout


@pytest.fixture
def open_house(two_hosts: list[Host], tmp_path: Path) -> Iterator[OpenHouse]:
    with meeting(two_hosts, tmp_path) as people:
        yield OpenHouse(people)


def test_a_browser_s_page_joins_by_the_script_of_the_readme(
    open_house: OpenHouse, two_hosts: list[Host], tmp_path: Path
) -> None:
    with chromium_page(tmp_path / "browser", prefix=two_hosts[1].prefix) as page:
        answer = open_house.answer(page.evaluate(MAKE_OFFER))
        page.evaluate(f"peer.setRemoteDescription({answer})")
        assert page.evaluate("opened") is True
        page.evaluate("channel.send('hello from a page')")
        assert open_house.host_hears() == "hello from a page"
        open_house.host_says("hello yourself")
        assert page.evaluate("heard") == "hello yourself"
        open_house.assert_nothing_is_left()
        page.evaluate("peer.close()")
        open_house.assert_gone()


def test_simple_peer_joins_by_the_script_of_the_readme(
    open_house: OpenHouse, two_hosts: list[Host]
) -> None:
    with NodePeer(strangers(), "simple_peer.js", prefix=two_hosts[1].prefix) as peer:
        offer: dict[str, Any] = peer.event("offer")["offer"]
        peer.send({"answer": json.loads(open_house.answer(json.dumps(offer)))})
        peer.event("connected")
        peer.send({"say": "hello from simple-peer"})
        assert open_house.host_hears() == "hello from simple-peer"
        open_house.host_says("hello yourself")
        assert peer.event("message")["text"] == "hello yourself"
        open_house.assert_nothing_is_left()
        peer.send({"leave": True})
        open_house.assert_gone()


def _script_of_readme() -> str:
    readme = (PROJECT / "README.md").read_text()
    found = re.search(r"^    #!/bin/sh.*?(?=^\S)", readme, re.DOTALL | re.MULTILINE)
    assert found is not None
    return textwrap.dedent(found[0])
