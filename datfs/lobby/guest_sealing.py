"""A guest's end of sealed signals: seals its offer, opens and checks the answer (section 9).

Pure; random bytes come from outside, and the beacon, which says to whom to seal, as a callable that
gives what lies in the lobby now. An offer goes only to a host whose identity stands for its seal
key and certificate (the beacon's proof); as long as no such beacon is here it cannot be stored.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from datfs.crypto.box import BOX_NONCE_SIZE
from datfs.errors import InvalidSignal, NotYet, StaleSignal
from datfs.lobby.names import answer_name, offer_name
from datfs.lobby.seal import (
    Sealed,
    SealedKind,
    SignalForm,
    is_sealed,
    offer_id_of,
    seal,
    sender_of,
    unseal,
)
from datfs.lobby.signal import Answer, parse_answer, parse_beacon, sdp_identity

if TYPE_CHECKING:
    from collections.abc import Callable

    from datfs.crypto.box import BoxKeyPair
    from datfs.lobby.signal import Beacon, Refusal


class GuestSealing:
    """What a guest can open and seals in one lobby.

    Attributes:
        allow_unproven: whether an offer goes, plain, to a host that proves nothing.
    """

    def __init__(
        self,
        keys: BoxKeyPair,
        *,
        lobby_key: bytes,
        identity: bytes,
        beacon: Callable[[], bytes | None],
        random: Callable[[int], bytes],
        allow_unproven: bool = False,
    ) -> None:
        """Begin with nothing sealed.

        Args:
            keys: the guest's seal keys of this lobby.
            lobby_key: key of the lobby, 32 bytes.
            identity: the guest's identity key, 32 bytes.
            beacon: gives the bytes of the beacon that lies there now, None if none does.
            random: gives that many random bytes.
            allow_unproven: whether an offer goes, plain, to a host that proves nothing.
        """
        self.allow_unproven = allow_unproven
        self._keys = keys
        self._lobby_key = lobby_key
        self._identity = identity
        self._beacon = beacon
        self._random = random
        self._read: tuple[bytes, Beacon | None] = (b"", None)
        self._host_keys: dict[bytes, None] = {}  # all that were proven, to show what was sealed

    def is_proven(self, beacon: Beacon) -> bool:
        """Tell whether the host's identity stands for a beacon of this lobby."""
        return beacon.is_proven(self._lobby_key)

    def form(self, name: str) -> SignalForm | None:
        """Return the form of our offer or of the answer to us, None for other files."""
        if name == offer_name(self._identity):
            return SignalForm(self.store_offer, partial(self.show, SealedKind.OFFER))
        if name == answer_name(self._identity):
            # the host writes answers
            return SignalForm(_as_it_is, partial(self.show, SealedKind.ANSWER))
        return None

    def store_offer(self, text: bytes) -> bytes:
        """Seal our offer to the host.

        Raises:
            NotYet: no beacon is here that proves to whom; the text says what is missing.
            InvalidSignal: nothing can be sealed to the host's key.
        """
        beacon = self._present()
        if beacon is None:
            raise NotYet("the offer waits for the host's beacon")
        host_key = self._proven_key(beacon)
        if host_key is None:
            if self.allow_unproven:
                return text
            raise NotYet("the offer is kept back: the beacon has no valid proof of the host")
        sealed = Sealed(
            kind=SealedKind.OFFER,
            lobby=self._lobby_key,
            guest=self._identity,
            beacon_id=beacon.id,
            offer_id=offer_id_of(text),
            text=text,
        )
        nonce = self._random(BOX_NONCE_SIZE)
        return seal(sealed, ours=self._keys, theirs=host_key, nonce=nonce)

    def show(self, kind: SealedKind, stored: bytes) -> bytes:
        """Return the text of our offer or of an answer to us, also of one that is out of date."""
        sealed = self._open(stored, kind)
        return stored if sealed is None else sealed.text

    def is_outdated(self, stored: bytes) -> bool:
        """Tell whether our offer was sealed for another beacon than the proven one here now."""
        beacon = self._present()
        if beacon is None or self._proven_key(beacon) is None:
            return False
        sealed = self._open(stored, SealedKind.OFFER)
        return sealed is not None and sealed.beacon_id != beacon.id

    def open_answer(self, stored: bytes, offer_id: bytes) -> Answer | Refusal:
        """Read what lies there as the host's answer to us, and check all of it.

        Args:
            stored: the file's bytes.
            offer_id: of the offer that we have in the lobby.

        Raises:
            StaleSignal: it is for another offer or beacon.
            InvalidSignal: it is no answer of the host to us, or its certificate is another than
                the one that the beacon proves.
        """
        beacon = self._present()
        if beacon is None:
            raise StaleSignal("there is no beacon that the answer could belong to")
        host_key = self._proven_key(beacon)
        if not is_sealed(stored):
            answer = parse_answer(stored)
            if host_key is not None and isinstance(answer, Answer):
                raise InvalidSignal("the offer was sealed and the answer is not")
            return answer
        if host_key is None or sender_of(stored) != host_key:
            raise InvalidSignal("the answer is sealed with a key that no beacon proves")
        sealed = unseal(stored, ours=self._keys, theirs=host_key)
        if not self._is_ours(sealed, SealedKind.ANSWER):
            raise InvalidSignal("what is sealed is no answer to us in this lobby")
        if sealed.beacon_id != beacon.id or sealed.offer_id != offer_id:
            raise StaleSignal("the answer is for another offer")
        answer = parse_answer(sealed.text)
        if answer.offer_id not in (None, offer_id):
            raise InvalidSignal("the answer names another offer than its seal")
        if isinstance(answer, Answer):
            if sdp_identity(answer.sdp).fingerprint != beacon.fingerprint:
                raise InvalidSignal("the answer has another certificate than the beacon proves")
            return replace(answer, offer_id=offer_id)
        return replace(answer, offer_id=offer_id)

    def _open(self, stored: bytes, kind: SealedKind) -> Sealed | None:
        beacon = self._present()
        if beacon is not None:
            self._proven_key(beacon)
        for host_key in self._host_keys:
            try:
                sealed = unseal(stored, ours=self._keys, theirs=host_key)
            except InvalidSignal:
                continue
            return sealed if self._is_ours(sealed, kind) else None
        return None

    def _is_ours(self, sealed: Sealed, kind: SealedKind) -> bool:
        ours = (kind, self._lobby_key, self._identity)
        return (sealed.kind, sealed.lobby, sealed.guest) == ours

    def _present(self) -> Beacon | None:
        data = self._beacon()
        if data is None:
            return None
        if data != self._read[0]:
            try:
                self._read = (data, parse_beacon(data))
            except InvalidSignal:
                self._read = (data, None)
        return self._read[1]

    def _proven_key(self, beacon: Beacon) -> bytes | None:
        """Return the host's seal key if its identity stands for it."""
        if beacon.seal is None or not self.is_proven(beacon):
            return None
        self._host_keys[beacon.seal] = None
        return beacon.seal


def _as_it_is(text: bytes) -> bytes:
    return text
