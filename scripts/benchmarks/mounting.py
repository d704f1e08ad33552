"""Files in one's own archive, through the kernel, beside the same files on the disk."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.figures import Figure
from tests.support.mounts import mounted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UNSYNCED = "no sync in it: version, sync and announcement follow close(2)"
SYNCED = "journal and spool are synced; the version follows close(2)"
READ_MIB = 256
WRITE_MIB = 64
SMALL_FILES = 1000
PIECE = 1 << 20
MIB = 1 << 20
REPEATS = 5
SETTLE_S = 1.0
"""After a write: the file becomes a version, is synced and announced behind close(2)."""
DROP_CACHES = Path("/proc/sys/vm/drop_caches")


def mount(folder: Path, repeat: int | None) -> Iterator[Figure]:
    """Read 256 MiB, write 64 MiB, create 1,000 files; beside the disk."""
    if not os.access(DROP_CACHES, os.W_OK):
        pytest.skip("only root may drop the page cache")
    on_disk = folder / "disk"
    on_disk.mkdir()
    times = repeat or REPEATS
    with mounted(folder / "user", "--offline", limit_s=60) as served:
        in_mount = served.path / "me"
        yield from _beside("read cold", READ_MIB, _reads, on_disk, in_mount, times)
        yield from _beside("write and close", WRITE_MIB, _write, on_disk, in_mount, times, UNSYNCED)
        yield from _beside(
            "write, fsync, close", WRITE_MIB, _write_synced, on_disk, in_mount, times, SYNCED
        )
        yield from _creates(on_disk, in_mount, times)


def _beside(
    what: str,
    size_mib: int,
    work: Callable[[Path, int], float],
    on_disk: Path,
    in_mount: Path,
    repeat: int,
    note: str = "",
) -> Iterator[Figure]:
    rates: dict[Path, list[float]] = {on_disk: [], in_mount: []}
    for _ in range(repeat):
        for place, found in rates.items():
            found.append(size_mib * MIB / 1e6 / work(place, size_mib))
            time.sleep(SETTLE_S)
    disk = Figure(what=f"{what}, {size_mib} MiB: disk", unit="MB/s", values=rates[on_disk])
    yield disk
    yield Figure(
        what=f"{what}, {size_mib} MiB: mount",
        unit="MB/s",
        values=rates[in_mount],
        beside=disk,
        note=note,
    )


def _reads(place: Path, size_mib: int) -> float:
    file = place / "to-read.bin"
    if not file.exists():
        _write_to(file, size_mib, sync=True)
    os.sync()
    DROP_CACHES.write_text("3")
    began = time.perf_counter()
    with file.open("rb", buffering=0) as source:
        piece = bytearray(PIECE)
        total = 0
        while count := source.readinto(piece):
            total += count
    assert total == size_mib * MIB
    return time.perf_counter() - began


def _write(place: Path, size_mib: int) -> float:
    return _write_to(place / "written.bin", size_mib, sync=False)


def _write_synced(place: Path, size_mib: int) -> float:
    return _write_to(place / "written.bin", size_mib, sync=True)


def _write_to(file: Path, size_mib: int, *, sync: bool) -> float:
    piece = os.urandom(PIECE)
    os.sync()
    began = time.perf_counter()
    with file.open("wb", buffering=0) as target:
        for _ in range(size_mib):
            assert target.write(piece) == PIECE
        if sync:
            os.fsync(target.fileno())
    return time.perf_counter() - began


def _creates(on_disk: Path, in_mount: Path, repeat: int) -> Iterator[Figure]:
    rates: dict[Path, list[float]] = {on_disk: [], in_mount: []}
    content = os.urandom(1024)
    for turn in range(repeat):
        for place, found in rates.items():
            within = place / f"small-{turn}"
            within.mkdir()
            os.sync()
            began = time.perf_counter()
            for number in range(SMALL_FILES):
                with (within / f"{number:04}").open("wb", buffering=0) as target:
                    target.write(content)
            found.append(SMALL_FILES / (time.perf_counter() - began))
    what = f"create {SMALL_FILES} x 1 KiB"
    disk = Figure(what=f"{what}: disk", unit="files/s", values=rates[on_disk])
    yield disk
    yield Figure(what=f"{what}: mount", unit="files/s", values=rates[in_mount], beside=disk)
