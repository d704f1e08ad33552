"""The golden archives of the JavaScript packages, mounted and compared with their manifests."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.mounts import mounted
from tests.vectors import GOLDEN

if TYPE_CHECKING:
    from pathlib import Path

NAMES = sorted(folder.name for folder in GOLDEN.iterdir())


def _manifest(name: str) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((GOLDEN / name / "manifest.json").read_text())
    return manifest


def _versions() -> list[tuple[str, str]]:
    """The last version of each archive, and of some that changed much all that are described."""
    return [
        (name, version)
        for name in NAMES
        for version in _manifest(name)["versions"]
        if int(version) == _manifest(name)["version"] or name in {"churn", "empties", "three-files"}
    ]


def _shown(top: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def walk(folder: Path, path: str) -> None:
        for entry in sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name)):
            status = entry.stat(follow_symlinks=False)
            assert entry.inode() == status.st_ino
            assert (status.st_uid, status.st_gid) == (os.getuid(), os.getgid())
            here = {
                "path": f"{path}/{entry.name}",
                "mode": status.st_mode,
                "size": status.st_size,
                "mtime": status.st_mtime_ns // 1_000_000,
            }
            if stat.S_ISREG(status.st_mode):
                with open(entry.path, "rb") as file:
                    here["sha256"] = hashlib.sha256(file.read()).hexdigest()
            found.append(here)
            if entry.is_dir(follow_symlinks=False):
                walk(folder / entry.name, f"{path}/{entry.name}")

    walk(top, "")
    return found


def _expected(manifest: dict[str, Any], version: str) -> list[dict[str, Any]]:
    kept = ("path", "mode", "size", "mtime", "sha256")
    return [
        {key: entry[key] for key in kept if key in entry} for entry in manifest["versions"][version]
    ]


@pytest.mark.parametrize(("name", "version"), _versions())
def test_golden_archive_shows_its_manifest(name: str, version: str, tmp_path: Path) -> None:
    manifest = _manifest(name)
    shutil.copytree(GOLDEN / name / "archive", tmp_path / "archive")
    newest = int(version) == manifest["version"]
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "tests.fs.serve_archive",
        tmp_path / "archive",
        *([] if newest else [f"+{version}"]),
    ]
    with mounted(tmp_path, command=command) as mount:
        assert _shown(mount.path) == _expected(manifest, version)
        if not newest:
            with pytest.raises(OSError, match="Read-only file system"):
                (mount.path / "new").touch()


def test_numbers_are_the_same_after_a_remount(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "deep" / "archive", tmp_path / "archive")
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "tests.fs.serve_archive",
        tmp_path / "archive",
    ]
    numbers: list[dict[str, int]] = []
    for _ in range(2):
        with mounted(tmp_path, command=command) as mount:
            numbers.append({str(path): path.stat().st_ino for path in mount.path.rglob("*")})
    assert numbers[0] == numbers[1]
    assert len(set(numbers[0].values())) == len(numbers[0]) > 3
