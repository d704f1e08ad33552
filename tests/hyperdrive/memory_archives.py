"""Archives in memory, and copies of them that get block after block as from a peer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datfs.crypto.keys import KeyPair
from datfs.hypercore.storage import MemoryStorage
from datfs.hyperdrive.archive import Archive, ArchiveStorage, Change, Put
from datfs.hyperdrive.stat import Stat

if TYPE_CHECKING:
    from collections.abc import Iterable

    from datfs.hypercore.feed import Feed

KEY_PAIR = KeyPair.from_seed(b"\x11" * 32)


def memory_storage() -> ArchiveStorage:
    return ArchiveStorage(metadata=MemoryStorage(), content=MemoryStorage())


def new_archive() -> Archive:
    return Archive.create(memory_storage(), KEY_PAIR)


def write_file(archive: Archive, path: str, data: bytes, *, mode: int = 0o100644) -> list[Change]:
    writer = archive.content_writer()
    writer.write(data)
    return archive.commit([Put(path, Stat(mode=mode, **writer.finish()._asdict()))])


def read_file(archive: Archive, path: str) -> bytes:
    entry = archive.lookup(path)
    assert entry is not None
    return archive.read(entry.stat, 0, entry.stat.size)


def paths(archive: Archive, folder: str = "/") -> set[str]:
    found = set()
    for _, entry in archive.list_directory(folder):
        found.add(entry.path)
        found |= paths(archive, entry.path)
    return found


def fetch(source: Feed, target: Feed, blocks: Iterable[int]) -> None:
    for block in blocks:
        proof = source.proof(block, digest=target.digest(block))
        target.put(block, source.get(block), proof)


def replicate_metadata(source: Archive, target: Archive) -> list[Change]:
    fetch(source.metadata, target.metadata, range(target.metadata.length, source.metadata.length))
    return target.update()


def hostile_archive(entries: Iterable[bytes]) -> Archive:
    """An archive of somebody else whose metadata holds what a peer made up."""
    own = new_archive()
    own.metadata.append(list(entries))
    copy = Archive.create_remote(memory_storage(), own.key)
    replicate_metadata(own, copy)
    return copy
