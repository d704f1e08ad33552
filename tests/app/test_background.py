from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

# the fork needs a process without threads, so each case runs in one of its own
PARENT = """
import json, os, sys, time
from pathlib import Path
from datfs.app.background import run_in_background
from datfs.errors import DatfsError, StoreInUse

def served(ready):
    ready()
    print("child", os.getpid(), flush=True)
    time.sleep(60)

def refused(ready):
    raise StoreInUse("/store", 7, "/mnt")

def crashed(ready):
    1 / 0

def died(ready):
    os.kill(os.getpid(), 9)

def failed_later(ready):
    ready()
    raise StoreInUse("/store", 8, "/mnt")

try:
    run_in_background(globals()[sys.argv[1]], Path(sys.argv[2]))
    print(json.dumps({"said": "serving"}))
except DatfsError as error:
    print(json.dumps({"said": str(error), "kind": type(error).__name__}))
"""


def start(case: str, log: Path) -> tuple[dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, "-c", PARENT, case, str(log)],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return json.loads(done.stdout), done.stderr


def wait_for_text(file: Path) -> str:
    """What the child wrote; it has let go of our pipes, so there is nothing to wait on but this."""
    deadline = time.monotonic() + 10
    while not file.read_text().endswith("\n"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return file.read_text()


def test_parent_returns_once_the_child_serves_in_a_session_of_its_own(tmp_path: Path) -> None:
    answer, errors = start("served", tmp_path / "log")
    assert (answer["said"], errors) == ("serving", "")
    pid = int(wait_for_text(tmp_path / "log").split()[1])
    assert os.getsid(pid) == pid
    os.kill(pid, signal.SIGKILL)


def test_error_of_the_child_is_raised_by_the_parent_once(tmp_path: Path) -> None:
    answer, errors = start("refused", tmp_path / "log")
    assert answer["kind"] == "StoreInUse"
    assert "process 7, mounted at /mnt" in answer["said"]
    assert errors == ""


def test_crash_of_the_child_is_on_the_terminal(tmp_path: Path) -> None:
    answer, errors = start("crashed", tmp_path / "log")
    assert "ended while it started (1)" in answer["said"]
    assert "ZeroDivisionError" in errors


def test_killed_child_is_not_waited_for(tmp_path: Path) -> None:
    answer, _ = start("died", tmp_path / "log")
    assert "ended while it started (-9)" in answer["said"]


def test_error_after_serving_is_in_the_log(tmp_path: Path) -> None:
    answer, _ = start("failed_later", tmp_path / "log")
    assert answer["said"] == "serving"
    assert "process 8, mounted at /mnt" in wait_for_text(tmp_path / "log")
