from __future__ import annotations

import stat

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from datfs.fs.inodes import ROOT_INODE, InodeTable
from datfs.fs.node import Attributes, Identity, Node

SPACE = Identity(b"archive", "")


class Plain(Node):
    """A node of a given type."""

    def __init__(
        self, path: str, *, type_bits: int = stat.S_IFREG, space: bytes = b"archive"
    ) -> None:
        super().__init__(Identity(space, path))
        self._type_bits = type_bits

    @property
    def type_bits(self) -> int:
        return self._type_bits

    def attributes(self) -> Attributes:
        return Attributes(mode=self._type_bits | 0o644)


@pytest.fixture
def table() -> InodeTable:
    return InodeTable(Plain("", type_bits=stat.S_IFDIR))


def test_number_is_the_same_in_another_mount(table: InodeTable) -> None:
    other = InodeTable(Plain("", type_bits=stat.S_IFDIR))
    assert table.remember(Plain("/a"))[0] == other.remember(Plain("/a"))[0]
    assert table.remember(Plain("/a"))[0] != table.remember(Plain("/a", space=b"other"))[0]


def test_second_object_for_a_known_name_gives_way_to_the_first(table: InodeTable) -> None:
    first = Plain("/a")
    inode, node = table.remember(first)
    assert node is first
    assert table.remember(Plain("/a")) == (inode, first)
    assert table.lookups(inode) == 2


def test_forgotten_number_is_free(table: InodeTable) -> None:
    inode, _ = table.remember(Plain("/a"))
    table.remember(Plain("/a"))
    table.forget(inode, 1)
    assert table.node(inode).identity.path == "/a"
    table.forget(inode, 1)
    with pytest.raises(KeyError):
        table.node(inode)
    assert table.find(SPACE.child("a")) is None
    assert len(table) == 1


def test_root_is_never_forgotten(table: InodeTable) -> None:
    table.forget(ROOT_INODE, 5)
    assert table.node(ROOT_INODE).identity == SPACE


def test_renamed_file_keeps_its_number_and_a_newcomer_gets_another(table: InodeTable) -> None:
    inode, node = table.remember(Plain("/a"))
    table.moved(SPACE.child("a"), SPACE.child("b"))
    assert table.find(SPACE.child("b")) == inode
    assert node.identity.path == "/b"
    newcomer, _ = table.remember(Plain("/a"))
    assert newcomer != inode
    assert table.remember(Plain("/b"))[0] == inode


def test_rename_takes_along_what_is_below(table: InodeTable) -> None:
    inside, node = table.remember(Plain("/dir/sub/file"))
    beside, _ = table.remember(Plain("/dirx"))
    table.moved(SPACE.child("dir"), SPACE.child("other"))
    assert table.find(Identity(b"archive", "/other/sub/file")) == inside
    assert node.identity.path == "/other/sub/file"
    assert table.find(SPACE.child("dirx")) == beside


def test_replaced_file_is_detached_and_stays_until_forgotten(table: InodeTable) -> None:
    moved, _ = table.remember(Plain("/a"))
    replaced, old = table.remember(Plain("/b"))
    table.moved(SPACE.child("a"), SPACE.child("b"))
    assert not old.attached
    assert table.node(replaced) is old
    assert table.find(SPACE.child("b")) == moved
    table.forget(replaced, 1)
    with pytest.raises(KeyError):
        table.node(replaced)


def test_name_that_changes_its_type_gets_another_number(table: InodeTable) -> None:
    file, old = table.remember(Plain("/a"))
    directory, _ = table.remember(Plain("/a", type_bits=stat.S_IFDIR))
    assert directory != file
    assert not old.attached


class AgainstPlainCounts(RuleBasedStateMachine):
    """The table beside the kernel's own bookkeeping: a count for each inode."""

    def __init__(self) -> None:
        super().__init__()
        self.table = InodeTable(Plain("", type_bits=stat.S_IFDIR))
        self.counts: dict[int, int] = {}
        self.names: dict[str, int] = {}

    paths = st.sampled_from(["/a", "/b", "/c", "/d/e"])

    @rule(path=paths)
    def lookup(self, path: str) -> None:
        inode, node = self.table.remember(Plain(path))
        assert self.names.get(path, inode) == inode
        assert node.identity.path == path
        self.names[path] = inode
        self.counts[inode] = self.counts.get(inode, 0) + 1

    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        if self.counts:
            inode = data.draw(st.sampled_from(sorted(self.counts)))
            count = data.draw(st.integers(1, self.counts[inode]))
            self.table.forget(inode, count)
            self.counts[inode] -= count
            if not self.counts[inode]:
                del self.counts[inode]
                self.names = {path: known for path, known in self.names.items() if known != inode}

    @rule(path=paths)
    def unlink(self, path: str) -> None:
        self.table.removed(Identity(b"archive", path))
        self.names.pop(path, None)

    @rule(old=paths, new=paths)
    def rename(self, old: str, new: str) -> None:
        self.table.moved(Identity(b"archive", old), Identity(b"archive", new))
        if old != new:
            self.names.pop(new, None)
            if old in self.names:
                self.names[new] = self.names.pop(old)

    @invariant()
    def agree(self) -> None:
        assert len(self.table) == len(self.counts) + 1
        for inode, count in self.counts.items():
            assert self.table.lookups(inode) == count
        for path, inode in self.names.items():
            assert self.table.find(Identity(b"archive", path)) == inode


TestAgainstPlainCounts = AgainstPlainCounts.TestCase
TestAgainstPlainCounts.settings = settings(max_examples=60, deadline=None)
