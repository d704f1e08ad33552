from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from datfs.errors import StoreError
from datfs.store.marks import LengthMarks

if TYPE_CHECKING:
    from pathlib import Path

KEY, OTHER = b"\x11" * 32, b"\x22" * 32


def test_mark_survives_and_never_falls(tmp_path: Path) -> None:
    marks = LengthMarks(tmp_path / "marks")
    assert marks.get(KEY) == 0
    marks.raise_to(KEY, 7)
    marks.raise_to(KEY, 5)
    marks.raise_to(OTHER, 1)
    assert LengthMarks(tmp_path / "marks").get(KEY) == 7
    assert LengthMarks(tmp_path / "marks").get(OTHER) == 1


def test_mark_of_another_process_is_not_lowered(tmp_path: Path) -> None:
    here, there = LengthMarks(tmp_path), LengthMarks(tmp_path)
    here.raise_to(KEY, 1)
    there.raise_to(KEY, 9)
    here.raise_to(KEY, 2)
    assert here.get(KEY) == there.get(KEY) == 9


def test_raises_from_many_threads_keep_the_highest(tmp_path: Path) -> None:
    marks = LengthMarks(tmp_path)
    threads = [threading.Thread(target=marks.raise_to, args=(KEY, n)) for n in range(1, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert LengthMarks(tmp_path).get(KEY) == 19


def test_damaged_mark_is_refused_by_name(tmp_path: Path) -> None:
    LengthMarks(tmp_path).raise_to(KEY, 3)
    (tmp_path / KEY.hex()).write_text("")
    with pytest.raises(StoreError, match=KEY.hex()):
        LengthMarks(tmp_path).get(KEY)
