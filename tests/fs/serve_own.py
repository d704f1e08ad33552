"""Serves an own archive at its last argument, until SIGTERM: a child of the tests.

    me/       the archive, to be written; session.json is completed, *.offer.bin must be JSON
    seen/     the same archive as others see it: read-only, committed versions only
    do        takes JSON: what a service of the daemon does to the archive behind the kernel's back
    version   how many versions there are
    dirty     what is not a version yet

serve_own.py FOLDER MOUNTPOINT keeps all in the folder and goes on with what is there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from datfs.errors import EncodingError, InvalidSignal
from datfs.fs.archive_view import ArchiveDirectory, ArchiveView, Deadlines
from datfs.fs.dat_directory import archive_top
from datfs.fs.mount import Mounted, Tree
from datfs.fs.node import Directory, Identity
from datfs.fs.root import ME_TOP
from datfs.fs.virtual import ControlFile, FixedDirectory, TextFile
from datfs.fs.waiting import WaitingRoom
from datfs.fs.working_view import WorkingDirectory, WorkingView
from tests.fs.own_archive import own_archive, working_archive
from tests.fs.serving import LocalSource, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datfs.hyperdrive.entry import Change

TOP = Identity(b"test", "")


class Rules:
    """Stands for what identity and lobby say about files."""

    def may_create(self, path: str) -> None:
        if path == "/forbidden":
            raise InvalidSignal(path)

    def form(self, path: str) -> None:
        return None

    def max_checked_size(self, path: str) -> int | None:
        return 65536 if path == "/session.json" or path.endswith(".offer.bin") else None

    def check(self, path: str, content: bytes) -> bytes | None:
        try:
            document = json.loads(content)
        except ValueError as error:
            raise InvalidSignal(path) from error
        if path.endswith(".offer.bin"):
            return None
        return json.dumps({**document, "url": "dat://complete"}).encode()


class Daemon:
    """The archive, and what tells the kernel of its changes."""

    def __init__(self, folder: Path) -> None:
        self.archive = own_archive(folder, seed=0)
        self.working = working_archive(
            self.archive, folder, rules=Rules(), on_commit=self.committed
        )
        self.room = WaitingRoom()
        self.mounted: Mounted | None = None

    def committed(self, changes: Sequence[Change]) -> None:
        if self.mounted is not None:
            for top in (ME_TOP, archive_top(self.archive.key)):
                self.mounted.invalidator.archive_changed(top, changes)

    async def act(self, command: bytes) -> None:
        what = json.loads(command)
        match what:
            case {"write": path, "text": text}:
                await self.working.write_file(path, text.encode())
            case {"unlink": path}:
                self.working.unlink(path)
            case {"mkdir": path}:
                self.working.mkdir(path)
            case {"rmdir": path}:
                self.working.rmdir(path)
            case {"rename": old, "to": new}:
                self.working.rename(old, new)
            case _:
                raise EncodingError("no such command")
        assert self.mounted is not None
        await self.mounted.invalidator.told()

    def root(self) -> Directory:
        source = LocalSource(self.archive)
        view = ArchiveView(lambda: source, room=self.room, deadlines=Deadlines())
        return FixedDirectory(
            TOP,
            {
                "me": WorkingDirectory(WorkingView(self.working), ME_TOP),
                "seen": ArchiveDirectory(view, archive_top(self.archive.key)),
                "do": ControlFile(TOP.child("do"), self.act, limit_byte_length=1 << 20),
                "version": TextFile(TOP.child("version"), lambda: b"%d\n" % self.archive.version),
                "dirty": TextFile(
                    TOP.child("dirty"), lambda: "\n".join(self.working.uncommitted()).encode()
                ),
            },
        )

    async def remember(self, mounted: Mounted) -> None:
        self.mounted = mounted


async def _ended(daemon: Daemon) -> None:
    await daemon.working.commit_all()
    daemon.working.close()
    daemon.archive.sync()
    daemon.archive.close()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    daemon = Daemon(folder)
    for recovered in trio.run(daemon.working.recover):
        print("recovered", recovered.path, recovered.outcome)
    run(
        Tree(root=daemon.root(), store=folder, waiting=daemon.room),
        Path(sys.argv[-1]),
        beside=daemon.remember,
    )
    trio.run(_ended, daemon)
