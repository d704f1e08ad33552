"""The newest version of an archive's tree as it may be shown: the index behind the path rules.

Entries may be anybody's. One that does not decode is skipped; one whose name no file system could
have stays in the index, where the next entry's `paths` need it, and is not shown. Both are noted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from datfs.errors import EncodingError, InvalidPath
from datfs.hyperdrive.append_tree import Node, decode_node, encode_node, join_name, split_name
from datfs.hyperdrive.operations import Put
from datfs.hyperdrive.path_rules import is_visible, split_path
from datfs.hyperdrive.stat import encode_stat
from datfs.hyperdrive.tree_index import TreeIndex

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from datfs.hyperdrive.entry import Change, Entry
    from datfs.hyperdrive.operations import Operation

MAX_ODDITIES: Final = 100
"""Sentences kept about entries that make no sense; a hostile archive could give any number."""

_QUOTED_LENGTH: Final = 300


class ShownTree:
    """A tree that takes any entries and shows what a mounted tree can hold.

    Attributes:
        index: All names, also those that are not shown.
        oddities: A sentence for each of the first entries that were skipped or are not shown.
        oddity_count: How many there were.

    Args:
        foreign: The archive is somebody else's (see `Stat.tamed`).
    """

    def __init__(self, *, foreign: bool) -> None:
        self.index = TreeIndex()
        self.oddities: list[str] = []
        self.oddity_count = 0
        self._foreign = foreign
        self._has_hidden_names = False

    def apply(self, seq: int, block: bytes) -> list[Change]:
        """Bring the tree to the version of the next entry.

        Args:
            seq: The entry's block index.
            block: The entry, whatever it is.

        Returns:
            What changed of what is shown.
        """
        try:
            node = decode_node(block)
            changes = self.index.apply(seq, node)
        except EncodingError as error:
            self.note(f"entry {seq} was skipped: {error}")
            return []
        if not _is_shown(split_name(node.name)):
            self._has_hidden_names = True
            name = node.name[:_QUOTED_LENGTH]
            self.note(f"entry {seq} is not shown: {name!r} is no path of a file system")
        if not self._has_hidden_names:
            return changes
        return [
            change
            for change in changes
            if change.path == "/" or _is_shown(change.path[1:].split("/"))
        ]

    def next_block(self, seq: int, components: Sequence[str], operation: Operation) -> bytes:
        """Return the entry of an operation on the tree as it is now; it is not applied.

        Args:
            seq: The block index that the entry will have.
            components: The operation's path.
            operation: What to do there.
        """
        value: bytes | None = None
        if isinstance(operation, Put):
            value = encode_stat(operation.stat)
            paths = self.index.paths_for_put(components)
        else:
            paths = self.index.paths_for_delete(components, seq)
        return encode_node(Node(name=join_name(components), value=value, paths=paths))

    def lookup(self, path: str) -> Entry | None:
        """Return what stands at a path, None for nothing."""
        try:
            entry = self.index.lookup(split_path(path))
        except InvalidPath:
            return None
        return None if entry is None else self._tamed(entry)

    def list_directory(self, path: str) -> Iterator[tuple[str, Entry]]:
        """Yield the children of a directory; nothing for what is none."""
        try:
            children = self.index.children(split_path(path))
        except InvalidPath:
            return
        for name, entry in children:
            if is_visible(name):
                yield name, self._tamed(entry)

    def note(self, oddity: str) -> None:
        """Remember a sentence about something that makes no sense, as long as there are few."""
        self.oddity_count += 1
        if len(self.oddities) < MAX_ODDITIES:
            self.oddities.append(oddity)

    def _tamed(self, entry: Entry) -> Entry:
        stat = entry.stat.tamed(foreign=self._foreign)
        return entry if stat is entry.stat else replace(entry, stat=stat)


def _is_shown(components: Sequence[str]) -> bool:
    return all(map(is_visible, components))
