from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from datfs.errors import NoSpace
from datfs.staging.journal import Journal
from datfs.staging.records import Moved, Settled

if TYPE_CHECKING:
    from pathlib import Path

FIRST = Moved(content_id=1, path="/a", metadata_length=0)
SECOND = Settled(content_id=1, metadata_length=2, content_length=3)


def test_what_was_appended_is_read_by_the_next_process(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "new" / "journal")
    assert journal.read() == []
    journal.append([FIRST])
    journal.append([SECOND])
    assert stat.S_IMODE((tmp_path / "new" / "journal").stat().st_mode) == 0o600
    assert Journal(tmp_path / "new" / "journal").read() == [FIRST, SECOND]
    journal.close()


def test_goes_on_behind_a_torn_write(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    journal.append([FIRST])
    journal.close()
    with path.open("ab") as file:
        file.write(b"\0\0\0\x20torn")
    journal = Journal(path)
    assert journal.read() == [FIRST]
    journal.append([SECOND])
    assert Journal(path).read() == [FIRST, SECOND]


def test_a_full_disk_leaves_the_records_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "journal")
    journal.append([FIRST])
    real_write = os.pwrite

    def half_then_full(descriptor: int, data: memoryview, offset: int) -> int:
        real_write(descriptor, data[: len(data) // 2], offset)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", half_then_full)
    with pytest.raises(NoSpace):
        journal.append([SECOND])
    monkeypatch.undo()
    assert Journal(tmp_path / "journal").read() == [FIRST]
    journal.append([SECOND])
    assert Journal(tmp_path / "journal").read() == [FIRST, SECOND]


def test_rewriting_replaces_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal"
    journal = Journal(path, rewrite_byte_length=100)
    while not journal.wants_rewrite:
        journal.append([FIRST])

    def full(descriptor: int, data: memoryview, offset: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(NoSpace):
        journal.rewrite([SECOND])
    monkeypatch.undo()
    assert FIRST in Journal(path).read()
    journal.rewrite([SECOND])
    journal.append([FIRST])
    assert Journal(path).read() == [SECOND, FIRST]
    assert [*tmp_path.iterdir()] == [path]


def test_is_cut_only_past_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path, idle_byte_length=100)
    journal.append([FIRST])
    journal.shrink()
    assert Journal(path).read() == [FIRST]
    while journal.byte_length <= 100:
        journal.append([SECOND])
    journal.shrink()
    assert path.stat().st_size == 0
    journal.append([SECOND])
    assert Journal(path).read() == [SECOND]
