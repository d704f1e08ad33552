from __future__ import annotations

import stat as posix
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from datfs.errors import (
    Busy,
    DirectoryNotEmpty,
    EntryExists,
    EntryMissing,
    FileTooLarge,
    InvalidMove,
    InvalidPath,
    IsADirectory,
    NameTooLong,
    NoSpace,
    NotADirectory,
    NotOpenForWriting,
    NotPermitted,
)
from datfs.staging.working_archive import Released
from tests.staging.bench import Bench, Refused, full_disk, slices_written

if TYPE_CHECKING:
    from pathlib import Path

    from datfs.staging.working_archive import FileHandle


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# --- writing -----------------------------------------------------------------------------------


async def test_echo_into_a_new_file_makes_one_version_at_release(bench: Bench) -> None:
    handle = bench.working.create("/f", 0o600)
    assert handle.flush() is False
    handle.write(0, b"x\n")
    handle.flush()
    assert bench.archive.version == 0
    assert bench.working.uncommitted() == ["/f"]
    seen = bench.working.lookup("/f")
    assert seen is not None
    assert (seen.stat.size, seen.dirty, seen.file_id) == (2, True, handle.file_id)
    assert await handle.release() is Released.COMMITTED
    assert bench.archive.version == 1
    assert bench.committed("/f") == b"x\n"
    entry = bench.archive.lookup("/f")
    assert entry is not None
    assert entry.stat.mode == posix.S_IFREG | 0o600
    assert entry.stat.mtime_ms == seen.stat.mtime_ms
    assert [change.path for change in bench.changes] == ["/f"]
    assert bench.working.uncommitted() == []
    after = bench.working.lookup("/f")
    assert after is not None
    assert (after.dirty, after.file_id) == (False, None)
    assert await handle.release() is Released.NOTHING


async def test_every_handle_sees_one_state_and_the_last_writer_commits(bench: Bench) -> None:
    first = bench.working.create("/f")
    reader = bench.working.open("/f", write=False)
    second = bench.working.open("/f", write=True)
    first.write(0, b"one ")
    second.write(4, b"two")
    assert reader.read(0, 100) == b"one two"
    assert first.file_id == second.file_id == reader.file_id
    assert bench.working.has_writers("/f")
    assert await first.release() is Released.NOTHING
    assert await second.release() is Released.COMMITTED
    assert not bench.working.has_writers("/f")
    assert bench.archive.version == 1
    assert reader.read(0, 100) == b"one two"
    with pytest.raises(NotOpenForWriting):
        reader.write(0, b"no")
    assert await reader.release() is Released.NOTHING


async def test_a_loop_whose_output_is_redirected_commits_once(bench: Bench) -> None:
    handle = bench.working.create("/log")
    for number in range(50):
        handle.write(number, b"x")
        handle.flush()
    assert bench.archive.version == 0
    await handle.release()
    assert bench.archive.version == 1
    assert bench.committed("/log") == b"x" * 50


async def test_what_is_written_after_the_last_flush_is_committed_too(bench: Bench) -> None:
    handle = bench.working.create("/mapped")
    handle.truncate(4)
    handle.flush()
    handle.write(0, b"data")
    assert await handle.release() is Released.COMMITTED
    assert bench.committed("/mapped") == b"data"


async def test_an_unchanged_file_commits_nothing(bench: Bench) -> None:
    await bench.put("/f", b"same")
    version, entry = bench.archive.version, bench.archive.lookup("/f")
    handle = bench.working.open("/f", write=True)
    handle.truncate(4)
    handle.flush()
    assert await handle.release() is Released.NOTHING
    assert await bench.put("/f", b"same") is Released.UNCHANGED
    await bench.working.write_file("/f", b"same")
    assert bench.archive.version == version
    assert bench.archive.lookup("/f") == entry
    assert bench.working.read_file("/f") == b"same"


