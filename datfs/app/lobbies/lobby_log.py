"""The logs of one lobby of carrier 2 in the running daemon, and the signals in them.

The carrier says which entries count; here logs are opened, followed, appended to and cleared. It is
the lobby services' `SignalFiles`, beside `LobbyArchives`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from datfs.app.lobbies.changed_names import ChangedNames
from datfs.errors import DiskFailed, NotYet
from datfs.lobby.guest_sealing import GuestSealing
from datfs.lobby.log_carrier import LogCarrier
from datfs.lobby.log_lines import LogLines
from datfs.lobby.log_records import RecordKind
from datfs.lobby.names import BEACON_NAME, answer_name, offer_name, owner_of
from datfs.lobby.seal import SealedKind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from datfs.app.lobbies.waiting_offer import WaitingOffer
    from datfs.app.logs import Logs
    from datfs.crypto.keys import KeyPair
    from datfs.hypercore.feed import Feed
    from datfs.lobby.log_records import Record
    from datfs.lobby.seal import Sealing
    from datfs.swarm.clearing import Clearing
    from datfs.swarm.log_replica import LogReplica

READY_S = 5.0
"""How long the first look, or joining, may wait for the host's beacon."""


class LobbyLog:
    """The host's log and the guests'.

    Args:
        key: of the lobby.
        host: the host's log.
        logs: opens the others.
        clearing: clears blocks.
        offer: ours, as long as it cannot be sealed.
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
        clearing: Clearing,
        offer: WaitingOffer,
        on_change: Callable[[], None],
    ) -> None:
        self.key = key
        self._logs = logs
        self._clearing = clearing
        self._offer = offer
        self._sealing: Sealing | None = None
        self._on_change = on_change
        self._own: LogReplica | None = host if self.is_hosted else None
        self._guest: bytes | None = None
        self._follow_writers = self.is_hosted
        self._readers: list[ChangedNames] = []
        self._changed = trio.Event()
        self.carrier = LogCarrier(host.feed, open_log=self._open_log)
        self.lines = LogLines(self.carrier, shown=self._shown)
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

    def create_writer(self, identity: bytes, pair: KeyPair, sealing: GuestSealing) -> None:
        """Write in this lobby from now on, as a guest, into a new log.

        Args:
            identity: ours.
            pair: the log's keys.
            sealing: our end of sealed signals.
        """
        self._join(identity, self._logs.create(pair, lobby_key=self.key), sealing)

    async def open_writer(self, identity: bytes, key: bytes, sealing: GuestSealing) -> None:
        """Write in this lobby from now on, as a guest, into the log that we had there.

        Raises:
            DatfsError: it cannot be opened.
        """
        await trio.lowlevel.checkpoint()
        self._join(identity, self._logs.open_own(key, lobby_key=self.key), sealing)

    def seal_by(self, sealing: Sealing) -> None:
        """Seal our signals, and show the text of those that are sealed to us."""
        self._sealing = sealing
        self.lines.look_again()

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
        """A signal file, its text if we are one of its ends; None if it is not there.

        Never waits.
        """
        if self._waits(name):
            return self._offer.text
        entry = self.carrier.find(name)
        return None if entry is None else self._shown(entry.record)

    def check(self, name: str, data: bytes) -> None:
        """Check that a signal of ours can be stored; raises InvalidSignal."""
        with suppress(NotYet):
            self._stored(name, data)

    @property
    def offer_waits(self) -> bool:
        """Whether our offer is written and was never stored: nobody has seen it."""
        return self._guest is not None and self._offer.text is not None

    def beacon_here(self) -> bytes | None:
        """The host's beacon as far as it is here."""
        return self._stored_here(BEACON_NAME)

    async def sync(self) -> None:
        """Return once what was written survives a loss of power."""
        if self._own is not None:
            await self._own.sync()

    # --- SignalFiles ---------------------------------------------------------------------------

    async def read(self, name: str) -> bytes | None:
        """A signal file as it is stored, None if it is not there."""
        await trio.lowlevel.checkpoint()
        return self._offer.text if self._waits(name) else self._stored_here(name)

    async def write(self, name: str, data: bytes) -> None:
        """Append the record that makes a file; one that is the same already is left alone.

        An offer that cannot be sealed yet waits.
        """
        await trio.lowlevel.checkpoint()
        try:
            stored = self._stored(name, data)
        except NotYet:
            self._offer.put(data)
            self._tell([name])
            return
        if not self._stands(name, data, stored):
            self._append(self.carrier.record_of(name, stored))
        if self._waits(name):
            self._offer.clear()
            self._tell([name])

    async def write_waiting(self) -> None:
        """Store our offer if it could not be sealed before, or was for an older beacon."""
        if self._guest is None or not isinstance(self._sealing, GuestSealing):
            return
        name, text = offer_name(self._guest), self._offer.text
        if text is None:
            latest = self.carrier.latest(name)
            if latest is None or not self._sealing.is_outdated(latest.record.signal):
                return
            text = self._sealing.show(SealedKind.OFFER, latest.record.signal)
        await self.write(name, text)

    async def remove(self, name: str) -> None:
        """Append the record that takes a file back; nothing happens if it is not there."""
        await trio.lowlevel.checkpoint()
        if self._waits(name):
            self._offer.clear()
            self._tell([name])
        record = self.carrier.removal_of(name)
        if record is not None and self.is_ours(name):
            self._append(record)

    def names(self, folder: str) -> Sequence[str]:
        """The full names in a folder of the lobby."""
        found = self.carrier.names(folder)
        if not folder and self._guest is not None:
            name = offer_name(self._guest)
            if self._waits(name) and name not in found:
                found.append(name)
        return found

    def changes(self) -> AsyncIterator[str]:
        """The names that change from now on."""
        reader = ChangedNames(self._readers)
        self._readers.append(reader)
        return reader

    # --- within --------------------------------------------------------------------------------

    def _join(self, identity: bytes, own: LogReplica, sealing: GuestSealing) -> None:
        self._own = own
        self._guest = identity
        self.seal_by(sealing)
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
                self._clearing.forget(replica.replica, range(sequence, sequence + 1))
        self._tell(names)

    def _tell(self, names: Sequence[str]) -> None:
        if names:
            for reader in self._readers:
                reader.put(names)
            self._changed.set()
            self._changed = trio.Event()
        self._on_change()

    def _waits(self, name: str) -> bool:
        if self._guest is None or self._offer.text is None:
            return False
        return name == offer_name(self._guest)

    def _stored_here(self, name: str) -> bytes | None:
        entry = self.carrier.find(name)
        return None if entry is None else entry.record.signal

    def _stored(self, name: str, data: bytes) -> bytes:
        form = None if self._sealing is None else self._sealing.form(name)
        return data if form is None else form.stored(data)

    def _stands(self, name: str, data: bytes, stored: bytes) -> bool:
        """Tell whether a signal lies there already, plain or sealed for the same beacon."""
        there = self._stored_here(name)
        if there is None or there == stored:
            return there is not None
        if not isinstance(self._sealing, GuestSealing):
            return False
        shown = self._sealing.show(SealedKind.OFFER, there)
        return shown == data and not self._sealing.is_outdated(there)

    def _shown(self, record: Record) -> bytes:
        """Return the text of a signal where we are one of its ends, else what is stored."""
        match record.kind:
            case RecordKind.OFFER:
                name = offer_name(record.guest)
            case RecordKind.ANSWER:
                name = answer_name(record.guest)
            case _:
                return record.signal
        form = None if self._sealing is None else self._sealing.form(name)
        return record.signal if form is None else form.shown(record.signal)
