from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from datfs.crypto.hashing import leaf_hash
from datfs.errors import NotAnArchive, ReadOnlyArchive
from datfs.hyperdrive.archive import Archive, Delete, Put
from datfs.hyperdrive.dat_storage import ContentMap, PlainFiles
from datfs.hyperdrive.folder import open_folder
from datfs.hyperdrive.stat import Stat
from tests import vectors
from tests.hyperdrive.memory_archives import new_archive, write_file

if TYPE_CHECKING:
    from pathlib import Path


def mapped(archive: Archive, folder: Path) -> PlainFiles:
    return PlainFiles(folder, lambda: ContentMap.of(archive.metadata))


@pytest.mark.parametrize("name", ["dat-written", "dat-imported"])
def test_what_is_held_can_be_served(name: str, tmp_path: Path) -> None:
    shutil.copytree(vectors.GOLDEN / name / "archive", tmp_path / "a")
    archive = open_folder(tmp_path / "a")
    assert archive.content is not None
    held = [block for block in range(archive.content.length) if archive.content.has(block)]
    assert held
    for block in held:
        node = archive.content.node(2 * block)
        assert node is not None
        assert leaf_hash(archive.content.get(block)) == node.hash
        archive.content.proof(block, digest=0)


def test_such_a_folder_is_read_only_and_says_why(tmp_path: Path) -> None:
    shutil.copytree(vectors.GOLDEN / "dat-written" / "archive", tmp_path / "a")
    before = {file: file.read_bytes() for file in (tmp_path / "a").rglob("*") if file.is_file()}
    archive = open_folder(tmp_path / "a")
    assert "dat program" in str(archive.read_only_reason)
    with pytest.raises(ReadOnlyArchive, match="dat program"):
        archive.commit([Delete("/dat.json")])
    archive.close()
    assert {f: f.read_bytes() for f in (tmp_path / "a").rglob("*") if f.is_file()} == before


def test_a_folder_without_an_archive_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(NotAnArchive, match="metadata/key"):
        open_folder(tmp_path)


def test_bytes_are_found_across_files_and_not_past_them(tmp_path: Path) -> None:
    archive = new_archive()
    for name, data in (("/a", b"aaaa"), ("/none", b""), ("/d/b", b"bb"), ("/c", b"cccccc")):
        write_file(archive, name, data)
        if data:
            (tmp_path / name[1:]).parent.mkdir(exist_ok=True)
            (tmp_path / name[1:]).write_bytes(data)
    files = mapped(archive, tmp_path)
    assert files.size() == 12
    assert files.read(0, 100) == b"aaaabbcccccc"
    assert files.read(3, 4) == b"abbc"
    assert files.read(12, 1) == b""
    assert (files.next_data(11), files.next_data(12)) == (11, None)
    (tmp_path / "d" / "b").unlink()
    assert files.read(2, 10) == b"aa"
    (tmp_path / "c").write_bytes(b"cc")
    assert files.read(6, 6) == b"cc"
    with pytest.raises(OSError, match="Read-only"):
        files.write(0, b"x")
    with pytest.raises(OSError, match="Read-only"):
        files.truncate(0)
    with pytest.raises(OSError, match="Read-only"):
        files.punch(0, 4)


def test_renamed_bytes_are_in_the_file_of_their_last_name(tmp_path: Path) -> None:
    archive = new_archive()
    write_file(archive, "/old", b"data")
    archive.commit(archive.rename_operations("/old", "/new"))
    (tmp_path / "new").write_bytes(b"data")
    assert mapped(archive, tmp_path).read(0, 4) == b"data"


@pytest.mark.parametrize("name", ["/../secret", "/a/../../secret", "/./secret", "//secret"])
def test_names_do_not_lead_out_of_the_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "folder" / "a").mkdir(parents=True)
    archive = new_archive()
    write_file(archive, "/x", b"secret")
    block = archive.metadata.get(1).replace(b"\x02/x", bytes([len(name)]) + name.encode(), 1)
    hostile = new_archive()
    hostile.metadata.append([block])
    files = mapped(hostile, tmp_path / "folder")
    assert files.size() == 0
    assert files.read(0, 6) == b""


def test_links_and_pipes_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "file").symlink_to(tmp_path / "secret")
    (folder / "dir").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    archive = new_archive()
    assert archive.content is not None
    for path in ("/file", "/dir/secret", "/pipe"):
        write_file(archive, path, b"secret")
    files = mapped(archive, folder)
    for start in (0, 6, 12):
        assert files.read(start, 6) == b""


def test_garbage_in_the_metadata_is_passed_over(tmp_path: Path) -> None:
    archive = new_archive()
    archive.metadata.append([b"\xff\xff"])
    write_file(archive, "/a", b"data")
    archive.commit([Put("/d", Stat(mode=0o040755))])
    (tmp_path / "a").write_bytes(b"data")
    assert mapped(archive, tmp_path).read(0, 10) == b"data"