async def test_equal_content_with_a_new_mode_keeps_its_blocks(bench: Bench) -> None:
    await bench.put("/f", b"same")
    before = bench.archive.lookup("/f")
    handle = bench.working.open("/f", write=True, truncate=True)
    handle.write(0, b"same")
    handle.chmod(0o400)
    handle.set_times(77)
    assert await handle.release() is Released.COMMITTED
    after = bench.archive.lookup("/f")
    assert before is not None
    assert after is not None
    assert after.stat.offset == before.stat.offset
    assert (after.stat.mode & 0o777, after.stat.mtime_ms) == (0o400, 77)


async def test_appending_costs_the_line_and_not_the_log(bench: Bench) -> None:
    await bench.put("/log", b"first line\n" * 20_000)
    assert bench.archive.content is not None
    for number in range(10):
        length = bench.archive.content.byte_length
        handle = bench.working.open("/log", write=True)
        handle.write(handle.stat().size, b"line %d\n" % number)
        handle.flush()
        await handle.release()
        assert bench.archive.content.byte_length - length == len(b"line 0\n")
    assert bench.leftovers() == []
    content = bench.committed("/log")
    assert content is not None
    assert content.startswith(b"first line\nfirst")
    assert content.endswith(b"line 8\nline 9\n")


async def test_a_file_that_is_not_the_last_is_written_whole_again(bench: Bench) -> None:
    await bench.put("/log", b"first\n")
    await bench.put("/other", b"other")
    handle = bench.working.open("/log", write=True)
    handle.write(6, b"second\n")
    await handle.release()
    assert bench.committed("/log") == b"first\nsecond\n"
    assert bench.committed("/other") == b"other"


async def test_sparse_writes_and_cuts(bench: Bench) -> None:
    handle = bench.working.create("/sparse")
    handle.write(100_000, b"end")
    handle.write(0, b"start")
    handle.truncate(50_000)
    handle.truncate(50_004)
    await handle.release()
    assert bench.committed("/sparse") == b"start" + bytes(50_004 - 5)
    await bench.working.truncate("/sparse", 3)
    assert bench.committed("/sparse") == b"sta"
    await bench.working.truncate("/sparse", 5)
    assert bench.committed("/sparse") == b"sta\0\0"
    await bench.working.truncate("/sparse", 0)
    assert bench.committed("/sparse") == b""
    assert bench.leftovers() == []


async def test_one_byte_in_a_large_file_is_one_byte_until_it_is_committed(bench: Bench) -> None:
    large = bytes(range(256)) * 20_000
    await bench.put("/large", large)
    handle = bench.working.open("/large", write=True)
    handle.write(2_000_000, b"!")
    handle.flush()
    assert bench.leftovers() == []
    assert (
        handle.read(1_999_999, 3) == large[1_999_999:2_000_000] + b"!" + large[2_000_001:2_000_002]
    )
    await handle.release()
    assert bench.committed("/large") == large[:2_000_000] + b"!" + large[2_000_001:]


async def test_a_snapshot_is_committed_while_others_write_on(bench: Bench) -> None:
    snapshot = bytes(5_000_000)
    handle = bench.working.create("/f")
    handle.write(0, snapshot)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(handle.release)
        await slices_written()
        assert bench.archive.version == 0
        late = bench.working.open("/f", write=True)
        late.write(0, b"late")
        late.flush()
        assert late.read(0, 5) == b"late\0"
        bench.working.mkdir("/meanwhile")
    assert bench.committed("/f") == snapshot
    assert late.read(0, 5) == b"late\0"
    assert len(bench.leftovers()) == 0
    await late.release()
    assert bench.committed("/f") == b"late" + snapshot[4:]


async def test_small_files_need_not_wait_for_a_checkpoint(bench: Bench) -> None:
    with trio.testing.assert_no_checkpoints():
        await bench.put("/small", b"x" * 1024)


async def test_a_file_unlinked_while_it_is_committed_never_appears(bench: Bench) -> None:
    handle = bench.working.create("/f")
    handle.write(0, bytes(5_000_000))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(handle.release)
        await slices_written()
        bench.working.unlink("/f")
    assert bench.archive.lookup("/f") is None
    assert bench.leftovers() == []


