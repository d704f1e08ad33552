"""What a test needs from the machine: it is skipped where that is missing, and says why.

Where `DATFS_REQUIRE_ALL=1` is set (as in the project's own checks) a missing thing fails the test
instead, so that nothing is left out in silence.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest


def missing(reason: str) -> NoReturn:
    """Skips the running test, or fails it where everything is required."""
    if os.environ.get("DATFS_REQUIRE_ALL") == "1":
        pytest.fail(f"needed here and missing: {reason}")
    pytest.skip(reason)


def require_command(*names: str) -> None:
    """Needs programs on the PATH."""
    for name in names:
        if shutil.which(name) is None:
            missing(f"no {name} on this machine")


def require_fuse() -> None:
    """Needs a kernel and tools that mount FUSE file systems."""
    require_command("fusermount3")
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        missing("/dev/fuse cannot be opened")


def require_namespaces() -> None:
    """Needs the right to make network namespaces."""
    require_command("ip", "nsenter")
    if os.geteuid() != 0 or not Path("/proc/self/ns/net").exists():
        missing("network namespaces need root")
