from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from datfs.errors import StoreError, StoreInUse
from datfs.store.home import MAX_SOCKET_PATH_BYTES, Holder, Home

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import os, sys, time
from pathlib import Path
from datfs.store.home import Home
with Home.locate().lock(Path("/mnt/there")):
    print(os.getpid(), flush=True)
    sys.stdin.read()
"""


def home_in(folder: Path, name: str = "store") -> Home:
    environment = {"DATFS_HOME": str(folder / name), "XDG_STATE_HOME": str(folder / "state")}
    return Home.locate(environment)


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_place_follows_the_environment(tmp_path: Path) -> None:
    assert Home.locate({"DATFS_HOME": "/a/b/../c"}).folder.as_posix() == "/a/c"
    assert Home.locate({"XDG_DATA_HOME": "/data"}).folder.as_posix() == "/data/datfs"
    assert Home.locate({}).folder == Home.locate({"DATFS_HOME": ""}).folder
    assert Home.locate({"XDG_STATE_HOME": "/state"}).state.as_posix() == "/state/datfs"


def test_socket_lies_in_the_store_unless_its_path_would_be_too_long(tmp_path: Path) -> None:
    assert home_in(tmp_path).runtime == tmp_path / "store" / "run"
    deep = {"DATFS_HOME": str(tmp_path / ("d" * 120))}
    with_user_runtime = Home.locate({**deep, "XDG_RUNTIME_DIR": "/run/user/7"})
    assert with_user_runtime.runtime.parent.as_posix() == "/run/user/7"
    without = Home.locate(deep)
    assert without.runtime.parent.as_posix() == "/tmp"
    assert len(os.fsencode(without.socket)) <= MAX_SOCKET_PATH_BYTES


def test_folders_are_for_their_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(mode=0o755)
    home = home_in(tmp_path)
    home.prepare()
    assert permissions(home.folder) == permissions(home.runtime) == permissions(home.state) == 0o700


def test_file_in_the_place_of_the_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(StoreError, match=f"{tmp_path}/store"):
        home_in(tmp_path).prepare()


def test_link_planted_in_the_place_of_the_runtime_folder_is_refused(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    home.folder.mkdir()
    home.runtime.symlink_to("/tmp")
    with pytest.raises(StoreError, match="not a folder of yours"):
        home.prepare()


def test_second_process_is_told_who_holds_the_store(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    environment = {
        **os.environ,
        "DATFS_HOME": str(home.folder),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    with subprocess.Popen(
        [sys.executable, "-c", HOLD],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        pid = int(other.stdout.readline())
        with pytest.raises(StoreInUse, match=f"process {pid}, mounted at /mnt/there"):
            home.lock().__enter__()
        assert home.holder() == Holder(pid, "/mnt/there")
        other.kill()
    with home.lock():
        assert home.holder() == Holder(os.getpid(), None)
    assert home.holder() is None


def test_mount_is_found_from_another_store_while_it_lasts(tmp_path: Path) -> None:
    home, other = home_in(tmp_path), home_in(tmp_path, "other")
    mountpoint = tmp_path / "mnt"
    with home.lock(mountpoint):
        assert home.socket_for(mountpoint) == home.socket
        assert other.socket_for(tmp_path / "x" / ".." / "mnt") == home.socket
        assert other.socket_for(tmp_path) is None
    assert other.socket_for(mountpoint) is None