async def test_a_file_renamed_while_it_is_committed_appears_under_its_new_name(
    bench: Bench,
) -> None:
    handle = bench.working.create("/f")
    handle.write(0, bytes(5_000_000))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(handle.release)
        await slices_written()
        bench.working.rename("/f", "/g")
    assert bench.archive.lookup("/f") is None
    assert bench.committed("/g") == bytes(5_000_000)


async def test_a_cancelled_commit_leaves_the_file_dirty(bench: Bench) -> None:
    handle = bench.working.create("/f")
    handle.write(0, bytes(5_000_000))
    with trio.CancelScope() as scope:
        scope.cancel()
        await handle.release()
    assert bench.working.uncommitted() == ["/f"]
    await bench.working.commit_all()
    assert bench.committed("/f") == bytes(5_000_000)


async def test_commits_take_turns_and_a_file_opened_again_waits_for_its_next_release(
    bench: Bench,
) -> None:
    large = bench.working.create("/large")
    large.write(0, bytes(5_000_000))
    small = bench.working.create("/small")
    small.write(0, b"one")
    again = bench.working.create("/again")
    again.write(0, b"one")
    outcomes: list[Released] = []

    async def release(handle: FileHandle) -> None:
        outcomes.append(await handle.release())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(large.release)
        await slices_written()
        nursery.start_soon(release, small)
        nursery.start_soon(release, again)
        await slices_written()
        opened = bench.working.open("/again", write=True)
        opened.write(3, b", two")
    assert sorted(outcome.name for outcome in outcomes) == ["COMMITTED", "NOTHING"]
    assert bench.archive.lookup("/again") is None
    await opened.release()
    assert bench.committed("/again") == b"one, two"
    assert bench.committed("/small") == b"one"


