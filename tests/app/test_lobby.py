"""A lobby among real mounts in networks of their own: room, names, offers, lines both ways."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.app.people import ALONE, events, hosted, identity, kill, lobby, offer, session, status
from tests.support.eventually import eventually
from tests.support.mounts import DATFS, mounted
from tests.support.netns import network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.mounts import Mount
    from tests.support.netns import Host

EXPIRY_S = 60.0  # a peer that died is noticed by the silence of its channel
LINES = 5_000


def asking(host: Host) -> list[str]:
    return [*ALONE, "--peer", f"{host.address}:3282"]


def joined(host: Mount, guest: Mount) -> Path:
    """Joins by an offer file; gives the guest's directory of the lobby."""
    folder = lobby(guest, session(guest.path / "dat" / identity(host)))
    offer(folder, guest)
    eventually(lambda: (folder / "state").read_text().startswith("joined"))
    return folder


def transient(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if re.search(r"[0-9a-f]{64}\.", name)]


@pytest.fixture(scope="module", params=["archive", "log"])
def carrier(request: pytest.FixtureRequest) -> str:
    """What the lobby is made of: everything holds over both."""
    return str(request.param)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, carrier: str) -> Iterator[tuple[Mount, Mount]]:
    """A host with a lobby and one guest, who has not joined."""
    with contextlib.ExitStack() as stack:
        hosts = stack.enter_context(network(2))
        host = stack.enter_context(mounted(tmp_path_factory.mktemp("host"), *ALONE, host=hosts[0]))
        guest = stack.enter_context(
            mounted(tmp_path_factory.mktemp("guest"), *asking(hosts[0]), host=hosts[1])
        )
        hosted(host, carrier=carrier)
        yield host, guest


@pytest.fixture(scope="module")
def here(pair: tuple[Mount, Mount]) -> Path:
    """The lobby as the host sees it."""
    return lobby(pair[0], session(pair[0].path / "me"))


@pytest.fixture(scope="module")
def there(pair: tuple[Mount, Mount]) -> Path:
    """The lobby as the guest sees it."""
    return lobby(pair[1], session(pair[1].path / "dat" / identity(pair[0])))


def test_looking_shows_the_beacon_at_once_and_tells_nobody_who_looks(
    pair: tuple[Mount, Mount], there: Path
) -> None:
    assert "host.offer.bin" in os.listdir(there)
    beacon = json.loads((there / "host.offer.bin").read_text())
    assert beacon["type"] == "offer"
    assert "a=candidate" not in beacon["sdp"]
    assert (there / "state").read_text().startswith("looking")
    assert not events(pair[0], "join")
    assert there.name not in os.listdir(pair[1].path / "lobby")


def test_nobody_writes_another_s_names(pair: tuple[Mount, Mount], here: Path, there: Path) -> None:
    me, other = identity(pair[1]), identity(pair[0])
    foreign = [f"{other}.offer.bin", f"{me}.answer.bin", "anything", f"{other}x", "peers/x"]
    for name in foreign:
        with pytest.raises(PermissionError):
            (there / name).write_text("x")
    for name in ("host.offer.bin", "new-offer", "state"):
        with pytest.raises(OSError, match=r"Operation not permitted|Permission denied|Read-only"):
            (there / name).write_text("x")
        with pytest.raises(PermissionError):
            (there / name).unlink()
    with pytest.raises(PermissionError):
        (there / other).mkdir()
    with pytest.raises(OSError, match=r"Operation not permitted|Read-only"):
        (here / f"{me}.offer.bin").write_text("x")
    with pytest.raises(PermissionError):
        (here / "new-offer").read_bytes()
    assert not events(pair[0], "join"), "what was refused is no wish to take part"


def test_an_offer_that_is_none_fails_at_close(pair: tuple[Mount, Mount], there: Path) -> None:
    file = there / f"{identity(pair[1])}.offer.bin"
    for garbage in (b"garbage", b'{"type": "answer", "sdp": "v=0"}', b"{}", b"x" * 70_000):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT)
        with pytest.raises(OSError, match=r"Invalid argument|File too large"):  # noqa: PT012
            try:
                os.write(opened, garbage)
            finally:
                os.close(opened)
        file.unlink(missing_ok=True)
    told = pair[1].run("sh", "-c", f"printf garbage | dd conv=notrunc of={file}", check=False)
    assert told.returncode
    assert "Invalid argument" in told.stderr
    file.unlink(missing_ok=True)
    assert transient(there) == []


def test_files_of_host_and_guest_are_seen_by_the_other(
    pair: tuple[Mount, Mount], here: Path, there: Path, carrier: str
) -> None:
    if carrier == "log":
        for refused in (here / "motd.txt", there / f"{identity(pair[1])}.notes"):
            with pytest.raises(PermissionError):
                refused.write_text("a log holds signals alone")
        with pytest.raises(PermissionError):
            (there / identity(pair[1])).mkdir()
        return
    (here / "motd.txt").write_text("welcome\n")
    eventually(lambda: (there / "motd.txt").read_text() == "welcome\n")
    folder = there / identity(pair[1])
    folder.mkdir()
    (folder / "about").write_text("me\n")
    eventually(lambda: (here / folder.name / "about").read_text() == "me\n")
    (here / "motd.txt").write_text("changed\n")
    eventually(lambda: (there / "motd.txt").read_text() == "changed\n")


