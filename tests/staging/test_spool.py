from __future__ import annotations

from typing import TYPE_CHECKING

from datfs.staging.spool import SpoolFolder

if TYPE_CHECKING:
    from pathlib import Path


def test_free_room_is_that_of_the_disk_before_the_folder_exists(tmp_path: Path) -> None:
    folder = SpoolFolder(tmp_path / "not" / "yet")
    assert folder.free_byte_length() > 0
    assert not (tmp_path / "not").exists()


def test_leftovers_are_removed_and_other_files_are_not(tmp_path: Path) -> None:
    folder = SpoolFolder(tmp_path, small_byte_length=0)
    folder.spool(1).write(0, b"x")
    (tmp_path / "journal").touch()
    folder.remove_leftovers()
    assert [*tmp_path.iterdir()] == [tmp_path / "journal"]
