from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from datfs.hypercore.storage import (
    DirectoryStorage,
    FeedStorage,
    FileName,
    MemoryStorage,
    OpenFiles,
)

NAMES: tuple[FileName, ...] = ("key", "tree", "signatures", "bitfield", "data")


@pytest.fixture(params=["memory", "folder"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> FeedStorage:
    return MemoryStorage() if request.param == "memory" else DirectoryStorage(tmp_path / "a" / "b")


def test_a_file_that_is_not_there_reads_as_empty(storage: FeedStorage) -> None:
    file = storage.open("data")
    assert file.read(0, 10) == b""
    assert file.size() == 0
    assert file.next_data(0) is None
    file.punch(0, 10)
    file.sync()
    file.close()
    assert not storage.exists("data")


def test_writes_anywhere(storage: FeedStorage) -> None:
    file = storage.open("data")
    file.write(5, b"abc")
    file.write(1, memoryview(b"xy"))
    assert file.read(0, 100) == b"\0xy\0\0abc"
    assert file.read(6, 1) == b"b"
    assert file.read(8, 1) == b""
    assert file.size() == 8
    assert file.next_data(0) == 0
    assert file.next_data(8) is None
    assert storage.exists("data")
    assert storage.open("data").read(5, 3) == b"abc"
    file.truncate(6)
    assert file.read(0, 10) == b"\0xy\0\0a"
    file.truncate(8)
    assert file.read(5, 3) == b"a\0\0"
    file.punch(1, 1)
    assert file.read(0, 3) == b"\0\0y"
    file.sync()
    file.close()
    assert file.read(2, 1) == b"y"


def test_no_folder_is_made_before_the_first_write_nor_against_the_callers_will(
    tmp_path: Path,
) -> None:
    DirectoryStorage(tmp_path / "a").open("key").read(0, 1)
    assert not (tmp_path / "a").exists()
    with pytest.raises(FileNotFoundError):
        DirectoryStorage(tmp_path / "a", create=False).open("key").write(0, b"x")


def test_names_and_modes_are_those_of_the_layouts(tmp_path: Path) -> None:
    storage = DirectoryStorage(tmp_path, "metadata.")
    storage.open("secret_key").write(0, bytes(64))
    storage.open("key").write(0, bytes(32))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "metadata.key",
        "metadata.secret_key",
    ]
    mode = (tmp_path / "metadata.secret_key").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert storage.path("key") == str(tmp_path / "metadata.key")


def descriptors_into(folder: Path) -> int:
    links = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
    return sum(os.path.realpath(link).startswith(str(folder)) for link in links)


def test_descriptors_stay_within_the_limit(tmp_path: Path) -> None:
    open_files = OpenFiles(limit=4)
    feeds = [DirectoryStorage(tmp_path / str(i), open_files=open_files) for i in range(5)]
    files = [feed.open(name) for feed in feeds for name in NAMES]
    for number, file in enumerate(files):
        file.write(0, b"%d" % number)
        assert descriptors_into(tmp_path) == len(open_files) <= 4
    for number, file in enumerate(files):
        assert file.read(0, 10) == b"%d" % number
        file.sync()
        assert descriptors_into(tmp_path) <= 4
    for file in files:
        file.close()
    assert descriptors_into(tmp_path) == 0


def test_holes_are_skipped_where_the_file_system_has_them(tmp_path: Path) -> None:
    file = DirectoryStorage(tmp_path).open("bitfield")
    file.write(0, b"x")
    file.write(1 << 30, b"y")
    found = file.next_data(4096)
    assert found is not None
    if found == 4096:
        pytest.skip("this file system does not tell its holes")
    assert (1 << 30) - (1 << 20) <= found <= 1 << 30
