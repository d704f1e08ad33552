from __future__ import annotations

from typing import Any

import pytest

from datfs.errors import EncodingError
from datfs.hyperdrive.append_tree import Node, decode_node, split_name
from datfs.hyperdrive.entry import Change, ChangeKind
from datfs.hyperdrive.stat import Stat, encode_stat
from datfs.hyperdrive.tree_index import TreeIndex
from tests import vectors

SCRIPTS = vectors.load("append-tree.json")["scripts"]
FILE = encode_stat(Stat(mode=0o100644, size=3))
DIRECTORY = encode_stat(Stat(mode=0o040700))
CREATED, CHANGED, REMOVED = ChangeKind.CREATED, ChangeKind.CHANGED, ChangeKind.REMOVED


class Tree:
    """A TreeIndex that writes its own entries."""

    def __init__(self) -> None:
        self.index = TreeIndex()
        self.seq = 0

    def put(self, path: str, value: bytes = FILE) -> list[Change]:
        self.seq += 1
        paths = self.index.paths_for_put(split_name(path))
        return self.index.apply(self.seq, Node(name=path, value=value, paths=paths))

    def delete(self, path: str) -> list[Change]:
        self.seq += 1
        paths = self.index.paths_for_delete(split_name(path), self.seq)
        return self.index.apply(self.seq, Node(name=path, value=None, paths=paths))

    def names(self, path: str = "/") -> list[str]:
        return [name for name, _ in self.index.children(split_name(path))]

    def paths(self) -> set[str]:
        found = set()
        waiting: list[tuple[str, ...]] = [()]
        while waiting:
            for name, entry in self.index.children(parent := waiting.pop()):
                found.add(entry.path)
                waiting.append((*parent, name))
        return found


def kinds(changes: list[Change]) -> dict[str, ChangeKind]:
    assert len({change.path for change in changes}) == len(changes)
    return {change.path: change.kind for change in changes}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script["name"])
def test_paths_and_listings_of_javascript(script: dict[str, Any]) -> None:
    index = TreeIndex()
    for step in script["steps"]:
        node = decode_node(bytes.fromhex(step["entry"]))
        components = split_name(node.name)
        if node.value is None:
            paths = index.paths_for_delete(components, step["seq"])
        else:
            paths = index.paths_for_put(components)
        assert paths.hex() == step["paths"]
        index.apply(step["seq"], node)
        for path, listing in step["readdir"].items():
            shown = [name for name, _ in index.children(split_name(path))]
            if isinstance(listing, list):
                assert shown == listing
            else:
                assert shown == []
                assert index.lookup(split_name(path)) is None


def test_the_root_is_always_there() -> None:
    root = TreeIndex().lookup(())
    assert root is not None
    assert (root.path, root.stat.mode, root.seq, root.explicit) == ("/", 0o040755, 0, False)


def test_a_root_that_is_a_file_is_still_a_directory() -> None:
    tree = Tree()
    tree.put("/")
    root = tree.index.lookup(())
    assert root is not None
    assert root.stat.is_directory


def test_creating_names_its_new_parents() -> None:
    tree = Tree()
    assert kinds(tree.put("/a/b/c")) == {"/a": CREATED, "/a/b": CREATED, "/a/b/c": CREATED}
    assert kinds(tree.put("/a/b/c")) == {"/a/b/c": CHANGED}
    assert kinds(tree.put("/a/d")) == {"/a/d": CREATED}
    assert kinds(tree.put("/a", DIRECTORY)) == {"/a": CHANGED}


def test_removing_the_last_file_names_the_parents_that_go_with_it() -> None:
    tree = Tree()
    tree.put("/x")
    tree.put("/a/b/c")
    assert kinds(tree.delete("/a/b/c")) == {"/a": REMOVED, "/a/b": REMOVED, "/a/b/c": REMOVED}
    assert tree.paths() == {"/x"}
    assert kinds(tree.delete("/x")) == {"/x": REMOVED}
    assert tree.paths() == set()


def test_a_made_directory_outlives_its_last_file() -> None:
    tree = Tree()
    tree.put("/d", DIRECTORY)
    tree.put("/d/f")
    assert kinds(tree.delete("/d/f")) == {"/d/f": REMOVED}
    assert tree.paths() == {"/d"}


