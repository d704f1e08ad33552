"""Beginning and ending, and what keeps a mount from it: one sentence that says what to do."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.app.people import LOOPBACK, events, identity, kill, status
from tests.support.eventually import eventually
from tests.support.mounts import (
    DATFS,
    force_unmount,
    is_mounted,
    mounted,
    store_environment,
)
from tests.support.requirements import require_fuse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

OFFLINE = ("--offline",)


@pytest.fixture
def spot(tmp_path: Path) -> Iterator[Path]:
    """A mountpoint that is free again afterwards, whoever mounted there."""
    require_fuse()
    folder = tmp_path / f"datfs-test-mnt.{os.getpid()}"
    folder.mkdir()
    yield folder
    force_unmount(folder)


def datfs(
    folder: Path, *arguments: str | Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs the command as the user whose life lies under the folder."""
    return subprocess.run(
        [*DATFS, *map(str, arguments)],
        env={**store_environment(folder), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def complaint(done: subprocess.CompletedProcess[str], code: int) -> str:
    """What a command that failed said: one sentence."""
    lines = [line for line in done.stderr.splitlines() if " WARNING " not in line]
    assert "Traceback" not in done.stdout + done.stderr
    assert len(lines) == 1, done.stderr
    assert done.returncode == code, lines
    return lines[0].removeprefix("datfs: ")


def test_background_mount_serves_when_the_command_returns(tmp_path: Path, spot: Path) -> None:
    done = datfs(tmp_path, "mount", *OFFLINE, spot)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(os.listdir(spot)) == [".datfs", "dat", "friends", "lobby", "me"]
    assert (spot / ".datfs/identity").exists()
    shown = json.loads((spot / ".datfs/status.json").read_text())
    assert shown["mountpoint"] == str(spot)
    (spot / "me/file").write_text("kept\n")
    opened = os.open(spot / "me/open", os.O_WRONLY | os.O_CREAT)
    os.write(opened, b"half")  # umount saves what is still being written
    assert datfs(tmp_path, "umount", spot).returncode == 0
    assert not is_mounted(spot)
    with contextlib.suppress(OSError):  # its file system is gone
        os.close(opened)
    with mounted(tmp_path, *OFFLINE) as mount:
        assert (mount.path / "me/file").read_text() == "kept\n"
        assert (mount.path / "me/open").read_text() == "half"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_with_nothing_mounted(tmp_path: Path, how: signal.Signals) -> None:
    with mounted(tmp_path, *OFFLINE) as mount:
        in_use = os.open(mount.path / "me/profile.json", os.O_RDONLY)
        mount.process.send_signal(how)
        assert mount.process.wait(15) == 0
        assert not is_mounted(mount.path)
        assert "Traceback" not in mount.log.read_text()
        with contextlib.suppress(OSError):  # its file system is gone
            os.close(in_use)


def descriptors(pid: int) -> set[str]:
    """What a process holds open; it opens and closes files meanwhile."""
    held = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            held.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return held


def test_offline_opens_no_socket_to_the_network(tmp_path: Path) -> None:
    with mounted(tmp_path, *OFFLINE) as mount:
        (mount.path / "me/session.json").write_text('{"name": "alone"}')
        shown = status(mount)
        assert shown["port"] is None
        own = shown["archives"][identity(mount)]
        assert own["discovery"]["network"]["outcome"] == "switched off (--offline)"
        inet = mount.run(
            "cat", *[f"/proc/{mount.process.pid}/net/{kind}" for kind in ("tcp", "udp")]
        )
        inodes = {line.split()[9] for line in inet.stdout.splitlines() if ":" in line}
        held = descriptors(mount.process.pid)
        assert any(link.startswith("socket:") for link in held)
        assert not {f"socket:[{inode}]" for inode in inodes} & held


def test_a_store_in_use_names_who_uses_it(tmp_path: Path, spot: Path) -> None:
    with mounted(tmp_path / "one", *OFFLINE) as mount:
        environment = {"DATFS_HOME": str(mount.home)}
        for arguments in (("mount", *OFFLINE, spot), ("init", "--name", "x")):
            told = complaint(datfs(tmp_path, *arguments, environment=environment), 75)
            assert f"process {mount.process.pid}" in told
            assert str(mount.path) in told
        told = complaint(datfs(tmp_path / "two", "mount", *OFFLINE, mount.path), 71)
        assert "mounted already" in told
        kill(mount)
        assert datfs(tmp_path, "mount", *OFFLINE, spot, environment=environment).returncode == 0
        assert datfs(tmp_path, "umount", spot, environment=environment).returncode == 0


def test_mountpoints_that_are_none(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert f"mkdir -p {missing}" in complaint(datfs(tmp_path, "mount", *OFFLINE, missing), 71)
    file = tmp_path / "file"
    file.touch()
    assert "not a directory" in complaint(datfs(tmp_path, "mount", *OFFLINE, file), 71)


def test_what_a_machine_may_lack(tmp_path: Path, spot: Path) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    done = datfs(tmp_path, "mount", *OFFLINE, spot, environment={"PATH": str(empty)})
    assert "fuse3" in complaint(done, 71)
    if os.geteuid() == 0:
        devices = "mknod /dev/null c 1 3 && mknod /dev/urandom c 1 9"
        script = f'mount -t tmpfs none /dev && {devices} && exec "$@"'
        command = ["unshare", "-m", "sh", "-c", script, "sh", *DATFS, "mount", *OFFLINE, str(spot)]
        done = subprocess.run(
            command,
            env=store_environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert "/dev/fuse" in complaint(done, 71)


def test_wrong_keys_and_urls(tmp_path: Path) -> None:
    with mounted(tmp_path, *OFFLINE) as mount:
        for wrong in ("nonsense", "ab" * 31, "AB" * 32, "zz" * 32, "ab" * 32 + "+x"):
            for folder in ("dat", "lobby"):
                assert not (mount.path / folder / wrong).exists()
                with pytest.raises(OSError, match=r"No such file|not permitted|Read-only|denied"):
                    (mount.path / folder / wrong).mkdir()
        assert "'nonsense' is not a Dat URL" in complaint(
            mount.datfs("join", "nonsense", check=False), 64
        )
        assert "did not" in complaint(
            mount.datfs("join", "ab" * 32, "--timeout", "0.5", check=False), 75
        )
        assert "did not come" in complaint(
            mount.datfs("wait", "me/nothing", "--timeout", "0.2", check=False), 75
        )
    told = complaint(datfs(tmp_path, "mount", *OFFLINE, tmp_path / "state", mount.path), 65)
    assert "no Dat archive" in told
    assert "start one" in complaint(datfs(tmp_path, "status"), 69)


def truncated(name: str, size: int) -> Callable[[Path], None]:
    return lambda archive: os.truncate(archive / name, size)


def overwritten(name: str, offset: int, content: bytes) -> Callable[[Path], None]:
    def damage(archive: Path) -> None:
        with (archive / name).open("r+b") as file:
            file.seek(offset)
            file.write(content)

    return damage


def removed(name: str) -> Callable[[Path], None]:
    def damage(archive: Path) -> None:
        path = archive / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

    return damage


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that was mounted, written to and unmounted in order."""
    folder = tmp_path_factory.mktemp("used")
    with mounted(folder, *OFFLINE) as mount:
        for n in range(5):
            (mount.path / f"me/file{n}").write_text(f"content {n}\n")
    return folder


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (truncated("metadata/tree", 100), "metadata/tree"),
        (overwritten("metadata/tree", 40, b"\xff" * 200), "metadata/"),
        (overwritten("metadata/key", 0, b"\xff"), "metadata/key"),
        (removed("metadata/key"), "metadata/key"),
        (truncated("metadata/secret_key", 5), "metadata/secret_key"),
        (overwritten("metadata/secret_key", 0, bytes(64)), "metadata/secret_key"),
        (removed("metadata/secret_key"), "metadata/secret_key"),
    ],
)
def test_damage_that_cannot_be_mended_is_refused_by_name(
    used: Path, tmp_path: Path, spot: Path, damage: Callable[[Path], None], named: str
) -> None:
    shutil.copytree(used / "store", tmp_path / "store")
    shutil.copytree(used / "state", tmp_path / "state")
    archive = tmp_path / "store/archives" / (tmp_path / "store/identity").read_text().strip()
    damage(archive)
    told = complaint(datfs(tmp_path, "mount", *OFFLINE, spot), 74)
    assert f"{archive}/{named}" in told
    assert not is_mounted(spot)


@pytest.mark.parametrize(
    ("damage", "named", "writable"),
    [
        (truncated("metadata/bitfield", 0), "metadata/bitfield", True),
        (removed("metadata/signatures"), "metadata/signatures", True),
        (truncated("content/signatures", 32), "content/signatures", True),
        (truncated("content/bitfield", 0), "content/bitfield", True),
        (truncated("content/data", 60), "content/data", True),
        (truncated("metadata/data", 200), "metadata/data", False),
        (removed("content"), "content/key", False),
    ],
)
def test_damage_that_leaves_something_is_told_and_never_signed_over(
    used: Path, tmp_path: Path, damage: Callable[[Path], None], named: str, writable: bool
) -> None:
    shutil.copytree(used / "store", tmp_path / "store")
    shutil.copytree(used / "state", tmp_path / "state")
    archive = tmp_path / "store/archives" / (tmp_path / "store/identity").read_text().strip()
    damage(archive)
    with mounted(tmp_path, *OFFLINE) as mount:
        told = [*events(mount, "repaired"), *events(mount, "read-only")]
        assert any(str(archive / named) in json.dumps(event) for event in told)
        new = mount.path / "me/new"
        if writable:
            new.write_text("goes on\n")
            assert new.read_text() == "goes on\n"
        else:
            with pytest.raises(OSError, match="Read-only"):
                new.write_text("must not be signed")
            assert status(mount)["archives"][identity(mount)]["read_only"]
        (mount.path / ".datfs/status.json").read_text()
    assert "Traceback" not in mount.log.read_text()


def test_damaged_settings_and_identity_are_refused_by_name(
    used: Path, tmp_path: Path, spot: Path
) -> None:
    shutil.copytree(used / "store", tmp_path / "store")
    (tmp_path / "store/config.toml").write_text("{")
    told = complaint(datfs(tmp_path, "mount", *OFFLINE, spot), 78)
    assert str(tmp_path / "store/config.toml") in told
    (tmp_path / "store/config.toml").unlink()
    (tmp_path / "store/identity").write_text("zz\n")
    told = complaint(datfs(tmp_path, "mount", *OFFLINE, spot), 74)
    assert str(tmp_path / "store/identity") in told


def test_a_crash_loses_nothing_that_was_closed(tmp_path: Path) -> None:
    with mounted(tmp_path, *LOOPBACK) as mount:
        for n in range(20):
            (mount.path / f"me/{n}").write_text(f"{n}\n" * 1000)
        kill(mount)
    with mounted(tmp_path, *LOOPBACK) as mount:
        for n in range(20):
            assert (mount.path / f"me/{n}").read_text() == f"{n}\n" * 1000
        eventually(lambda: status(mount)["archives"][identity(mount)]["version"] >= 21)
