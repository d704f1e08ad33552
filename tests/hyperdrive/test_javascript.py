"""The same archives under the hands of hyperdrive 9 and of ours, in turn."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from datfs.crypto.hashing import leaf_hash
from datfs.crypto.keys import KeyPair
from datfs.hyperdrive.append_tree import (
    Node,
    decode_node,
    encode_node,
    join_name,
    split_name,
)
from datfs.hyperdrive.archive import Archive, Delete, Put
from datfs.hyperdrive.checkout import Checkout
from datfs.hyperdrive.folder import open_folder, raw_storage
from datfs.hyperdrive.stat import Stat, encode_stat
from datfs.hyperdrive.tree_index import TreeIndex
from tests.hyperdrive.memory_archives import new_archive, write_file
from tests.support.node_peers import DRIVERS, NodePeer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SEED = "31" * 32
SCRIPT = DRIVERS.parents[1] / "hyperdrive" / "append_tree.js"
VALUE = encode_stat(Stat(mode=0o100644))


def tree(archive: Archive, folder: str = "/") -> list[dict[str, Any]]:
    """What the drivers print of an archive."""
    rows = []
    children = sorted(archive.list_directory(folder), key=lambda child: child[0].encode())
    for _, entry in children:
        stat = entry.stat
        row: dict[str, Any] = {
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
            content = archive.read(stat, 0, stat.size)
            row["sha256"] = hashlib.sha256(content).hexdigest()
        rows.append(row)
        if stat.is_directory:
            rows += tree(archive, entry.path)
    return rows


def javascript_tree(peers: Path, folder: Path, *commands: dict[str, Any]) -> list[dict[str, Any]]:
    """Open an archive with hyperdrive, run commands, return what it then shows."""
    with NodePeer(peers, "writer.js", folder) as peer:
        peer.event("listening")
        for command in commands:
            peer.send(command)
            peer.event("ok", cmd=command["cmd"])
        peer.send({"cmd": "tree"})
        rows: list[dict[str, Any]] = peer.event("ok", cmd="tree")["tree"]
        peer.send({"cmd": "quit"})
        peer.event("bye")
    return rows


def test_hyperdrive_reads_and_continues_what_we_wrote(peers: Path, tmp_path: Path) -> None:
    archive = Archive.create(raw_storage(tmp_path), KeyPair.from_seed(bytes.fromhex(SEED)))
    write_file(archive, "/a", b"")
    write_file(archive, "/d/big", bytes(range(256)) * 1024 + b"tail")
    write_file(archive, "/d/naïve 😀", b"odd", mode=0o100755)
    archive.commit([Put("/made", Stat(mode=0o040700, mtime_ms=1_500_000_000_000))])
    archive.commit(archive.rename_operations("/d", "/moved"))
    entry = archive.lookup("/moved/naïve 😀")
    assert entry is not None
    write_file(archive, "/log", b"one\n")
    writer = archive.content_writer(archive.lookup("/log"))
    writer.write(b"two\n")
    archive.commit([Put("/log", Stat(mode=0o100644, **writer.finish()._asdict())), Delete("/a")])
    ours = tree(archive)
    archive.close()
    assert javascript_tree(peers, tmp_path) == ours

    commands = [
        {"cmd": "put", "path": "/moved/new", "text": "from javascript"},
        {"cmd": "del", "path": "/log"},
    ]
    theirs = javascript_tree(peers, tmp_path, *commands)
    again = open_folder(tmp_path)
    assert again.metadata.repairs == ()
    assert again.writable
    assert tree(again) == theirs
    write_file(again, "/last", b"ours again")
    ours = tree(again)
    again.close()
    assert javascript_tree(peers, tmp_path) == ours


def test_we_read_and_continue_what_hyperdrive_wrote(peers: Path, tmp_path: Path) -> None:
    commands: list[dict[str, Any]] = [
        {"cmd": "put", "path": "/x/a", "text": "a", "mode": 0o600},
        {"cmd": "put", "path": "/x/y/b", "size": 200_000, "fill": 7},
        {"cmd": "put", "path": "/x/y/c", "text": ""},
        {"cmd": "mkdir", "path": "/empty"},
        {"cmd": "mkdir", "path": "/gone"},
        {"cmd": "rmdir", "path": "/gone"},
        {"cmd": "del", "path": "/x/y/c"},
        {"cmd": "put", "path": "/x/a", "text": "a again", "mtime": 1_600_000_000_000},
    ]
    with NodePeer(peers, "writer.js", tmp_path, "--create", "--seed", SEED) as peer:
        peer.event("listening")
        for command in commands:
            peer.send(command)
            peer.event("ok", cmd=command["cmd"])
        peer.send({"cmd": "tree"})
        theirs = peer.event("ok", cmd="tree")["tree"]
        peer.send({"cmd": "quit"})
        peer.event("bye")
    archive = open_folder(tmp_path)
    assert (archive.version, archive.oddities) == (8, [])
    assert tree(archive) == theirs
    write_file(archive, "/x/y/d", b"ours")
    ours = tree(archive)
    archive.close()
    assert javascript_tree(peers, tmp_path) == ours


def test_we_read_a_folder_of_the_dat_program(peers: Path, tmp_path: Path) -> None:
    source, folder = tmp_path / "source", tmp_path / "dat"
    (source / "sub").mkdir(parents=True)
    folder.mkdir()
    (source / "one").write_bytes(b"one")
    (source / "sub" / "two").write_bytes(bytes(range(256)) * 800)
    (source / "sub" / "none").write_bytes(b"")
    with NodePeer(
        peers, "make.js", source, folder, "--layout", "dat", "--secret-dir", tmp_path / "secret"
    ) as peer:
        key = peer.event("done")["key"]
    archive = open_folder(folder)
    assert archive.key.hex() == key
    assert not archive.writable
    files = {row["path"]: row["sha256"] for row in tree(archive) if row["type"] == "file"}
    assert files == {
        f"/{name}": hashlib.sha256((source / name).read_bytes()).hexdigest()
        for name in ("one", "sub/two", "sub/none")
    }
    assert archive.content is not None
    for block in range(archive.content.length):
        node = archive.content.node(2 * block)
        assert node is not None
        assert leaf_hash(archive.content.get(block)) == node.hash


# --- append-tree against our index, over random histories -----------------------------------------


def append_tree(
    peers: Path, entries: Sequence[bytes], operations: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Run the real append-tree: see append_tree.js."""
    done = subprocess.run(
        ["node", str(SCRIPT), str(peers)],
        input=json.dumps({"entries": [e.hex() for e in entries], "operations": operations}),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def random_history(seed: int) -> list[tuple[str, str]]:
    choice = random.Random(seed).choice
    return [
        (
            choice(["put", "put", "del"]),
            join_name([choice("abcd") for _ in range(choice([1, 1, 2, 2, 3, 4]))]),
        )
        for _ in range(80)
    ]


def shown(index: TreeIndex) -> dict[str, bool]:
    """Every path, and whether it has a value of its own."""
    found = {}
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        path = waiting.pop()
        for name, entry in index.children(path):
            found[entry.path] = False
            waiting.append((*path, name))
    found.update({join_name(path): True for path, _ in index.own_entries(())})
    return found


@pytest.mark.parametrize("seed", range(6))
def test_a_history_of_append_tree_shows_as_it_does_there(peers: Path, seed: int) -> None:
    theirs = append_tree(peers, [], random_history(seed))
    archive = new_archive()
    index = TreeIndex()
    for seq, (entry, expected) in enumerate(
        zip(theirs["entries"], theirs["versions"], strict=True), start=1
    ):
        node = decode_node(bytes.fromhex(entry))
        if node.value is not None:
            assert index.paths_for_put(split_name(node.name)) == node.paths
        index.apply(seq, node)
        assert shown(index) == expected
        archive.metadata.append([bytes.fromhex(entry)])
        checkout = Checkout(archive.metadata, seq, foreign=False)
        for path in expected:
            assert checkout.lookup(path) == index.lookup(split_name(path))
            listing = list(index.children(split_name(path)))
            assert list(checkout.list_directory(path)) == listing


@pytest.mark.parametrize("seed", range(6))
def test_a_history_of_ours_shows_in_append_tree_as_it_does_here(peers: Path, seed: int) -> None:
    index = TreeIndex()
    entries: list[bytes] = []
    expected = []
    live: set[str] = set()
    for seq, (kind, path) in enumerate(random_history(seed), start=1):
        components = split_name(path)
        if kind == "put":
            live.add(path)
            node = Node(name=path, value=VALUE, paths=index.paths_for_put(components))
        else:
            live.discard(path)
            paths = index.paths_for_delete(components, seq)
            node = Node(name=path, value=None, paths=paths)
        index.apply(seq, node)
        assert {name for name, is_live in shown(index).items() if is_live} == live
        entries.append(encode_node(node))
        expected.append(shown(index))
    assert append_tree(peers, entries, [])["versions"] == expected


def test_append_tree_loses_a_directory_where_we_keep_it(peers: Path) -> None:
    """Why `paths_for_delete` does not follow it in everything."""
    history = [("put", "/x/z/a"), ("put", "/x/z/b/c"), ("put", "/x/z/b/d"), ("del", "/x/z/b/d")]
    theirs = append_tree(peers, [], [*history, ("del", "/x/z/a")])
    assert "/x/z/b/c" in theirs["versions"][3]
    assert theirs["versions"][4] == {}

    index = TreeIndex()
    entries = [bytes.fromhex(entry) for entry in theirs["entries"][:4]]
    for seq, entry in enumerate(entries, start=1):
        index.apply(seq, decode_node(entry))
    paths = index.paths_for_delete(("x", "z", "a"), 5)
    entries.append(encode_node(Node(name="/x/z/a", value=None, paths=paths)))
    kept = append_tree(peers, entries, [])["versions"][4]
    assert kept == {"/x": False, "/x/z": False, "/x/z/b": False, "/x/z/b/c": True}
