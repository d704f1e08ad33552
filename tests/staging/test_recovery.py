"""What a process leaves behind when it dies, and what the next one makes of it."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
import trio

from datfs.errors import DiskFailed, ReadOnlyArchive
from datfs.hyperdrive.archive import Archive
from datfs.staging.journal import REWRITE_BYTE_LENGTH
from datfs.staging.records import Moved
from tests.staging.bench import Bench, Refused, full_disk, slices_written

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from datfs.encoding.buffer import Buffer
    from datfs.hyperdrive.archive import Change, Operation
    from datfs.staging.working_archive import Recovered


@pytest.fixture(params=["memory", "directory"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return _bench(tmp_path, on_disk=request.param == "directory")


def _bench(folder: Path, *, on_disk: bool = True) -> Bench:
    return Bench(folder / "staging", folder / "archive" if on_disk else None)


class Died(BaseException):
    """Stands for the death of the process in the middle of something."""


def _outcomes(recovered: list[Recovered]) -> dict[str, str]:
    return {file.path: file.outcome for file in recovered}


@pytest.mark.parametrize("size", [10, 300_000])
async def test_what_was_closed_becomes_a_version(bench: Bench, size: int) -> None:
    await bench.put("/old", b"before")
    new = bench.working.create("/new", 0o640)
    new.write(0, b"n" * size)
    new.set_times(777)
    new.flush()
    old = bench.working.open("/old", write=True)
    old.write(6, b" and after")
    old.flush()
    unflushed = bench.working.create("/unflushed")
    unflushed.write(0, b"no promise")
    recovered = await bench.crash()
    assert sorted(_outcomes(recovered)) == ["/new", "/old"]
    assert bench.committed("/new") == b"n" * size
    assert bench.committed("/old") == b"before and after"
    assert bench.archive.lookup("/unflushed") is None
    entry = bench.archive.lookup("/new")
    assert entry is not None
    assert (entry.stat.mode & 0o777, entry.stat.mtime_ms) == (0o640, 777)
    assert bench.leftovers() == []
    assert await bench.crash() == []


async def test_many_flushes_add_up(bench: Bench) -> None:
    await bench.put("/log", b"0123456789")
    handle = bench.working.open("/log", write=True)
    for step in (b"abc", b"defg"):
        handle.write(handle.stat().size, step)
        handle.flush()
    handle.truncate(5)
    handle.write(7, b"xyz")
    handle.flush()
    handle.write(20, b"q")
    handle.flush()
    handle.write(0, bytes(70_000))  # into the spool file, and not flushed any more
    handle.write(0, b"0123")
    await bench.crash()
    assert bench.committed("/log") == b"01234\0\0xyz" + bytes(10) + b"q"


async def test_small_content_that_has_grown_large(bench: Bench) -> None:
    handle = bench.working.create("/f")
    handle.write(0, b"small")
    handle.flush()
    handle.write(100_000, b"large")
    handle.flush()
    handle.write(50, b"more")
    handle.flush()
    await bench.crash()
    content = bytearray(100_005)
    content[:5], content[50:54], content[100_000:] = b"small", b"more", b"large"
    assert bench.committed("/f") == bytes(content)


async def test_a_version_that_was_written_is_not_written_again(bench: Bench) -> None:
    handle = bench.working.create("/f")
    handle.write(0, b"content")
    handle.flush()
    journal = (bench.folder / "journal").read_bytes()
    await handle.release()
    (bench.folder / "journal").write_bytes(journal)  # died between commit and journal
    version = bench.archive.version
    recovered = await bench.crash()
    assert "had become a version" in recovered[0].outcome
    assert bench.archive.version == version


async def test_a_journal_of_finished_work_means_nothing(bench: Bench) -> None:
    await bench.put("/f", b"first")
    await bench.put("/f", b"second")
    bench.working.rename("/f", "/g")
    await bench.put("/f", b"third")
    bench.working.unlink("/f")
    version = bench.archive.version
    assert await bench.crash() == []
    assert bench.archive.version == version
    assert bench.committed("/g") == b"second"


async def test_renamed_and_unlinked_files_in_work(bench: Bench) -> None:
    await bench.put("/target", b"before")
    bench.working.mkdir("/d")
    handles = []
    for name in ("/tmp", "/gone", "/d/f"):
        handle = bench.working.create(name)
        handle.write(0, name.encode())
        handle.flush()
        handles.append(handle)
    bench.working.rename("/tmp", "/target")
    bench.working.unlink("/gone")
    bench.working.rename("/d", "/e")
    await bench.crash()
    assert bench.committed("/target") == b"/tmp"
    assert bench.committed("/e/f") == b"/d/f"
    names = sorted(name for name, _ in bench.archive.list_directory("/"))
    assert names == ["e", "target"]


async def test_dying_within_a_rename_leaves_all_or_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.put("/old", b"version")
    await bench.put("/new", b"target")
    for path in ("/old", "/new"):
        handle = bench.working.open(path, write=True)
        handle.write(0, b"dirty " + path.encode())
        handle.flush()

    def die(operations: Sequence[Operation]) -> list[Change]:
        raise Died

    monkeypatch.setattr(bench.archive, "commit", die)
    with pytest.raises(Died):
        bench.working.rename("/old", "/new")
    monkeypatch.undo()
    await bench.crash()
    assert bench.committed("/old") == b"dirty /old"
    assert bench.committed("/new") == b"dirty /new"


async def test_dying_right_after_a_rename(bench: Bench) -> None:
    await bench.put("/old", b"version")
    await bench.put("/new", b"target")
    for path in ("/old", "/new"):
        handle = bench.working.open(path, write=True)
        handle.write(0, b"dirty " + path.encode())
        handle.flush()
    bench.working.rename("/old", "/new")
    await bench.crash()
    assert bench.archive.lookup("/old") is None
    assert bench.committed("/new") == b"dirty /old"


async def test_a_layer_over_a_snapshot_that_was_being_committed(bench: Bench) -> None:
    handle = bench.working.create("/f")
    handle.write(0, bytes(5_000_000))
    handle.flush()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(handle.release)
        await slices_written()
        late = bench.working.open("/f", write=True)
        late.write(0, b"late")
        late.flush()
        nursery.cancel_scope.cancel()
    await bench.crash()
    assert bench.committed("/f") == b"late" + bytes(4_999_996)
    assert bench.leftovers() == []


async def test_a_layer_whose_snapshot_was_committed(bench: Bench) -> None:
    handle = bench.working.create("/f")
    handle.write(0, bytes(5_000_000))
    handle.flush()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(handle.release)
        await slices_written()
        late = bench.working.open("/f", write=True)
        late.write(0, b"late")
        late.flush()
    await bench.crash()
    assert bench.committed("/f") == b"late" + bytes(4_999_996)


async def test_what_an_fsync_saved_is_checked_before_it_is_committed(bench: Bench) -> None:
    bad = bench.working.create("/bad.checked")
    bad.write(0, b"bad")
    await bad.fsync()
    complete = bench.working.create("/half.checked")
    complete.write(0, b"complete me")
    await complete.fsync()
    recovered = await bench.crash()
    assert "not what it must be" in _outcomes(recovered)["/bad.checked"]
    assert bench.archive.lookup("/bad.checked") is None
    assert bench.committed("/half.checked") == b"good and complete"


async def test_refused_content_does_not_come_back(bench: Bench) -> None:
    await bench.put("/f.checked", b"good")
    handle = bench.working.open("/f.checked", write=True, truncate=True)
    handle.flush()  # at size 0: this is in the journal
    handle.write(0, b"bad")
    with pytest.raises(Refused):
        handle.flush()
    assert await bench.crash() == []
    assert bench.committed("/f.checked") == b"good"


async def test_refused_content_written_anew_comes_back(bench: Bench) -> None:
    handle = bench.working.create("/f.checked")
    handle.write(0, b"good, so far")
    handle.flush()
    handle.write(0, b"bad")
    with pytest.raises(Refused):
        handle.flush()
    handle.write(0, b"good")
    handle.flush()
    await bench.crash()
    assert bench.committed("/f.checked") == b"good, so far"


async def test_a_loss_of_power_after_fsync_and_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = _bench(tmp_path)
    await bench.put("/f", b"before")
    await bench.working.sync()
    shutil.copytree(tmp_path / "archive", tmp_path / "on disk")
    contents = {"/f": b"after", "/large": bytes(range(256)) * 1000}

    def fail() -> None:
        raise OSError(5, "Input/output error")

    for path, content in contents.items():
        handle = (
            bench.working.open(path, write=True, truncate=True)
            if path == "/f"
            else bench.working.create(path)
        )
        handle.write(0, content)
        await handle.fsync()
        monkeypatch.setattr(bench.archive, "sync", fail)
        with pytest.raises(DiskFailed):
            await handle.release()
        monkeypatch.undo()
        assert bench.committed(path) == content
    bench.archive.close()
    shutil.rmtree(tmp_path / "archive")
    shutil.copytree(tmp_path / "on disk", tmp_path / "archive")
    await bench.crash()
    for path, content in contents.items():
        assert bench.committed(path) == content
    assert bench.leftovers() == []


async def test_synced_work_is_let_go(bench: Bench) -> None:
    handle = bench.working.create("/f")
    handle.write(0, bytes(100_000))
    await handle.fsync()
    await handle.release()
    assert bench.leftovers() == []
    reader = bench.working.open("/f", write=False)
    await reader.fsync()
    await reader.release()
    assert await bench.crash() == []


async def test_a_version_that_the_disk_lost_is_named(tmp_path: Path) -> None:
    bench = _bench(tmp_path)
    shutil.copytree(tmp_path / "archive", tmp_path / "on disk")
    await bench.working.write_file("/f", b"version")
    handle = bench.working.open("/f", write=True)
    handle.write(7, b" and more")
    handle.flush()
    bench.archive.close()
    shutil.rmtree(tmp_path / "archive")
    shutil.copytree(tmp_path / "on disk", tmp_path / "archive")
    recovered = await bench.crash()
    assert "lost the version" in _outcomes(recovered)["/f"]
    assert bench.archive.lookup("/f") is None


async def test_the_journal_of_a_file_kept_open_is_written_anew(bench: Bench) -> None:
    handle = bench.working.create("/log")
    other = bench.working.create("/other")
    other.write(0, b"other")
    other.flush()
    block = bytes(60_000)
    for number in range(2 * REWRITE_BYTE_LENGTH // len(block)):
        handle.write(0, block)
        handle.write(number % 50_000, b"x")
        handle.flush()
        assert bench.journal.byte_length < REWRITE_BYTE_LENGTH + 2 * len(block)
    expected = handle.read(0, 100_000)
    await bench.crash()
    assert bench.committed("/log") == expected
    assert bench.committed("/other") == b"other"


async def test_an_orderly_end_leaves_an_empty_journal(bench: Bench) -> None:
    await bench.put("/f", b"content")
    handle = bench.working.create("/open")
    handle.write(0, b"content")
    handle.flush()
    await bench.working.commit_all()
    bench.working.close()
    assert (bench.folder / "journal").stat().st_size == 0
    assert Archive.open(bench.storage()).lookup("/open") is not None


async def test_closing_without_committing_keeps_the_journal(bench: Bench) -> None:
    handle = bench.working.create("/open")
    handle.write(0, bytes(100_000))
    handle.flush()
    bench.working.close()
    assert len(bench.leftovers()) == 1
    await bench.crash()
    assert bench.committed("/open") == bytes(100_000)


async def test_a_settling_record_that_found_no_room_is_written_with_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = bench.working.create("/held")
    held.write(0, b"held")
    held.flush()
    handle = bench.working.create("/f")
    handle.write(0, b"first")
    handle.flush()
    monkeypatch.setattr(os, "pwrite", _full_for(bench))
    await handle.release()
    monkeypatch.undo()
    await bench.working.write_file("/f", b"newer")
    held.write(0, b"HELD")
    held.flush()
    version = bench.archive.version
    assert _outcomes(await bench.crash()).keys() == {"/held"}
    assert bench.archive.version == version + 1
    assert bench.committed("/f") == b"newer"


async def test_a_journal_that_cannot_grow_is_cut_when_nothing_is_live(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = bench.working.create("/f")
    handle.write(0, b"first")
    handle.flush()
    monkeypatch.setattr(os, "pwrite", _full_for(bench))
    await handle.release()
    monkeypatch.undo()
    assert (bench.folder / "journal").stat().st_size == 0


async def test_a_layer_is_recorded_later_if_the_journal_is_full_when_its_base_changes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = bench.working.create("/f")
    handle.write(0, bytes(5_000_000))
    handle.flush()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(handle.release)
        await slices_written()
        late = bench.working.open("/f", write=True)
        late.write(0, b"late")
        late.flush()
        monkeypatch.setattr(os, "pwrite", _full_for(bench))
    monkeypatch.undo()
    late.flush()
    await bench.crash()
    assert bench.committed("/f") == b"late" + bytes(4_999_996)


async def test_a_spooled_file_that_was_cut_and_not_flushed_again(bench: Bench) -> None:
    handle = bench.working.create("/f")
    handle.write(0, b"x" * 100_000)
    handle.flush()
    handle.truncate(80_000)
    await bench.crash()
    assert bench.committed("/f") == b"x" * 80_000


async def test_the_names_of_deep_files_fit_into_a_record(bench: Bench) -> None:
    path = ""
    for _ in range(16):
        path += "/" + "d" * 250
        bench.working.mkdir(path)
    handle = bench.working.create(f"{path}/f")
    handle.write(0, b"deep")
    handle.flush()
    await bench.crash()
    assert bench.committed(f"{path}/f") == b"deep"


async def test_an_archive_that_may_not_be_written_keeps_its_journal(bench: Bench) -> None:
    handle = bench.working.create("/f")
    handle.write(0, b"content")
    handle.flush()
    bench.known_metadata_length = 100
    recovered = await bench.crash()
    assert _outcomes(recovered)["/f"].startswith("stays in the journal: ")
    assert bench.working.read_file("/f") == b"content"
    with pytest.raises(ReadOnlyArchive):
        bench.working.create("/g")
    with pytest.raises(ReadOnlyArchive):
        bench.working.open("/f", write=True)
    bench.working.close()
    bench.known_metadata_length = 0
    await bench.crash()
    assert bench.committed("/f") == b"content"


async def test_of_two_files_with_one_name_the_younger_counts(bench: Bench) -> None:
    for name, content in (("/a", b"older"), ("/b", b"younger")):
        handle = bench.working.create(name)
        handle.write(0, content)
        handle.flush()
    bench.journal.append([Moved(content_id=2, path="/a", metadata_length=0)])
    assert _outcomes(await bench.crash()).keys() == {"/a"}
    assert bench.committed("/a") == b"younger"


def _full_for(bench: Bench) -> Callable[[int, Buffer, int], int]:
    """Return a pwrite that finds no room for the journal and serves all other files."""
    real_write = os.pwrite
    journal = (bench.folder / "journal").stat()

    def write(descriptor: int, data: Buffer, offset: int) -> int:
        if os.path.samestat(os.fstat(descriptor), journal):
            full_disk()
        return real_write(descriptor, data, offset)

    return write
