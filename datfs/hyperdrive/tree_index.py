"""The newest version of an archive's tree in memory, and the `paths` of the entry that comes next.

append-tree finds a name by walking lists from entry to entry (`checkout` does the same); for the
newest version, which everybody reads and the owner writes, this index keeps what those walks would
give: for each directory the newest entry of every child. It is built by replaying the entries in
order. A put alone determines the lists that follow it, so its `paths` are not read. A deletion ends
the name at one level, and with it all that lies below; which level, its writer chose: the number of
lists in its `paths` says so.

append-tree chooses that level too high when all other entries of a directory are themselves only
reached through deletions: then whole directories vanish with one file (`closest` in its
`index.js` looks for entries with a value). A tree that JavaScript wrote shows here what it shows
there; `paths_for_delete` takes the right level in this one case, which JavaScript reads well.

Names lie here as the archive has them. What may be shown is for `path_rules`, in `archive`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from datfs.encoding.varint import encode_varint
from datfs.hyperdrive.append_tree import (
    ENDS_WITH_OWN,
    count_lists,
    join_name,
    split_name,
)
from datfs.hyperdrive.entry import Change, ChangeKind, Entry
from datfs.hyperdrive.sequence_list import EncodedList, SequenceList
from datfs.hyperdrive.stat import IMPLICIT_DIRECTORY, decode_stat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from datfs.hyperdrive.append_tree import Node

_EMPTY: Final = EncodedList(0, b"", 0)


class _Name:
    """One path. Plain files are many: they carry two numbers, their Stat's bytes, and no more.

    Attributes:
        own_seq: Newest put of exactly this path; 0 if there is none or it was deleted.
        newest_seq: Newest entry of this path or below it: its member in the parent's list.
        value: The encoded Stat of that put.
        children: By component, in ascending order of `newest_seq`; None for what never had any.
        members: Numbers of all children and `own_seq`; exists with `children`.
    """

    __slots__ = ("children", "members", "newest_seq", "own_seq", "value")

    def __init__(self) -> None:
        self.own_seq = 0
        self.newest_seq = 0
        self.value: bytes | None = None
        self.children: dict[str, Self] | None = None
        self.members: SequenceList | None = None

    def child(self, component: str) -> Self | None:
        return self.children.get(component) if self.children else None

    def is_empty(self) -> bool:
        return not self.own_seq and not self.children

    def encode_members(self, without: int) -> EncodedList:
        """Encode the directory's list; `without` 0 leaves nothing out."""
        if self.members is not None:
            return self.members.encode(without or None)
        if self.own_seq and self.own_seq != without:
            return _EMPTY.with_last(self.own_seq)
        return _EMPTY


