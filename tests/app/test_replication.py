"""Mounts among JavaScript peers and each other: the same files, live, and nothing that hangs."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.app.people import LOOPBACK, asked_at, events, identity, status
from tests.support.eventually import eventually
from tests.support.mounts import mounted
from tests.support.node_peers import NodePeer
from tests.vectors import GOLDEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.mounts import Mount

NAMES = sorted(folder.name for folder in GOLDEN.iterdir())
NOBODYS_KEY = "ab" * 32


def shown(top: Path) -> list[dict[str, Any]]:
    """Every entry below a directory, as manifests describe them."""
    rows = []
    for path in sorted(top.rglob("*"), key=lambda path: [os.fsencode(p) for p in path.parts]):
        found = path.lstat()
        row: dict[str, Any] = {
            "path": f"/{path.relative_to(top)}",
            "mode": found.st_mode,
            "size": found.st_size,
            "mtime": found.st_mtime_ns // 1_000_000,
        }
        if stat.S_ISREG(found.st_mode):
            row["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        rows.append(row)
    return rows


def holds(file: Path, text: str) -> bool:
    return file.read_text() == text


@pytest.mark.parametrize("name", NAMES)
def test_mounted_folder_shows_its_manifest(name: str, tmp_path: Path) -> None:
    manifest = json.loads((GOLDEN / name / "manifest.json").read_text())
    shutil.copytree(GOLDEN / name / "archive", tmp_path / "archive")
    kept = ("path", "mode", "size", "mtime", "sha256")
    expected = [
        {key: row[key] for key in kept if key in row}
        for row in manifest["versions"][str(manifest["version"])]
    ]
    with mounted(tmp_path, "--offline", tmp_path / "archive") as mount:
        assert shown(mount.path) == expected


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mount]:
    with mounted(tmp_path_factory.mktemp("host"), *LOOPBACK) as mount:
        yield mount


def test_javascript_clones_a_mounted_identity_while_it_is_written(
    host: Mount, peers: Path, tmp_path: Path
) -> None:
    me = host.path / "me"
    host.run("sh", "-c", f"mkdir -p {me}/notes; for i in 1 2 3; do echo $i > {me}/notes/$i; done")
    remote = f"{identity(host)}@127.0.0.1:{status(host)['port']}"
    version = status(host)["archives"][identity(host)]["version"]
    wanted = ("--min-version", str(version + 5), "--files", tmp_path / "files")
    with NodePeer(peers, "clone.js", remote, tmp_path / "clone", *wanted) as clone:
        eventually(lambda: status(host)["archives"][identity(host)]["peers"] == 1)
        host.run("sh", "-c", f"for i in 4 5 6 7 8; do echo live $i > {me}/notes/$i; done")
        done = clone.event("done", timeout_s=40)
    assert {row["path"] for row in done["tree"] if row["path"].startswith("/notes/")} == {
        f"/notes/{n}" for n in range(1, 9)
    }
    assert (tmp_path / "files/notes/8").read_text() == "live 8\n"
    assert (tmp_path / "files/profile.json").read_bytes() == (me / "profile.json").read_bytes()


def test_changes_of_a_javascript_writer_show_at_once_and_are_read_only(
    peers: Path, tmp_path: Path
) -> None:
    with NodePeer(peers, "writer.js", tmp_path / "archive", "--create") as writer:
        at = writer.event("listening")
        writer.send({"cmd": "put", "path": "/a.txt", "text": "one", "id": 1})
        writer.event("ok", id=1)
        peer = ("--peer", f"127.0.0.1:{at['port']}")
        with mounted(tmp_path, *LOOPBACK, *peer) as mount:
            folder = mount.path / "dat" / at["key"]
            assert os.listdir(folder) == ["a.txt"]
            assert (folder / "a.txt").read_text() == "one"
            for n in range(2, 12):
                text = f"version {n} " * n  # every size is another
                writer.send({"cmd": "put", "path": "/a.txt", "text": text, "id": n})
                writer.event("ok", id=n)
                eventually(partial(holds, folder / "a.txt", text), 5)
            writer.send({"cmd": "put", "path": "/same", "text": "AAAA", "id": 20})
            eventually(lambda: (folder / "same").read_text() == "AAAA", 5)
            writer.send({"cmd": "put", "path": "/same", "text": "BBBB", "id": 21})
            eventually(lambda: (folder / "same").read_text() == "BBBB", 5)
            writer.send({"cmd": "del", "path": "/a.txt", "id": 30})
            eventually(lambda: not (folder / "a.txt").exists(), 5)
            writer.send({"cmd": "put", "path": "/sub/b", "size": 200_000, "fill": 7, "id": 31})
            writer.event("ok", id=31)
            eventually(lambda: (folder / "sub/b").stat().st_size == 200_000, 5)
            assert len((folder / "sub/b").read_bytes()) == 200_000
            assert (mount.path / f"dat/{at['key']}+1" / "a.txt").read_text() == "one"
            assert events(mount, "archive-updated")[-1]["archive"] == at["key"]
            changes: tuple[Callable[[], object], ...] = (
                lambda: (folder / "new").write_text("x"),
                lambda: (folder / "same").write_text("x"),
                lambda: (folder / "same").unlink(),
                lambda: (folder / "same").rename(folder / "other"),
                lambda: (folder / "d").mkdir(),
                lambda: (folder / "same").chmod(0o600),
            )
            for change in changes:
                with pytest.raises(OSError, match="Read-only file system") as refused:
                    change()
                assert refused.value.errno == errno.EROFS


def test_session_data_passes_both_ways(host: Mount, peers: Path) -> None:
    key = identity(host)
    remote = f"{key}@127.0.0.1:{status(host)['port']}"
    own = host.path / f".datfs/archives/{key}/session-data"
    assert own.read_text() == ""
    own.write_text("from the mount")
    with NodePeer(peers, "session.js", remote, "--send", "from node") as peer:
        assert peer.event("extension")["text"] == "from the mount"
        connections = host.path / ".datfs/connections"
        said = eventually(
            lambda: [
                text
                for connection in os.listdir(connections)
                if (text := (connections / connection / "session-data").read_text())
            ]
        )
        assert said == ["from node"]
        assert eventually(lambda: events(host, "session-data"))[-1]["text"] == "from node"
        with pytest.raises(OSError, match="Message too long") as refused:  # noqa: PT012
            opened = os.open(own, os.O_WRONLY | os.O_TRUNC)
            try:
                os.write(opened, b"x" * 257)
            finally:
                os.close(opened)
        assert refused.value.errno == errno.EMSGSIZE
    eventually(lambda: os.listdir(connections) == [])


def test_what_nobody_has_hangs_nothing(host: Mount, tmp_path: Path) -> None:
    began = time.monotonic()
    folder = host.path / "dat" / NOBODYS_KEY
    assert folder.is_dir(), "a lookup asks nobody"
    outcomes: list[object] = []

    def list_it() -> None:
        try:
            outcomes.append(os.listdir(folder))
        except OSError as error:
            outcomes.append(error.errno)

    waiting = [threading.Thread(target=list_it) for _ in range(20)]
    for thread in waiting:
        thread.start()
    time.sleep(0.2)
    at = time.monotonic()
    (host.path / "me/meanwhile").write_text("x")
    assert (host.path / "me/meanwhile").read_text() == "x"
    os.listdir(host.path / "dat")
    os.statvfs(host.path)
    assert time.monotonic() - at < 2, "other work goes on"
    for thread in waiting:
        thread.join(10)
    assert outcomes == [errno.ETIMEDOUT] * len(waiting)
    assert time.monotonic() - began < 10
    assert NOBODYS_KEY not in os.listdir(host.path / "dat")
    told = status(host)["archives"][NOBODYS_KEY]["discovery"]
    assert "none given" in told["fixed peers"]["outcome"]


def test_no_peers_are_explained(tmp_path: Path) -> None:
    with mounted(tmp_path, *LOOPBACK, "--peer", "127.0.0.1:9") as mount:
        key = identity(mount)

        def outcome() -> str:
            found = status(mount)["archives"][key]["discovery"]["peer 127.0.0.1:9"]
            return str(found["outcome"])

        eventually(lambda: "does not answer" in outcome())
        assert "no peer is connected" in mount.datfs("peers").stdout


def test_an_archive_comes_back_when_its_owner_does(tmp_path: Path) -> None:
    """The reader has it all already and dials again as soon as somebody looks."""
    with contextlib.ExitStack() as stack:
        with mounted(tmp_path / "owner", *LOOPBACK) as owner:
            key, port = identity(owner), status(owner)["port"]
            reader = stack.enter_context(mounted(tmp_path / "reader", *asked_at(owner)))
            folder = reader.path / "dat" / key
            assert (folder / "profile.json").exists()
        eventually(lambda: status(reader)["archives"][key]["peers"] == 0)
        time.sleep(2.5)  # the pauses between dials grow
        with mounted(tmp_path / "owner", *LOOPBACK, "--port", str(port)) as owner:
            (owner.path / "me/late").write_text("content\n")
            eventually(lambda: "late" in os.listdir(folder), 5)
            assert (folder / "late").read_text() == "content\n"
