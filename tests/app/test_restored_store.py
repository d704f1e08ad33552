"""A store put back from an older copy never signs a length twice: real mounts, one user."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING, Any

from tests.support.mounts import mounted

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.mounts import Mount

WAIT_S = 15.0


def status(mount: Mount) -> dict[str, Any]:
    shown = mount.run("cat", mount.path / ".datfs/status.json").stdout
    found: dict[str, Any] = json.loads(shown)
    return found


def events(mount: Mount, kind: str) -> list[dict[str, Any]]:
    lines = mount.run("cat", mount.path / ".datfs/events").stdout.splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def own(mount: Mount) -> dict[str, Any]:
    shown = status(mount)
    found: dict[str, Any] = shown["archives"][shown["identity"]]
    return found


def until(mount: Mount, kind: str) -> dict[str, Any]:
    end = time.monotonic() + WAIT_S
    while not (found := events(mount, kind)):
        assert time.monotonic() < end, f"no event {kind}: {mount.log.read_text()}"
        time.sleep(0.05)
    return found[-1]


def write(mount: Mount, name: str, text: str) -> int:
    command = f"echo {text} > {mount.path}/me/{name}"
    return mount.run("sh", "-c", command, check=False).returncode


def test_the_mark_outside_the_store_keeps_an_older_copy_read_only(tmp_path: Path) -> None:
    with mounted(tmp_path, "--offline") as mount:
        assert write(mount, "early", "1") == 0
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    with mounted(tmp_path, "--offline") as mount:
        assert write(mount, "late", "2") == 0
    shutil.rmtree(tmp_path / "store")
    shutil.copytree(tmp_path / "copy", tmp_path / "store")
    (tmp_path / "mount.log").unlink()
    with mounted(tmp_path, "--offline") as mount:
        assert mount.run("cat", mount.path / "me/early").stdout == "1\n"
        shown = own(mount)
        assert shown["own"]
        assert not shown["writable"]
        assert "were signed once" in shown["read_only"]
        assert "were signed once" in events(mount, "read-only")[-1]["reason"]
        assert "is read-only" in mount.log.read_text()
        assert write(mount, "other", "3") != 0


def test_a_peer_that_knows_more_makes_an_older_copy_read_only_and_gives_the_rest_back(
    tmp_path: Path,
) -> None:
    """Without the mark (a new machine) the copy looks whole, until somebody proves otherwise."""
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    with mounted(mine, "--listen", "127.0.0.1") as mount:
        assert write(mount, "early", "1") == 0
    shutil.copytree(mine / "store", tmp_path / "copy")
    with mounted(mine, "--listen", "127.0.0.1") as mount:
        key = status(mount)["identity"]
        assert write(mount, "late", "2") == 0
        peer = f"127.0.0.1:{status(mount)['port']}"
        with mounted(theirs, "--listen", "127.0.0.1", "--peer", peer) as reader:
            seen = reader.run("cat", reader.path / "dat" / key / "late", timeout_s=40)
            assert seen.stdout == "2\n"
    shutil.rmtree(mine / "store")
    shutil.rmtree(mine / "state")
    shutil.copytree(tmp_path / "copy", mine / "store")
    with mounted(theirs, "--listen", "127.0.0.1") as reader:
        assert reader.run("ls", reader.path / "dat" / key).stdout
        peer = f"127.0.0.1:{status(reader)['port']}"
        with mounted(mine, "--listen", "127.0.0.1", "--peer", peer) as mount:
            told = until(mount, "overtaken")
            assert told["known_length"] > told["length"]
            assert "would fork it" in own(mount)["read_only"]
            assert "would fork it" in mount.log.read_text()
            assert write(mount, "other", "3") != 0
        # At the next mount what was lost comes back, and can be read again.
        with mounted(mine, "--listen", "127.0.0.1", "--peer", peer) as mount:
            end = time.monotonic() + WAIT_S
            while mount.run("cat", mount.path / "me/late", check=False).stdout != "2\n":
                assert time.monotonic() < end, mount.log.read_text()
                time.sleep(0.1)


def test_content_that_no_peer_has_keeps_the_archive_read_only(tmp_path: Path) -> None:
    """A reader holds all metadata and only the content that was read: the rest was signed too."""
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    loopback = ("--listen", "127.0.0.1")
    with mounted(mine, *loopback) as mount:
        assert write(mount, "early", "1") == 0
    shutil.copytree(mine / "store", tmp_path / "copy")
    with mounted(mine, *loopback) as mount:
        key = status(mount)["identity"]
        assert write(mount, "late", "2") == 0
        peer = f"127.0.0.1:{status(mount)['port']}"
        with mounted(theirs, *loopback, "--peer", peer) as reader:
            assert "late" in reader.run("ls", reader.path / "dat" / key, timeout_s=40).stdout
    shutil.rmtree(mine / "store")
    shutil.rmtree(mine / "state")
    shutil.copytree(tmp_path / "copy", mine / "store")
    with mounted(theirs, *loopback) as reader:
        assert reader.run("ls", reader.path / "dat" / key).stdout
        peer = f"127.0.0.1:{status(reader)['port']}"
        with mounted(mine, *loopback, "--peer", peer) as mount:
            until(mount, "overtaken")
        with mounted(mine, *loopback, "--peer", peer) as mount:
            end = time.monotonic() + WAIT_S
            while "late" not in mount.run("ls", mount.path / "me").stdout:
                assert time.monotonic() < end, mount.log.read_text()
                time.sleep(0.1)
    with mounted(mine, *loopback) as mount:
        assert not own(mount)["writable"]
        assert write(mount, "other", "3") != 0
