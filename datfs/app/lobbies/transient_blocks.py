"""Forgets the blocks of signals that were removed or written over, in every archive of a lobby.

Signals carry addresses and live for seconds; an archive keeps its history for ever. What a removed
signal said is therefore cleared from the store of each member that sees its removal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from datfs.lobby.names import SignalKind, parse_signal_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datfs.hyperdrive.entry import Change
    from datfs.swarm.archive_replica import ArchiveReplica
    from datfs.swarm.clearing import Clearing

MAX_BLOCKS: Final = 64
"""A longer run of blocks is no signal, whatever an archive says."""

_NOTHING: Final = range(0)


class TransientBlocks:
    """Where the signals of one lobby's archives lie.

    Args:
        clearing: clears blocks.
    """

    def __init__(self, clearing: Clearing) -> None:
        self._clearing = clearing
        self._blocks: dict[tuple[bytes, str], range] = {}

    def look_at(self, replica: ArchiveReplica) -> None:
        """Take note of the signals that lie in an archive."""
        for name, _ in replica.archive.list_directory("/"):
            self._note(replica, f"/{name}")

    def changed(self, replica: ArchiveReplica, changes: Sequence[Change]) -> None:
        """Forget what the signals held before that an archive no longer has."""
        # a renamed file keeps its blocks
        held = {block for change in changes for block in _blocks_of(replica, change.path)}
        for change in changes:
            before = self._blocks.pop((replica.key, change.path), _NOTHING)
            self._note(replica, change.path)
            for block in before:
                if block not in held and replica.content is not None:
                    self._clearing.forget(replica.content, range(block, block + 1))

    def _note(self, replica: ArchiveReplica, path: str) -> None:
        signal = parse_signal_name(path.removeprefix("/"))
        if signal is None or signal.kind is SignalKind.WRITER:
            return
        self._blocks[replica.key, path] = _blocks_of(replica, path)


def _blocks_of(replica: ArchiveReplica, path: str) -> range:
    """Where a file lies that may be a signal; its blocks may not be here yet."""
    entry = replica.archive.lookup(path)
    if entry is None or entry.stat.blocks > MAX_BLOCKS:
        return _NOTHING
    return range(entry.stat.offset, entry.stat.offset + entry.stat.blocks)
