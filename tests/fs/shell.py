"""Real programs run inside a mount."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.mounts import Mount

SETTLE_LIMIT_S = 10.0


def sh(folder: Path, script: str, *, timeout_s: float = 30) -> subprocess.CompletedProcess[str]:
    """Runs a bash script in a folder, with every command's failure kept."""
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def good(folder: Path, script: str) -> str:
    """Runs a bash script that must not fail, and gives its output."""
    done = sh(folder, f"set -e\n{script}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def python(folder: Path, script: str) -> str:
    """Runs a Python script in a folder, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def version(mount: Mount) -> int:
    """How many versions the archive has, once nothing is waiting to become one."""
    settled(lambda: (mount.path / "dirty").read_text() == "")
    return int((mount.path / "version").read_text())


def settled(holds: Callable[[], bool]) -> None:
    """Waits for what follows a RELEASE, which close(2) does not wait for."""
    deadline = time.monotonic() + SETTLE_LIMIT_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.005)


def act(mount: Mount, **command: str) -> None:
    """Lets a service of the daemon change the archive behind the kernel's back."""
    (mount.path / "do").write_text(json.dumps(command))