def test_deleting_a_made_directory_with_files_leaves_an_implicit_one() -> None:
    tree = Tree()
    tree.put("/d", DIRECTORY)
    tree.put("/d/f")
    assert kinds(tree.delete("/d")) == {"/d": CHANGED}
    entry = tree.index.lookup(("d",))
    assert entry is not None
    assert (entry.explicit, entry.stat.mode) == (False, 0o040755)


def test_deleting_what_never_was_changes_nothing() -> None:
    tree = Tree()
    tree.put("/a/b")
    assert tree.delete("/a/nope") == []
    assert tree.delete("/nope/deep") == []
    assert tree.delete("/a/b/below") == []
    assert tree.paths() == {"/a", "/a/b"}


def test_file_and_directory_at_once_shows_as_the_directory() -> None:
    tree = Tree()
    tree.put("/same")
    assert list(tree.index.conflicts()) == []
    assert kinds(tree.put("/same/child")) == {"/same": CHANGED, "/same/child": CREATED}
    entry = tree.index.lookup(("same",))
    assert entry is not None
    assert entry.stat.is_directory
    assert list(tree.index.conflicts()) == ["/same"]
    assert kinds(tree.delete("/same/child")) == {"/same": CHANGED, "/same/child": REMOVED}
    entry = tree.index.lookup(("same",))
    assert entry is not None
    assert not entry.stat.is_directory


def test_directories_that_live_by_deletions_alone_are_not_lost() -> None:
    """The case in which append-tree deletes more than it was told to."""
    tree = Tree()
    for path in ("/x/z/a", "/x/z/b/c", "/x/z/b/d"):
        tree.put(path)
    tree.delete("/x/z/b/d")
    tree.delete("/x/z/a")
    assert tree.paths() == {"/x", "/x/z", "/x/z/b", "/x/z/b/c"}


def test_a_deletion_that_cut_a_whole_directory_is_followed() -> None:
    tree = Tree()
    for path in ("/keep", "/x/a", "/x/y/b"):
        tree.put(path)
    node = Node(name="/x/a", value=None, paths=b"\x00\x01\x01")  # one list: level 0
    assert kinds(tree.index.apply(4, node)) == dict.fromkeys(
        ("/x", "/x/a", "/x/y", "/x/y/b"), REMOVED
    )
    assert tree.paths() == {"/keep"}


@pytest.mark.parametrize("paths", [b"\x00", b"\x00" + b"\x00" * 9, b"\x01\x00\x00"])
def test_deletions_with_absurd_levels_go_as_far_as_they_can(paths: bytes) -> None:
    tree = Tree()
    tree.put("/a/b")
    tree.index.apply(2, Node(name="/a/b", value=None, paths=paths))
    assert "/a/b" not in tree.paths()


def test_entries_that_do_not_decode_change_nothing() -> None:
    tree = Tree()
    tree.put("/a")
    for node in (
        Node(name="/b", value=b"\xff", paths=b""),
        Node(name="/b", value=b"", paths=b""),
        Node(name="/a", value=None, paths=b""),
        Node(name="/a", value=None, paths=b"\x00\x09"),
    ):
        with pytest.raises(EncodingError):
            tree.index.apply(2, node)
    assert tree.paths() == {"/a"}


def test_a_listing_survives_changes_under_it() -> None:
    tree = Tree()
    for number in range(5):
        tree.put(f"/{number}")
    listing = tree.index.children(())
    first = next(listing)[0]
    tree.delete("/3")
    tree.put("/new")
    assert [first, *(name for name, _ in listing)] == ["0", "1", "2", "3", "4"]


def test_own_entries_come_with_their_parents_first() -> None:
    tree = Tree()
    tree.put("/d/f")
    tree.put("/d", DIRECTORY)
    tree.put("/d/e/g")
    tree.put("/other")
    found = [components for components, _ in tree.index.own_entries(("d",))]
    assert found[0] == ("d",)
    assert set(found) == {("d",), ("d", "f"), ("d", "e", "g")}
    assert list(tree.index.own_entries(("nothing",))) == []
