from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datfs.errors import NoSpace
from datfs.staging.content import DirtyContent
from datfs.staging.spool import SpoolFolder

if TYPE_CHECKING:
    from pathlib import Path

OFFSETS = st.integers(0, 300)
WRITES = st.tuples(st.just("write"), OFFSETS, st.binary(max_size=60))
CUTS = st.tuples(st.just("truncate"), OFFSETS, st.just(b""))
LAYERS = st.tuples(st.just("layer"), st.just(0), st.just(b""))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spool")


@given(st.lists(st.one_of(WRITES, CUTS, LAYERS), max_size=20), st.sampled_from([0, 64, 10_000]))
def test_layers_of_writes_and_cuts_read_as_one_file(
    folder: Path, steps: list[tuple[str, int, bytes]], small: int
) -> None:
    spool = SpoolFolder(folder, small_byte_length=small)
    content = DirtyContent(0, None, spool.spool(0))
    model = bytearray()
    for number, (kind, offset, data) in enumerate(steps, start=1):
        if kind == "write":
            content.write(offset, data)
            if data:
                model.extend(bytes(max(0, offset - len(model))))
                model[offset : offset + len(data)] = data
        elif kind == "truncate":
            content.truncate(offset)
            model[offset:] = bytes(max(0, offset - len(model)))
        else:
            content = DirtyContent(number, content, spool.spool(number))
        assert content.size == len(model)
        assert content.read(0, 1000) == model
        assert content.read(17, 40) == model[17:57]
    for layer in content.layers():
        layer.spool.close()
    assert not [*folder.iterdir()]


def test_few_bytes_far_into_a_file_stay_in_memory(tmp_path: Path) -> None:
    content = DirtyContent(1, None, SpoolFolder(tmp_path / "spool").spool(1))
    content.write(2**40, b"tail")
    assert content.read(2**40 - 2, 10) == b"\0\0tail"
    assert not (tmp_path / "spool").exists()


def test_past_the_small_size_bytes_go_to_one_sparse_file(tmp_path: Path) -> None:
    folder = SpoolFolder(tmp_path / "spool")
    content = DirtyContent(1, None, folder.spool(1))
    content.write(0, b"head")
    content.write(2**40, b"tail")
    (file,) = (tmp_path / "spool").iterdir()
    assert file.stat().st_blocks * 512 < 100_000
    assert file.stat().st_mode & 0o777 == 0o600
    assert content.read(0, 6) == b"head\0\0"
    assert content.read(2**40, 6) == b"tail"
    content.spool.close()
    assert not file.exists()


def test_memory_of_all_files_together_is_bounded(tmp_path: Path) -> None:
    folder = SpoolFolder(tmp_path, memory_byte_length=100)
    contents = [DirtyContent(number, None, folder.spool(number)) for number in range(3)]
    for content in contents:
        content.write(0, bytes(60))
    assert [content.spool.in_file for content in contents] == [False, True, True]
    contents[0].truncate(0)
    contents[0].write(0, bytes(100))
    assert not contents[0].spool.in_file


def test_a_write_that_finds_the_disk_full_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = SpoolFolder(tmp_path, small_byte_length=10)
    content = DirtyContent(1, None, folder.spool(1))
    content.write(0, b"before")

    def full(descriptor: int, data: memoryview, offset: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(NoSpace):
        content.write(3, b"0123456789")
    assert (content.size, content.read(0, 100)) == (6, b"before")
    monkeypatch.undo()
    content.write(3, b"0123456789")
    assert content.read(0, 100) == b"bef0123456789"
