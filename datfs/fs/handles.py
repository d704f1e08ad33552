"""File and directory handles: what the numbers that open and opendir give out stand for."""

from __future__ import annotations

import errno
import itertools
from typing import TYPE_CHECKING, Generic, TypeVar

from datfs.fs.node import refuse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datfs.fs.node import Directory, Node

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

    __slots__ = ("_above", "_entries", "directory")

    def __init__(self, directory: Directory, above: Node) -> None:
        self.directory = directory
        self._above = above
        self._entries: list[tuple[bytes, Node]] | None = None

    def entries(self, *, restart: bool) -> list[tuple[bytes, Node]]:
        """The names and nodes; positions stay what they are until reading restarts."""
        if self._entries is None or restart:
            self._entries = [(b".", self.directory), (b"..", self._above)]
            self._entries += [(name.encode(), node) for name, node in self.directory.entries()]
        return self._entries
