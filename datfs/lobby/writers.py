"""The host's records of who writes for whom, the files `.writers/HASH` (design section 8).

A record is one line: the 64 hex digits of the writer archive's key and, when that writer is not
heard any more, a blank and why: `retired` (its guest was away when room for another was needed; the
same writer is taken back) or `struck` (for good). The record of a guest outlives its writer, for
who comes back uses the writer it had.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from datfs.errors import EncodingError

RECORD_LIMIT_BYTES: Final = 256
"""Room for the line and for what later versions may add; more is no record."""

_LINE: Final = re.compile(rb"([0-9a-f]{64})(?: ([a-z]+))?\n?")


class WriterState(Enum):
    """Whether a writer archive is heard."""

    LIVE = "live"
    RETIRED = "retired"
    STRUCK = "struck"


@dataclass(frozen=True, slots=True)
class WriterRecord:
    """Which archive writes for a guest.

    Attributes:
        writer: the archive's key, 32 bytes.
        state: whether it is heard.
    """

    writer: bytes
    state: WriterState = WriterState.LIVE

    def encode(self) -> bytes:
        """Return the record's file."""
        suffix = "" if self.state is WriterState.LIVE else f" {self.state.value}"
        return f"{self.writer.hex()}{suffix}\n".encode()


def parse_record(data: bytes) -> WriterRecord:
    """Read a record; a word that this version does not know means that the writer is not heard.

    Raises:
        EncodingError: it is no record.
    """
    found = _LINE.fullmatch(data)
    if found is None:
        raise EncodingError("this is no record of a writer")
    writer = bytes.fromhex(found[1].decode())
    match found[2]:
        case None:
            return WriterRecord(writer)
        case b"retired":
            return WriterRecord(writer, WriterState.RETIRED)
        case _:
            return WriterRecord(writer, WriterState.STRUCK)
