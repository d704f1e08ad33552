"""What can be done to an archive's tree in one append batch, and a rename made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from datfs.errors import InvalidPath
from datfs.hyperdrive.append_tree import join_name
from datfs.hyperdrive.path_rules import split_path
from datfs.hyperdrive.stat import Stat, decode_stat

if TYPE_CHECKING:
    from datfs.hyperdrive.tree_index import TreeIndex


@dataclass(frozen=True, slots=True)
class Put:
    """Set what stands at a path."""

    path: str
    stat: Stat


@dataclass(frozen=True, slots=True)
class Delete:
    """Take the entry of a path away: of a file, or of a directory that was made as such.

    What lies below a directory keeps its own entries, and the directory shows as long as any does.
    """

    path: str


Operation: TypeAlias = Put | Delete


def rename_operations(index: TreeIndex, old_path: str, new_path: str) -> list[Operation]:
    """Return a rename: every entry at and below the old path put under the new one, then deleted.

    All puts come before all deletes, so that whoever stops reading in between misses nothing. The
    content stays where it is. What stands at the new path is overwritten if it is a file; that a
    directory there is empty is the caller's to see.

    Raises:
        InvalidPath: One of the paths is none, or the new one lies within the old.
    """
    old = split_path(old_path)
    new = split_path(new_path)
    if new[: len(old)] == old:
        if new == old:
            return []
        raise InvalidPath(f"{old_path} cannot be moved into itself")
    moved = list(index.own_entries(old))
    puts: list[Operation] = [
        Put(join_name((*new, *path[len(old) :])), decode_stat(value)) for path, value in moved
    ]
    # Children first: a directory goes once nothing is left in it.
    deletes: list[Operation] = [Delete(join_name(path)) for path, _ in reversed(moved)]
    return puts + deletes