async def test_fsync_waits_for_the_commit_of_its_file(bench: Bench) -> None:
    handle = bench.working.create("/f")
    handle.write(0, bytes(5_000_000))
    reader = bench.working.open("/f", write=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(handle.release)
        await slices_written()
        await reader.fsync()
        assert bench.committed("/f") == bytes(5_000_000)
    await reader.release()


async def test_large_equal_content_is_found_equal(bench: Bench) -> None:
    content = bytes(range(256)) * 20_000
    await bench.put("/f", content)
    assert await bench.put("/f", content) is Released.UNCHANGED
    assert await bench.put("/f", content[:-1] + b"!") is Released.COMMITTED


async def test_what_no_archive_can_hold_is_refused(bench: Bench) -> None:
    handle = bench.working.create("/f")
    with pytest.raises(FileTooLarge):
        handle.truncate(2**53)
    with pytest.raises(FileTooLarge):
        handle.write(2**53, b"x")
    handle.set_times(-1)
    await handle.release()
    entry = bench.archive.lookup("/f")
    assert entry is not None
    assert (entry.stat.size, entry.stat.mtime_ms) == (0, 0)


# --- names -------------------------------------------------------------------------------------


async def test_directories(bench: Bench) -> None:
    bench.working.mkdir("/d", 0o700)
    handle = bench.working.create("/d/f")
    assert [name for name, _ in bench.working.list_directory("/d")] == ["f"]
    with pytest.raises(DirectoryNotEmpty):
        bench.working.rmdir("/d")
    with pytest.raises(NotADirectory):
        bench.working.create("/d/f/g")
    with pytest.raises(EntryExists):
        bench.working.mkdir("/d/f")
    with pytest.raises(IsADirectory):
        bench.working.unlink("/d")
    with pytest.raises(IsADirectory):
        bench.working.open("/d", write=True)
    with pytest.raises(EntryMissing):
        bench.working.create("/missing/f")
    with pytest.raises(NotPermitted):
        bench.working.rmdir("/")
    bench.working.unlink("/d/f")
    await handle.release()
    bench.working.rmdir("/d")
    assert bench.working.lookup("/d") is None
    with pytest.raises(EntryMissing):
        bench.working.list_directory("/d")


async def test_an_unlinked_open_file_stays_readable_and_writable(bench: Bench) -> None:
    await bench.put("/f", b"content")
    handle = bench.working.open("/f", write=True)
    bench.working.unlink("/f")
    assert bench.archive.lookup("/f") is None
    assert handle.path is None
    handle.write(7, b" goes on")
    handle.flush()
    await handle.fsync()
    assert handle.read(0, 100) == b"content goes on"
    assert handle.stat().size == 15
    version = bench.archive.version
    await bench.put("/f", b"another")
    assert await handle.release() is Released.DISCARDED
    assert bench.archive.version == version + 1
    assert bench.committed("/f") == b"another"


async def test_the_last_file_of_a_directory_without_entry_leaves_the_directory(
    bench: Bench,
) -> None:
    await bench.put("/f", b"content")
    bench.archive.commit(bench.archive.rename_operations("/f", "/made/up/f"))
    bench.working.unlink("/made/up/f")
    assert bench.working.list_directory("/made/up") == []
    assert [name for name, _ in bench.working.list_directory("/made")] == ["up"]
    bench.working.rmdir("/made/up")
    assert bench.working.list_directory("/made") == []


async def test_a_directory_without_entry_that_keeps_other_files_gets_none(bench: Bench) -> None:
    for name in ("f", "g"):
        await bench.put(f"/{name}", b"content")
        bench.archive.commit(bench.archive.rename_operations(f"/{name}", f"/made/{name}"))
    bench.working.rename("/made/f", "/f")
    entry = bench.archive.lookup("/made")
    assert entry is not None
    assert not entry.explicit
    bench.working.rename("/made/g", "/made/h")
    assert [name for name, _ in bench.working.list_directory("/made")] == ["h"]


async def test_rename_is_one_batch_of_the_same_blocks(bench: Bench) -> None:
    await bench.put("/old", b"content")
    await bench.put("/new", b"replaced")
    before = bench.archive.lookup("/old")
    reader = bench.working.open("/new", write=False)
    bench.working.rename("/old", "/new")
    after = bench.archive.lookup("/new")
    assert before is not None
    assert after is not None
    assert before.stat == after.stat
    assert bench.archive.lookup("/old") is None
    assert reader.read(0, 100) == b"replaced"
    assert reader.path is None
    await reader.release()
    await bench.put("/other", b"")
    with pytest.raises(EntryExists):
        bench.working.rename("/new", "/other", replace=False)


async def test_a_file_in_work_is_renamed_over_another(bench: Bench) -> None:
    await bench.put("/f", b"before")
    handle = bench.working.create("/f.tmp")
    handle.write(0, b"after")
    handle.flush()
    file_id = handle.file_id
    bench.working.rename("/f.tmp", "/f")
    assert handle.path == "/f"
    entry = bench.working.lookup("/f")
    assert entry is not None
    assert entry.file_id == file_id
    assert bench.working.read_file("/f") == b"after"
    assert bench.working.lookup("/f.tmp") is None
    assert bench.committed("/f") == b"before"
    await handle.release()
    assert bench.committed("/f") == b"after"
    assert bench.archive.lookup("/f.tmp") is None


def test_names_that_no_archive_holds_are_refused_before_anything_is_written(bench: Bench) -> None:
    for name in ("back\\slash", "new\nline", "n" * 256, "\udcff"):
        with pytest.raises(InvalidPath):
            bench.working.create(f"/{name}")
        with pytest.raises(InvalidPath):
            bench.working.mkdir(f"/{name}")
    path = "/short"
    bench.working.mkdir(path)
    for _ in range(16):
        path += "/" + "d" * 250
        bench.working.mkdir(path)
    with pytest.raises(NameTooLong):
        bench.working.create(path + "/" + "f" * 100)
    handle = bench.working.create(f"{path}/f")
    version = bench.archive.version
    with pytest.raises(NameTooLong):
        bench.working.rename("/short", "/" + "long" * 50)
    assert handle.path == f"{path}/f"
    assert bench.archive.version == version


async def test_a_hidden_version_goes_with_the_file_over_it(bench: Bench) -> None:
    await bench.put("/f", b"before")
    handle = bench.working.create("/tmp")
    handle.write(0, b"after")
    bench.working.rename("/tmp", "/f")
    bench.working.rename("/f", "/g")
    assert bench.archive.lookup("/f") is None
    assert bench.working.lookup("/f") is None
    bench.working.unlink("/g")
    assert await handle.release() is Released.DISCARDED
    assert [*bench.archive.list_directory("/")] == []


async def test_whole_directories_move_with_the_files_in_work(bench: Bench) -> None:
    bench.working.mkdir("/a")
    bench.working.mkdir("/a/b")
    bench.working.mkdir("/empty")
    await bench.put("/a/b/f", b"f")
    handle = bench.working.create("/a/b/g")
    handle.write(0, b"g")
    handle.flush()
    with pytest.raises(InvalidMove):
        bench.working.rename("/a", "/a/b/c")
    with pytest.raises(NotADirectory):
        bench.working.rename("/empty", "/a/b/f")
    with pytest.raises(IsADirectory):
        bench.working.rename("/a/b/f", "/empty")
    with pytest.raises(DirectoryNotEmpty):
        bench.working.rename("/empty", "/a")
    with pytest.raises(EntryMissing):
        bench.working.rename("/nothing", "/a")
    version = bench.archive.version
    bench.working.rename("/a", "/empty")
    assert handle.path == "/empty/b/g"
    assert bench.working.lookup("/a") is None
    assert sorted(name for name, _ in bench.working.list_directory("/empty/b")) == ["f", "g"]
    assert bench.archive.version > version
    await handle.release()
    assert bench.committed("/empty/b/f") == b"f"
    assert bench.committed("/empty/b/g") == b"g"
    bench.working.rename("/empty", "/empty")


# --- attributes --------------------------------------------------------------------------------


async def test_attributes_of_closed_files_and_directories_are_versions(bench: Bench) -> None:
    await bench.put("/f", b"content")
    bench.working.mkdir("/d")
    bench.working.chmod("/f", 0o400)
    bench.working.set_times("/f", 123_456)
    bench.working.chmod("/d", 0o500)
    bench.working.set_times("/d", 654_321)
    assert bench.archive.version == 6
    file, directory = bench.archive.lookup("/f"), bench.archive.lookup("/d")
    assert file is not None
    assert directory is not None
    assert (file.stat.mode, file.stat.mtime_ms) == (posix.S_IFREG | 0o400, 123_456)
    assert (directory.stat.mode, directory.stat.mtime_ms) == (posix.S_IFDIR | 0o500, 654_321)
    assert bench.committed("/f") == b"content"
    with pytest.raises(NotPermitted):
        bench.working.chmod("/", 0o700)
    with pytest.raises(EntryMissing):
        bench.working.set_times("/missing", 1)


async def test_attributes_of_a_file_in_work_are_part_of_its_version(bench: Bench) -> None:
    handle = bench.working.create("/f")
    handle.write(0, b"content")
    bench.working.set_times("/f", 5_000)
    bench.working.chmod("/f", 0o755)
    await handle.release()
    assert bench.archive.version == 1
    entry = bench.archive.lookup("/f")
    assert entry is not None
    assert (entry.stat.mode & 0o777, entry.stat.mtime_ms) == (0o755, 5_000)


async def test_attributes_set_through_a_writing_handle_keep_the_blocks(bench: Bench) -> None:
    await bench.put("/f", b"content")
    handle = bench.working.open("/f", write=True)
    handle.chmod(0o600)
    assert bench.archive.version == 1
    assert await handle.release() is Released.COMMITTED
    entry = bench.archive.lookup("/f")
    assert entry is not None
    assert entry.stat.mode & 0o777 == 0o600
    assert bench.archive.content is not None
    assert bench.archive.content.length == 1


async def test_a_reader_sees_attributes_change_under_it(bench: Bench) -> None:
    await bench.put("/f", b"content")
    reader = bench.working.open("/f", write=False)
    bench.working.chmod("/f", 0o400)
    assert reader.stat().mode & 0o777 == 0o400
    await reader.release()


# --- rules -------------------------------------------------------------------------------------


async def test_what_fails_its_check_fails_the_close_and_is_never_committed(bench: Bench) -> None:
    handle = bench.working.create("/new.checked")
    handle.flush()
    handle.write(0, b"bad")
    with pytest.raises(Refused):
        handle.flush()
    assert await handle.release() is Released.REVERTED
    assert bench.working.lookup("/new.checked") is None
    await bench.put("/old.checked", b"good")
    handle = bench.working.open("/old.checked", write=True, truncate=True)
    handle.flush()
    handle.write(0, b"bad")
    with pytest.raises(Refused):
        handle.flush()
    handle.flush()  # a duplicate's close tells nothing new
    assert await handle.release() is Released.REVERTED
    assert bench.working.read_file("/old.checked") == b"good"
    assert bench.archive.version == 1
    assert await bench.crash() == []


async def test_bad_content_written_anew_is_taken(bench: Bench) -> None:
    handle = bench.working.create("/f.checked")
    handle.write(0, b"bad")
    with pytest.raises(Refused):
        handle.flush()
    handle.write(0, b"good")
    handle.flush()
    assert await handle.release() is Released.COMMITTED
    assert bench.committed("/f.checked") == b"good"


async def test_bad_content_that_no_flush_saw_is_not_committed_either(bench: Bench) -> None:
    handle = bench.working.create("/f.checked")
    handle.write(0, b"bad")
    assert await handle.release() is Released.REVERTED
    assert bench.archive.version == 0


async def test_a_check_may_complete_what_was_written(bench: Bench) -> None:
    handle = bench.working.create("/f.checked")
    handle.write(0, b"complete me")
    assert handle.flush() is True
    assert handle.flush() is False
    assert bench.working.read_file("/f.checked") == b"good and complete"
    await handle.release()
    assert bench.committed("/f.checked") == b"good and complete"


async def test_only_written_files_are_checked(bench: Bench) -> None:
    handle = bench.working.create("/f.checked")
    handle.truncate(10)
    handle.flush()
    await handle.release()
    assert bench.rules.asked == []
    assert bench.committed("/f.checked") == bytes(10)


async def test_a_checked_file_has_a_size_limit(bench: Bench) -> None:
    handle = bench.working.create("/f.checked")
    handle.write(0, b"good" * 100)
    with pytest.raises(FileTooLarge):
        handle.flush()
    assert await handle.release() is Released.REVERTED


async def test_a_rename_to_a_checked_name_is_checked(bench: Bench) -> None:
    await bench.put("/bad", b"bad")
    await bench.put("/incomplete", b"complete me")
    with pytest.raises(Refused):
        bench.working.rename("/bad", "/f.checked")
    version = bench.archive.version
    bench.working.rename("/incomplete", "/f.checked")
    assert bench.archive.version == version + 2  # one batch: put and delete
    assert bench.committed("/f.checked") == b"good and complete"
    handle = bench.working.create("/tmp")
    handle.write(0, b"complete me too")
    bench.working.rename("/tmp", "/f.checked")
    assert bench.working.read_file("/f.checked") == b"good and complete"
    await handle.release()
    assert bench.committed("/f.checked") == b"good and complete"


async def test_a_file_in_work_that_has_a_version_is_renamed_to_a_checked_name(
    bench: Bench,
) -> None:
    await bench.put("/f", b"before")
    handle = bench.working.open("/f", write=True, truncate=True)
    handle.write(0, b"complete me")
    handle.flush()
    bench.working.rename("/f", "/f.checked")
    assert bench.committed("/f.checked") == b"good and complete"
    assert handle.read(0, 100) == b"good and complete"
    assert await handle.release() is Released.NOTHING
    assert await bench.crash() == []


async def test_a_rename_that_has_to_write_content_does_not_wait(bench: Bench) -> None:
    await bench.put("/f", b"complete me")
    large = bench.working.create("/large")
    large.write(0, bytes(5_000_000))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(large.release)
        await slices_written()
        with pytest.raises(Busy):
            bench.working.rename("/f", "/f.checked")
    assert bench.committed("/f") == b"complete me"


def test_the_rules_say_which_names_may_be_made(bench: Bench) -> None:
    with pytest.raises(Refused):
        bench.working.create("/f.forbidden")
    with pytest.raises(Refused):
        bench.working.mkdir("/d.forbidden")
    bench.working.mkdir("/d")
    with pytest.raises(Refused):
        bench.working.rename("/d", "/e.forbidden")


# --- services ----------------------------------------------------------------------------------


async def test_services_write_a_file_in_one_version_and_readers_see_it(bench: Bench) -> None:
    await bench.working.write_file("/f", b"first")
    reader = bench.working.open("/f", write=False)
    await bench.working.write_file("/f", b"second, longer")
    assert reader.read(0, 100) == b"second, longer"
    assert bench.archive.version == 2
    assert bench.working.uncommitted() == []
    await reader.release()
    with pytest.raises(EntryMissing):
        await bench.working.write_file("/missing/f", b"")
    bench.working.mkdir("/d")
    with pytest.raises(IsADirectory):
        await bench.working.write_file("/d", b"")


async def test_services_leave_a_file_alone_that_is_being_written(bench: Bench) -> None:
    handle = bench.working.create("/f")
    handle.write(0, b"mine")
    with pytest.raises(Busy):
        await bench.working.write_file("/f", b"theirs")
    await handle.release()
    assert bench.committed("/f") == b"mine"


async def test_a_service_that_fails_leaves_the_file_as_it_was(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.working.write_file("/f", b"before")
    monkeypatch.setattr(bench.archive, "commit", full_disk)
    for path in ("/f", "/new"):
        with pytest.raises(NoSpace):
            await bench.working.write_file(path, b"after")
    monkeypatch.undo()
    assert bench.working.read_file("/f") == b"before"
    assert bench.working.lookup("/new") is None
    assert bench.working.uncommitted() == []


async def test_a_service_does_not_bury_what_is_still_to_be_committed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = bench.working.create("/f")
    handle.write(0, b"closed")
    handle.flush()
    monkeypatch.setattr(bench.archive, "commit", full_disk)
    with pytest.raises(NoSpace):
        await handle.release()
    with pytest.raises(NoSpace):
        await bench.working.write_file("/f", b"service")
    assert bench.working.read_file("/f") == b"closed"
    monkeypatch.undo()
    await bench.working.write_file("/f", b"service")
    assert bench.archive.version == 2
    assert bench.committed("/f") == b"service"


# --- a full disk -------------------------------------------------------------------------------


async def test_close_says_when_the_commit_will_find_no_room(bench: Bench) -> None:
    bench.free_byte_length = 1_000_000
    small = bench.working.create("/small")
    small.write(0, bytes(500_000))
    small.flush()
    second = bench.working.create("/second")
    second.write(0, bytes(500_000))
    with pytest.raises(NoSpace):
        second.flush()
    with pytest.raises(NoSpace):
        await second.release()
    assert await small.release() is Released.COMMITTED
    assert bench.working.uncommitted() == ["/second"]
    bench.free_byte_length = 2**40
    await bench.working.commit_all()
    assert bench.committed("/second") == bytes(500_000)
    assert bench.leftovers() == []


async def test_a_commit_that_failed_is_made_good_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.put("/f", b"before")

    handle = bench.working.open("/f", write=True)
    handle.write(0, b"after.")
    handle.flush()
    monkeypatch.setattr(bench.archive, "commit", full_disk)
    with pytest.raises(NoSpace):
        await handle.release()
    with pytest.raises(NoSpace):
        bench.working.mkdir("/d")
    with pytest.raises(NoSpace):
        bench.working.rename("/f", "/g")
    with pytest.raises(NoSpace):
        await bench.working.commit_all()
    monkeypatch.undo()
    assert bench.working.read_file("/f") == b"after."
    assert bench.committed("/f") == b"before"
    assert bench.working.uncommitted() == ["/f"]
    await bench.working.commit_all()
    assert bench.committed("/f") == b"after."
    assert bench.archive.lookup("/g") is None


async def test_unmounting_commits_what_is_still_open(bench: Bench) -> None:
    handle = bench.working.create("/open")
    handle.write(0, b"open")
    bad = bench.working.create("/bad.checked")
    bad.write(0, b"bad")
    await bench.working.commit_all()
    assert bench.committed("/open") == b"open"
    assert bench.archive.lookup("/bad.checked") is None
    bench.working.close()
    assert await bench.crash() == []