def test_join_by_the_host_s_key_and_what_commands_tell(
    pair: tuple[Mount, Mount], here: Path, there: Path
) -> None:
    host, guest = pair
    following = subprocess.Popen(
        [*host.prefix, *DATFS, "events", "--follow", "--json"],
        env=host.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    waiting = subprocess.Popen(
        [*host.prefix, *DATFS, "wait", f"lobby/{here.name}/peers/{identity(guest)}/in"],
        env=host.environment,
    )
    answer = guest.datfs("join", f"dat://{identity(host)}", "--json").stdout
    assert json.loads(answer)["lobby"] == here.name
    assert waiting.wait(10) == 0
    assert following.stdout is not None
    kinds = []
    for line in following.stdout:
        kinds.append(json.loads(line)["event"])
        if kinds[-1] == "connected":
            break
    following.terminate()
    following.wait()
    following.stdout.close()
    assert [kind for kind in kinds if kind in {"offer", "answer", "connected"}] == [
        "offer",
        "answer",
        "connected",
    ]
    assert (there / "state").read_text() == "joined: the channel is open\n"
    assert (here / "state").read_text().startswith("hosting: 1 connected")
    assert (here / f"peers/{identity(guest)}/state").read_text() == "connected\n"
    assert json.loads((there / f"peers/{identity(host)}/stats.json").read_text())["bytes_sent"]
    assert (there / f"peers/{identity(host)}/profile.json").read_text() == (
        host.path / "me/profile.json"
    ).read_text()
    eventually(lambda: transient(here) == [] and transient(there) == [])
    assert json.loads(host.datfs("status", "--json").stdout)["session"]["peers"] == 1
    listed = json.loads(guest.datfs("peers", "--json").stdout)
    assert {row["archive"] for row in listed} == {identity(host), here.name}
    eventually(lambda: session(host.path / "me")["peers"] == 1)
    eventually(lambda: session(guest.path / "dat" / identity(host))["peers"] == 1)


@pytest.mark.parametrize("way", ["to the host", "to the guest"])
def test_thousands_of_lines_reach_a_slow_reader_in_order(
    pair: tuple[Mount, Mount], here: Path, there: Path, way: str
) -> None:
    to_host, to_guest = here / f"peers/{identity(pair[1])}", there / f"peers/{identity(pair[0])}"
    source, sink = (to_guest, to_host) if way == "to the host" else (to_host, to_guest)
    lines = [f"line {n} {'x' * (n % 400)}\n" for n in range(LINES)]

    def write() -> None:
        with (source / "in").open("w") as pipe:
            pipe.writelines(lines)

    writer = threading.Thread(target=write)
    writer.start()
    heard = []
    with (sink / "out").open() as pipe:
        for line in pipe:
            heard.append(line)
            if len(heard) % 500 == 0:
                time.sleep(0.1)
            if len(heard) == LINES:
                break
    writer.join(20)
    assert not writer.is_alive()
    assert heard == lines


def test_a_reader_of_a_pipe_can_be_interrupted(pair: tuple[Mount, Mount], here: Path) -> None:
    pipe = here / f"peers/{identity(pair[1])}/out"
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as cat:
        time.sleep(0.3)
        assert cat.poll() is None
        cat.send_signal(signal.SIGINT)
        assert cat.wait(5) == -signal.SIGINT


def test_four_offers_wait_at_most_and_abandoned_ones_are_forgotten(there: Path) -> None:
    made = [json.loads((there / "new-offer").read_text()) for _ in range(4)]
    assert len({each["sdp"] for each in made}) == 4
    with pytest.raises(OSError, match="Resource temporarily unavailable"):
        (there / "new-offer").read_text()


def test_the_end_of_the_session_is_told_to_the_guest(
    pair: tuple[Mount, Mount], here: Path, there: Path
) -> None:
    host, guest = pair
    (host.path / "me/session.json").unlink()
    eventually(lambda: (there / "state").read_text().startswith("ended"))
    eventually(lambda: not (there / "host.offer.bin").exists())
    refused = guest.datfs("join", identity(host), check=False)
    assert refused.returncode == 69
    assert "hosts no session now" in refused.stderr


@pytest.mark.timeout(200)
def test_room_for_two_the_third_waits_and_leavers_make_room(tmp_path: Path, carrier: str) -> None:
    with contextlib.ExitStack() as stack:
        hosts = stack.enter_context(network(4))
        host = stack.enter_context(mounted(tmp_path / "host", *ALONE, host=hosts[0]))
        hosted(host, max_peers=2, carrier=carrier)
        first = stack.enter_context(mounted(tmp_path / "first", *asking(hosts[0]), host=hosts[1]))
        second = stack.enter_context(mounted(tmp_path / "second", *asking(hosts[0]), host=hosts[2]))
        third = stack.enter_context(mounted(tmp_path / "third", *asking(hosts[0]), host=hosts[3]))
        joined(host, first)
        joined(host, second)
        here = lobby(host, session(host.path / "me"))
        there = lobby(third, session(third.path / "dat" / identity(host)))
        offer(there, third)
        eventually(lambda: (here / "state").read_text() == "hosting: 2 connected, 1 waiting\n")
        assert (there / "state").read_text().startswith("waiting for host")

        first.datfs("umount", first.path)
        eventually(lambda: (there / "state").read_text().startswith("joined"))

        again = stack.enter_context(mounted(tmp_path / "first", *asking(hosts[0]), host=hosts[1]))
        folder = lobby(again, session(again.path / "dat" / identity(host)))
        assert folder.name in os.listdir(again.path / "lobby"), "it is a member still"
        offer(folder, again)
        eventually(lambda: (here / "state").read_text() == "hosting: 2 connected, 1 waiting\n")
        kill(second)
        eventually(lambda: (folder / "state").read_text().startswith("joined"), EXPIRY_S)
        eventually(lambda: status(host)["session"]["peers"] == 2)
        (folder / f"peers/{identity(host)}/in").write_text("back\n")
        with (here / f"peers/{identity(again)}/out").open() as pipe:
            assert pipe.readline() == "back\n"
