from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import mounts
from tests.support.mounts import is_mounted, mounted

if TYPE_CHECKING:
    from tests.support.netns import Host

TINY_FS = [sys.executable, str(Path(__file__).with_name("tiny_fs.py"))]


def test_mount_is_seen_by_the_test_and_gone_afterwards(tmp_path: Path) -> None:
    with mounted(tmp_path, command=TINY_FS) as mount:
        assert mount.path.is_dir()
        assert is_mounted(mount.path)
    assert not is_mounted(mount.path)
    assert mount.process.returncode == 0


def test_mount_on_another_host_is_seen_here(tmp_path: Path, two_hosts: list[Host]) -> None:
    with mounted(tmp_path, command=TINY_FS, host=two_hosts[0]) as mount:
        assert mount.path.stat().st_nlink == 2
        assert "10.77.0.1" in mount.run("ip", "-4", "address").stdout


def test_failing_test_leaves_no_mount(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), mounted(tmp_path, command=TINY_FS) as mount:
        raise ZeroDivisionError
    assert not is_mounted(mount.path)
    assert mount.process.returncode is not None


def test_child_that_ignores_sigterm_fails_and_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, "END_LIMIT_S", 0.3)
    with (
        pytest.raises(AssertionError, match="SIGTERM did not end"),
        mounted(tmp_path, command=[*TINY_FS, "--stubborn"]) as mount,
    ):
        pass
    assert not is_mounted(mount.path)
    assert mount.process.returncode is not None


def test_child_that_cannot_serve_is_quoted(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no luck')"]
    with pytest.raises(AssertionError, match="no luck"), mounted(tmp_path, command=command):
        pass
