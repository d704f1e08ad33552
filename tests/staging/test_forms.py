"""Files that the archive keeps in another form than they are written in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from datfs.errors import NotYet
from datfs.staging.working_archive import Released
from tests.staging.bench import Bench

if TYPE_CHECKING:
    from pathlib import Path

PATH = "/a.checked"
TEXT, OTHER = b"good text", b"good other text"


@dataclass
class Shifted:
    """A form that is longer than the text and can be locked."""

    locked: bool = False
    stored_limit: int = 200

    def stored(self, text: bytes) -> bytes:
        if self.locked:
            raise NotYet("the key is not here")
        return b"shifted:" + bytes(byte ^ 1 for byte in text)

    def shown(self, stored: bytes) -> bytes:
        if not stored.startswith(b"shifted:"):
            return stored
        return bytes(byte ^ 1 for byte in stored.removeprefix(b"shifted:"))


@pytest.fixture
def form() -> Shifted:
    return Shifted()


@pytest.fixture
def bench(tmp_path: Path, form: Shifted) -> Bench:
    bench = Bench(tmp_path)
    bench.rules.forms[PATH] = form
    return bench


async def write(bench: Bench, text: bytes, path: str = PATH) -> Released:
    if bench.working.lookup(path) is None:
        handle = bench.working.create(path)
    else:
        handle = bench.working.open(path, write=True, truncate=True)
    handle.flush()
    handle.write(0, text)
    handle.flush()
    return await handle.release()


def kept(bench: Bench, path: str = PATH) -> bytes:
    entry = bench.archive.lookup(path)
    assert entry is not None
    return bench.archive.read(entry.stat, 0, entry.stat.size)


def seen(bench: Bench, path: str = PATH) -> bytes:
    """Return what a reader sees, and hold its size to it in all places."""
    text = bench.working.read_file(path)
    entry = bench.working.lookup(path)
    assert entry is not None
    listed = dict(bench.working.list_directory("/"))[path[1:]]
    assert entry.stat.size == listed.stat.size == len(text)
    handle = bench.working.open(path, write=False)
    assert handle.stat().size == len(text)
    return text


async def test_the_archive_keeps_the_form_and_readers_see_the_text(bench: Bench) -> None:
    assert await write(bench, TEXT) is Released.COMMITTED
    assert kept(bench) == Shifted().stored(TEXT)
    assert seen(bench) == TEXT
    assert await write(bench, TEXT) is Released.UNCHANGED
    assert await write(bench, OTHER) is Released.COMMITTED
    assert kept(bench) == Shifted().stored(OTHER)


async def test_who_has_it_open_reads_the_text_on(bench: Bench) -> None:
    handle = bench.working.create(PATH)
    reader = bench.working.open(PATH, write=False)
    handle.write(0, TEXT)
    handle.flush()
    await handle.release()
    assert reader.read(0, 100) == TEXT
    assert reader.stat().size == len(TEXT)


async def test_writing_goes_on_from_the_text(bench: Bench) -> None:
    await write(bench, TEXT)
    handle = bench.working.open(PATH, write=True)
    handle.write(len(TEXT), b"!")
    handle.write(0, b"good T")
    handle.flush()
    assert await handle.release() is Released.COMMITTED
    assert seen(bench) == b"good Text!"
    assert kept(bench) == Shifted().stored(b"good Text!")


async def test_attributes_change_nothing_of_what_is_kept(bench: Bench) -> None:
    await write(bench, TEXT)
    bench.working.chmod(PATH, 0o600)
    bench.working.set_times(PATH, 5_000)
    with_reader = bench.working.open(PATH, write=False)
    bench.working.chmod(PATH, 0o640)
    assert with_reader.read(0, 100) == TEXT
    assert kept(bench) == Shifted().stored(TEXT)
    assert seen(bench) == TEXT


async def test_services_write_and_read_the_text_too(bench: Bench, form: Shifted) -> None:
    await bench.working.write_file(PATH, TEXT)
    assert kept(bench) == form.stored(TEXT)
    assert seen(bench) == TEXT


async def test_a_file_waits_until_it_can_be_kept(bench: Bench, form: Shifted) -> None:
    form.locked = True
    assert await write(bench, TEXT) is Released.WAITING
    assert bench.archive.lookup(PATH) is None
    assert seen(bench) == TEXT
    assert bench.working.uncommitted() == [PATH]
    await bench.working.commit_all()
    assert bench.archive.lookup(PATH) is None
    form.locked = False
    await bench.working.commit_closed()
    assert kept(bench) == form.stored(TEXT)
    assert seen(bench) == TEXT
    assert bench.working.uncommitted() == []


async def test_what_waits_survives_any_number_of_crashes(bench: Bench, form: Shifted) -> None:
    form.locked = True
    await write(bench, TEXT)
    for _ in range(2):
        (recovered,) = await bench.crash()
        assert recovered.outcome == "waits in the journal"
        assert seen(bench) == TEXT
        assert bench.working.uncommitted() == [PATH]
    form.locked = False
    (recovered,) = await bench.crash()
    assert "it is one now" in recovered.outcome
    assert seen(bench) == TEXT
    assert await bench.crash() == []


async def test_a_service_s_file_that_waits_survives_a_crash(bench: Bench, form: Shifted) -> None:
    form.locked = True
    await bench.working.write_file(PATH, TEXT)
    await bench.crash()
    assert seen(bench) == TEXT


async def test_what_waits_can_be_changed_and_removed(bench: Bench, form: Shifted) -> None:
    form.locked = True
    await write(bench, TEXT)
    assert await write(bench, OTHER) is Released.WAITING
    assert seen(bench) == OTHER
    bench.working.unlink(PATH)
    assert bench.working.lookup(PATH) is None
    assert await bench.crash() == []


async def test_a_version_that_is_moved_to_such_a_name_is_kept_in_its_form(
    bench: Bench, form: Shifted
) -> None:
    await write(bench, TEXT, "/draft")
    form.locked = True
    with pytest.raises(NotYet):
        bench.working.rename("/draft", PATH)
    assert bench.working.read_file("/draft") == TEXT
    form.locked = False
    bench.working.rename("/draft", PATH)
    assert kept(bench) == form.stored(TEXT)
    assert seen(bench) == TEXT


async def test_a_version_that_is_moved_to_another_name_is_kept_as_its_text(bench: Bench) -> None:
    await write(bench, TEXT)
    bench.working.rename(PATH, "/draft")
    assert kept(bench, "/draft") == TEXT
    assert seen(bench, "/draft") == TEXT


async def test_what_is_too_large_for_the_form_is_shown_as_it_lies(
    bench: Bench, form: Shifted
) -> None:
    await write(bench, TEXT)
    form.stored_limit = 3
    assert seen(bench) == form.stored(TEXT)
