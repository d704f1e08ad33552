"""`signals.log` of a lobby among real mounts: the four steps of the outline by cat and echo."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from datfs.hypercore.feed import Feed
from datfs.hypercore.storage import DirectoryStorage
from tests.app.people import ALONE, hosted, identity, lobby, session
from tests.support.eventually import eventually
from tests.support.mounts import mounted
from tests.support.netns import network

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.mounts import Mount


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "signals.log").read_text().splitlines()]


def kinds(folder: Path) -> list[str]:
    return [line["type"] for line in lines(folder)]


def sh(mount: Mount, folder: Path, script: str) -> str:
    return mount.run("bash", "-c", f"cd {folder}; {script}", check=False).stderr


def held(home: Path, lobby_key: str, log: str) -> list[int]:
    """The blocks of a log that are in a store that nobody has mounted."""
    folder = home / "logs" / lobby_key / log
    if not folder.exists():
        folder = home / "archives" / log / "metadata"
    feed = Feed.open(DirectoryStorage(folder))
    found = [index for index in range(feed.length) if feed.has(index)]
    feed.close()
    return found


def test_the_four_steps_by_cat_and_echo(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        hosts = stack.enter_context(network(2))
        host = stack.enter_context(mounted(tmp_path / "host", *ALONE, host=hosts[0]))
        asking = [*ALONE, "--peer", f"{hosts[0].address}:3282"]
        guest = stack.enter_context(mounted(tmp_path / "guest", *asking, host=hosts[1]))
        here = hosted(host, carrier="log")
        assert list(session(host.path / "me")) == [
            *("name", "url", "last_update", "peers", "max_peers", "protected")
        ]
        there = lobby(guest, session(guest.path / "dat" / identity(host)))
        assert "signals.log" in os.listdir(there)
        eventually(lambda: kinds(there) == ["host"])  # 1: the host has written its signal
        following = stack.enter_context(
            subprocess.Popen(
                [*guest.prefix, "tail", "-n", "+1", "-f", there / "signals.log"],
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(following.terminate)

        me = identity(guest)
        for script, complaint in {
            "/bin/echo nonsense >> signals.log": "Invalid argument",
            """/bin/echo '{"type": "offer", "sdp": "v=0"}' >> signals.log""": "Invalid argument",
            """/bin/echo '{"type": "answer", "sdp": "v=0"}' >> signals.log""": "not permitted",
            "echo > signals.log": "Operation not permitted",
            "rm -f signals.log": "Operation not permitted",
            "mv signals.log other": "Operation not permitted",
        }.items():
            assert complaint in sh(guest, there, script), script
        assert (there / "state").read_text().startswith("looking")

        # 2: the guest reads it and writes an offer; 3: the host answers; 4: the guest takes it
        assert sh(guest, there, 'offer=$(cat new-offer); echo "$offer" >> signals.log') == ""
        eventually(lambda: (there / "state").read_text().startswith("joined"))
        complete = sorted(["host", "writer", "offer", "answer", "gone", "gone"])
        eventually(lambda: sorted(kinds(here)) == sorted(kinds(there)) == complete)
        assert lines(here) == lines(there)
        offered = next(line for line in lines(here) if line["type"] == "offer")
        answered = next(line for line in lines(here) if line["type"] == "answer")
        assert offered["guest"] == answered["guest"] == me
        assert answered["cause"] == {"log": offered["log"], "seq": offered["seq"]}
        assert offered["cause"] == {"log": here.name, "seq": 1}
        assert answered["signal"]["type"] == "answer"
        assert following.stdout is not None
        followed = [json.loads(following.stdout.readline()) for _ in complete]
        assert sorted(line["type"] for line in followed) == complete
        assert following.poll() is None

        (host.path / "me/session.json").unlink()
        eventually(lambda: (there / "state").read_text().startswith("ended"))
        following.terminate()
    for home in (host.home, guest.home):
        assert answered["seq"] not in held(home, here.name, here.name)
        assert 1 not in held(home, here.name, here.name), "the beacon's block is cleared, too"
        assert offered["seq"] not in held(home, here.name, offered["log"])


def test_a_hosted_log_goes_on_and_a_guest_returns_after_a_remount(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        hosts = stack.enter_context(network(2))
        asking = [*ALONE, "--peer", f"{hosts[0].address}:3282"]
        keeping = [*ALONE, "-o", "keep_session"]
        with (
            mounted(tmp_path / "host", *keeping, host=hosts[0]) as host,
            mounted(tmp_path / "guest", *asking, host=hosts[1]) as guest,
        ):
            here = hosted(host, carrier="log")
            answer = guest.datfs("join", session(host.path / "me")["url"], "--json").stdout
            assert json.loads(answer)["lobby"] == here.name
        host = stack.enter_context(mounted(tmp_path / "host", *keeping, host=hosts[0]))
        assert lobby(host, session(host.path / "me")) == here
        eventually(lambda: (here / "host.offer.bin").exists())
        guest = stack.enter_context(mounted(tmp_path / "guest", *asking, host=hosts[1]))
        there = guest.path / "lobby" / here.name
        assert here.name in os.listdir(guest.path / "lobby"), "it is a member still"
        assert sh(guest, there, f"cat new-offer > {identity(guest)}.offer.bin") == ""
        eventually(lambda: (there / "state").read_text().startswith("joined"))
        writers = [line["writer"] for line in lines(here) if line["type"] == "writer"]
        assert len(writers) == 1, "it uses the log that it had"


@pytest.mark.parametrize("carrier", ["archive", "log"])
def test_an_offer_that_is_written_before_anything_is_known_waits(
    tmp_path: Path, carrier: str
) -> None:
    with contextlib.ExitStack() as stack:
        hosts = stack.enter_context(network(2))
        keeping = [*ALONE, "-o", "keep_session"]
        with mounted(tmp_path / "host", *keeping, host=hosts[0]) as host:
            key = hosted(host, carrier=carrier).name
        asking = [*ALONE, "--peer", f"{hosts[0].address}:3282"]
        guest = stack.enter_context(mounted(tmp_path / "guest", *asking, host=hosts[1]))
        there = guest.path / "lobby" / key
        assert sh(guest, there, f"cat new-offer > {identity(guest)}.offer.bin") == ""
        assert (there / "state").read_text().startswith("waiting for host")
        assert json.loads((there / f"{identity(guest)}.offer.bin").read_text())["type"] == "offer"
        assert key in os.listdir(guest.path / "lobby")
        stack.enter_context(mounted(tmp_path / "host", *keeping, host=hosts[0]))
        eventually(lambda: (there / "state").read_text().startswith("joined"), 60)
