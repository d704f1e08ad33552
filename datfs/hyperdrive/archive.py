"""A hyperdrive: a metadata feed that says what is where, and a content feed with the bytes.

Follows formats.md section 4 (hyperdrive 9, DEP-0007 header) and design sections 2 and 3. An archive
does no waiting: what is not here raises `BlockMissing`, and fetching it belongs to swarm. Dirty
files and the rules of a mounted tree (who may write, which errno) belong to staging and fs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from datfs.crypto.keys import KeyPair, content_key_pair
from datfs.errors import (
    BlockMissing,
    EncodingError,
    InvalidPath,
    NameNotUtf8,
    NameTooLong,
    NotAnArchive,
    ReadOnlyArchive,
)
from datfs.hypercore.feed import Feed
from datfs.hyperdrive.append_tree import MAX_NAME_BYTE_LENGTH, decode_node
from datfs.hyperdrive.checkout import Checkout
from datfs.hyperdrive.content_writer import ContentRun, ContentWriter, is_at_tail
from datfs.hyperdrive.entry import Change, ChangeKind, Entry
from datfs.hyperdrive.extent import missing_blocks
from datfs.hyperdrive.header import Header, decode_header, encode_header
from datfs.hyperdrive.operations import Delete, Operation, Put, rename_operations
from datfs.hyperdrive.path_rules import split_path
from datfs.hyperdrive.shown_tree import ShownTree
from datfs.hyperdrive.stat import decode_stat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from datfs.hypercore.storage import FeedStorage
    from datfs.hyperdrive.stat import Stat

__all__ = [
    "Archive",
    "ArchiveStorage",
    "Change",
    "ChangeKind",
    "Checkout",
    "ContentRun",
    "ContentWriter",
    "Delete",
    "Entry",
    "Operation",
    "Put",
]


@dataclass(frozen=True, slots=True)
class ArchiveStorage:
    """Where the two feeds of an archive lie."""

    metadata: FeedStorage
    content: FeedStorage


class Archive:
    """One archive, at the newest version whose metadata is here and was applied by `update`.

    Attributes:
        metadata: The metadata feed.
        content: The content feed; None until block 0 of the metadata is here.
        not_an_archive: Why the metadata feed is no hyperdrive, None as long as it may be one.
    """

    def __init__(
        self,
        metadata: Feed,
        content_storage: FeedStorage,
        *,
        content_key_pair: KeyPair | None = None,
        known_content_length: int = 0,
        force: bool = False,
        read_only_reason: str | None = None,
    ) -> None:
        """Take an open metadata feed; `open`, `create` and `create_remote` are the usual ways.

        Args:
            metadata: The metadata feed.
            content_storage: Where the content feed lies.
            content_key_pair: The content feed's, for an archive of our own.
            known_content_length: The longest that the content feed was ever signed.
            force: The user takes the risk of a fork (see `Feed.open`).
            read_only_reason: Why this archive is not to be written, although it may be our own.
        """
        self.metadata = metadata
        self.content: Feed | None = None
        self.not_an_archive: str | None = None
        self._content_storage = content_storage
        self._content_key_pair = content_key_pair
        self._known_content_length = known_content_length
        self._force = force
        self._read_only_reason = read_only_reason
        self._header: Header | None = None
        self._tree = ShownTree(foreign=content_key_pair is None)
        self._applied = 0

    @classmethod
    def create(cls, storage: ArchiveStorage, key_pair: KeyPair) -> Archive:
        """Make a new archive of our own.

        Args:
            storage: Empty.
            key_pair: The metadata feed's; its public key names the archive.
        """
        metadata = Feed.create(storage.metadata, key_pair, store_secret_key=True)
        archive = cls(
            metadata,
            storage.content,
            content_key_pair=content_key_pair(key_pair.secret_key),
        )
        archive._write_header()
        return archive

    @classmethod
    def create_remote(cls, storage: ArchiveStorage, key: bytes) -> Archive:
        """Make a place for an archive of somebody else, of which nothing is here yet.

        Args:
            storage: Empty.
            key: The metadata feed's public key, 32 bytes.
        """
        return cls(Feed.create_remote(storage.metadata, key), storage.content)

    @classmethod
    def open(
        cls,
        storage: ArchiveStorage,
        *,
        key: bytes | None = None,
        secret_key: bytes | None = None,
        known_metadata_length: int = 0,
        known_content_length: int = 0,
        force: bool = False,
    ) -> Archive:
        """Open an archive and bring its tree up to all metadata that is here.

        Args:
            storage: Where it lies.
            key: The public key that is expected there.
            secret_key: The metadata feed's, where the storage does not hold it.
            known_metadata_length: The longest that our own metadata feed was ever signed, kept
                outside of the storage; a shorter one is opened read-only.
            known_content_length: The same for the content feed.
            force: The user takes the risk of a fork (see `Feed.open`).

        Raises:
            StorageDamaged: A file contradicts the others.
            NotAnArchive: The metadata feed is something else.
        """
        if secret_key is None and storage.metadata.exists("secret_key"):
            secret_key = storage.metadata.open("secret_key").read(0, 64)
        metadata = Feed.open(
            storage.metadata,
            public_key=key,
            secret_key=secret_key,
            known_length=known_metadata_length,
            force=force,
        )
        archive = cls(
            metadata,
            storage.content,
            content_key_pair=content_key_pair(secret_key) if secret_key else None,
            known_content_length=known_content_length,
            force=force,
        )
        if metadata.writable and metadata.length == 0:
            # Whoever made it was interrupted before the header was signed.
            archive._write_header()
        archive.update()
        if archive.not_an_archive is not None:
            raise NotAnArchive(archive.not_an_archive)
        return archive

    # --- what it is ----------------------------------------------------------------------------

    @property
    def key(self) -> bytes:
        """The archive's public key."""
        return self.metadata.key

    @property
    def discovery_key(self) -> bytes:
        """By what peers look for it."""
        return self.metadata.discovery_key

    @property
    def version(self) -> int:
        """The version that lookups show: entries applied so far."""
        return max(0, self._applied - 1)

    @property
    def applied_length(self) -> int:
        """How many metadata blocks, the header among them, lookups take into account."""
        return self._applied

    @property
    def is_own(self) -> bool:
        """Whether the archive's secret key is here, even if it must not be used."""
        return self._content_key_pair is not None

    @property
    def writable(self) -> bool:
        """Whether `commit` and `content_writer` work."""
        return self.read_only_reason is None

    @property
    def read_only_reason(self) -> str | None:
        """Why nothing can be written; None if it can."""
        if self._read_only_reason is not None:
            return self._read_only_reason
        if not self.is_own:
            return "the archive belongs to somebody else, or its secret key is not here"
        if self.content is None:
            return "the archive's header is not here"
        if self._applied < self.metadata.length and not self.metadata.has(self._applied):
            return f"of its metadata, block {self._applied} is not here"
        return self.metadata.read_only_reason or self.content.read_only_reason

    # --- the tree ------------------------------------------------------------------------------

    def update(self, limit: int | None = None) -> list[Change]:
        """Apply the metadata that follows without a gap on what was applied before.

        Nothing that an entry says makes this fail: one that makes no sense is skipped and noted
        in `oddities`.

        Args:
            limit: The most entries to apply in this call.

        Returns:
            What changed, in order. A path may come more than once.
        """
        if self._applied == 0 and not self._read_header():
            return []
        end = self.metadata.length
        if limit is not None:
            end = min(end, self._applied + limit)
        changes: list[Change] = []
        while self._applied < end and self.metadata.has(self._applied):
            changes += self._tree.apply(self._applied, self.metadata.get(self._applied))
            self._applied += 1
        return changes

    def lookup(self, path: str) -> Entry | None:
        """Return what stands at `path` ("/a/b"; "/" is always there), None for nothing."""
        return self._tree.lookup(path)

    def list_directory(self, path: str) -> Iterator[tuple[str, Entry]]:
        """Yield the children of a directory; nothing for what is none.

        The names are those of the moment when the iteration begins.
        """
        return self._tree.list_directory(path)

    def has_children(self, path: str) -> bool:
        """Tell whether a directory holds anything, also what is not shown."""
        return self._tree.index.has_children(split_path(path))

    def conflicts(self) -> Iterator[str]:
        """Yield every path that is file and directory at once; it shows as the directory."""
        return self._tree.index.conflicts()

    @property
    def oddities(self) -> list[str]:
        """A sentence for each of the first entries that were skipped or are not shown."""
        return self._tree.oddities

    @property
    def oddity_count(self) -> int:
        """How many entries were skipped or are not shown."""
        return self._tree.oddity_count

    def checkout(self, version: int) -> Checkout:
        """Return the archive as it was at a version up to the present one.

        Raises:
            ValueError: There is no such version, or not yet.
        """
        if not 0 <= version <= self.version:
            raise ValueError(f"version {version} is not one of 0 to {self.version}")
        return Checkout(self.metadata, version, foreign=not self.is_own)

    def named_content_length(self, start: int) -> int:
        """Return how long the content feed must have been for what the metadata names.

        Args:
            start: First metadata block to look at; all up to the applied length are here.
        """
        length = 0
        for seq in range(max(start, 1), self._applied):
            try:
                value = decode_node(self.metadata.get(seq)).value
                stat = None if value is None else decode_stat(value)
            except EncodingError:
                continue  # noted when it was applied
            if stat is not None:
                length = max(length, stat.offset + stat.blocks)
        return length

    # --- content -------------------------------------------------------------------------------

    def missing_blocks(self, stat: Stat, offset: int, size: int) -> range | None:
        """Tell which content blocks to fetch next to read a part of a file (see `extent`).

        Raises:
            InvalidExtent: The file's blocks do not hold what its Stat claims.
        """
        if self.content is None:
            return range(stat.offset, stat.offset + 1) if stat.size > offset else None
        return missing_blocks(self.content, stat, offset, size)

    def read(self, stat: Stat, offset: int, size: int) -> bytes:
        """Return bytes of a file, straight from the content feed's data file.

        Args:
            stat: The file's, of any version.
            offset: First byte, within the file.
            size: How many; fewer come at the end of the file.

        Raises:
            BlockMissing: A block is not here.
            InvalidExtent: The file's blocks do not hold what its Stat claims.
            OSError: From the storage.
        """
        missing = self.missing_blocks(stat, offset, size)
        if missing is not None:
            raise BlockMissing(missing.start)
        size = min(size, stat.size - offset)
        if size <= 0 or self.content is None:
            return b""
        return self.content.read(stat.byte_offset + offset, size)

    def is_at_tail(self, stat: Stat) -> bool:
        """Tell whether a file can grow in place: `content_writer` takes it as a base."""
        return self.content is not None and is_at_tail(self.content, stat)

    def content_writer(self, base: Entry | None = None) -> ContentWriter:
        """Return a writer for the content of one file.

        Args:
            base: A file whose content is continued; `is_at_tail` holds for it.

        Raises:
            ReadOnlyArchive: The archive cannot be written.
            InvalidExtent: `base` cannot grow in place.
        """
        self._check_writable()
        assert self.content is not None
        return ContentWriter(self.content, None if base is None else base.stat)

    # --- changing ------------------------------------------------------------------------------

    def commit(self, operations: Sequence[Operation]) -> list[Change]:
        """Append the operations as entries: one batch, one signature, one change for readers.

        Args:
            operations: In order; none makes no version.

        Returns:
            What changed, as `update` tells it.

        Raises:
            ReadOnlyArchive: The archive cannot be written.
            InvalidPath: A path is none, or too long; nothing was written.
            EncodingError: A Stat has a field that no archive can hold; nothing was written.
            OSError: From the storage; nothing was committed.
        """
        self._check_writable()
        targets = [_target(operation) for operation in operations]
        changes = self.update()
        blocks: list[bytes] = []
        appended = False
        try:
            for operation, components in zip(operations, targets, strict=True):
                seq = self._applied + len(blocks)
                blocks.append(self._tree.next_block(seq, components, operation))
                changes += self._tree.apply(seq, blocks[-1])
            if blocks:
                self.metadata.append(blocks)
            appended = True
        finally:
            if not appended:
                self._reread_tree()
        self._applied += len(blocks)
        return changes

    def rename_operations(self, old_path: str, new_path: str) -> list[Operation]:
        """Return what `commit` needs to rename a file or a whole directory.

        Raises:
            InvalidPath: A path is none, or the new one lies within the old.
        """
        return rename_operations(self._tree.index, old_path, new_path)

    def sync(self) -> None:
        """Return once everything committed survives a loss of power; may run in a thread."""
        if self.content is not None:
            self.content.sync()
        self.metadata.sync()

    def close(self) -> None:
        """Close both feeds."""
        if self.content is not None:
            self.content.close()
        self.metadata.close()

    # --- within --------------------------------------------------------------------------------

    def _write_header(self) -> None:
        """Make the content feed and sign block 0, which names it."""
        pair = self._content_key_pair
        assert pair is not None
        self.content = self._open_content(pair.public_key)
        self._header = Header(pair.public_key)
        self.metadata.append([encode_header(self._header)])
        self._applied = 1

    def _read_header(self) -> bool:
        """Read block 0 if it is here and open the content feed that it names."""
        if self.not_an_archive is not None or not self.metadata.has(0):
            return False
        try:
            self._header = decode_header(self.metadata.get(0))
        except NotAnArchive as error:
            self.not_an_archive = str(error)
            self._tree.note(str(error))
            return False
        pair = self._content_key_pair
        if pair is not None and pair.public_key != self._header.content_key:
            self._read_only_reason = (
                "the header names a content feed that does not come from the archive's secret key"
            )
        self.content = self._open_content(self._header.content_key)
        self._applied = 1
        return True

    def _open_content(self, key: bytes) -> Feed:
        pair = self._content_key_pair
        own = pair if pair is not None and pair.public_key == key else None
        if self._content_storage.exists("key"):
            return Feed.open(
                self._content_storage,
                public_key=key,
                secret_key=own.secret_key if own else None,
                known_length=self._known_content_length,
                force=self._force,
            )
        if own is not None and self.metadata.length == 0 and not self._known_content_length:
            content = Feed.create(self._content_storage, own, store_secret_key=False)
            # On disk before the header is signed: whoever finds a header without it knows that
            # the content was lost, and that beginning it anew would sign lengths twice.
            content.sync()
            return content
        if own is not None:
            self._read_only_reason = (
                f"the content feed ({self._content_storage.path('key')}) is missing, and writing "
                "it anew would make two versions of one feed"
            )
        return Feed.create_remote(self._content_storage, key)

    def _reread_tree(self) -> None:
        """Build the index anew, without what an append that failed has left in it."""
        self._tree = ShownTree(foreign=not self.is_own)
        self._applied = 1
        self.update()

    def _check_writable(self) -> None:
        reason = self.read_only_reason
        if reason is not None:
            raise ReadOnlyArchive(reason)


def _target(operation: Operation) -> tuple[str, ...]:
    """Return the components of an operation's path, if an entry can be made of it."""
    components = split_path(operation.path)
    if not components:
        raise InvalidPath("the root has no entry of its own")
    try:
        byte_length = len(operation.path.encode())
    except UnicodeEncodeError as error:
        raise NameNotUtf8(f"the path {operation.path!r} is not UTF-8") from error
    if byte_length > MAX_NAME_BYTE_LENGTH:
        raise NameTooLong(
            f"a path of {byte_length} bytes is too long, {MAX_NAME_BYTE_LENGTH} are allowed"
        )
    return components
