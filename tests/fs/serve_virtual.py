"""Serves a tree of virtual nodes at its last argument, until SIGTERM: a child of the tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import trio

from datfs.errors import InvalidSignal
from datfs.fs.mount import Tree
from datfs.fs.node import Directory, Identity, Link, Node
from datfs.fs.virtual import ComputedFile, ControlFile, FixedDirectory, GrowingFile, TextFile
from datfs.fs.waiting import WaitingRoom
from tests.fs.serving import run

TOP = Identity(b"virtual", "")


class World:
    """What the tree shows and its control file changes."""

    def __init__(self, folder: Path) -> None:
        self.said = b"nothing\n"
        self.offers = 0
        self.folder = folder

    async def take(self, text: bytes) -> None:
        if text.startswith(b"bad"):
            raise InvalidSignal("bad")
        if text.startswith(b"odd"):
            raise ZeroDivisionError
        self.said = text

    async def offer(self) -> bytes:
        self.offers += 1
        await trio.sleep(0.01)
        return b"offer %d\n" % self.offers

    def tree(self) -> Directory:
        sub = TOP.child("sub")
        nodes: dict[str, Node] = {
            "said": TextFile(TOP.child("said"), lambda: self.said),
            "say": ControlFile(TOP.child("say"), self.take, limit_byte_length=64),
            "new-offer": ComputedFile(TOP.child("new-offer"), self.offer),
            "events": GrowingFile(TOP.child("events"), self.folder / "events"),
            "link": Link(TOP.child("link"), "said"),
            "sub": FixedDirectory(sub, {"pid": TextFile(sub.child("pid"), _pid)}),
        }
        return FixedDirectory(TOP, nodes)


def _pid() -> bytes:
    return b"%d\n" % os.getpid()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    run(
        Tree(root=World(folder).tree(), store=folder, waiting=WaitingRoom()),
        mountpoint=Path(sys.argv[-1]),
    )
