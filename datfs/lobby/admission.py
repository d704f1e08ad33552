"""Which guests may write in a lobby: the host's side of joining (design section 8, "Limits").

Pure: a join comes in with its connection and the time, a verdict goes out. What the records
`.writers/HASH` say is the memory; whoever holds an `Admission` writes them as it is told. Who is
wanted at all is said in `policy`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from datfs.errors import EncodingError
from datfs.lobby.join import parse_join
from datfs.lobby.policy import FULL, Policy
from datfs.lobby.rate_window import RateWindow
from datfs.lobby.writers import WriterRecord, WriterState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from datfs.lobby.join import Join


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionLimits:
    """How many guests a host lets in, and how much each may write.

    Attributes:
        writers_per_peer: live writers, as a multiple of max_peers.
        per_address: admissions a minute from one network address.
        in_all: admissions a minute from all addresses together.
        byte_length: verified bytes of a writer's two feeds, past which it is struck off.
        entries: blocks of the two feeds, likewise.
    """

    writers_per_peer: int = 3
    per_address: int = 6
    in_all: int = 60
    byte_length: int = 1024 * 1024
    entries: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterUsage:
    """How much a guest has written: both feeds of its writer archive, as verified.

    Attributes:
        byte_length: bytes.
        entries: blocks.
    """

    byte_length: int
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """The guest may write; both records are to be written.

    Attributes:
        guest: its identity key.
        record: its record.
        retired: an absent guest that made room for it, with its record.
    """

    guest: bytes
    record: WriterRecord
    retired: tuple[bytes, WriterRecord] | None = None


@dataclass(frozen=True, slots=True)
class AlreadyAdmitted:
    """The guest may write since long; it has not seen the record yet.

    Attributes:
        guest: its identity key.
    """

    guest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAdmitted:
    """The guest may not write.

    Attributes:
        guest: its identity key, None if the payload is none of a guest.
        reason: a sentence.
        told: what the guest is to read in its answer file; None if it is told nothing, because it
            sees its record, or asks too often, or is none.
    """

    guest: bytes | None
    reason: str
    told: str | None = None


Verdict = Admitted | AlreadyAdmitted | NotAdmitted


class Admission:
    """The host's decisions about joins. Times are monotonic seconds."""

    def __init__(
        self,
        *,
        lobby_key: bytes,
        receiver_id: bytes,
        max_peers: int,
        records: Mapping[bytes, WriterRecord],
        limits: AdmissionLimits,
        policy: Policy | None = None,
    ) -> None:
        """Begin with the records that the lobby holds.

        Args:
            lobby_key: key of the lobby.
            receiver_id: the handshake id that the host sends on connections of the lobby.
            max_peers: of the session.
            records: by identity key.
            limits: see there.
            policy: who is wanted; anyone if it is not given.
        """
        self.policy = policy or Policy()
        self._lobby_key = lobby_key
        self._receiver_id = receiver_id
        self._limits = limits
        self.set_max_peers(max_peers)
        self._records = dict(records)
        self._guest_of = {record.writer: guest for guest, record in records.items()}
        self._connections: dict[str, bytes] = {}
        self._admitted = RateWindow(per_address=limits.per_address, in_all=limits.in_all)
        self._told = RateWindow(per_address=limits.per_address, in_all=limits.in_all)

    def set_max_peers(self, max_peers: int) -> None:
        """Change how many guests may be heard at once, by the session's places."""
        self._live_limit = self._limits.writers_per_peer * max_peers

    @property
    def live(self) -> dict[bytes, bytes]:
        """The writers that are heard, by identity key; who was admitted last comes last."""
        return {
            guest: record.writer
            for guest, record in self._records.items()
            if record.state is WriterState.LIVE
        }

    @property
    def unwanted(self) -> dict[bytes, str]:
        """The guests that are heard and that the policy does not want, each with the reason."""
        refusals = ((guest, self.policy.refusal(guest)) for guest in self.live)
        return {guest: reason for guest, reason in refusals if reason is not None}

    def consider(
        self,
        payload: bytes,
        *,
        connection_id: str,
        address: str,
        busy: Collection[bytes],
        now: float,
    ) -> Verdict:
        """Decide on a join.

        Args:
            payload: session data that begins with the magic of a join.
            connection_id: of the connection that it came by.
            address: the other side's network address, without port.
            busy: guests with an offer or an open channel, none of whom makes room for another.
            now: the time.
        """
        try:
            join = parse_join(payload)
        except EncodingError as error:
            return NotAdmitted(guest=None, reason=str(error))
        # The signature comes first: no connection is bound to an identity that did not sign.
        if not join.is_signed(lobby_key=self._lobby_key, receiver_id=self._receiver_id):
            return NotAdmitted(guest=None, reason="the signature is not that of the identity")
        if self._connections.setdefault(connection_id, join.identity) != join.identity:
            return self._no(join, "this connection has brought another identity")
        unwanted = self.policy.refusal(join.identity)
        if unwanted is not None:
            return self._refuse(join, unwanted, unwanted, address, now)
        record = self._records.get(join.identity)
        if record is not None and record.writer != join.writer:
            return self._no(join, "this identity has another writer; it can only use that one")
        if self._guest_of.get(join.writer, join.identity) != join.identity:
            return self._no(join, "this writer serves another identity")
        if record is not None and record.state is WriterState.LIVE:
            return AlreadyAdmitted(join.identity)
        if record is not None and record.state is WriterState.STRUCK:
            return self._no(join, "this writer was struck off")
        return self._admit(join, address, busy, now)

    def connections_of(self, guest: bytes) -> list[str]:
        """Return the connections on which a guest has asked, by a signed join."""
        return [name for name, identity in self._connections.items() if identity == guest]

    def connection_closed(self, connection_id: str) -> None:
        """Forget whom a connection brought."""
        self._connections.pop(connection_id, None)

    def is_over_quota(self, usage: WriterUsage) -> bool:
        """Tell whether a guest has written more than it may."""
        limits = self._limits
        return usage.byte_length > limits.byte_length or usage.entries > limits.entries

    def retire(self, guest: bytes) -> WriterRecord:
        """Hear a guest no more until it asks again; returns the record to be written."""
        return self._set(guest, WriterRecord(self._records[guest].writer, WriterState.RETIRED))

    def strike_off(self, guest: bytes) -> WriterRecord:
        """Hear a guest's writer never again; returns the record to be written."""
        return self._set(guest, WriterRecord(self._records[guest].writer, WriterState.STRUCK))

    def _admit(self, join: Join, address: str, busy: Collection[bytes], now: float) -> Verdict:
        excess = self._admitted.excess(address, now)
        if excess is not None:
            return self._no(join, f"too many guests have joined {excess}")
        retired = None
        live = self.live
        if len(live) >= self._live_limit:
            idle = next((guest for guest in live if guest not in busy), None)
            if idle is None:
                return self._refuse(join, "the lobby is full", FULL, address, now)
            retired = (idle, self.retire(idle))
        self._admitted.add(address, now)
        self._guest_of[join.writer] = join.identity
        record = self._set(join.identity, WriterRecord(join.writer))
        return Admitted(guest=join.identity, record=record, retired=retired)

    def _set(self, guest: bytes, record: WriterRecord) -> WriterRecord:
        self._records.pop(guest, None)
        self._records[guest] = record
        return record

    def _refuse(self, join: Join, reason: str, told: str, address: str, now: float) -> NotAdmitted:
        """Refuse a guest and let it know, as often as guests may be let in from there."""
        if self._told.excess(address, now) is not None:
            return self._no(join, reason)
        self._told.add(address, now)
        return NotAdmitted(guest=join.identity, reason=reason, told=told)

    @staticmethod
    def _no(join: Join, reason: str) -> NotAdmitted:
        return NotAdmitted(guest=join.identity, reason=reason)
