"""An archive as it was at some version, read from its entries as append-tree reads them.

The `paths` of the version's own entry and of those that it leads to are enough to find any name, so
an old version costs what is looked at and not a replay of the whole history. Directories that were
listed are remembered, a bounded number of them.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property
from typing import TYPE_CHECKING, Final

from datfs.errors import EncodingError, InvalidPath
from datfs.hyperdrive.append_tree import decode_list, decode_node, join_name, split_name
from datfs.hyperdrive.entry import Entry
from datfs.hyperdrive.path_rules import is_visible, split_path
from datfs.hyperdrive.stat import IMPLICIT_DIRECTORY, decode_stat

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from datfs.hypercore.feed import Feed
    from datfs.hyperdrive.append_tree import Node
    from datfs.hyperdrive.stat import Stat

REMEMBERED_DIRECTORIES: Final = 256

_Path = tuple[str, ...]
_Directory = dict[str | None, int]
"""Newest entry by child; under None the directory's own entry."""


class Checkout:
    """One version of an archive, which never changes.

    Methods raise `BlockMissing` where an entry on the way is not here.

    Args:
        metadata: The archive's metadata feed.
        version: Which version; 0 is the empty archive.
        foreign: The archive is somebody else's (see `Stat.tamed`).
    """

    def __init__(self, metadata: Feed, version: int, *, foreign: bool) -> None:
        self.version = version
        self._metadata = metadata
        self._foreign = foreign
        self._directories: OrderedDict[_Path, _Directory] = OrderedDict()

    def lookup(self, path: str) -> Entry | None:
        """Return what stood at `path`, None for nothing."""
        try:
            components = split_path(path)
        except InvalidPath:
            return None
        if components:
            newest = self._directory(components[:-1]).get(components[-1])
            return None if newest is None else self._entry(components, newest)
        return self._entry((), self.version)

    def list_directory(self, path: str) -> Iterator[tuple[str, Entry]]:
        """Yield the children of a directory; nothing for what is none."""
        try:
            components = split_path(path)
        except InvalidPath:
            return
        for child, newest in list(self._directory(components).items()):
            if child is None or not is_visible(child):
                continue
            entry = self._entry((*components, child), newest)
            if entry is not None:
                yield child, entry

    def _entry(self, path: _Path, newest: int) -> Entry | None:
        """Return the entry of a path whose newest sequence number is known."""
        directory = self._directory(path, newest)
        has_children = any(child is not None for child in directory)
        own = directory.get(None)
        stat = None if own is None else self._own_stat(path, own)
        if own is not None and stat is not None:
            is_directory = stat.is_directory or has_children or not path
            if stat.is_directory or not is_directory:
                stat = stat.tamed(foreign=self._foreign)
                return Entry(path=join_name(path), stat=stat, seq=own, explicit=True)
        elif not has_children and path:
            return None
        return Entry(path=join_name(path), stat=IMPLICIT_DIRECTORY, seq=newest, explicit=False)

    def _own_stat(self, path: _Path, seq: int) -> Stat | None:
        node = self._node(seq)
        if node is None or node.value is None or split_name(node.name) != path:
            return None
        try:
            return decode_stat(node.value)
        except EncodingError:
            return None

    def _directory(self, path: _Path, newest: int | None = None) -> Mapping[str | None, int]:
        """Return the children of a directory.

        Args:
            path: The directory.
            newest: The newest entry at or below it, where the caller knows it.
        """
        remembered = self._directories.get(path)
        if remembered is not None:
            self._directories.move_to_end(path)
            return remembered
        if not path:
            newest = self._head
        elif newest is None:
            newest = self._directory(path[:-1]).get(path[-1])
        directory = {} if newest is None else self._read_directory(path, newest)
        if any(child is not None for child in directory):
            self._directories[path] = directory
            if len(self._directories) > REMEMBERED_DIRECTORIES:
                self._directories.popitem(last=False)
        return directory

    def _read_directory(self, path: _Path, newest: int) -> _Directory:
        """Read the list of a directory out of its newest entry."""
        node = self._node(newest)
        depth = len(path)
        directory: _Directory = {}
        if node is None or split_name(node.name)[:depth] != path:
            return directory
        try:
            members = decode_list(node.paths, newest, depth)
        except EncodingError:
            return directory
        for seq in members:
            member = self._node(seq)
            if member is None:
                continue
            name = split_name(member.name)
            if name[:depth] == path:
                directory[name[depth] if len(name) > depth else None] = seq
        return directory

    @cached_property
    def _head(self) -> int | None:
        """The newest entry that is one: garbage between entries counts for nothing."""
        seqs = range(self.version, 0, -1)
        return next((seq for seq in seqs if self._node(seq) is not None), None)

    def _node(self, seq: int) -> Node | None:
        if not 1 <= seq <= self.version:
            return None
        try:
            return decode_node(self._metadata.get(seq))
        except EncodingError:
            return None
