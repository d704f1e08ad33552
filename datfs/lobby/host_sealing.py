"""The host's end of sealed signals: opens the guests' offers, seals its answers (section 9).

Pure; random bytes come from outside. An answer is sealed to the key with which the guest sealed the
offer that it answers; an answer to a plain offer is plain.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from datfs.crypto.box import BOX_NONCE_SIZE
from datfs.errors import InvalidSignal, StaleSignal
from datfs.lobby.names import SignalKind, parse_signal_name
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
from datfs.lobby.signal import Refusal, parse_answer, parse_offer

if TYPE_CHECKING:
    from collections.abc import Callable

    from datfs.crypto.box import BoxKeyPair
    from datfs.lobby.signal import Offer


@dataclass(frozen=True, slots=True)
class _KnownOffer:
    seal_key: bytes | None  # None: the offer is plain
    offer_id: bytes


class HostSealing:
    """What the host can open and seals in one lobby.

    Attributes:
        lobby_key: key of the lobby, 32 bytes.
        beacon_id: of the beacon for which offers count; new with each start of the host.
        plain_offers: whether offers of software that does not seal are taken.
    """

    def __init__(
        self,
        keys: BoxKeyPair,
        *,
        lobby_key: bytes,
        random: Callable[[int], bytes],
        plain_offers: bool = True,
    ) -> None:
        """Begin without having seen an offer.

        Args:
            keys: the host's seal keys of this lobby.
            lobby_key: key of the lobby.
            random: gives that many random bytes.
            plain_offers: whether plain offers are taken.
        """
        self.lobby_key = lobby_key
        self.beacon_id = b""
        self.plain_offers = plain_offers
        self._keys = keys
        self._random = random
        self._known: dict[bytes, _KnownOffer] = {}

    @property
    def public_key(self) -> bytes:
        """What the beacon gives as `seal`."""
        return self._keys.public_key

    def open_offer(self, guest: bytes, stored: bytes) -> Offer:
        """Read what lies there as a guest's offer, and check all of it.

        Args:
            guest: in whose name it lies there.
            stored: the file's bytes.

        Raises:
            StaleSignal: it was sealed for an earlier beacon.
            InvalidSignal: it is no offer of that guest to us, or plain where that is not wanted.
        """
        if not is_sealed(stored):
            if not self.plain_offers:
                raise InvalidSignal("the offer is not sealed, and this host takes no plain ones")
            offer = parse_offer(stored)
            self._known[guest] = _KnownOffer(None, offer.id)
            return offer
        sender = sender_of(stored)
        sealed = self._unseal_offer(guest, stored)
        if sealed.offer_id != offer_id_of(sealed.text):
            raise InvalidSignal("the offer is not the one that the seal names")
        if sealed.beacon_id != self.beacon_id:
            raise StaleSignal("the offer was sealed for an earlier beacon")
        offer = parse_offer(sealed.text)
        self._known[guest] = _KnownOffer(sender, offer.id)
        return offer

    def form(self, name: str) -> SignalForm | None:
        """Return the form of an offer to us or an answer of ours, None for other files."""
        signal = parse_signal_name(name)
        if signal is None:
            return None
        match signal.kind:
            case SignalKind.OFFER:
                # guests write their offers themselves
                return SignalForm(_as_it_is, partial(self.show_offer, signal.guest))
            case SignalKind.ANSWER:
                return SignalForm(
                    partial(self.store_answer, signal.guest),
                    partial(self.show_answer, signal.guest),
                )
            case _:
                return None

    def show_offer(self, guest: bytes, stored: bytes) -> bytes:
        """Return the text of a guest's offer, also of one for an earlier beacon."""
        try:
            return self._unseal_offer(guest, stored).text
        except InvalidSignal:
            return stored

    def store_answer(self, guest: bytes, text: bytes) -> bytes:
        """Seal an answer to whoever sealed the offer.

        Raises:
            InvalidSignal: it is no answer, or there is no offer that it could answer.
        """
        answer = parse_answer(text)
        known = self._known.get(guest)
        if isinstance(answer, Refusal) and (known is None or answer.offer_id is None):
            # To something that could not be read, or to the guest whatever it offers: nobody could
            # tell by which key it would read a sealed one, and a refusal tells no address.
            return text
        if known is None:
            raise InvalidSignal("there is no offer of this guest to answer")
        if known.seal_key is None:
            return text
        sealed = Sealed(
            kind=SealedKind.ANSWER,
            lobby=self.lobby_key,
            guest=guest,
            beacon_id=self.beacon_id,
            offer_id=answer.offer_id or known.offer_id,
            text=text,
        )
        nonce = self._random(BOX_NONCE_SIZE)
        return seal(sealed, ours=self._keys, theirs=known.seal_key, nonce=nonce)

    def show_answer(self, guest: bytes, stored: bytes) -> bytes:
        """Return the text of an answer that we sealed."""
        known = self._known.get(guest)
        if known is None or known.seal_key is None:
            return stored
        try:
            return unseal(stored, ours=self._keys, theirs=known.seal_key).text
        except InvalidSignal:
            return stored

    def _unseal_offer(self, guest: bytes, stored: bytes) -> Sealed:
        sealed = unseal(stored, ours=self._keys, theirs=sender_of(stored))
        if (sealed.kind, sealed.lobby, sealed.guest) != (SealedKind.OFFER, self.lobby_key, guest):
            raise InvalidSignal("what is sealed is no offer of this guest in this lobby")
        return sealed


def _as_it_is(text: bytes) -> bytes:
    return text
