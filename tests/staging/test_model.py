"""The working archive against a plain dict of bytes, through handles, names and crashes."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.staging.bench import Bench

if TYPE_CHECKING:
    from datfs.staging.working_archive import FileHandle

PATHS = st.sampled_from(["/a", "/b", "/c"])
OFFSETS = st.integers(0, 90)
HANDLES = st.integers(0, 4)
STEPS = st.one_of(
    st.tuples(st.just("open"), PATHS, st.booleans(), st.booleans()),
    st.tuples(st.just("write"), HANDLES, OFFSETS, st.binary(min_size=1, max_size=30)),
    st.tuples(st.just("truncate"), HANDLES, OFFSETS),
    st.tuples(st.just("flush"), HANDLES),
    st.tuples(st.just("release"), HANDLES),
    st.tuples(st.just("unlink"), PATHS),
    st.tuples(st.just("rename"), PATHS, PATHS),
    st.tuples(st.just("service"), PATHS, st.binary(max_size=30)),
    st.tuples(st.just("commit_all")),
    st.tuples(st.just("crash")),
)


@dataclass(eq=False)
class Inode:
    """A file as POSIX would keep it."""

    content: bytearray = field(default_factory=bytearray)
    version: bytes | None = None  # what the archive has of it
    saved: bytes | None = None  # what a FLUSH saved of it since


class Model:
    """What should be there."""

    def __init__(self) -> None:
        self.names: dict[str, Inode] = {}
        self.archive: dict[str, bytes] = {}
        self.handles: list[tuple[FileHandle, Inode]] = []

    def has_writers(self, inode: Inode) -> bool:
        return any(handle.writable for handle, opened in self.handles if opened is inode)

    def commit(self, inode: Inode) -> None:
        for path, named in self.names.items():
            if named is inode and _differs(inode):
                inode.version = self.archive[path] = bytes(inode.content)
        inode.saved = None

    def crash(self) -> None:
        for path, inode in self.names.items():
            if inode.saved is not None:
                self.archive[path] = inode.saved
        self.names = {
            path: Inode(content=bytearray(content), version=content)
            for path, content in self.archive.items()
        }
        self.handles = []


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=40), st.sampled_from([0, 50, 10_000]))
async def test_equals_a_dict_of_bytes(
    steps: list[tuple[object, ...]], small_byte_length: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        bench.small_byte_length = small_byte_length
        await bench.crash()
        model = Model()
        for step in steps:
            await _take(step, bench, model)
            _compare(bench, model)
        await bench.working.commit_all()
        for inode in model.names.values():
            model.commit(inode)
        assert _committed(bench) == model.archive
        for handle, _ in model.handles:
            await handle.release()
        assert bench.leftovers() == []
        assert bench.working.uncommitted() == []


async def _take(step: tuple[object, ...], bench: Bench, model: Model) -> None:
    working = bench.working
    match step:
        case "open", str(path), bool(write), bool(truncate):
            if path in model.names:
                inode = model.names[path]
                handle = working.open(path, write=write, truncate=truncate)
                if write and truncate:
                    inode.content.clear()
            else:
                inode = model.names[path] = Inode()
                handle = working.create(path)
            model.handles.append((handle, inode))
        case "unlink", str(path) if path in model.names:
            working.unlink(path)
            del model.names[path]
            model.archive.pop(path, None)
        case "rename", str(old), str(new) if old in model.names and old != new:
            working.rename(old, new)
            inode = model.names[new] = model.names.pop(old)
            model.archive.pop(old, None)
            if inode.version is not None:
                model.archive[new] = inode.version
        case "service", str(path), bytes(data):
            inode = model.names.get(path) or Inode()
            if not model.has_writers(inode):
                await working.write_file(path, data)
                model.names[path] = inode
                inode.content[:] = data
                model.commit(inode)
        case ("commit_all",):
            await working.commit_all()
            for inode in model.names.values():
                model.commit(inode)
        case ("crash",):
            if bench.small_byte_length < 10_000:  # what is in a spool file is saved at once
                for handle, _ in model.handles:
                    handle.flush()
                for inode in model.names.values():
                    if model.has_writers(inode) and _differs(inode):
                        inode.saved = bytes(inode.content)
            model.crash()
            await bench.crash()
        case str(kind), int(number), *arguments if number < len(model.handles):
            await _take_handle(kind, number, arguments, model)


async def _take_handle(kind: str, number: int, arguments: list[object], model: Model) -> None:
    handle, inode = model.handles[number]
    match kind, arguments:
        case "write", [int(offset), bytes(data)] if handle.writable:
            handle.write(offset, data)
            inode.content.extend(bytes(max(0, offset - len(inode.content))))
            inode.content[offset : offset + len(data)] = data
        case "truncate", [int(size)] if handle.writable:
            handle.truncate(size)
            inode.content[size:] = bytes(max(0, size - len(inode.content)))
        case "flush", []:
            handle.flush()
            if handle.writable and (_differs(inode) or inode.saved is not None):
                inode.saved = bytes(inode.content)
        case "release", []:
            await handle.release()
            del model.handles[number]
            if handle.writable and not model.has_writers(inode):
                model.commit(inode)


def _differs(inode: Inode) -> bool:
    return inode.version is None or inode.version != bytes(inode.content)


def _compare(bench: Bench, model: Model) -> None:
    assert {name for name, _ in bench.working.list_directory("/")} == {
        path[1:] for path in model.names
    }
    for path, inode in model.names.items():
        assert bench.working.read_file(path) == inode.content
        entry = bench.working.lookup(path)
        assert entry is not None
        assert entry.stat.size == len(inode.content)
    for handle, inode in model.handles:
        assert handle.read(0, 1000) == inode.content
        assert handle.read(20, 25) == inode.content[20:45]
    assert _committed(bench) == model.archive


def _committed(bench: Bench) -> dict[str, bytes | None]:
    return {
        f"/{name}": bench.committed(f"/{name}") for name, _ in bench.archive.list_directory("/")
    }
