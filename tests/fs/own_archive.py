"""Own archives for tests, put together as the application does it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from datfs.crypto.keys import KeyPair
from datfs.hyperdrive.archive import Archive
from datfs.hyperdrive.folder import raw_storage
from datfs.staging.journal import Journal
from datfs.staging.spool import SpoolFolder
from datfs.staging.working_archive import WorkingArchive

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from datfs.hyperdrive.entry import Change
    from datfs.staging.rules import FileRules


def own_archive(folder: Path, seed: int) -> Archive:
    """The archive in a folder, made anew if there is none."""
    storage = raw_storage(folder / "archive")
    if storage.metadata.exists("key"):
        return Archive.open(storage)
    return Archive.create(storage, KeyPair.from_seed(bytes([seed]) * 32))


def working_archive(
    archive: Archive,
    folder: Path,
    *,
    rules: FileRules,
    on_commit: Callable[[Sequence[Change]], None],
) -> WorkingArchive:
    """An own archive that can be written; spool and journal lie beside it."""
    return WorkingArchive(
        archive,
        spool=SpoolFolder(folder / "spool"),
        journal=Journal(folder / "journal"),
        rules=rules,
        on_commit=on_commit,
        wall_clock_ms=lambda: time.time_ns() // 1_000_000,
    )
