"""Entries of the metadata feed: the nodes of mafintosh/append-tree and their `paths`.

    Node     1 string name    2 bytes value (a Stat; absent: the name was deleted)    3 bytes paths

`paths` is an index into the feed: list i names, for the directory made of the first i components of
the name, the newest entry of every child, as ascending sequence numbers (block indexes). It begins
with a varint of flags (bit 0: each list also ends with this entry's own number, which is left out);
each list is its count and then the difference of each number to the one before, all varints.

Written lists come out of `sequence_list`; following them from entry to entry is `checkout`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from datfs.encoding.protobuf import bytes_field, iter_fields
from datfs.encoding.varint import decode_varint
from datfs.errors import EncodingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datfs.encoding.buffer import Buffer

MAX_NAME_BYTE_LENGTH: Final = 4096
"""PATH_MAX: nothing past it can be reached through a mount, and each component costs memory."""

ENDS_WITH_OWN: Final = 1
"""Flag of `paths`: every list ends with the entry's own sequence number, which is not written."""

_CONTINUATION_BYTES: Final = bytes(range(128, 256))


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One entry.

    Attributes:
        name: Absolute path, such as "/a/b".
        value: An encoded Stat; None for a deleted name.
        paths: The encoded index.
    """

    name: str
    value: bytes | None
    paths: bytes


def encode_node(node: Node) -> bytes:
    """Return the block that append-tree writes for `node`."""
    name = bytes_field(1, node.name.encode())
    value = b"" if node.value is None else bytes_field(2, node.value)
    return b"".join((name, value, bytes_field(3, node.paths)))


def decode_node(block: Buffer) -> Node:
    """Read a block of the metadata feed other than the first.

    Raises:
        EncodingError: It is no node, its name is not UTF-8 or past `MAX_NAME_BYTE_LENGTH`.
    """
    name: str | None = None
    value: bytes | None = None
    paths = b""
    for number, field in iter_fields(block):
        if not 1 <= number <= 3:
            continue
        if isinstance(field, int):
            raise EncodingError(f"field {number} of an entry is a number")
        if number == 1:
            if len(field) > MAX_NAME_BYTE_LENGTH:
                raise EncodingError(f"a name of {len(field)} bytes is too long")
            try:
                name = str(field, "utf-8")
            except UnicodeDecodeError as error:
                raise EncodingError("a name is not UTF-8") from error
        elif number == 2:
            value = bytes(field)
        else:
            paths = bytes(field)
    if name is None:
        raise EncodingError("an entry has no name")
    return Node(name=name, value=value, paths=paths)


def split_name(name: str) -> tuple[str, ...]:
    """Return the components of an entry's name, as append-tree splits it.

    One slash at the start and one at the end count for nothing; doubled ones inside make empty
    components, which no mounted tree shows.
    """
    components = name.split("/")
    if components[0] == "":
        del components[0]
    if components and components[-1] == "":
        del components[-1]
    return tuple(components)


def join_name(components: Sequence[str]) -> str:
    """Return the name or path of `components`: "/a/b", or "/" for none."""
    return "/" + "/".join(components)


def common_length(left: Sequence[str], right: Sequence[str]) -> int:
    """Return how many components two names share from their start."""
    shared = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        shared += 1
    return shared


def decode_list(paths: bytes, sequence: int, level: int) -> list[int]:
    """Read one list of `paths`.

    Args:
        paths: As it stands in the entry.
        sequence: The entry's own sequence number.
        level: Which list: that of the directory made of so many components.

    Returns:
        Its numbers, ascending; empty if there are fewer lists.

    Raises:
        EncodingError: It is cut, a number does not ascend or is past the entry itself.
    """
    flags, offset = decode_varint(paths)
    for _ in range(level):
        if offset == len(paths):
            return []
        offset = _skip_list(paths, offset)
    if offset == len(paths):
        return []
    count, offset = decode_varint(paths, offset)
    if count > len(paths) - offset:
        raise EncodingError("a list of paths is cut short")
    members: list[int] = []
    last = 0
    for _ in range(count):
        difference, offset = decode_varint(paths, offset)
        last += difference
        if not difference or last > sequence:
            raise EncodingError("a list of paths does not ascend to its entry")
        members.append(last)
    if flags & ENDS_WITH_OWN:
        members.append(sequence)
    return members


def count_lists(paths: bytes) -> int:
    """Return how many lists `paths` holds.

    Raises:
        EncodingError: It is cut.
    """
    _, offset = decode_varint(paths)
    lists = 0
    while offset < len(paths):
        offset = _skip_list(paths, offset)
        lists += 1
    return lists


def _skip_list(paths: bytes, offset: int) -> int:
    """Return where the list that starts at `offset` ends, without reading number by number.

    Lists are as long as directories are, and replaying or looking up needs one of several.
    """
    count, offset = decode_varint(paths, offset)
    # Each varint has one byte below 128, its last: step on by as many bytes as varints are still
    # to come until all their last bytes were passed.
    while count:
        step = paths[offset : offset + count]
        if len(step) < count:
            raise EncodingError("a list of paths is cut short")
        offset += count
        count -= len(step.translate(None, _CONTINUATION_BYTES))
    return offset
