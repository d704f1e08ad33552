"""What a mount after a crash finds in the journal, turned back into dirty files.

Pure reading: the records are folded, in their order, into the contents that were staged when the
earlier process died. Committing them is the ordinary commit's work; it writes nothing where the
version turns out to be there already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from datfs.hyperdrive.stat import Stat
from datfs.staging.records import BaseVersion, Moved, Record, Settled, Staged

if TYPE_CHECKING:
    from collections.abc import Iterable

    from datfs.hyperdrive.archive import Archive
    from datfs.staging.content import DirtyContent
    from datfs.staging.stage import Stage
    from datfs.staging.versions import Versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """A file that the journal of an earlier process held.

    Attributes:
        path: Where it stood at last.
        outcome: What became of it, a sentence for the log.
    """

    path: str
    outcome: str


@dataclass(slots=True, kw_only=True)
class StagedFile:
    """A dirty content from the journal, with the latest it says of its file."""

    content: DirtyContent
    last: Staged
    path: str
    lost: str | None = None  # why it cannot be committed


def staged_files(
    records: Iterable[Record], archive: Archive, versions: Versions, stage: Stage
) -> list[StagedFile]:
    """Fold the journal into the files that were dirty, those first that others lie over.

    Raises:
        DiskFailed, NoSpace
    """
    found: dict[int, StagedFile] = {}
    for record in records:
        stage.reserve_id(record.content_id)
        match record:
            case Staged():
                staged = found.get(record.content_id)
                if staged is None:
                    content = stage.content_with_id(record.content_id)
                    staged = StagedFile(content=content, last=record, path=record.path)
                    found[record.content_id] = staged
                _apply(record, staged, found, archive, versions)
            case Moved():
                if record.content_id in found and _reached(archive, record.metadata_length):
                    found[record.content_id].path = record.path
            case Settled():
                if record.content_id in found and _reached(
                    archive, record.metadata_length, record.content_length
                ):
                    found.pop(record.content_id).content.spool.close(keep_file=True)
    return [found[content_id] for content_id in sorted(found)]


def _reached(archive: Archive, metadata_length: int, content_length: int = 0) -> bool:
    held = archive.content.length if archive.content else 0
    return archive.metadata.length >= metadata_length and held >= content_length


def _apply(
    record: Staged,
    staged: StagedFile,
    found: dict[int, StagedFile],
    archive: Archive,
    versions: Versions,
) -> None:
    content = staged.content
    staged.last = record
    staged.path = record.path
    staged.lost = None
    _lay_on_base(staged, found, archive, versions)
    content.truncate(min(record.lowest_size, record.size))
    if record.in_file:
        if not content.spool.in_file and not content.spool.attach():
            staged.lost = "its spool file is gone"
            return
        for start, end in record.extents:
            content.written.add(start, end)
    else:
        position = 0
        for start, end in record.extents:
            content.write(start, record.data[position : position + end - start])
            position += end - start
    content.base_limit = record.base_limit
    content.size = record.size
    content.has_writes = content.unchecked = record.written
    if record.in_file and content.spool.file_byte_length() < content.written.end:
        content.truncate(content.spool.file_byte_length())  # it was cut after the last record


def _lay_on_base(
    staged: StagedFile, found: dict[int, StagedFile], archive: Archive, versions: Versions
) -> None:
    base = staged.last.base
    if base is None:
        staged.content.base = None
    elif isinstance(base, BaseVersion):
        version = _version(base, staged.last, archive)
        staged.content.base = versions.content(staged.path, version)
        if version.end > (archive.content.length if archive.content else 0):
            staged.lost = "the disk lost the version it was based on"
    elif base in found:
        staged.content.base = found[base].content
        staged.lost = found[base].lost
    else:
        staged.lost = "the journal lost the content it was based on"


def _version(base: BaseVersion, last: Staged, archive: Archive) -> Stat:
    """Return the version's Stat: the archive's own if it is still the newest at this path."""
    entry = archive.lookup(last.path)
    if entry is not None:
        stat = entry.stat
        if (
            BaseVersion(
                size=stat.size, blocks=stat.blocks, offset=stat.offset, byte_offset=stat.byte_offset
            )
            == base
            and not stat.is_directory
        ):
            return stat
    return Stat(
        mode=last.mode,
        size=base.size,
        blocks=base.blocks,
        offset=base.offset,
        byte_offset=base.byte_offset,
        mtime_ms=last.mtime_ms,
    )
