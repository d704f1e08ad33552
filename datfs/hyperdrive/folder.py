"""Archives in folders: hyperdrive's own ("raw") layout, and the `.dat` layout of the `dat` program.

Which files these are: formats.md sections 2 and 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from datfs.errors import NotAnArchive
from datfs.hypercore.feed import Feed
from datfs.hypercore.storage import DirectoryStorage
from datfs.hyperdrive.archive import Archive, ArchiveStorage
from datfs.hyperdrive.dat_storage import DAT_FOLDER, METADATA_PREFIX, PlainContentStorage

if TYPE_CHECKING:
    from pathlib import Path

    from datfs.hypercore.storage import OpenFiles

METADATA_FOLDER: Final = "metadata"
CONTENT_FOLDER: Final = "content"


def raw_storage(folder: Path, open_files: OpenFiles | None = None) -> ArchiveStorage:
    """Return the storage of an archive in hyperdrive's own layout; nothing is made yet.

    Args:
        folder: Where `metadata/` and `content/` lie or will lie.
        open_files: Where open descriptors are kept.
    """
    return ArchiveStorage(
        metadata=DirectoryStorage(folder / METADATA_FOLDER, open_files=open_files),
        content=DirectoryStorage(folder / CONTENT_FOLDER, open_files=open_files),
    )


def open_folder(
    folder: Path,
    *,
    open_files: OpenFiles | None = None,
    known_metadata_length: int = 0,
    known_content_length: int = 0,
    force: bool = False,
) -> Archive:
    """Open the archive in a folder, whichever layout it has; a `.dat` one is read-only.

    Args:
        folder: What holds `metadata/` and `content/`, or `.dat/` beside plain files.
        open_files: Where open descriptors are kept.
        known_metadata_length: See `Archive.open`.
        known_content_length: See `Archive.open`.
        force: See `Archive.open`.

    Raises:
        NotAnArchive: The folder holds neither, or something else than a hyperdrive.
        StorageDamaged: A file contradicts the others.
    """
    if (folder / METADATA_FOLDER / "key").is_file():
        return Archive.open(
            raw_storage(folder, open_files),
            known_metadata_length=known_metadata_length,
            known_content_length=known_content_length,
            force=force,
        )
    if not (folder / DAT_FOLDER / f"{METADATA_PREFIX}key").is_file():
        raise NotAnArchive(
            f"{folder} holds no Dat archive: neither {METADATA_FOLDER}/key nor "
            f"{DAT_FOLDER}/{METADATA_PREFIX}key is there"
        )
    files = DirectoryStorage(
        folder / DAT_FOLDER, METADATA_PREFIX, open_files=open_files, create=False
    )
    metadata = Feed.open(files)
    archive = Archive(
        metadata,
        PlainContentStorage(folder, metadata, open_files),
        read_only_reason="folders of the dat program (.dat) are read and served only",
    )
    archive.update()
    if archive.not_an_archive is not None:
        raise NotAnArchive(f"{folder}: {archive.not_an_archive}")
    return archive
