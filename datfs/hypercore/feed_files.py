"""A feed's SLEEP files put together: headers checked, pages loaded, records by place.

Whether what they hold fits together is asked by `recovery`; this knows each file by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from datfs.errors import StorageDamaged
from datfs.hypercore import sleep
from datfs.hypercore.bitfield import Bitfield
from datfs.hypercore.node_store import NodeStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datfs.encoding.buffer import Buffer
    from datfs.hypercore.storage import FeedStorage, FileName, RandomAccess

_PAGES_A_READ: Final = 64
_RECORDS_A_READ: Final = 1024
_BLANK_SIGNATURE: Final = bytes(sleep.SIGNATURE_SIZE)
_JOINED_SIZE: Final = 64 * 1024


class FeedFiles:
    """The open files of one feed.

    Attributes:
        key, secret_key, tree, signatures, data: The files as they are.
        bitfield: The bits as loaded; `write_bitfield` writes what changed.
        nodes: The tree.

    Raises:
        StorageDamaged: A file's header is not what it must be.
    """

    def __init__(self, storage: FeedStorage) -> None:
        self._storage = storage
        self.key = storage.open("key")
        self.secret_key = storage.open("secret_key")
        self.tree = storage.open("tree")
        self.data = storage.open("data")
        self.signatures = storage.open("signatures")
        self._bitfield_file = storage.open("bitfield")
        self._headers_due: list[tuple[RandomAccess, bytes]] = []
        self._check_header("tree", self.tree, sleep.TREE_HEADER)
        self._check_header("signatures", self.signatures, sleep.SIGNATURES_HEADER)
        page_size = self._bitfield_page_size()
        self.bitfield = Bitfield(page_size, _load_pages(self._bitfield_file, page_size))
        self.nodes = NodeStore(self.tree, self.bitfield)

    def path(self, name: FileName) -> str:
        """Return what to call a file in a message."""
        return self._storage.path(name)

    def is_blank(self) -> bool:
        """Tell whether no file but the keys holds anything past its header."""
        return (
            max(self.tree.size(), self.signatures.size(), self._bitfield_file.size())
            <= sleep.HEADER_SIZE
            and self.data.size() == 0
        )

    def write_headers(self) -> None:
        """Write the headers that are not there yet."""
        for file, header in self._headers_due:
            file.write(0, header)
        self._headers_due.clear()

    # --- signatures --------------------------------------------------------------------------

    def signature(self, length: int) -> bytes | None:
        """Return the signature over the first `length` blocks, or None if none was stored."""
        record = self.signatures.read(sleep.signature_place(length - 1), sleep.SIGNATURE_SIZE)
        if len(record) < sleep.SIGNATURE_SIZE or record == _BLANK_SIGNATURE:
            return None
        return record

    def write_signature(self, length: int, signature: bytes) -> None:
        """Store the signature over the first `length` blocks."""
        self.signatures.write(sleep.signature_place(length - 1), signature)

    def signed_lengths(self) -> Iterator[int]:
        """Yield the lengths that have a signature, longest first."""
        count = (self.signatures.size() - sleep.HEADER_SIZE) // sleep.SIGNATURE_SIZE
        while count > 0:
            first = max(0, count - _RECORDS_A_READ)
            records = self.signatures.read(
                sleep.signature_place(first), (count - first) * sleep.SIGNATURE_SIZE
            )
            for number in range(count - first - 1, -1, -1):
                place = number * sleep.SIGNATURE_SIZE
                if records[place : place + sleep.SIGNATURE_SIZE] != _BLANK_SIGNATURE:
                    yield first + number + 1
            count = first

    def cut_short_signature(self) -> None:
        """Remove a record at the end of the signatures of which only a part was written."""
        size = self.signatures.size()
        if size > sleep.HEADER_SIZE and (part := (size - sleep.HEADER_SIZE) % sleep.SIGNATURE_SIZE):
            self.signatures.truncate(size - part)

    def cut_signatures(self, length: int) -> bool:
        """Erase every signature past `length` and tell whether there was anything."""
        end = sleep.signature_place(length)
        if self.signatures.size() <= end:
            return False
        self.signatures.truncate(end)
        return True

    # --- data and bits -----------------------------------------------------------------------

    def write_blocks(self, byte_offset: int, blocks: list[Buffer]) -> None:
        """Write blocks end to end; small ones go out together, large ones without a copy."""
        joined: list[Buffer] = []
        joined_size = 0
        for block in blocks:
            if joined and joined_size + len(block) > _JOINED_SIZE:
                self.data.write(byte_offset, joined[0] if len(joined) == 1 else b"".join(joined))
                byte_offset += joined_size
                joined, joined_size = [], 0
            joined.append(block)
            joined_size += len(block)
        if joined_size:
            self.data.write(byte_offset, joined[0] if len(joined) == 1 else b"".join(joined))

    def write_bitfield(self) -> None:
        """Write the pages that changed; neighbours go out together.

        The last pages go first: the bit of a parent that spans pages mostly stands in the first of
        them, and must not be there without what is below it.
        """
        pages = self.bitfield.take_changed()
        try:
            run: list[bytes] = []
            for position in range(len(pages) - 1, -1, -1):
                number, page = pages[position]
                run.append(page)
                if position == 0 or pages[position - 1][0] != number - 1:
                    place = sleep.page_place(number, self.bitfield.page_size)
                    self._bitfield_file.write(place, b"".join(reversed(run)))
                    run = []
        except OSError:
            self.bitfield.mark_changed(number for number, _ in pages)
            raise

    def sync(self) -> None:
        """Bring everything to the disk, in the order in which it is relied upon.

        Blocks and nodes come first, the signature over them next, the bits last, so that a loss of
        power in between leaves a signature only where what it covers is.
        """
        for file in (self.secret_key, self.key, self.data, self.tree):
            file.sync()
        self.signatures.sync()
        self._bitfield_file.sync()

    def close(self) -> None:
        """Give back what is held open."""
        for file in (
            self.key,
            self.secret_key,
            self.tree,
            self.data,
            self.signatures,
            self._bitfield_file,
        ):
            file.close()

    def _check_header(self, name: FileName, file: RandomAccess, *accepted: bytes) -> bytes:
        """Return the header of a file; the first accepted one is due if there is none yet."""
        found = file.read(0, sleep.HEADER_SIZE)
        if found in accepted:
            return found
        if len(found) == sleep.HEADER_SIZE or not accepted[0].startswith(found):
            raise StorageDamaged(self.path(name), "it does not begin like such a file")
        self._headers_due.append((file, accepted[0]))
        return accepted[0]

    def _bitfield_page_size(self) -> int:
        header = self._check_header(
            "bitfield", self._bitfield_file, sleep.BITFIELD_HEADER, sleep.OLD_BITFIELD_HEADER
        )
        return sleep.OLD_PAGE_SIZE if header == sleep.OLD_BITFIELD_HEADER else sleep.PAGE_SIZE


def _load_pages(file: RandomAccess, page_size: int) -> Iterator[tuple[int, bytes]]:
    """Yield the pages of a bitfield file that are not all zeros; the last one may be cut short."""
    place = sleep.HEADER_SIZE
    while (found := file.next_data(place)) is not None:
        number = (found - sleep.HEADER_SIZE) // page_size
        place = sleep.page_place(number, page_size)
        pages = file.read(place, _PAGES_A_READ * page_size)
        if not pages:
            return
        for start in range(0, len(pages), page_size):
            page = pages[start : start + page_size]
            if any(page):
                yield number + start // page_size, page
        place += len(pages)
