"""Serves the archive in a folder at its last argument, as the root: a child of the tests.

serve_archive.py FOLDER [+VERSION] MOUNTPOINT shows it read-only.
"""

from __future__ import annotations

import sys
from pathlib import Path

from datfs.fs.archive_view import Deadlines
from datfs.fs.mount import Tree
from datfs.fs.root import archive_tree
from datfs.fs.waiting import WaitingRoom
from datfs.hyperdrive.folder import open_folder
from tests.fs.serving import LocalSource, run

if __name__ == "__main__":
    folder, *version, mountpoint = sys.argv[1:]
    room = WaitingRoom()
    root = archive_tree(
        LocalSource(open_folder(Path(folder))),
        room=room,
        deadlines=Deadlines(),
        version=int(version[0][1:]) if version else None,
    )
    run(Tree(root=root, store=Path(folder), waiting=room), Path(mountpoint))
