"""The logs of one lobby of carrier 2 in the running daemon, and the signals in them.

The carrier says which entries count; here logs are opened, followed, appended to and cleared. It is
the lobby services' `SignalFiles`, beside `LobbyArchives`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from datfs.app.lobbies.changed_names import ChangedNames
from datfs.errors import DiskFailed
from datfs.lobby.log_carrier import LogCarrier
from datfs.lobby.log_lines import LogLines
from datfs.lobby.names import owner_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from datfs.app.logs import Logs
    from datfs.crypto.keys import KeyPair
    from datfs.hypercore.feed import Feed
    from datfs.lobby.log_records import Record
    from datfs.swarm.log_replica import LogReplica

READY_S = 5.0
"""How long the first look, or joining, may wait for the host's beacon."""

CLEAR_AFTER_S = 30.0
"""Between telling the peers that a block goes and clearing it (design section 4)."""


class LobbyLog:
    """The host's log and the guests'.

    Args:
        key: of the lobby.
        host: the host's log.
        logs: opens the others.
        nursery: in which blocks wait to be cleared.
        on_change: called when anything looks otherwise.

    Attributes:
        lines: `signals.log`.
    """

    def __init__(
        self,
        key: bytes,
        host: LogReplica,
        logs: Logs,
        *,
        nursery: trio.Nursery,
        on_change: Callable[[], None],
    ) -> None:
        self.key = key
        self._logs = logs
        self._nursery = nursery
        self._on_change = on_change
        self._own: LogReplica | None = host if self.is_hosted else None
        self._guest: bytes | None = None
        self._follow_writers = self.is_hosted
        self._readers: list[ChangedNames] = []
        self._changed = trio.Event()
        self.carrier = LogCarrier(host.feed, open_log=self._open_log)
        self.lines = LogLines(self.carrier)
        host.on_change = self._update
        self._update()

    @property
    def is_hosted(self) -> bool:
        """Whether the lobby is ours."""
        return self.key in self._logs.own

    @property
    def own_key(self) -> bytes | None:
        """The key of the log that we write here."""
        return None if self._own is None else self._own.feed.key

    def create_writer(self, identity: bytes, pair: KeyPair) -> None:
        """Write in this lobby from now on, as a guest, into a new log."""
        self._join(identity, self._logs.create(pair, lobby_key=self.key))

    async def open_writer(self, identity: bytes, key: bytes) -> None:
        """Write in this lobby from now on, as a guest, into the log that we had there.

        Raises:
            DatfsError: it cannot be opened.
        """
        await trio.lowlevel.checkpoint()
        self._join(identity, self._logs.open_own(key, lobby_key=self.key))

    def follow_writers(self) -> None:
        """Replicate the logs of all guests, because somebody looks at the directory."""
        if not self._follow_writers:
            self._follow_writers = True
            self._update()

    async def ready(self) -> None:
        """Wait until it is known where the host is, as long as is worth it."""
        with trio.move_on_after(READY_S):
            while not self.is_hosted and not self.carrier.knows_host:
                await self._changed.wait()

    def writer_feeds(self, key: bytes) -> list[Feed]:
        """The feeds of a guest's log that is open."""
        log = self._logs.find(key)
        return [] if log is None else [log.feed]

    def is_ours(self, name: str) -> bool:
        """Whether the log that we write is the one that this name belongs to."""
        return owner_of(name) == self._guest and self._own is not None

    def signal(self, name: str) -> bytes | None:
        """A signal file, None if it is not there; never waits."""
        entry = self.carrier.find(name)
        return None if entry is None else entry.record.signal

    async def sync(self) -> None:
        """Return once what was written survives a loss of power."""
        if self._own is not None:
            await self._own.sync()

    # --- SignalFiles ---------------------------------------------------------------------------

    async def read(self, name: str) -> bytes | None:
        """A signal file, None if it is not there."""
        await trio.lowlevel.checkpoint()
        return self.signal(name)

    async def write(self, name: str, data: bytes) -> None:
        """Append the record that makes a file; one that is the same already is left alone."""
        await trio.lowlevel.checkpoint()
        if self.signal(name) != data:
            self._append(self.carrier.record_of(name, data))

    async def remove(self, name: str) -> None:
        """Append the record that takes a file back; nothing happens if it is not there."""
        await trio.lowlevel.checkpoint()
        record = self.carrier.removal_of(name)
        if record is not None and self.is_ours(name):
            self._append(record)

    def names(self, folder: str) -> Sequence[str]:
        """The full names in a folder of the lobby."""
        return self.carrier.names(folder)

    def changes(self) -> AsyncIterator[str]:
        """The names that change from now on."""
        reader = ChangedNames(self._readers)
        self._readers.append(reader)
        return reader

    # --- within --------------------------------------------------------------------------------

    def _join(self, identity: bytes, own: LogReplica) -> None:
        self._own = own
        self._guest = identity
        self.carrier.join(identity, own.feed)
        self._update()

    def _append(self, record: Record) -> None:
        assert self._own is not None
        try:
            self._own.append(record.encode())
        except OSError as error:
            raise DiskFailed(f"the log cannot be written: {error.strerror}") from error
        self._update()

    def _open_log(self, key: bytes) -> Feed | None:
        if not self._follow_writers and key != self.own_key:
            return None
        log = self._logs.of_guest(key, self.key)
        if log is None:
            return None
        log.on_change = self._update
        return log.feed

    def _update(self) -> None:
        names = self.carrier.update()
        for log, sequence in self.carrier.to_clear():
            replica = self._logs.find(log)
            if replica is not None and replica.feed.has(sequence):
                self._nursery.start_soon(self._clear, replica, sequence)
        if names:
            for reader in self._readers:
                reader.put(names)
            self._changed.set()
            self._changed = trio.Event()
        self._on_change()

    @staticmethod
    async def _clear(replica: LogReplica, sequence: int) -> None:
        replica.withdraw(sequence)
        try:
            await trio.sleep(CLEAR_AFTER_S)
        finally:  # when the mount ends nobody can ask for it any more
            replica.clear(sequence)
