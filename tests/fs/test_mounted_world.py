"""The whole tree, mounted: every place of it, and archives that cannot be had."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.fs.serve_world import BLOCKLESS
from tests.fs.shell import good, settled, sh
from tests.support.mounts import Mount, mounted
from tests.vectors import GOLDEN

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = "ab" * 32
FRIEND = json.loads((GOLDEN / "three-files" / "manifest.json").read_text())["key"]
LOBBY = "11" * 32


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mount]:
    folder = tmp_path_factory.mktemp("world")
    shutil.copytree(GOLDEN / "three-files" / "archive", folder / "friend")
    shutil.copytree(GOLDEN / "big" / "archive", folder / "blockless")
    with mounted(folder, command=[sys.executable, "-m", "tests.fs.serve_world", folder]) as mount:
        yield mount


@pytest.fixture(scope="module")
def me(mount: Mount) -> str:
    return (mount.path / ".datfs" / "identity").read_text().strip()


def test_places(mount: Mount, me: str) -> None:
    assert sorted(os.listdir(mount.path)) == [".datfs", "dat", "friends", "lobby", "me"]
    assert sorted(os.listdir(mount.path / "dat")) == sorted([me, FRIEND, BLOCKLESS.hex()])
    assert os.listdir(mount.path / "lobby") == [LOBBY]
    assert os.listdir(mount.path / "friends") == ["Ann"]
    assert json.loads((mount.path / ".datfs" / "status.json").read_text()) == {"archives": 1}
    assert json.loads((mount.path / ".datfs" / "peers.json").read_text()) == []
    assert (mount.path / ".datfs" / "version").read_text() == "0.0\n"
    assert (mount.path / ".datfs" / "events").read_text() == ""


def test_own_archive_is_one_place_by_two_names(mount: Mount, me: str) -> None:
    good(mount.path / "me", "echo mine > f")
    assert os.readlink(mount.path / "dat" / me) == "../me"
    assert (mount.path / "dat" / me / "f").read_text() == "mine\n"
    assert (mount.path / "dat" / f"{me}+0").is_dir()
    assert os.listdir(mount.path / "dat" / f"{me}+0") == []


def test_friend_is_a_link_into_dat(mount: Mount) -> None:
    assert os.readlink(mount.path / "friends" / "Ann") == f"../dat/{FRIEND}"
    assert sorted(os.listdir(mount.path / "friends" / "Ann")) == ["data", "readme.md", "run.sh"]
    assert "Read-only" in sh(mount.path / "friends" / "Ann", "echo x > readme.md").stderr


def test_versions(mount: Mount) -> None:
    dat = mount.path / "dat"
    assert sorted(os.listdir(dat / f"{FRIEND}+1")) == ["readme.md"]
    assert sorted(os.listdir(dat / f"{FRIEND}+2")) == ["data", "readme.md"]
    assert (dat / f"{FRIEND}+2" / "data" / "table.csv").read_bytes() == (
        dat / FRIEND / "data" / "table.csv"
    ).read_bytes()
    with pytest.raises(TimeoutError):
        os.listdir(dat / f"{FRIEND}+99")


@pytest.mark.parametrize(
    "name",
    [
        "x",
        FRIEND[:-1],
        FRIEND + "0",
        FRIEND.upper(),
        f"{FRIEND}+",
        f"{FRIEND}+01",
        f"{FRIEND}+-1",
        f"{FRIEND}+9007199254740992",
        f"{FRIEND}+1+1",
        f"{FRIEND[:-1]}g",
    ],
)
def test_names_that_are_no_key(mount: Mount, name: str) -> None:
    assert not (mount.path / "dat" / name).exists()


def test_unreachable_archive_is_a_directory_at_once_and_times_out_inside(mount: Mount) -> None:
    started = time.monotonic()
    assert (mount.path / "dat" / NOBODY).is_dir()
    assert (mount.path / "lobby" / NOBODY).is_dir()
    assert time.monotonic() - started < 0.5
    with pytest.raises(TimeoutError):
        os.listdir(mount.path / "dat" / NOBODY)
    with pytest.raises(TimeoutError):
        (mount.path / "dat" / NOBODY / "profile.json").read_text()


def test_unreachable_archives_hang_nothing_else(mount: Mount) -> None:
    waiting = [
        subprocess.Popen(["ls", mount.path / "dat" / f"{number:064x}"], stderr=subprocess.DEVNULL)
        for number in range(1, 21)
    ]
    try:
        started = time.monotonic()
        good(mount.path, f"ls -l . me dat friends lobby; df .; cat dat/{FRIEND}/readme.md")
        good(mount.path, f"stat dat/{'ee' * 32}; echo x > me/while-waiting")
        assert time.monotonic() - started < 0.8
        assert any(process.poll() is None for process in waiting)
    finally:
        assert {process.wait(10) for process in waiting} == {2}


def test_block_that_never_comes_times_out_and_hangs_nothing_else(mount: Mount) -> None:
    folder = mount.path / "dat" / BLOCKLESS.hex()
    name = max(folder.iterdir(), key=lambda path: path.stat().st_size).name
    waiting = [
        subprocess.Popen(["cat", folder / name], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        for _ in range(30)
    ]
    try:
        started = time.monotonic()
        good(mount.path, f"cat dat/{FRIEND}/readme.md; ls -l dat/{BLOCKLESS.hex()}; df .")
        good(mount.path, "for i in 1 2 3; do echo x > me/f$i; cat me/f$i; done")
        assert time.monotonic() - started < 1
    finally:
        said = [process.communicate(timeout=20)[1].decode() for process in waiting]
    assert all(process.returncode for process in waiting)
    assert any("Connection timed out" in text for text in said)
    assert any("Resource temporarily unavailable" in text for text in said)


def test_lobby_shows_the_union_and_takes_ones_own_names(mount: Mount, me: str) -> None:
    lobby = mount.path / "lobby" / LOBBY
    assert {"new-offer", "peers", "readme.md", "state"} <= set(os.listdir(lobby))
    assert (lobby / "state").read_text() == "waiting for host\n"
    good(lobby, f"cat new-offer > {me}.offer.bin")
    assert json.loads((lobby / f"{me}.offer.bin").read_text())["type"] == "offer"
    assert f"{me}.offer.bin" in os.listdir(lobby)
    good(lobby, f"echo again > {me}.offer.bin; echo more >> {me}.offer.bin")
    assert (lobby / f"{me}.offer.bin").read_text() == "again\nmore\n"
    good(lobby, f"rm {me}.offer.bin")
    settled(lambda: f"{me}.offer.bin" not in os.listdir(lobby))


def test_lobby_refuses_names_of_others(mount: Mount) -> None:
    lobby = mount.path / "lobby" / LOBBY
    for script, message in {
        "echo x > host.offer.bin": "Operation not permitted",
        f"echo x > {NOBODY}.offer.bin": "Operation not permitted",
        "echo x > readme.md": "Read-only file system",
        "rm -f readme.md": "Operation not permitted",
        "rm -f state": "Operation not permitted",
        "mv readme.md other": "Operation not permitted",
        "mkdir peers/x": "Operation not permitted",
    }.items():
        done = sh(lobby, script)
        assert message in done.stderr, script


def test_peer_directory(mount: Mount) -> None:
    peer = mount.path / "lobby" / LOBBY / "peers" / FRIEND
    assert sorted(os.listdir(peer)) == [
        "in",
        "out",
        "profile.json",
        "session-data",
        "state",
        "stats.json",
    ]
    assert (peer / "state").read_text() == "connected\n"
    assert json.loads((peer / "stats.json").read_text()) == {"messages": 3}
    assert (peer / "session-data").read_text() == "here"
    assert os.readlink(peer / "profile.json") == f"../../../../dat/{FRIEND}/profile.json"
    assert (peer / "in").is_fifo()
    assert (peer / "profile.json").parent.joinpath("../../../../dat", FRIEND).is_dir()
    out = good(peer, "echo hello > in & timeout 5 head -n 1 in; wait")
    assert out == "hello\n"


def test_removing_a_peer_s_directory_parts_from_the_peer(mount: Mount) -> None:
    peers = mount.path / "lobby" / LOBBY / "peers"
    good(peers, f"rm {FRIEND}/out")
    assert "out" not in os.listdir(peers / FRIEND)
    assert "No such file" in sh(peers, f"rm {FRIEND}/out").stderr
    assert "No such file" in sh(peers, f"rmdir {NOBODY}").stderr
    good(peers, f"rm -r {FRIEND}")
    assert os.listdir(peers) == []


def test_session_data(mount: Mount) -> None:
    top = mount.path / ".datfs"
    ours = f"archives/{FRIEND}/session-data"
    assert os.listdir(top / "archives") == [FRIEND]
    assert os.listdir(top / "connections") == ["1"]
    assert (top / ours).read_bytes() == b""
    good(top, f"printf here > {ours}")
    assert (top / ours).read_bytes() == b"here"
    assert (top / "connections" / "1" / "session-data").read_bytes() == b"here"
    assert (top / ours).stat().st_size == 4
    good(top, f"head -c 256 /dev/zero > {ours}")
    assert "Message too long" in sh(top, f"head -c 257 /dev/zero > {ours}").stderr
    assert len((top / ours).read_bytes()) == 256


def test_nothing_unforeseen_was_logged(mount: Mount) -> None:
    """Must stay the last test that uses the shared mount."""
    assert "Traceback" not in mount.log.read_text()
