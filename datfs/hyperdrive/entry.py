"""What a tree holds at a path, and how a new entry of the metadata feed changed it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datfs.hyperdrive.stat import Stat


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file or directory of an archive at some version.

    Attributes:
        path: Absolute, "/" for the root.
        stat: Its attributes, fit to be shown; for a directory without an entry of its own those
            that hyperdrive makes up (0755, size and times 0).
        seq: The metadata block that says so; for such a directory the newest below it, 0 for the
            root of an empty archive.
        explicit: An entry of its own is what is shown.
    """

    path: str
    stat: Stat
    seq: int
    explicit: bool


class ChangeKind(StrEnum):
    """What became of a path."""

    CREATED = "created"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One path that looks otherwise than before.

    A directory whose listing changed is not itself changed: the children are named instead.

    Attributes:
        path: Absolute.
        kind: What happened to it.
        seq: The metadata block that did it.
    """

    path: str
    kind: ChangeKind
    seq: int
