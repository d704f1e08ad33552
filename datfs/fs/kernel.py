"""What the kernel says about mounts, and the settings of a FUSE connection that only files reach.

All of it is asked of /proc and /sys, never of a mount itself: the process that serves a mount must
not touch it, and a dead one may hang whoever does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

MOUNT_TABLE = Path("/proc/self/mountinfo")
SYSTEM = Path("/sys")

_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class MountEntry:
    """One line of the mount table, proc_pid_mountinfo(5)."""

    mountpoint: str
    device: str  # "major:minor" of its files
    filesystem: str  # "fuse.datfs"
    source: str


def find_mount(mountpoint: Path, table: Path = MOUNT_TABLE) -> MountEntry | None:
    """The file system that is mounted exactly there, the topmost of several."""
    found = None
    for line in table.read_text(errors="surrogateescape").splitlines():
        front, _, back = line.partition(" - ")
        _, _, device, _, path, *_ = front.split(" ")
        if _unescape(path) == str(mountpoint):
            filesystem, source, *_ = back.split(" ")
            found = MountEntry(
                mountpoint=str(mountpoint),
                device=device,
                filesystem=filesystem,
                source=_unescape(source),
            )
    return found


def _unescape(field: str) -> str:
    return _OCTAL.sub(lambda code: chr(int(code[1], 8)), field)


def raise_background_limit(device: str, requests: int, system: Path = SYSTEM) -> bool:
    """Lets more requests wait in the background (read-ahead, RELEASE) than the kernel's 12.

    Returns:
        Whether it is as high as asked for now; else the file is missing or not ours to write.
    """
    connection = system / "fs/fuse/connections" / device.partition(":")[2]
    try:
        # The threshold is what is called congested; the kernel keeps it at three quarters.
        (connection / "max_background").write_text(str(requests))
        (connection / "congestion_threshold").write_text(str(requests * 3 // 4))
    except OSError:
        return False
    return True


def raise_read_ahead(device: str, kib: int, system: Path = SYSTEM) -> bool:
    """Makes sequential reads come in larger requests than 128 KiB.

    Returns:
        Whether the kernel took it.
    """
    try:
        (system / "class/bdi" / device / "read_ahead_kb").write_text(str(kib))
    except OSError:
        return False
    return True
