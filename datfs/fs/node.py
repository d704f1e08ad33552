"""What the mounted tree is made of: directories, files and links, whatever stands behind them.

A node says what it is called, how it stats and what it holds; it knows neither inode numbers nor
pyfuse3. `datfs.fs.inodes` gives nodes their numbers, `datfs.fs.operations` turns kernel requests
into calls of these methods.

Nodes refuse with an `OSError` that carries the errno (`refuse`) or with an error of
`datfs.errors`; `datfs.fs.errno_table` makes the kernel's answer of either.
"""

from __future__ import annotations

import errno
import os
import stat
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable

UNTIL_INVALIDATED_S = 365.0 * 24 * 3600
"""How long the kernel may believe what `datfs.fs.invalidation` takes back when it changes."""


class Identity(NamedTuple):
    """Which node this is, through every mount: inode numbers are hashed from it."""

    space: bytes  # one archive in one place of the tree, or a group of virtual nodes
    path: str  # "" is the top of the space, then "/a", "/a/b"

    def child(self, name: str) -> Identity:
        """The identity of an entry of this directory."""
        return Identity(self.space, f"{self.path}/{name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What stat(2) tells of a node; owner and group are always the mounter's."""

    mode: int  # with type bits
    size: int = 0  # bytes
    mtime_ms: int = 0  # since 1970
    ctime_ms: int = 0  # since 1970
    valid_s: float = 0.0  # how long the kernel may answer stat(2) from this by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeChange:
    """What chmod, truncate and utimens ask for; None leaves a field as it is."""

    mode: int | None = None  # permission bits
    size: int | None = None  # bytes
    mtime_ms: int | None = None  # since 1970


def refuse(code: int, about: str = "") -> NoReturn:
    """Raises the `OSError` of an errno.

    Raises:
        OSError: Always; as the subclass that Python has for the code.
    """
    raise OSError(code, f"{about}: {os.strerror(code)}" if about else os.strerror(code))


def wants_write(flags: int) -> bool:
    """Whether open(2) flags ask for write access."""
    return flags & os.O_ACCMODE != os.O_RDONLY


class OpenFile:
    """One open(2) of a file: everything that goes through its handle.

    What a kind of file does not do is refused with EBADF, and its ends (flush, fsync, release)
    do nothing.
    """

    __slots__ = ()

    direct_io: bool = True  # no page cache: each read(2) is a request, its size as asked
    keep_cache: bool = False  # pages cached by an earlier open are still true

    async def read(self, offset: int, size: int) -> bytes:
        """Bytes from an offset; fewer than asked for only at the end of the file."""
        refuse(errno.EBADF)

    async def write(self, offset: int, data: bytes) -> None:
        """Takes all of the data, or raises."""
        refuse(errno.EBADF)

    async def flush(self) -> bool:
        """A descriptor of this handle was closed; there may be others. Errors reach close(2).

        Returns:
            Whether the file is now another than the kernel's pages and attributes say.
        """
        return False

    async def fsync(self) -> None:
        """Returns when what was written survives power loss."""

    async def release(self) -> bool:
        """The last descriptor is gone; errors reach nobody.

        Returns:
            As `flush`.
        """
        return False


class Node(ABC):
    """A directory, a file or a link of the mounted tree."""

    __slots__ = ("attached", "identity")

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.attached = True  # False: its name is gone, it may still be in use

    @property
    @abstractmethod
    def type_bits(self) -> int:
        """`stat.S_IFDIR`, `S_IFREG` or `S_IFLNK`."""

    @abstractmethod
    def attributes(self) -> Attributes:
        """How the node stats now. Never waits.

        Raises:
            FileNotFoundError: It is gone.
        """

    async def set_attributes(self, change: AttributeChange, opened: OpenFile | None) -> None:
        """Changes attributes; `opened` is the handle that the call came through, if any."""
        refuse(errno.EPERM)

    def moved(self, identity: Identity) -> None:
        """The node goes by another name from now on (rename of it or of a directory above)."""
        self.identity = identity

    def detached(self) -> None:
        """The node has lost its name (unlink, or replaced by a rename)."""
        self.attached = False


class File(Node):
    """A node with content."""

    __slots__ = ()

    @property
    def type_bits(self) -> int:
        """`stat.S_IFREG`."""
        return stat.S_IFREG

    @abstractmethod
    async def open(self, flags: int) -> OpenFile:
        """Opens the file.

        Args:
            flags: As of open(2); O_TRUNC included, O_CREAT and O_EXCL not.
        """


class Link(Node):
    """A symbolic link."""

    __slots__ = ("_attributes", "target")

    def __init__(self, identity: Identity, target: str) -> None:
        super().__init__(identity)
        self.target = target
        self._attributes = Attributes(
            mode=stat.S_IFLNK | 0o777, size=len(os.fsencode(target)), valid_s=0.0
        )

    @property
    def type_bits(self) -> int:
        """`stat.S_IFLNK`."""
        return stat.S_IFLNK

    def attributes(self) -> Attributes:
        """A link's size is the length of its target."""
        return self._attributes


class Directory(Node):
    """A node with entries. The defaults are those of a directory that nothing can be put into."""

    __slots__ = ()

    refusal: ClassVar[int] = errno.EPERM  # the errno of changes that this kind does not allow

    @property
    def names_valid_s(self) -> float:
        """How long the kernel may believe which names there are, and which there are not."""
        return 0.0

    @property
    def type_bits(self) -> int:
        """`stat.S_IFDIR`."""
        return stat.S_IFDIR

    async def ready(self) -> None:
        """Returns when the entries are known; the only place, with `lookup`, that may wait.

        Raises:
            ArchiveUnreachable: Nobody answered within the deadline.
        """

    @abstractmethod
    async def lookup(self, name: str) -> Node | None:
        """The entry of a name.

        The kernel holds back all other lookups in this directory meanwhile: waiting is allowed
        for the first metadata of the archive whose top or inside this directory is, no more.
        """

    @abstractmethod
    def entries(self) -> Iterable[tuple[str, Node]]:
        """All names now, in any order; called when `ready` has returned."""

    def entries_with_attributes(self) -> Iterable[tuple[str, Node, Attributes | None]]:
        """The same, with attributes where they are at hand anyway."""
        return ((name, node, None) for name, node in self.entries())

    async def create(self, name: str, mode: int, flags: int) -> tuple[Node, OpenFile]:
        """Makes an empty file and opens it.

        Args:
            name: Has passed the path rules; not in use as far as the kernel knows.
            mode: Permission bits, umask applied.
            flags: As of open(2).
        """
        refuse(self.refusal, name)

    async def mkdir(self, name: str, mode: int) -> Node:
        """Makes a directory."""
        refuse(self.refusal, name)

    async def unlink(self, name: str) -> None:
        """Removes a name that is no directory."""
        refuse(self.refusal, name)

    async def rmdir(self, name: str) -> None:
        """Removes an empty directory."""
        refuse(self.refusal, name)

    async def rename(self, name: str, target: Directory, new_name: str, *, replace: bool) -> bool:
        """Gives an entry another name, here or in another directory.

        Args:
            name: The entry.
            target: Where it goes.
            new_name: Has passed the path rules.
            replace: Whether an entry of the new name gives way; else EEXIST.

        Returns:
            Whether the entry is now another than the kernel's pages and attributes say.
        """
        refuse(self.refusal, name)

    async def fsync(self) -> None:
        """Returns when the directory's committed state survives power loss."""
