"""Archives made by hyperdrive 9: read exactly, and written byte for byte from the same steps."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from datfs.crypto.keys import KeyPair
from datfs.errors import ReadOnlyArchive
from datfs.hyperdrive.archive import Archive, Delete, Put
from datfs.hyperdrive.extent import BLOCK_BYTE_LENGTH
from datfs.hyperdrive.folder import open_folder, raw_storage
from datfs.hyperdrive.stat import DEFAULT_DIRECTORY_MODE, Stat
from tests import vectors

if TYPE_CHECKING:
    from pathlib import Path

    from datfs.hyperdrive.checkout import Checkout
    from datfs.hyperdrive.entry import Entry

NAMES = sorted(folder.name for folder in vectors.GOLDEN.iterdir() if folder.is_dir())
RAW = [name for name in NAMES if not name.startswith("dat-")]
FIRST_MTIME_MS = 1_500_000_000_000


def manifest_of(name: str) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((vectors.GOLDEN / name / "manifest.json").read_text())
    return manifest


def opened(name: str, tmp_path: Path) -> Archive:
    folder = tmp_path / name
    shutil.copytree(vectors.GOLDEN / name / "archive", folder)
    return open_folder(folder)


def row(archive: Archive, entry: Entry) -> dict[str, Any]:
    stat = entry.stat
    found: dict[str, Any] = {
        "path": entry.path,
        "type": "dir" if stat.is_directory else "file",
        "mode": stat.mode,
        "size": stat.size,
        "mtime": stat.mtime_ms,
        "blocks": stat.blocks,
        "offset": stat.offset,
        "byteOffset": stat.byte_offset,
    }
    if not stat.is_directory:
        content = archive.read(stat, 0, stat.size + 10)
        assert len(content) == stat.size
        found["sha256"] = hashlib.sha256(content).hexdigest()
    return found


def tree(archive: Archive, version: Archive | Checkout, folder: str = "/") -> list[dict[str, Any]]:
    rows = []
    children = sorted(version.list_directory(folder), key=lambda child: child[0].encode())
    for name, entry in children:
        assert entry.path == folder.rstrip("/") + "/" + name
        assert version.lookup(entry.path) == entry
        rows.append(row(archive, entry))
        if entry.stat.is_directory:
            rows += tree(archive, version, entry.path)
    return rows


@pytest.mark.parametrize("name", NAMES)
def test_every_version_shows_its_manifest(name: str, tmp_path: Path) -> None:
    manifest = manifest_of(name)
    archive = opened(name, tmp_path)
    assert archive.key.hex() == manifest["key"]
    assert archive.discovery_key.hex() == manifest["discoveryKey"]
    assert archive.content is not None
    assert archive.content.key.hex() == manifest["contentKey"]
    assert archive.version == manifest["version"]
    assert (archive.metadata.length, archive.content.length) == (
        manifest["metadata"]["length"],
        manifest["content"]["length"],
    )
    assert archive.oddities == []
    for version, rows in manifest["versions"].items():
        assert tree(archive, archive.checkout(int(version))) == rows
    assert tree(archive, archive) == manifest["versions"][str(archive.version)]
    archive.close()


@pytest.mark.parametrize("name", RAW)
def test_the_owner_may_write_and_a_copy_without_secret_key_not(name: str, tmp_path: Path) -> None:
    archive = opened(name, tmp_path)
    assert archive.writable
    assert archive.is_own
    archive.close()
    (tmp_path / name / "metadata" / "secret_key").unlink()
    copy = open_folder(tmp_path / name)
    assert not copy.writable
    assert not copy.is_own
    with pytest.raises(ReadOnlyArchive):
        copy.commit([Delete("/a")])
    with pytest.raises(ReadOnlyArchive):
        copy.content_writer()
    copy.close()


def wide_steps() -> list[dict[str, Any]]:
    """The steps of wide500, which its manifest leaves out."""
    texts = [f"file {i}".encode() for i in range(500)]
    return [
        {
            "op": "put",
            "path": f"/many/f{i:03}",
            "size": len(text),
            "sha256": hashlib.sha256(text).hexdigest(),
        }
        for i, text in enumerate(texts)
    ]


def content_of(name: str, step: dict[str, Any]) -> bytes:
    """Find what golden.js wrote in a step, by its hash."""
    size = step["size"]
    texts = {
        "three-files": ["# Hello\n", "a,b\n1,2\n", "#!/bin/sh\necho hi\n"],
        "deep": [*(f"at depth {i}\n" for i in range(12)), "late\n", "top\n"],
        "churn": [
            "one",
            "two",
            "one, again and longer",
            "two is back",
            "x returns",
            "uid and gid",
        ],
        "empties": ["x", "yy"],
        "unicode": [str(i) for i in range(1, 10)],
        "wide500": [f"file {i}" for i in range(500)],
    }.get(name, [])
    candidates = [b"", *(text.encode() for text in texts)]
    candidates += [vectors.filler(label, size) for label in ("x", "y", "one mebibyte")]
    candidates.append(b"".join(vectors.filler(f"uneven{n}", n) for n in range(1, 5)))
    return next(c for c in candidates if hashlib.sha256(c).hexdigest() == step["sha256"])


def write_step(archive: Archive, name: str, number: int, step: dict[str, Any]) -> None:
    assert archive.content is not None
    mtime_ms = FIRST_MTIME_MS + 1000 * number
    if step["op"] in ("del", "rmdir"):
        archive.commit([Delete(step["path"])])
        return
    modes = {"/run.sh": 0o100755, "/owner": 0o100640, "/empty": 0o040700}
    path = step["path"].replace("\\", "/")  # what hyperdrive does with a backslash
    if step["op"] == "mkdir":
        stat = Stat(
            mode=modes.get(path, DEFAULT_DIRECTORY_MODE),
            offset=archive.content.length,
            byte_offset=archive.content.byte_length,
            mtime_ms=mtime_ms,
            ctime_ms=mtime_ms,
        )
        archive.commit([Put(path, stat)])
        return
    data = content_of(name, step)
    writer = archive.content_writer()
    for size in step.get("chunks") or [BLOCK_BYTE_LENGTH] * -(-len(data) // BLOCK_BYTE_LENGTH):
        if step.get("chunks"):
            # One block for each write, as createWriteStream makes them.
            archive.content.append([data[:size]])
        else:
            writer.write(data[:size])
        data = data[size:]
    run = writer.finish()
    stat = Stat(
        mode=modes.get(path, 0o100644),
        uid=1000 if path == "/owner" else 0,
        gid=1001 if path == "/owner" else 0,
        mtime_ms=mtime_ms,
        ctime_ms=mtime_ms,
        **run._asdict(),
    )
    archive.commit([Put(path, stat)])


def test_what_we_write_is_byte_for_byte_what_hyperdrive_writes(tmp_path: Path) -> None:
    for name in RAW:
        manifest = manifest_of(name)
        archive = Archive.create(
            raw_storage(tmp_path / name), KeyPair.from_seed(bytes.fromhex(manifest["seed"]))
        )
        for number, step in enumerate(manifest.get("steps") or wide_steps()):
            write_step(archive, name, number, step)
        archive.close()
        for golden in sorted((vectors.GOLDEN / name / "archive").rglob("*")):
            if not golden.is_file():
                continue
            file = golden.relative_to(vectors.GOLDEN / name / "archive")
            if name == "big" and str(file) == "content/signatures":
                continue  # hyperdrive signs the first block alone, we sign a MiB at once
            assert (tmp_path / name / file).read_bytes() == golden.read_bytes(), (name, file)
        assert not (tmp_path / name / "content" / "secret_key").exists()
