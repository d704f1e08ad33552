"""The whole story of README.md, two mounts in two networks, as `scripts/demo` plays it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.requirements import require_fuse

DEMO = Path(__file__).resolve().parents[1] / "scripts" / "demo.py"


@pytest.mark.timeout(180)
@pytest.mark.parametrize("options", [[], ["--log"]], ids=["archive", "log"])
def test_demo_plays_to_its_end(options: list[str]) -> None:
    require_fuse()
    played = subprocess.run(
        [sys.executable, DEMO, *options], capture_output=True, text=True, timeout=170, check=False
    )
    assert played.returncode == 0, played.stdout + played.stderr
    for line in ("hello", "hello yourself", "line 3"):
        assert f"       {line}\n" in played.stdout