class TreeIndex:
    """All names of one version, for the newest version of an archive.

    Every lookup costs the depth of its path, every listing what it returns.
    """

    def __init__(self) -> None:
        self._root = _Name()

    def lookup(self, components: Sequence[str]) -> Entry | None:
        """Return what stands at a path, None for nothing."""
        name = self._find(components)
        if name is None or (name.is_empty() and components):
            return None
        return _entry(join_name(components), name)

    def children(self, components: Sequence[str]) -> Iterator[tuple[str, Entry]]:
        """Yield the children of a directory, the one that changed last at the end.

        The names are those of the moment when the iteration begins; the tree may change meanwhile.
        """
        directory = self._find(components)
        if directory is None or not directory.children:
            return
        prefix = "/" if not components else join_name(components) + "/"
        for component, name in list(directory.children.items()):
            if not name.is_empty():
                yield component, _entry(prefix + component, name)

    def has_children(self, components: Sequence[str]) -> bool:
        """Tell whether anything lies below a path."""
        directory = self._find(components)
        return directory is not None and bool(directory.children)

    def own_entries(self, components: Sequence[str]) -> Iterator[tuple[tuple[str, ...], bytes]]:
        """Yield components and encoded Stat of every put at a path and below it, parents first."""
        start = self._find(components)
        for path, name in _walk(tuple(components), start) if start else ():
            if name.value is not None:
                yield path, name.value

    def conflicts(self) -> Iterator[str]:
        """Yield each path that is a file and has others below it; it shows as the directory."""
        for path, name in _walk((), self._root):
            if (
                name.value is not None
                and name.children
                and not decode_stat(name.value).is_directory
            ):
                yield join_name(path)

    def apply(self, seq: int, node: Node) -> list[Change]:
        """Bring the tree to the version of the next entry.

        Args:
            seq: The entry's block index, larger than all before.
            node: The entry.

        Returns:
            Each path that looks otherwise now, also directories that came or went with a name
            below them.

        Raises:
            EncodingError: Its Stat (or, in a deletion, its `paths`) does not decode; nothing has
                changed.
        """
        components = split_name(node.name)
        if node.value is not None:
            decode_stat(node.value)
            return self.put(seq, components, node.value)
        return self.delete(seq, components, count_lists(node.paths) - 1)

    def put(self, seq: int, components: Sequence[str], value: bytes) -> list[Change]:
        """Apply a put: `value` is a Stat known to decode."""
        changes: list[Change] = []
        name = self._root
        is_new = False
        for depth, component in enumerate(components):
            if name.children is None or name.members is None:
                name.children = {}
                name.members = SequenceList()
                if name.own_seq:
                    name.members.append(name.own_seq)
            if not name.children and _is_file(name):
                changes.append(_change(components[:depth], ChangeKind.CHANGED, seq))
            child = name.children.pop(component, None)
            is_new = child is None
            if child is None:
                child = _Name()
                if depth + 1 < len(components):
                    changes.append(_change(components[: depth + 1], ChangeKind.CREATED, seq))
            else:
                name.members.remove(child.newest_seq)
            # Popped and set anew it stands at the end, so that the order stays that of the list.
            name.children[component] = child
            name.members.append(seq)
            child.newest_seq = seq
            name = child
        if name.members is not None:
            if name.own_seq:
                name.members.remove(name.own_seq)
            name.members.append(seq)
        name.own_seq = name.newest_seq = seq
        name.value = value
        kind = ChangeKind.CREATED if is_new else ChangeKind.CHANGED
        changes.append(_change(components, kind, seq))
        return changes

    def delete(self, seq: int, components: Sequence[str], level: int) -> list[Change]:
        """Apply a deletion.

        Args:
            seq: Its block index.
            components: The deleted name.
            level: How many components are still there afterwards; where the tree has fewer of
                them, or `level` is negative, the deletion goes no further than it can.
        """
        chain = self._chain(components)
        level = max(0, min(level, len(chain) - 1))
        for depth in range(level):
            _touch(chain[depth], components[depth], seq)
        directory = chain[level]
        changes: list[Change] = []
        if level == len(components):
            if directory.own_seq:
                if directory.members is not None:
                    directory.members.remove(directory.own_seq)
                directory.own_seq = 0
                directory.value = None
                if directory.children:
                    changes.append(_change(components, ChangeKind.CHANGED, seq))
        else:
            changes += _cut(directory, components[: level + 1], seq)
        while level and directory.is_empty():
            level -= 1
            directory = chain[level]
            changes += _cut(directory, components[: level + 1], seq)
        if changes and not directory.children and _is_file(directory):
            # It had others below it and was shown as their directory.
            changes.append(_change(components[:level], ChangeKind.CHANGED, seq))
        return changes

    def paths_for_put(self, components: Sequence[str]) -> bytes:
        """Return `paths` of the next entry when it puts a name (append-tree `_put`)."""
        parts = [encode_varint(ENDS_WITH_OWN)]
        name: _Name | None = self._root
        for component in components:
            if name is None:
                parts.append(encode_varint(0))
                continue
            child = name.child(component)
            encoded = name.encode_members(child.newest_seq if child else 0)
            parts += [encode_varint(encoded.length), encoded.differences]
            name = child
        encoded = name.encode_members(name.own_seq) if name else _EMPTY
        parts += [encode_varint(encoded.length), encoded.differences]
        return b"".join(parts)

    def paths_for_delete(self, components: Sequence[str], seq: int) -> bytes:
        """Return `paths` of the next entry when it deletes a name (append-tree `_del`).

        Args:
            components: The name; it need not exist.
            seq: The entry's block index.
        """
        chain = self._chain(components)
        level = self._delete_level(components)
        parts = [encode_varint(0)]
        for depth in range(level + 1):
            name = chain[depth]
            if depth == len(components):
                gone = name.own_seq
            else:
                child = name.child(components[depth])
                gone = child.newest_seq if child else 0
            encoded = name.encode_members(gone)
            if depth < level:
                encoded = encoded.with_last(seq)
            parts += [encode_varint(encoded.length), encoded.differences]
        return b"".join(parts)

    def _find(self, components: Sequence[str]) -> _Name | None:
        name: _Name | None = self._root
        for component in components:
            if name is None:
                return None
            name = name.child(component)
        return name

    def _chain(self, components: Sequence[str]) -> list[_Name]:
        """Return the root and every name on the way, as far as they exist."""
        chain = [self._root]
        for component in components:
            child = chain[-1].child(component)
            if child is None:
                break
            chain.append(child)
        return chain

    def _delete_level(self, components: Sequence[str]) -> int:
        """Return how many components of a name still lead somewhere once it is deleted."""
        chain = self._chain(components)
        for depth in range(len(chain) - 1, 0, -1):
            name = chain[depth]
            if depth == len(components):
                stays = len(name.children or ())
            else:
                stays = len(name.children or ()) + bool(name.own_seq)
                stays -= name.child(components[depth]) is not None
            if stays:
                return depth
        return 0


def _entry(path: str, name: _Name) -> Entry:
    if name.value is not None:
        stat = decode_stat(name.value)
        if stat.is_directory or not (name.children or path == "/"):
            return Entry(path=path, stat=stat, seq=name.own_seq, explicit=True)
    return Entry(path=path, stat=IMPLICIT_DIRECTORY, seq=name.newest_seq, explicit=False)


def _is_file(name: _Name) -> bool:
    return name.value is not None and not decode_stat(name.value).is_directory


def _change(components: Sequence[str], kind: ChangeKind, seq: int) -> Change:
    return Change(path=join_name(components), kind=kind, seq=seq)


def _touch(directory: _Name, component: str, seq: int) -> None:
    """Make `seq` the newest entry of a child that exists."""
    if directory.children is None or directory.members is None:
        return
    child = directory.children.pop(component)
    directory.children[component] = child
    directory.members.remove(child.newest_seq)
    directory.members.append(seq)
    child.newest_seq = seq


def _cut(directory: _Name, components: Sequence[str], seq: int) -> list[Change]:
    """Take the last of `components` and all below it out of its directory."""
    if directory.children is None or directory.members is None:
        return []
    child = directory.children.pop(components[-1], None)
    if child is None:
        return []
    directory.members.remove(child.newest_seq)
    gone = [_change(path, ChangeKind.REMOVED, seq) for path, _ in _walk(tuple(components), child)]
    return gone[::-1]


def _walk(components: tuple[str, ...], start: _Name) -> Iterator[tuple[tuple[str, ...], _Name]]:
    """Yield a name and all below it, parents before children, without recursion."""
    waiting = [(components, start)]
    while waiting:
        path, name = waiting.pop()
        yield path, name
        if name.children:
            waiting += [((*path, component), child) for component, child in name.children.items()]
