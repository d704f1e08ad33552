"""Which nodes the kernel knows, under which inode numbers, and since how many lookups.

The kernel counts how often it was given an inode (lookup, create, mkdir, each entry of a listing)
and takes that back with forget; a number may be given to another node only when the count is zero.
A number is the 64-bit BLAKE2b of the node's identity, so that it is the same after a remount. A
node that was renamed while in use keeps its number; should its old name be taken anew meanwhile,
the newcomer gets the next number of its own series.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datfs.fs.node import Identity, Node

ROOT_INODE = 1


class _Known:
    """One inode of the kernel's."""

    __slots__ = ("identity", "inode", "lookups", "node")

    def __init__(self, inode: int, node: Node, identity: Identity | None) -> None:
        self.inode = inode
        self.node = node
        self.identity = identity  # None: the name is gone
        self.lookups = 0


class InodeTable:
    """The nodes that the kernel knows; the root always."""

    def __init__(self, root: Node) -> None:
        top = _Known(ROOT_INODE, root, root.identity)
        self._by_inode = {ROOT_INODE: top}
        self._by_identity = {root.identity: top}

    def __len__(self) -> int:
        return len(self._by_inode)

    def node(self, inode: int) -> Node:
        """The node of an inode.

        Raises:
            KeyError: The kernel was never given it, or has forgotten it.
        """
        return self._by_inode[inode].node

    def lookups(self, inode: int) -> int:
        """How often the kernel was given an inode, less what it gave back."""
        return self._by_inode[inode].lookups

    def find(self, identity: Identity) -> int | None:
        """The inode of an identity, if the kernel knows it."""
        known = self._by_identity.get(identity)
        return None if known is None else known.inode

    def remember(self, node: Node) -> tuple[int, Node]:
        """Counts one lookup.

        Args:
            node: May be a second object for an identity that is known already.

        Returns:
            Its inode and the object that stands for it from the first lookup on.
        """
        identity = node.identity
        known = self._by_identity.get(identity)
        if known is not None and known.node.type_bits != node.type_bits:
            self.removed(identity)
            known = None
        if known is None:
            known = _Known(self._free_inode(identity), node, identity)
            self._by_inode[known.inode] = known
            self._by_identity[identity] = known
        known.lookups += 1
        return known.inode, known.node

    def forget(self, inode: int, lookups: int) -> None:
        """Takes lookups back; at zero the inode is free."""
        known = self._by_inode[inode]
        known.lookups -= lookups
        if known.lookups <= 0 and inode != ROOT_INODE:
            del self._by_inode[inode]
            if known.identity is not None:
                del self._by_identity[known.identity]

    def removed(self, identity: Identity) -> None:
        """The name is gone; the inode stays until the kernel forgets it."""
        known = self._by_identity.pop(identity, None)
        if known is not None:
            known.identity = None
            known.node.detached()

    def moved(self, old: Identity, new: Identity) -> None:
        """A name was changed, over a name that may have been there; so were all names below it."""
        if old == new:
            return
        self.removed(new)
        below = f"{old.path}/"
        for known in [
            known
            for known in self._by_inode.values()
            if known.identity is not None
            and known.identity.space == old.space
            and (known.identity.path == old.path or known.identity.path.startswith(below))
        ]:
            assert known.identity is not None  # filtered above
            identity = known.identity._replace(
                space=new.space, path=new.path + known.identity.path[len(old.path) :]
            )
            del self._by_identity[known.identity]
            known.identity = identity
            self._by_identity[identity] = known
            known.node.moved(identity)

    def _free_inode(self, identity: Identity) -> int:
        return next(inode for inode in _series(identity) if inode not in self._by_inode)


def _series(identity: Identity) -> Iterator[int]:
    """The numbers that a node may have, in order of preference; never 0 and never the root's."""
    space = identity.space
    name = len(space).to_bytes(2, "big") + space + identity.path.encode()
    attempt = b""
    while True:
        digest = hashlib.blake2b(name + attempt, digest_size=8).digest()
        inode = int.from_bytes(digest, "big")
        if inode > ROOT_INODE:
            yield inode
        attempt += b"\0"  # no path ends so
