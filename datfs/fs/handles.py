"""File and directory handles: what the numbers that open and opendir give out stand for."""

from __future__ import annotations

import errno
import itertools
from typing import TYPE_CHECKING, Generic, TypeVar

from datfs.fs.node import refuse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datfs.fs.node import Attributes, Directory, Node

T = TypeVar("T")


class HandleTable(Generic[T]):
    """Numbers for open things; a number is not used again while the mount lives."""

    def __init__(self) -> None:
        self._opened: dict[int, T] = {}
        self._numbers = itertools.count(1)

    def __len__(self) -> int:
        return len(self._opened)

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._opened.values()))

    def add(self, opened: T) -> int:
        """Takes a thing in and gives it a number."""
        number = next(self._numbers)
        self._opened[number] = opened
        return number

    def __getitem__(self, number: int) -> T:
        """The open thing of a number.

        Raises:
            OSError: EBADF, it is not open.
        """
        opened = self._opened.get(number)
        if opened is None:
            refuse(errno.EBADF)
        return opened

    def pop(self, number: int) -> T:
        """Takes the thing of a number out."""
        opened = self[number]
        del self._opened[number]
        return opened


class Listing:
    """One opendir(3): the names as they were when reading began, each told once."""

    __slots__ = ("_above", "_changes", "_entries", "directory")

    def __init__(self, directory: Directory, above: Node) -> None:
        self.directory = directory
        self._above = above
        self._changes = 0
        self._entries: list[tuple[bytes, Node, Attributes | None]] | None = None

    def entries(
        self, *, restart: bool, changes: int
    ) -> list[tuple[bytes, Node, Attributes | None]]:
        """The names and nodes; positions stay what they are until reading restarts.

        Args:
            restart: Reading begins (again).
            changes: `Invalidator.changes_in` the directory's space.

        Returns:
            Names, nodes, and attributes where they were at hand when reading began.
        """
        if self._entries is None or restart:
            self._changes = changes
            self._entries = [(b".", self.directory, None), (b"..", self._above, None)]
            self._entries += [
                (name.encode(), node, attributes)
                for name, node, attributes in self.directory.entries_with_attributes()
            ]
        return self._entries

    def is_current(self, changes: int) -> bool:
        """Whether the attributes are still what they were when reading began."""
        return changes == self._changes
