from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from datfs.errors import StoreError
from datfs.store.secrets import delete_secret, read_secret, write_secret

if TYPE_CHECKING:
    from pathlib import Path


def test_secret_is_private_whatever_the_umask(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "seal"
    before = os.umask(0)
    try:
        write_secret(file, b"one")
        write_secret(file, b"two")
    finally:
        os.umask(before)
    assert read_secret(file) == b"two"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in file.parent.iterdir()] == ["seal"]


def test_writing_goes_on_after_a_crash_in_the_middle(tmp_path: Path) -> None:
    (tmp_path / ".seal.new").write_bytes(b"half")
    write_secret(tmp_path / "seal", b"whole")
    assert read_secret(tmp_path / "seal") == b"whole"


def test_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    write_secret(tmp_path / "seal", b"x")
    (tmp_path / "seal").chmod(0o640)
    with pytest.raises(StoreError, match="chmod 600"):
        read_secret(tmp_path / "seal")


def test_secret_that_is_not_there_is_none_and_can_be_deleted(tmp_path: Path) -> None:
    assert read_secret(tmp_path / "seal") is None
    delete_secret(tmp_path / "seal")
    write_secret(tmp_path / "seal", b"x")
    delete_secret(tmp_path / "seal")
    assert read_secret(tmp_path / "seal") is None
