"""The service of a hosted lobby: beacon, admissions, answers, removal (design sections 8 and 9).

A shell around `hosting` and `admission`. One task takes what happened from a bounded inbox, tells
the core and does what it says; tasks beside it watch names, read offers, make answers and follow
connections, and put what they find into the inbox. So all decisions and all writing of files happen
in one task, in order. Whatever fails for one guest becomes an event and an answer that says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic

import trio

from datfs.errors import DatfsError, InvalidSignal, NotPinned, StaleSignal
from datfs.lobby.admission import Admission, AdmissionLimits
from datfs.lobby.gate import Gate, read_records
from datfs.lobby.hosting import ATTEMPT_S, Effect, Hosting
from datfs.lobby.machine import HostOutput
from datfs.lobby.names import (
    BEACON_NAME,
    SignalKind,
    answer_name,
    parse_signal_name,
)
from datfs.lobby.password import PAKE_VERSION, PASSWORD_S
from datfs.lobby.pinning import check_pinned
from datfs.lobby.policy import Policy
from datfs.lobby.ports import PeerT
from datfs.lobby.room import RESERVATION_S, Room
from datfs.lobby.seal import is_sealed, offer_id_of
from datfs.lobby.signal import Offer, encode_answer, encode_refusal, make_beacon
from datfs.lobby.signal_reader import SignalReader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from datfs.crypto.keys import KeyPair
    from datfs.lobby.admission import WriterUsage
    from datfs.lobby.door import PasswordDoor
    from datfs.lobby.host_sealing import HostSealing
    from datfs.lobby.ports import Events, HostEngine, JoinReceiver, PeerDirectory, SignalFiles

ANSWER_DEADLINE_S: Final = 10.0
"""Gathering ends after 2 s; an engine that takes longer than this is stuck."""

END_DEADLINE_S: Final = 5.0
"""How long the end of a session may wait for peers to take what was sent to them."""

_INBOX_LIMIT: Final = 64  # whoever puts something in waits when it is full


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOptions:
    """What kind of session is hosted.

    Attributes:
        lobby_key: key of the lobby, 32 bytes.
        identity: the host's identity, which signs the beacon's proof.
        handshake_id: what the host sends on connections of the lobby, 32 bytes.
        beacon_id: random, new with each start, `signal.BEACON_ID_SIZE` bytes.
        max_peers: how many may be connected at once, the host not counted.
        limits: of admission.
        policy: who is let in.
        attempt_s: seconds after which an offer or answer that leads to nothing is given up.
        reservation_s: seconds for which a place is kept for an answered guest.
    """

    lobby_key: bytes
    identity: KeyPair
    handshake_id: bytes
    beacon_id: bytes
    max_peers: int
    limits: AdmissionLimits = field(default_factory=AdmissionLimits)
    policy: Policy = field(default_factory=Policy)
    attempt_s: float = ATTEMPT_S
    reservation_s: float = RESERVATION_S


@dataclass(frozen=True, slots=True)
class _OfferRead:
    guest: bytes
    data: bytes | None


@dataclass(frozen=True, slots=True)
class _AnswerMade:
    guest: bytes
    attempt: int
    sdp: str | None  # None: the engine failed


@dataclass(frozen=True, slots=True)
class _Opened:
    guest: bytes
    attempt: int


@dataclass(frozen=True, slots=True)
class _Unproven:
    guest: bytes
    attempt: int


@dataclass(frozen=True, slots=True)
class _Closed:
    guest: bytes
    attempt: int


@dataclass(frozen=True, slots=True)
class _Struck:
    guest: bytes


@dataclass(frozen=True, slots=True)
class _Unwanted:
    guest: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class _Kicked:
    guest: bytes


@dataclass(frozen=True, slots=True)
class _PolicyChanged:
    pass


@dataclass(frozen=True, slots=True)
class _End:
    pass


_OfAttempt = _OfferRead | _AnswerMade | _Opened | _Unproven | _Closed
_Happening = _OfAttempt | _Struck | _Unwanted | _Kicked | _PolicyChanged | _End


class Host(Generic[PeerT]):
    """A hosted lobby. `run` serves it until `end` is called."""

    def __init__(
        self,
        options: HostOptions,
        *,
        files: SignalFiles,
        sealing: HostSealing,
        engine: HostEngine[PeerT],
        joins: JoinReceiver,
        directory: PeerDirectory[PeerT],
        events: Events,
        writer_usage: Callable[[bytes], WriterUsage | None],
        peers_changed: Callable[[int], None],
        door: PasswordDoor | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            options: what is hosted.
            files: the lobby's files.
            sealing: opens offers; what is written by `files` is sealed by it.
            engine: answers offers with the session's certificate.
            joins: who asks for admission.
            directory: takes the open connections.
            events: the log.
            writer_usage: tells how much a writer archive holds by its key, None if not known.
            peers_changed: told the number of connected peers when it changes.
            door: lets guests prove the password of a protected session; None for an open one.
        """
        self._options = options
        self._files = files
        self._sealing = sealing
        self._engine = engine
        self._joins = joins
        self._directory = directory
        self._events = events
        self._writer_usage = writer_usage
        self._peers_changed = peers_changed
        self._door = door
        for_password_s = PASSWORD_S if door is not None else 0.0
        room = Room(options.max_peers, reservation_s=options.reservation_s + for_password_s)
        self._hosting = Hosting(room, attempt_s=options.attempt_s)
        self._offers: dict[bytes, Offer] = {}
        self._answers: dict[bytes, str] = {}
        self._written: set[bytes] = set()  # guests for whom an answer or refusal lies there
        self._connections: dict[tuple[bytes, int], PeerT] = {}
        self._open: dict[bytes, PeerT] = {}  # what the directory was given
        self._peers = 0
        self._policy = options.policy
        self._admission: Admission | None = None
        self._gate: Gate | None = None
        self._inbox_send, self._inbox = trio.open_memory_channel[_Happening](_INBOX_LIMIT)

    @property
    def peers(self) -> int:
        """How many peers are connected."""
        return self._hosting.peers

    @property
    def waiting(self) -> int:
        """How many offers wait for a place."""
        return self._hosting.waiting

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve the lobby; started once the beacon is written.

        If it is cancelled, the files stay as they are, for a session that goes on with the next
        mount; only `end` tidies up.

        Raises:
            DatfsError: the beacon could not be made or written.
        """
        async with trio.open_nursery() as nursery:
            changes = self._files.changes()
            self._admission = await self._begin()
            self._gate = Gate(
                self._admission,
                files=self._files,
                joins=self._joins,
                events=self._events,
                writer_usage=self._writer_usage,
                busy=lambda: self._hosting.busy,
                struck_off=self._struck_off,
                turned_away=self._turned_away,
            )
            reader = SignalReader(
                self._files, self._events, nursery=nursery, deliver=self._offer_read
            )
            nursery.start_soon(self._watch, changes, reader)
            nursery.start_soon(self._gate.run)
            for name in self._files.names(""):
                self._look_at(name, reader)
            task_status.started()
            await self._serve(nursery)
            nursery.cancel_scope.cancel()
        await self._tidy_up()

    def set_max_peers(self, max_peers: int) -> None:
        """Give the session more or fewer places; nobody who is connected loses theirs."""
        self._hosting.set_max_peers(max_peers)
        if self._admission is not None:
            self._admission.set_max_peers(max_peers)

    async def set_policy(self, policy: Policy) -> None:
        """Let others in from now on; who is connected and no longer wanted is parted from."""
        if policy == self._policy:
            return
        self._policy = policy
        if self._admission is not None and self._gate is not None:
            self._admission.policy = policy
            await self._gate.enforce_policy()
            await self._inbox_send.send(_PolicyChanged())

    def connections_of(self, guest: bytes) -> list[str]:
        """Return the lobby's connections on which a join has named this guest."""
        return [] if self._admission is None else self._admission.connections_of(guest)

    async def kick(self, guest: bytes) -> None:
        """Close a guest's connection; it may come back after a minute, with a new offer."""
        await self._inbox_send.send(_Kicked(guest))

    async def end(self) -> None:
        """End the session: `run` removes beacon and answers, closes all peers and returns."""
        await self._inbox_send.send(_End())

    # --- the beginning ---------------------------------------------------------------------

    async def _begin(self) -> Admission:
        options = self._options
        for name in self._files.names(""):
            parsed = parse_signal_name(name)
            if parsed is not None and parsed.kind is SignalKind.ANSWER:
                await self._files.remove(name)
        records = await read_records(self._files, self._events)
        beacon = make_beacon(
            options.identity,
            sdp=await self._engine.create_beacon(),
            beacon_id=options.beacon_id,
            lobby_key=options.lobby_key,
            seal=self._sealing.public_key,
            protected=self._door is not None,
        )
        self._sealing.beacon_id = options.beacon_id
        await self._files.write(BEACON_NAME, beacon.encode())
        return Admission(
            lobby_key=options.lobby_key,
            receiver_id=options.handshake_id,
            max_peers=options.max_peers,
            records=records,
            limits=options.limits,
            policy=self._policy,
        )

    # --- what others do --------------------------------------------------------------------

    async def _watch(self, changes: AsyncIterator[str], reader: SignalReader) -> None:
        async for name in changes:
            self._look_at(name, reader)

    @staticmethod
    def _look_at(name: str, reader: SignalReader) -> None:
        parsed = parse_signal_name(name)
        if parsed is not None and parsed.kind is SignalKind.OFFER:
            reader.look(name)

    async def _offer_read(self, name: str, data: bytes | None) -> None:
        parsed = parse_signal_name(name)
        if parsed is not None:
            await self._inbox_send.send(_OfferRead(parsed.guest, data))

    async def _struck_off(self, guest: bytes) -> None:
        await self._inbox_send.send(_Struck(guest))

    async def _turned_away(self, guest: bytes, reason: str) -> None:
        await self._inbox_send.send(_Unwanted(guest, reason))

    async def _answer(self, guest: bytes, attempt: int, offer: Offer) -> None:
        sdp = None
        try:
            with trio.fail_after(ANSWER_DEADLINE_S):
                sdp, connection = await self._engine.answer(offer.sdp)
        except Exception as error:  # one guest's offer must not end the lobby
            self._failed(guest, error)
        else:
            self._connections[guest, attempt] = connection
        await self._inbox_send.send(_AnswerMade(guest, attempt, sdp))

    async def _follow(self, guest: bytes, attempt: int, connection: PeerT, offer_sdp: str) -> None:
        try:
            await connection.wait_open()
            check_pinned(connection, offer_sdp)
            if self._door is None or await self._door.prove(guest, connection):
                await self._inbox_send.send(_Opened(guest, attempt))
            else:
                await self._inbox_send.send(_Unproven(guest, attempt))
            await connection.wait_ended()
        except NotPinned as error:
            self._events.append("not-pinned", guest=guest.hex(), reason=str(error))
        except Exception as error:  # one guest's failure is its own
            if (guest, attempt) in self._connections:  # else it was closed on purpose
                self._failed(guest, error)
        await self._inbox_send.send(_Closed(guest, attempt))

    # --- what the host does ----------------------------------------------------------------

    async def _serve(self, nursery: trio.Nursery) -> None:
        while True:
            happened: _Happening | None = None
            with trio.move_on_at(self._hosting.next_timeout):
                happened = await self._inbox.receive()
            if isinstance(happened, _End):
                return
            now = trio.current_time()
            effects = [] if happened is None else self._tell(happened, nursery, now)
            if self._hosting.next_timeout <= now:
                effects += self._hosting.on_timeout(now)
            for effect in effects:
                try:
                    await self._do(effect, nursery)
                except DatfsError as error:
                    self._failed(effect.guest, error)
            self._count_peers()

    def _tell(self, happened: _Happening, nursery: trio.Nursery, now: float) -> list[Effect]:
        match happened:
            case _OfferRead(guest, data):
                return self._tell_offer(guest, data, now)
            case _AnswerMade(guest, attempt, sdp):
                if sdp is None:
                    return self._hosting.answer_failed(guest, attempt, now)
                return self._tell_answer(guest, attempt, sdp, nursery, now)
            case _Opened(guest, attempt):
                return self._hosting.opened(guest, attempt, now)
            case _Unproven(guest, attempt):
                return self._hosting.unproven(guest, attempt, now)
            case _Closed(guest, attempt):
                return self._hosting.closed(guest, attempt, now)
            case _Struck(guest):
                return self._hosting.barred(guest, now)
            case _Unwanted(guest, reason):
                return self._hosting.turn_away(guest, reason, now)
            case _Kicked(guest):
                return self._hosting.kick(guest, now)
            case _PolicyChanged():
                return self._hosting.forgive(self._policy, now)
            case _End():
                return []

    def _tell_offer(self, guest: bytes, data: bytes | None, now: float) -> list[Effect]:
        if data is None:
            return self._hosting.offer_gone(guest, now)
        unwanted = self._policy.refusal(guest)
        if unwanted is not None:
            return self._hosting.turn_away(guest, unwanted, now)
        try:
            offer = self._sealing.open_offer(guest, data)
        except StaleSignal:
            return self._hosting.offer_gone(guest, now)
        except InvalidSignal as error:
            self._events.append("offer-invalid", guest=guest.hex(), reason=str(error))
            plain = not self._sealing.plain_offers and not is_sealed(data)
            reason = "the offer is not sealed" if plain else "invalid offer"
            return self._hosting.invalid_offer(guest, offer_id_of(data), now, reason=reason)
        if offer.beacon_id not in (None, self._options.beacon_id):
            return self._hosting.offer_gone(guest, now)
        objection = self._objection(guest, offer)
        if objection:
            return self._hosting.invalid_offer(guest, offer.id, now, reason=objection)
        first = self._door is not None and self._door.is_friend(guest)
        effects = self._hosting.offer(guest, offer.id, now, first=first)
        if effects is None:
            return []
        self._offers[guest] = offer
        self._events.append("offer", guest=guest.hex())
        return effects

    def _objection(self, guest: bytes, offer: Offer) -> str:
        """Why a protected session takes no such offer; empty if it does."""
        if self._door is None:
            return ""
        if offer.pake != PAKE_VERSION:
            return "the session is protected: only datfs can prove its password"
        delay_s = math.ceil(self._door.delay_s(guest))
        return f"too many wrong passwords; try again in {delay_s} s" if delay_s else ""

    def _tell_answer(
        self, guest: bytes, attempt: int, sdp: str, nursery: trio.Nursery, now: float
    ) -> list[Effect]:
        effects = self._hosting.answer_made(guest, attempt, now)
        if effects is None:
            unwanted = self._connections.pop((guest, attempt))
            nursery.start_soon(self._close, guest, unwanted)
            return []
        self._answers[guest] = sdp
        connection = self._connections[guest, attempt]
        nursery.start_soon(self._follow, guest, attempt, connection, self._offers[guest].sdp)
        return effects

    async def _do(self, effect: Effect, nursery: trio.Nursery) -> None:
        guest, key = effect.guest, (effect.guest, effect.attempt)
        match effect.output:
            case HostOutput.MAKE_ANSWER:
                nursery.start_soon(self._answer, guest, effect.attempt, self._offers[guest])
            case HostOutput.WRITE_ANSWER:
                text = encode_answer(self._answers.pop(guest), effect.offer_id)
                await self._write_answer(guest, text)
                self._events.append("answer", guest=guest.hex())
            case HostOutput.WRITE_REFUSAL:
                text = encode_refusal(effect.reason, effect.offer_id or None)
                await self._write_answer(guest, text)
                self._events.append("refused", guest=guest.hex(), reason=effect.reason)
            case HostOutput.REMOVE_ANSWER:
                if guest in self._written:
                    self._written.discard(guest)
                    await self._files.remove(answer_name(guest))
            case HostOutput.ADMIT_PEER:
                self._open[guest] = self._connections[key]
                await self._directory.opened(guest, self._open[guest])
                self._events.append("connected", peer=guest.hex())
            case HostOutput.PART_PEER:
                await self._directory.parted(guest, self._open.pop(guest))
                self._events.append("closed", peer=guest.hex())
            case HostOutput.CLOSE_PEER:
                nursery.start_soon(self._close, guest, self._connections.pop(key))

    async def _write_answer(self, guest: bytes, text: bytes) -> None:
        self._written.add(guest)
        await self._files.write(answer_name(guest), text)

    async def _close(self, guest: bytes, connection: PeerT) -> None:
        try:
            await connection.aclose()
        except Exception as error:  # one guest's failure is its own
            self._failed(guest, error)

    def _count_peers(self) -> None:
        if self._peers != self._hosting.peers:
            self._peers = self._hosting.peers
            self._peers_changed(self._peers)

    def _failed(self, guest: bytes, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        self._events.append("signalling-failed", guest=guest.hex(), reason=reason)

    # --- the end ---------------------------------------------------------------------------

    async def _tidy_up(self) -> None:
        """Remove the session's files, the beacon first, and close its connections."""
        for name in [BEACON_NAME, *map(answer_name, self._written)]:
            try:
                await self._files.remove(name)
            except DatfsError as error:
                self._events.append("lobby-end", name=name, reason=str(error))
        with trio.move_on_after(END_DEADLINE_S):
            async with trio.open_nursery() as nursery:
                for (guest, _), connection in self._connections.items():
                    nursery.start_soon(self._close, guest, connection)
        for guest, connection in self._open.items():
            await self._directory.parted(guest, connection)
        if self._peers:
            self._peers_changed(0)
