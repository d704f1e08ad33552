"""The service of a joined lobby: asks to be let in, completes its offer, tidies up (section 9).

A shell around the guest's table in `machine`. One task takes what happened from a bounded inbox,
works out what it means for the offer that lies there, and does what the table says; reading files,
following the connection and sending joins are tasks beside it. Offers that our engine made are
completed here, and made again when their connection drops; answers to others' offers (a browser's,
a script's) are left to whoever made them, and the offer is removed all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic

import trio

from datfs.errors import DatfsError, EncodingError, InvalidSignal
from datfs.lobby.guest_status import GuestStatus
from datfs.lobby.hosting import ATTEMPT_S
from datfs.lobby.machine import GuestInput, GuestOutput, GuestState, guest_step
from datfs.lobby.names import (
    BEACON_NAME,
    SignalKind,
    answer_name,
    offer_name,
    parse_signal_name,
    writer_name,
)
from datfs.lobby.ports import PeerT
from datfs.lobby.signal import (
    Refusal,
    encode_offer,
    parse_answer,
    parse_beacon,
    parse_offer,
    sdp_identity,
)
from datfs.lobby.signal_reader import SignalReader
from datfs.lobby.writers import WriterState, parse_record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from datfs.lobby.admission_request import AdmissionRequest
    from datfs.lobby.ports import Events, GuestEngine, LocalOffer, PeerDirectory, SignalFiles
    from datfs.lobby.signal import Beacon, Offer

OFFER_DEADLINE_S: Final = 10.0
"""Gathering ends after 2 s; an engine that takes longer than this is stuck."""

RETRY_PAUSES_S: Final = (1.0, 2.0, 5.0, 15.0, 30.0, 60.0)
"""Pauses before new offers of our own while none of them leads to an open channel."""

LEAVE_DEADLINE_S: Final = 5.0
"""How long leaving may wait for the host to take what was sent to it."""

_INBOX_LIMIT: Final = 64  # whoever puts something in waits when it is full


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestOptions:
    """Which lobby is joined, and as whom.

    Attributes:
        identity: the guest's identity key, 32 bytes.
        writer: key of its writer archive for this lobby, 32 bytes.
        fresh: False after a remount: an offer that still lies there is a leftover, for what could
            have completed it is gone.
        attempt_s: seconds for which a completed offer may take to open its channel.
    """

    identity: bytes
    writer: bytes
    fresh: bool = True
    attempt_s: float = ATTEMPT_S


@dataclass(frozen=True, slots=True)
class _SignalRead:
    name: str
    data: bytes | None


@dataclass(frozen=True, slots=True)
class _Opened(Generic[PeerT]):
    local: LocalOffer[PeerT]


@dataclass(frozen=True, slots=True)
class _Closed(Generic[PeerT]):
    local: LocalOffer[PeerT]


@dataclass(frozen=True, slots=True)
class _Leave:
    pass


class Guest(Generic[PeerT]):
    """A joined lobby. `run` serves it until `leave` is called."""

    def __init__(
        self,
        options: GuestOptions,
        *,
        files: SignalFiles,
        engine: GuestEngine[PeerT],
        request: AdmissionRequest,
        directory: PeerDirectory[PeerT],
        events: Events,
        status_changed: Callable[[GuestStatus], None],
    ) -> None:
        """Put the parts together.

        Args:
            options: who joins.
            files: the lobby's files.
            engine: makes offers, and knows those it made.
            request: asks the host for admission.
            directory: takes the open connection, under the host's identity.
            events: the log.
            status_changed: told what the file `state` says when that changes.
        """
        self._options = options
        self._files = files
        self._engine = engine
        self._request = request
        self._directory = directory
        self._events = events
        self._status_changed = status_changed
        self._offer_name = offer_name(options.identity)
        self._answer_name = answer_name(options.identity)
        self._record_name = writer_name(options.identity)
        self._state = GuestState.LOOKING
        self._reason = ""
        self._status = GuestStatus.of(self._state)
        self._beacon: Beacon | None = None
        self._offer_id: bytes | None = None  # of the offer whose answers count
        self._removed_id: bytes | None = None  # of one that we removed and may yet read once more
        self._answer_seen = False
        self._answer_sdp = ""
        self._local: LocalOffer[PeerT] | None = None  # of the attempt, if our engine made it
        self._joined: tuple[bytes, PeerT] | None = None  # what the directory was given
        self._deadline = float("inf")
        self._on_deadline = GuestInput.EXPIRED
        self._tries = 0
        self._inbox_send, self._inbox = trio.open_memory_channel[
            _SignalRead | _Opened[PeerT] | _Closed[PeerT] | _Leave
        ](_INBOX_LIMIT)

    @property
    def status(self) -> GuestStatus:
        """What the file `state` says."""
        return self._status

    async def new_offer(self) -> bytes:
        """Return what a read of `new-offer` gives: a fresh offer of the engine, not yet written.

        Raises:
            DatfsError: the engine cannot make one, or has made too many.
        """
        return self._offer_text(await self._engine.create_offer())

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve the lobby.

        If it is cancelled the offer stays where it is; only `leave` tidies up.

        Raises:
            DatfsError: a leftover could not be removed.
        """
        async with trio.open_nursery() as nursery:
            changes = self._files.changes()
            if not self._options.fresh:
                await self._files.remove(self._offer_name)
            reader = SignalReader(self._files, self._events, nursery=nursery, deliver=self._read)
            nursery.start_soon(self._watch, changes, reader)
            nursery.start_soon(self._request.run)
            for name in self._names:
                reader.look(name)
            task_status.started()
            await self._serve(nursery, reader)
            nursery.cancel_scope.cancel()
        await self._tidy_up()

    async def leave(self) -> None:
        """Leave the lobby: `run` removes the offer, closes the connection and returns."""
        await self._inbox_send.send(_Leave())

    # --- what others do --------------------------------------------------------------------

    @property
    def _names(self) -> tuple[str, ...]:
        return (self._record_name, BEACON_NAME, self._offer_name, self._answer_name)

    async def _watch(self, changes: AsyncIterator[str], reader: SignalReader) -> None:
        async for name in changes:
            if name in self._names:
                reader.look(name)

    async def _read(self, name: str, data: bytes | None) -> None:
        await self._inbox_send.send(_SignalRead(name, data))

    async def _follow(self, local: LocalOffer[PeerT], answer_sdp: str) -> None:
        try:
            await local.accept_answer(answer_sdp)
            await local.connection.wait_open()
            await self._inbox_send.send(_Opened(local))
            await local.connection.wait_ended()
        except Exception as error:  # whatever it is, the attempt has failed and may be repeated
            if local is self._local:  # else it was closed on purpose
                self._failed(error)
        await self._inbox_send.send(_Closed(local))

    # --- what it means ---------------------------------------------------------------------

    async def _serve(self, nursery: trio.Nursery, reader: SignalReader) -> None:
        while True:
            self._tell_status()
            happened = None
            with trio.move_on_at(self._deadline):
                happened = await self._inbox.receive()
            match happened:
                case None:
                    self._deadline = float("inf")
                    await self._happen(self._on_deadline, nursery, reader)
                case _Leave():
                    return
                case _SignalRead(name, data):
                    await self._take(name, data, nursery, reader)
                case _Opened(local):
                    if local is self._local and self._state is GuestState.CONNECTING:
                        await self._happen(GuestInput.OPENED, nursery, reader)
                case _Closed(local):
                    if local is self._local:
                        await self._happen(GuestInput.CLOSED, nursery, reader)

    async def _take(
        self, name: str, data: bytes | None, nursery: trio.Nursery, reader: SignalReader
    ) -> None:
        parsed = parse_signal_name(name)
        if parsed is None:
            return
        try:
            match parsed.kind:
                case SignalKind.WRITER:
                    happened = self._record_says(data)
                case SignalKind.BEACON:
                    happened = self._beacon_says(data)
                    reader.look(self._answer_name)
                case SignalKind.OFFER:
                    await self._take_offer(data, nursery, reader)
                    return
                case SignalKind.ANSWER:
                    happened = self._answer_says(data)
        except (InvalidSignal, EncodingError) as error:
            self._events.append("signal-invalid", name=name, reason=str(error))
            return
        if happened is not None:
            await self._happen(happened, nursery, reader)

    def _record_says(self, data: bytes | None) -> GuestInput | None:
        record = None if data is None else parse_record(data)
        ours = record is not None and record.writer == self._options.writer
        self._request.admitted = ours and record is not None and record.state is WriterState.LIVE
        if record is not None and record.state is WriterState.STRUCK:
            self._reason = "the host has struck us off"
            return GuestInput.BARRED
        return None

    def _beacon_says(self, data: bytes | None) -> GuestInput | None:
        before = self._beacon
        if data is None:
            self._beacon = None
            return None if before is None else GuestInput.BEACON_GONE
        self._beacon = parse_beacon(data)
        if before is not None and before.id == self._beacon.id:
            return None
        if before is not None and self._local is not None and self._joined is None:
            self._reason = "the host has started anew"
            return GuestInput.BEACON_RENEWED
        return GuestInput.BEACON

    def _answer_says(self, data: bytes | None) -> GuestInput | None:
        if self._offer_id is None or self._beacon is None:
            return None  # read again when there is an offer and the host is known
        if data is None:
            seen, self._answer_seen = self._answer_seen, False
            return GuestInput.ANSWER_GONE if seen else None
        answer = parse_answer(data)
        if answer.offer_id not in (None, self._offer_id):
            return None
        self._answer_seen = True
        if isinstance(answer, Refusal):
            self._reason = answer.reason
            full = answer.reason == "full"
            return GuestInput.ANSWER_FULL if full else GuestInput.ANSWER_REFUSED
        if self._local is None:
            return GuestInput.ANSWER_ELSEWHERE
        self._answer_sdp = answer.sdp
        return GuestInput.ANSWER

    async def _take_offer(
        self, data: bytes | None, nursery: trio.Nursery, reader: SignalReader
    ) -> None:
        if data is None:
            self._removed_id = None
            if self._offer_id is not None:
                self._offer_id = None
                await self._happen(GuestInput.OFFER_GONE, nursery, reader)
            return
        offer = parse_offer(data)
        if offer.id in (self._offer_id, self._removed_id):
            return
        self._tries = 0
        await self._offered(offer, nursery, reader)

    async def _offered(self, offer: Offer, nursery: trio.Nursery, reader: SignalReader) -> None:
        """Take an offer that lies in the lobby as the one whose answers count."""
        name = sdp_identity(offer.sdp)
        local = self._engine.find_offer(name.ufrag, name.fingerprint)
        if local is not None:
            local.commit()
        if local is self._local:
            self._local = None  # the same connection offered in other words: it is kept
        self._offer_id = offer.id
        self._answer_seen = False
        await self._happen(GuestInput.OFFER, nursery, reader)
        self._local = local
        if self._offer_id is None:  # the session is over, and it was removed at once
            await self._do(GuestOutput.CLOSE_PEER, nursery, reader)
            return
        self._events.append("offer", guest=self._options.identity.hex())
        reader.look(self._record_name)
        reader.look(self._answer_name)

    # --- what the guest does ---------------------------------------------------------------

    async def _happen(
        self, happened: GuestInput, nursery: trio.Nursery, reader: SignalReader
    ) -> None:
        before = self._state
        self._state, outputs = guest_step(self._state, happened)
        if before is not self._state and happened not in _REASONED:
            self._reason = _REASONS.get(happened, "")
        for output in outputs:
            try:
                await self._do(output, nursery, reader)
            except DatfsError as error:
                self._failed(error)

    async def _do(self, output: GuestOutput, nursery: trio.Nursery, reader: SignalReader) -> None:
        match output:
            case GuestOutput.START_CLOCK:
                self._on_deadline = GuestInput.EXPIRED
                self._deadline = trio.current_time() + self._options.attempt_s
            case GuestOutput.STOP_CLOCK:
                self._deadline = float("inf")
            case GuestOutput.START_PAUSE:
                self._start_pause()
            case GuestOutput.MAKE_OFFER:
                await self._make_offer(nursery, reader)
            case GuestOutput.COMPLETE:
                if self._local is not None:
                    self._events.append("answer", guest=self._options.identity.hex())
                    nursery.start_soon(self._follow, self._local, self._answer_sdp)
            case GuestOutput.REMOVE_OFFER:
                await self._remove_offer(reader)
            case GuestOutput.ADMIT_PEER:
                self._tries = 0
                if self._local is not None and self._beacon is not None:
                    self._joined = (self._beacon.host, self._local.connection)
                    await self._directory.opened(*self._joined)
                    self._events.append("connected", peer=self._beacon.host.hex())
            case GuestOutput.PART_PEER:
                await self._part()
            case GuestOutput.CLOSE_PEER:
                if self._local is not None:
                    nursery.start_soon(self._close, self._local.connection)
                self._local = None

    def _start_pause(self) -> None:
        now = trio.current_time()
        if self._tries < len(RETRY_PAUSES_S):
            self._on_deadline = GuestInput.RETRY
            self._deadline = now + RETRY_PAUSES_S[self._tries]
            self._tries += 1
        else:
            self._on_deadline = GuestInput.GIVE_UP
            self._deadline = now

    async def _make_offer(self, nursery: trio.Nursery, reader: SignalReader) -> None:
        try:
            with trio.fail_after(OFFER_DEADLINE_S):
                local = await self._engine.create_offer()
            text = self._offer_text(local)
            await self._files.write(self._offer_name, text)
        except Exception as error:  # whatever the engine or the disk has, it may pass
            self._failed(error)
            await self._happen(GuestInput.OFFER_FAILED, nursery, reader)
        else:
            await self._offered(parse_offer(text), nursery, reader)

    def _offer_text(self, local: LocalOffer[PeerT]) -> bytes:
        return encode_offer(local.sdp, None if self._beacon is None else self._beacon.id)

    async def _remove_offer(self, reader: SignalReader) -> None:
        if self._offer_id is not None:
            self._removed_id, self._offer_id = self._offer_id, None
            await self._files.remove(self._offer_name)
            reader.look(self._offer_name)

    async def _part(self) -> None:
        if self._joined is not None:
            host, connection = self._joined
            self._joined = None
            await self._directory.parted(host, connection)
            self._events.append("closed", peer=host.hex())

    async def _close(self, connection: PeerT) -> None:
        try:
            await connection.aclose()
        except Exception as error:  # it is over for us, whatever the engine says
            self._failed(error)

    def _tell_status(self) -> None:
        status = GuestStatus.of(
            self._state,
            reason=self._reason,
            beacon=self._beacon is not None,
            admitted=self._request.admitted,
        )
        if status != self._status:
            self._status = status
            self._events.append("lobby", state=status.word, reason=status.reason)
            self._status_changed(status)

    def _failed(self, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        self._events.append("signalling-failed", reason=reason)

    async def _tidy_up(self) -> None:
        try:
            await self._files.remove(self._offer_name)
        except DatfsError as error:
            self._failed(error)
        if self._local is not None:
            with trio.move_on_after(LEAVE_DEADLINE_S):
                await self._close(self._local.connection)
        await self._part()


_REASONED: Final = frozenset(
    {
        GuestInput.BARRED,
        GuestInput.BEACON_RENEWED,
        GuestInput.ANSWER_FULL,
        GuestInput.ANSWER_REFUSED,
    }
)
_REASONS: Final = {
    GuestInput.CLOSED: "the connection was lost",
    GuestInput.EXPIRED: "the channel did not open",
    GuestInput.GIVE_UP: "no channel opened in several tries; write a new offer",
    GuestInput.BEACON_GONE: "the host has ended the session",
}
