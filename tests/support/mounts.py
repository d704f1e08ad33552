"""Real mounts, served by a child process and always unmounted.

The test process may touch the mount freely; the process that serves it must not, and is therefore
never this one. Mountpoints carry the test process's id in their name, so that a later run can sweep
away mounts that a killed one left behind.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.requirements import require_fuse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.support.netns import Host

SERVE_LIMIT_S = 20.0
END_LIMIT_S = 15.0
POLL_S = 0.01
_OWN_NAME = re.compile(r"/datfs-test-mnt\.(\d+)(?:/|$)")
_OCTAL = re.compile(r"\\([0-7]{3})")

DATFS = (sys.executable, "-m", "datfs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A mount that is being served; everything it keeps lies under one folder of the test."""

    path: Path  # the mountpoint
    home: Path  # DATFS_HOME
    environment: Mapping[str, str]
    prefix: Sequence[str]  # enters the host's network, or nothing
    process: subprocess.Popen[bytes]
    log: Path  # what the serving process printed on stdout and stderr

    def run(
        self, *command: str | Path, timeout_s: float = 30, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command beside the mount: same host, same environment.

        Raises:
            AssertionError: It failed (with `check`); carries what it printed.
        """
        done = subprocess.run(
            [*self.prefix, *map(str, command)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if check and done.returncode:
            shown = " ".join(map(str, command))
            raise AssertionError(
                f"{shown} ended with {done.returncode}: {done.stdout}{done.stderr}"
            )
        return done

    def datfs(
        self, *arguments: str | Path, timeout_s: float = 30, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Runs the datfs command beside the mount."""
        return self.run(*DATFS, *arguments, timeout_s=timeout_s, check=check)


def store_environment(folder: Path) -> dict[str, str]:
    """The variables of a user whose whole life lies under a folder."""
    runtime = folder / "run"
    runtime.mkdir(parents=True, exist_ok=True, mode=0o700)
    return {
        **os.environ,
        "HOME": str(folder),
        "DATFS_HOME": str(folder / "store"),
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_RUNTIME_DIR": str(runtime),
        "PYTHONUNBUFFERED": "1",
    }


@contextlib.contextmanager
def mounted(
    folder: Path,
    *arguments: str | Path,
    command: Sequence[str | Path] | None = None,
    host: Host | None = None,
    environment: Mapping[str, str] | None = None,
    limit_s: float = SERVE_LIMIT_S,
) -> Iterator[Mount]:
    """Runs `datfs mount --foreground ARGUMENTS MOUNTPOINT` until the block ends.

    Args:
        folder: Holds store, state, mountpoint and log; mounting again with it uses them again.
        arguments: Options of `datfs mount`, and a source.
        command: Another child that serves; it is given the mountpoint as last argument.
        host: Network namespace to run in.
        environment: Variables besides those of `store_environment`.
        limit_s: How long the mount may take to appear.

    Raises:
        AssertionError: It did not come up in time, or did not end cleanly by SIGTERM.
    """
    require_fuse()
    mountpoint = folder / f"datfs-test-mnt.{os.getpid()}"
    mountpoint.mkdir(parents=True, exist_ok=True)
    variables = {**store_environment(folder), **(environment or {})}
    prefix = [] if host is None else host.prefix
    if command is None:
        command = [*DATFS, "mount", "--foreground", *arguments]
    log = folder / "mount.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*prefix, *map(str, command), str(mountpoint)],
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    mount = Mount(
        path=mountpoint,
        home=Path(variables["DATFS_HOME"]),
        environment=variables,
        prefix=prefix,
        process=process,
        log=log,
    )
    try:
        _wait_served(mount, limit_s)
        yield mount
        _end(mount)
    finally:
        force_unmount(mountpoint)
        if process.poll() is None:
            process.kill()
        process.wait(END_LIMIT_S)


def is_mounted(mountpoint: Path) -> bool:
    """Whether a FUSE file system is mounted exactly there; asks the kernel, not the mount."""
    return str(mountpoint) in _fuse_mountpoints()


def force_unmount(mountpoint: Path) -> None:
    """Detaches whatever FUSE file system is mounted there, served or dead."""
    if is_mounted(mountpoint):
        subprocess.run(
            ["fusermount3", "-uz", str(mountpoint)], capture_output=True, timeout=10, check=True
        )


def sweep_mounts() -> None:
    """Detaches mounts whose test process is gone."""
    for mountpoint in _fuse_mountpoints():
        own = _OWN_NAME.search(mountpoint)
        if own and not Path(f"/proc/{own[1]}").exists():
            force_unmount(Path(mountpoint))


def _wait_served(mount: Mount, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not is_mounted(mount.path):
        if mount.process.poll() is not None:
            raise AssertionError(
                f"the mount ended with {mount.process.returncode}: {mount.log.read_text()}"
            )
        if time.monotonic() > deadline:
            raise AssertionError(f"no mount within {limit_s} s: {mount.log.read_text()}")
        time.sleep(POLL_S)


def _end(mount: Mount) -> None:
    """SIGTERM must be enough, unless the test ended the child itself."""
    if mount.process.poll() is not None:
        return
    mount.process.terminate()
    try:
        code = mount.process.wait(END_LIMIT_S)
    except subprocess.TimeoutExpired:
        raise AssertionError(
            f"SIGTERM did not end the mount within {END_LIMIT_S} s: {mount.log.read_text()}"
        ) from None
    if code != 0:
        raise AssertionError(f"the mount ended with {code}: {mount.log.read_text()}")
    if is_mounted(mount.path):
        raise AssertionError("the process ended by SIGTERM and left its mount behind")


def _fuse_mountpoints() -> list[str]:
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        if rest.startswith("fuse"):
            found.append(_OCTAL.sub(lambda code: chr(int(code[1], 8)), fields.split(" ")[4]))
    return found
