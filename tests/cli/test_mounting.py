from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from datfs.app.config import Config
from datfs.errors import MountError
from datfs.fs.kernel import find_mount
from tests.support.mounts import mounted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from datfs.store.home import Home
    from tests.cli.conftest import Command

KEY = "ab" * 32

# what a datfs does as far as umount can see: holds the store, serves the socket, ends when asked
SERVED = """
import trio
from pathlib import Path
from datfs.app.control import ControlServer
from datfs.store.home import Home

async def serve(mountpoint):
    home = Home.locate()
    asked = trio.Event()

    async def umount(params):
        yield {"waiting_for": "3 files"}
        asked.set()

    with home.lock(mountpoint):
        async with trio.open_nursery() as nursery:
            await nursery.start(ControlServer({"umount": umount}).serve, home.socket)
            print("serving", flush=True)
            await asked.wait()
            nursery.cancel_scope.cancel()

import sys
trio.run(serve, Path(sys.argv[1]))
"""


class Served:
    """Stands in for the daemon: notes how it was called, serves at once and ends."""

    def __init__(self) -> None:
        self.calls: list[tuple[Config, Path, str | None]] = []

    def run(
        self,
        config: Config,
        home: Home,
        mountpoint: Path,
        source: str | None,
        ready: Callable[[], None],
    ) -> None:
        if mountpoint.name == "busy":
            raise MountError("the mountpoint is busy; choose another")
        ready()
        self.calls.append((config, mountpoint, source))


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    daemon = ModuleType("datfs.app.daemon")
    stand_in = Served()
    daemon.run = stand_in.run  # type: ignore[attr-defined] # a module made for this test
    monkeypatch.setitem(sys.modules, "datfs.app.daemon", daemon)
    import datfs.app

    monkeypatch.setattr(datfs.app, "daemon", daemon, raising=False)
    level = logging.getLogger("datfs").level
    yield stand_in
    logging.getLogger("datfs").setLevel(level)


def test_mount_makes_one_configuration_of_all_its_sources(
    run: Command, served: Served, home: Home, tmp_path: Path
) -> None:
    home.prepare()
    home.config_file.write_text('peers = ["10.0.0.1:1"]\nheartbeat_s = 7\nlan = true\n')
    outcome = run(
        *("mount", "--foreground", "--peer", "10.0.0.2:2", "--peer", "host", "--no-lan"),
        *("--port", "4000", "-o", "rw,allow_other,port=5000", str(tmp_path)),
    )
    assert outcome == (0, "", f"datfs: mounted at {tmp_path}\n")
    config, mountpoint, source = served.calls[0]
    assert config == Config(
        peers=Config.load(home.config_file, {"peers": "10.0.0.2:2 host"}).peers,
        port=4000,
        lan=False,
        heartbeat_s=7.0,
        allow_other=True,
    )
    assert (mountpoint, source) == (tmp_path, None)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (KEY, KEY),
        (f"dat://{KEY}/", f"dat://{KEY}/"),
        ("none", None),
        ("datfs", None),
        ("folder", "{tmp}/folder"),
    ],
)
def test_two_bare_arguments_mean_mount(
    run: Command,
    served: Served,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    expected: str | None,
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    options = "rw,noauto,user,dev,suid,x-systemd.automount,allow_other"
    assert run(source, str(tmp_path), "-o", options, "-f").code == 0
    config, _, given = served.calls[0]
    assert config == Config(allow_other=True)
    assert given == (expected and expected.format(tmp=tmp_path))


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["nonsense", "mnt"], 64, "'nonsense' is not a Dat URL"),
        (["mount", "a", "b", "c"], 2, "at most a SOURCE and a MOUNTPOINT"),
        (["mount", "-o", "frobnicate", "mnt"], 78, "option frobnicate is unknown"),
        (["mount", "--peer", "a:b", "mnt"], 78, "'a:b' is no address of a peer"),
        (["mount", "--heartbeat", "0", "mnt"], 78, "should be a number of seconds above 0"),
        (["mount", "-f", "busy"], 71, "the mountpoint is busy"),
        (["unmount"], 2, "No such command"),
    ],
)
def test_mistakes_get_one_sentence_and_a_code(
    run: Command, served: Served, arguments: list[str], code: int, complaint: str
) -> None:
    outcome = run(*arguments)
    assert outcome.code == code
    assert complaint in outcome.err
    assert "Traceback" not in outcome.err


def test_store_that_cannot_be_made_is_told_by_the_foreground(
    run: Command, served: Served, home: Home
) -> None:
    home.folder.write_text("")
    outcome = run("mount", "mnt")
    assert outcome.code == 74
    assert str(home.folder) in outcome.err


def test_umount_tells_what_it_waits_for_and_returns_when_datfs_has_ended(
    run: Command, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mountpoint = tmp_path / "mnt"
    with subprocess.Popen(
        [sys.executable, "-c", SERVED, str(mountpoint)], stdout=subprocess.PIPE, text=True
    ) as serving:
        assert serving.stdout is not None
        assert serving.stdout.readline() == "serving\n"
        monkeypatch.setenv("DATFS_HOME", str(tmp_path / "other"))  # found all the same
        (tmp_path / "link").symlink_to(tmp_path)
        outcome = run("umount", str(tmp_path / "link" / "mnt"))
        assert serving.poll() == 0
    assert outcome == (0, "", "datfs: waiting for 3 files\n")
    assert run("umount", str(mountpoint)).code == 69


def test_umount_takes_a_dead_mount_away(run: Command, home: Home, tmp_path: Path) -> None:
    tiny_fs = os.path.join(os.path.dirname(__file__), "..", "support", "tiny_fs.py")
    command = [sys.executable, tiny_fs]
    with mounted(tmp_path, command=command) as mount:
        mount.process.kill()
        mount.process.wait()
        home.prepare()  # a crash leaves the record in the lock file, and nobody behind the socket
        record = {"pid": mount.process.pid, "mountpoint": str(mount.path)}
        (home.folder / "lock").write_text(json.dumps(record))
        with pytest.raises(OSError, match="not connected"):
            mount.path.stat()
        assert run("umount", str(mount.path)) == (0, "", "")
        assert find_mount(mount.path) is None


def test_umount_leaves_other_file_systems_alone(run: Command, tmp_path: Path) -> None:
    assert "is proc, not datfs" in run("umount", "/proc").err
    outcome = run("umount", str(tmp_path))
    assert outcome == (69, "", f"datfs: nothing is mounted at {tmp_path}\n")


def test_mount_goes_to_the_background_and_tells_what_kept_it(home: Home, tmp_path: Path) -> None:
    """In a process of its own, for it forks."""
    environment: dict[str, Any] = {**os.environ, "DATFS_HOME": str(home.folder)}
    done = subprocess.run(
        [sys.executable, "-m", "datfs", "mount", "--offline", str(tmp_path / "nowhere")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == MountError.exit_code
    assert done.stderr.startswith("datfs: the mountpoint")
    assert len(done.stderr.splitlines()) == 1
