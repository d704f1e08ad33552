"""The host's service of admissions: hears joins, writes records, watches quotas (design section 8).

A shell around `admission`; what the admitted then write is dealt with in `host`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from datfs.errors import DatfsError, EncodingError
from datfs.lobby.admission import Admission, Admitted, AlreadyAdmitted, NotAdmitted
from datfs.lobby.names import WRITERS_FOLDER, SignalKind, parse_signal_name, writer_name
from datfs.lobby.ports import ConnectionGone
from datfs.lobby.writers import parse_record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from datfs.lobby.admission import Verdict, WriterUsage
    from datfs.lobby.ports import Events, JoinReceived, JoinReceiver, SignalFiles
    from datfs.lobby.writers import WriterRecord

QUOTA_INTERVAL_S: Final = 5.0
"""How often it is looked at how much the guests have written."""


async def read_records(files: SignalFiles, events: Events) -> dict[bytes, WriterRecord]:
    """Return the records that a lobby of our own holds, by identity key.

    A file there that is no record is told as an event and counts for nothing.

    Raises:
        DatfsError: one could not be read.
    """
    records: dict[bytes, WriterRecord] = {}
    for name in files.names(WRITERS_FOLDER):
        parsed = parse_signal_name(name)
        data = await files.read(name)
        if parsed is None or parsed.kind is not SignalKind.WRITER or data is None:
            continue
        try:
            records[parsed.guest] = parse_record(data)
        except EncodingError as error:
            events.append("writer-record", name=name, reason=str(error))
    return records


class Gate:
    """Lets guests into a hosted lobby, and strikes them off."""

    def __init__(
        self,
        admission: Admission,
        *,
        files: SignalFiles,
        joins: JoinReceiver,
        events: Events,
        writer_usage: Callable[[bytes], WriterUsage | None],
        busy: Callable[[], Collection[bytes]],
        struck_off: Callable[[bytes], Awaitable[None]],
        turned_away: Callable[[bytes, str], Awaitable[None]],
    ) -> None:
        """Put the parts together.

        Args:
            admission: decides.
            files: of the lobby, for the records.
            joins: who asks.
            events: the log.
            writer_usage: tells how much a writer archive holds by its key, None if not known.
            busy: tells which guests have an offer or a channel.
            struck_off: told of a guest whose writer is heard no more.
            turned_away: told of a guest that is not wanted and should know why.
        """
        self._admission = admission
        self._files = files
        self._joins = joins
        self._events = events
        self._writer_usage = writer_usage
        self._busy = busy
        self._struck_off = struck_off
        self._turned_away = turned_away

    async def run(self) -> None:
        """Serve until cancelled."""
        await self.enforce_policy()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hear_joins)
            nursery.start_soon(self._watch_quotas)

    async def enforce_policy(self) -> None:
        """Hear no more of guests that were let in and that the policy does not want."""
        for guest, reason in self._admission.unwanted.items():
            await self._write(guest, self._admission.retire(guest))
            await self._turned_away(guest, reason)

    async def _hear_joins(self) -> None:
        async for received in self._joins.joins():
            if isinstance(received, ConnectionGone):
                self._admission.connection_closed(received.connection_id)
                continue
            verdict = self._admission.consider(
                received.payload,
                connection_id=received.connection_id,
                address=received.address,
                busy=self._busy(),
                now=trio.current_time(),
            )
            await self._act_on(verdict, received)

    async def _act_on(self, verdict: Verdict, received: JoinReceived) -> None:
        match verdict:
            case Admitted(guest=guest, record=record, retired=retired):
                if retired is not None:
                    await self._write(*retired)
                await self._write(guest, record)
                self._events.append("join", guest=guest.hex(), address=received.address)
            case AlreadyAdmitted():
                pass
            case NotAdmitted(guest=unwanted, reason=reason, told=told):
                self._events.append(
                    "join-refused",
                    guest=None if unwanted is None else unwanted.hex(),
                    address=received.address,
                    reason=reason,
                )
                if unwanted is not None and told is not None:
                    await self._turned_away(unwanted, told)

    async def _watch_quotas(self) -> None:
        while True:
            await trio.sleep(QUOTA_INTERVAL_S)
            for guest, writer in self._admission.live.items():
                usage = self._writer_usage(writer)
                if usage is None or not self._admission.is_over_quota(usage):
                    continue
                await self._write(guest, self._admission.strike_off(guest))
                self._events.append(
                    "struck-off",
                    guest=guest.hex(),
                    byte_length=usage.byte_length,
                    entries=usage.entries,
                )
                await self._struck_off(guest)

    async def _write(self, guest: bytes, record: WriterRecord) -> None:
        try:
            await self._files.write(writer_name(guest), record.encode())
        except DatfsError as error:
            self._events.append("writer-record", name=writer_name(guest), reason=str(error))
