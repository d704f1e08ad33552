"""The service of a joined lobby: asks to be let in, completes its offer, tidies up (section 9).

A shell around `joining`. One task takes what happened from a bounded inbox, tells the core and does
what it says; reading files, following the connection and sending joins are tasks beside it. Offers
that our engine made are completed here, and made again when their connection drops; answers to
others' offers (a browser's, a script's) are left to whoever made them, and the offer is removed all
the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic

import trio

from datfs.errors import DatfsError, EncodingError, InvalidSignal, NotPinned, StaleSignal
from datfs.lobby.hosting import ATTEMPT_S
from datfs.lobby.joining import Joining
from datfs.lobby.machine import GuestOutput
from datfs.lobby.names import BEACON_NAME, answer_name, offer_name, writer_name
from datfs.lobby.password import PAKE_VERSION
from datfs.lobby.pinning import check_pinned
from datfs.lobby.ports import PeerT
from datfs.lobby.seal import SealedKind
from datfs.lobby.signal import encode_offer, parse_beacon, parse_offer, sdp_identity
from datfs.lobby.signal_reader import SignalReader
from datfs.lobby.writers import parse_record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from datfs.lobby.admission_request import AdmissionRequest
    from datfs.lobby.guest_sealing import GuestSealing
    from datfs.lobby.guest_status import GuestStatus
    from datfs.lobby.ports import Events, GuestEngine, LocalOffer, PeerDirectory, SignalFiles
    from datfs.lobby.proving import PasswordProver
    from datfs.lobby.signal import Answer, Beacon, Offer, Refusal

OFFER_DEADLINE_S: Final = 10.0
"""Gathering ends after 2 s; an engine that takes longer than this is stuck."""

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
class _Opened:
    attempt: int


@dataclass(frozen=True, slots=True)
class _Unproven:
    attempt: int


@dataclass(frozen=True, slots=True)
class _Closed:
    attempt: int


@dataclass(frozen=True, slots=True)
class _Leave:
    pass


_Happening = _SignalRead | _Opened | _Unproven | _Closed | _Leave


class Guest(Generic[PeerT]):
    """A joined lobby. `run` serves it until `leave` is called."""

    def __init__(
        self,
        options: GuestOptions,
        *,
        files: SignalFiles,
        sealing: GuestSealing,
        engine: GuestEngine[PeerT],
        request: AdmissionRequest,
        prover: PasswordProver,
        directory: PeerDirectory[PeerT],
        events: Events,
        status_changed: Callable[[GuestStatus], None],
    ) -> None:
        """Put the parts together.

        Args:
            options: who joins.
            files: the lobby's files.
            sealing: opens answers; what is written by `files` is sealed by it.
            engine: makes offers, and knows those it made.
            request: asks the host for admission.
            prover: proves the password of a protected session.
            directory: takes the open connection, under the host's identity.
            events: the log.
            status_changed: told what the file `state` says when that changes, and whenever a new
                offer was taken.
        """
        self._options = options
        self._files = files
        self._sealing = sealing
        self._engine = engine
        self._request = request
        self._prover = prover
        self._directory = directory
        self._events = events
        self._status_changed = status_changed
        self._offer_name = offer_name(options.identity)
        self._answer_name = answer_name(options.identity)
        self._record_name = writer_name(options.identity)
        self._joining = Joining(options.writer, attempt_s=options.attempt_s)
        self._status = self._joining.status
        self._told_attempt = 0
        self._local: LocalOffer[PeerT] | None = None  # of the attempt, if our engine made it
        self._joined: tuple[bytes, PeerT] | None = None  # what the directory was given
        self._inbox_send, self._inbox = trio.open_memory_channel[_Happening](_INBOX_LIMIT)

    @property
    def status(self) -> GuestStatus:
        """What the file `state` says."""
        return self._status

    @property
    def attempt(self) -> int:
        """The number of the offer that `status` speaks of; 0 before the first."""
        return self._told_attempt

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

    async def _follow(self, local: LocalOffer[PeerT], attempt: int) -> None:
        try:
            await local.accept_answer(self._joining.answer_sdp)
            await local.connection.wait_open()
            check_pinned(local.connection, self._joining.answer_sdp)
            proven = await self._prove(local.connection)
            await self._inbox_send.send(_Opened(attempt) if proven else _Unproven(attempt))
            await local.connection.wait_ended()
        except NotPinned as error:
            self._events.append("not-pinned", reason=str(error))
        except Exception as error:  # whatever it is, the attempt has failed and may be repeated
            if local is self._local:  # else it was closed on purpose
                self._failed(error)
        await self._inbox_send.send(_Closed(attempt))

    async def _prove(self, connection: PeerT) -> bool:
        beacon = self._joining.beacon
        if beacon is None or not beacon.protected:
            return True
        return await self._prover.prove(connection, beacon.host)

    # --- what it means ---------------------------------------------------------------------

    async def _serve(self, nursery: trio.Nursery, reader: SignalReader) -> None:
        while True:
            self._tell_status()
            happened = None
            with trio.move_on_at(self._joining.next_timeout):
                happened = await self._inbox.receive()
            now = trio.current_time()
            self._joining.has_password = self._prover.password is not None
            match happened:
                case None:
                    outputs = self._joining.on_timeout(now)
                case _Leave():
                    return
                case _SignalRead(name, data):
                    try:
                        outputs = await self._take(name, data, nursery, reader)
                    except (InvalidSignal, EncodingError) as error:
                        self._events.append("signal-invalid", name=name, reason=str(error))
                        continue
                case _Opened(attempt):
                    outputs = self._joining.opened(attempt, now)
                case _Unproven(attempt):
                    outputs = self._joining.unproven(attempt, now)
                case _Closed(attempt):
                    outputs = self._joining.closed(attempt, now)
            await self._do_all(outputs, nursery, reader)
            if isinstance(happened, _SignalRead) and happened.name == BEACON_NAME:
                await self._write_waiting()

    async def _take(
        self, name: str, data: bytes | None, nursery: trio.Nursery, reader: SignalReader
    ) -> list[GuestOutput]:
        now = trio.current_time()
        if name == self._record_name:
            record = None if data is None else parse_record(data)
            outputs = self._joining.record_read(record, now)
            self._request.admitted = self._joining.admitted
            return outputs
        if name == BEACON_NAME:
            reader.look(self._answer_name)
            return self._take_beacon(None if data is None else parse_beacon(data), now)
        if name == self._answer_name:
            return self._take_answer(data, now)
        if data is None:
            return self._joining.offer_gone(now)
        offer = parse_offer(self._sealing.show(SealedKind.OFFER, data))
        if self._joining.is_new_offer(offer.id):
            await self._begin_attempt(offer, nursery, reader, by_hand=True)
        return []

    def _take_beacon(self, beacon: Beacon | None, now: float) -> list[GuestOutput]:
        before = self._joining.beacon
        self._joining.unproven_beacon = ""
        if beacon is not None and not self._sealing.is_proven(beacon):
            kept_back = "offers go to it all the same, not sealed"
            if not self._sealing.allow_unproven:
                kept_back = "offers are kept back (--allow-unproven lets them go)"
            self._joining.unproven_beacon = f"the beacon has no valid proof: {kept_back}"
            if before is None or before.id != beacon.id:
                self._events.append("beacon-unproven", host=beacon.host.hex())
        return self._joining.beacon_read(beacon, now)

    def _take_answer(self, data: bytes | None, now: float) -> list[GuestOutput]:
        answer: Answer | Refusal | None = None
        offer_id = self._joining.offer_id
        if data is not None:
            if offer_id is None or self._joining.beacon is None:
                return []
            try:
                answer = self._sealing.open_answer(data, offer_id)
            except StaleSignal:
                return []
        return self._joining.answer_read(answer, now)

    async def _begin_attempt(
        self, offer: Offer, nursery: trio.Nursery, reader: SignalReader, *, by_hand: bool
    ) -> None:
        """Take an offer that lies in the lobby as the one whose answers count."""
        name = sdp_identity(offer.sdp)
        local = self._engine.find_offer(name.ufrag, name.fingerprint)
        if local is self._local:
            self._local = None  # the same connection offered in other words: it is kept
        outputs = self._joining.offer(
            offer.id, trio.current_time(), made_here=local is not None, by_hand=by_hand
        )
        await self._do_all(outputs, nursery, reader)
        if not self._joining.has_offer:
            return  # the session is over; the engine ends what is not committed
        self._local = local
        if local is not None:
            local.commit()
        self._events.append("offer", guest=self._options.identity.hex())
        reader.look(self._record_name)
        reader.look(self._answer_name)

    # --- what the guest does ---------------------------------------------------------------

    async def _do_all(
        self, outputs: Iterable[GuestOutput], nursery: trio.Nursery, reader: SignalReader
    ) -> None:
        for output in outputs:
            try:
                await self._do(output, nursery, reader)
            except DatfsError as error:
                self._failed(error)

    async def _do(self, output: GuestOutput, nursery: trio.Nursery, reader: SignalReader) -> None:
        match output:
            case GuestOutput.MAKE_OFFER:
                await self._make_offer(nursery, reader)
            case GuestOutput.COMPLETE:
                if self._local is not None:
                    self._events.append("answer", guest=self._options.identity.hex())
                    nursery.start_soon(self._follow, self._local, self._joining.attempt)
            case GuestOutput.REMOVE_OFFER:
                await self._files.remove(self._offer_name)
                reader.look(self._offer_name)
            case GuestOutput.ADMIT_PEER:
                if self._local is not None and self._joining.beacon is not None:
                    self._joined = (self._joining.beacon.host, self._local.connection)
                    await self._directory.opened(*self._joined)
                    self._events.append("connected", peer=self._joining.beacon.host.hex())
            case GuestOutput.PART_PEER:
                await self._part()
            case GuestOutput.CLOSE_PEER:
                if self._local is not None:
                    nursery.start_soon(self._close, self._local.connection)
                self._local = None

    async def _make_offer(self, nursery: trio.Nursery, reader: SignalReader) -> None:
        try:
            with trio.fail_after(OFFER_DEADLINE_S):
                local = await self._engine.create_offer()
            text = self._offer_text(local)
            await self._files.write(self._offer_name, text)
        except Exception as error:  # whatever the engine or the disk has, it may pass
            self._failed(error)
            outputs = self._joining.offer_failed(trio.current_time())
            await self._do_all(outputs, nursery, reader)
        else:
            await self._begin_attempt(parse_offer(text), nursery, reader, by_hand=False)

    def _offer_text(self, local: LocalOffer[PeerT]) -> bytes:
        beacon = self._joining.beacon
        beacon_id = None if beacon is None else beacon.id
        return encode_offer(local.sdp, beacon_id, pake=PAKE_VERSION)

    async def _write_waiting(self) -> None:
        try:
            await self._files.write_waiting()
        except DatfsError as error:
            self._failed(error)

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
        status = self._joining.status
        self._request.refused = status.word == "refused"
        is_new = status != self._status
        if is_new:
            self._status = status
            self._events.append("lobby", state=status.word, reason=status.reason)
        if is_new or self._told_attempt != self._joining.attempt:
            self._told_attempt = self._joining.attempt
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
