from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

# the fork needs a process without threads, so each case runs in one of its own
PARENT = """
import json, os, sys, time
from pathlib import Path
from datfs.app.background import run_in_background
from datfs.errors import DatfsError, StoreInUse

def served(ready):
    print("child", os.getpid(), flush=True)
    ready()
    ready()
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


def start(case: str, log: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", PARENT, case, str(log)],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert done.stderr == ""
    return dict(json.loads(done.stdout))


def test_parent_returns_once_the_child_serves_in_a_session_of_its_own(tmp_path: Path) -> None:
    assert start("served", tmp_path / "log")["said"] == "serving"
    pid = int((tmp_path / "log").read_text().split()[1])
    assert os.getsid(pid) == pid
    os.kill(pid, signal.SIGKILL)


def test_error_of_the_child_is_raised_by_the_parent(tmp_path: Path) -> None:
    answer = start("refused", tmp_path / "log")
    assert answer["kind"] == "StoreInUse"
    assert "process 7, mounted at /mnt" in answer["said"]


@pytest.mark.parametrize("case", ["crashed", "died"])
def test_child_that_ends_without_a_word_points_to_the_log(case: str, tmp_path: Path) -> None:
    assert f"{tmp_path}/log tells more" in start(case, tmp_path / "log")["said"]


def test_crash_is_in_the_log(tmp_path: Path) -> None:
    start("crashed", tmp_path / "log")
    assert "ZeroDivisionError" in (tmp_path / "log").read_text()


def test_error_after_serving_is_in_the_log(tmp_path: Path) -> None:
    assert start("failed_later", tmp_path / "log")["said"] == "serving"
