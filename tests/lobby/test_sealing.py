"""Both ends of sealed signals: what each accepts, and everything that neither does."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from datfs.crypto.box import BoxKeyPair
from datfs.crypto.keys import KeyPair
from datfs.errors import InvalidSignal, NotYet, StaleSignal
from datfs.lobby.guest_sealing import GuestSealing
from datfs.lobby.host_sealing import HostSealing
from datfs.lobby.names import answer_name, offer_name
from datfs.lobby.seal import MAGIC, Sealed, SealedKind, is_sealed, offer_id_of, seal
from datfs.lobby.signal import (
    Answer,
    Refusal,
    encode_answer,
    encode_offer,
    encode_refusal,
    make_beacon,
)
from tests.lobby.sdp import description

if TYPE_CHECKING:
    from collections.abc import Callable

LOBBY, OTHER_LOBBY = b"L" * 32, b"M" * 32
HOST = KeyPair.from_seed(b"\xaa" * 32)
ALICE, MALLORY = (KeyPair.from_seed(bytes([seed]) * 32) for seed in (1, 2))
HOST_SEAL, ALICE_SEAL, MALLORY_SEAL = (
    BoxKeyPair.from_secret_key(bytes([seed]) * 32) for seed in (3, 4, 5)
)
BEACON_ID, NEW_BEACON_ID = b"1" * 16, b"2" * 16

OFFER = encode_offer(description("alice"))
OFFER_ID = offer_id_of(OFFER)
ANSWER_SDP = description("answer", setup="active", certificate="host")
ANSWER = encode_answer(ANSWER_SDP, OFFER_ID)


@dataclass
class Lobby:
    """A host, and guests made on demand; `beacon` is what lies there."""

    beacon: bytes | None = None
    random: Callable[[int], bytes] = field(default_factory=lambda: random.Random(1).randbytes)

    def __post_init__(self) -> None:
        self.host = HostSealing(HOST_SEAL, lobby_key=LOBBY, random=self.random)
        self.begin(BEACON_ID)

    def begin(self, beacon_id: bytes) -> None:
        self.host.beacon_id = beacon_id
        self.beacon = beacon(beacon_id)

    def guest(
        self, identity: KeyPair = ALICE, keys: BoxKeyPair = ALICE_SEAL, lobby: bytes = LOBBY
    ) -> GuestSealing:
        return GuestSealing(
            keys,
            lobby_key=lobby,
            identity=identity.public_key,
            beacon=lambda: self.beacon,
            random=self.random,
        )

    def stored_offer(self) -> bytes:
        return self.guest().store_offer(OFFER)

    def stored_answer(self) -> bytes:
        self.host.open_offer(ALICE.public_key, self.stored_offer())
        return self.host.store_answer(ALICE.public_key, ANSWER)


def beacon(
    beacon_id: bytes = BEACON_ID,
    *,
    identity: KeyPair = HOST,
    lobby: bytes = LOBBY,
    keys: BoxKeyPair = HOST_SEAL,
    certificate: str = "host",
) -> bytes:
    sdp = description("beacon", certificate=certificate)
    return make_beacon(
        identity, sdp=sdp, beacon_id=beacon_id, lobby_key=lobby, seal=keys.public_key
    ).encode()


def sealed(**changes: object) -> Sealed:
    fields: dict[str, object] = {
        "kind": SealedKind.OFFER,
        "lobby": LOBBY,
        "guest": ALICE.public_key,
        "beacon_id": BEACON_ID,
        "offer_id": OFFER_ID,
        "text": OFFER,
        **changes,
    }
    return Sealed(**fields)  # type: ignore[arg-type]


def by_alice(**changes: object) -> bytes:
    return seal(sealed(**changes), ours=ALICE_SEAL, theirs=HOST_SEAL.public_key, nonce=b"n" * 24)


def by_host(**changes: object) -> bytes:
    answer = sealed(**{"kind": SealedKind.ANSWER, "text": ANSWER, **changes})
    return seal(answer, ours=HOST_SEAL, theirs=ALICE_SEAL.public_key, nonce=b"n" * 24)


# --- what is accepted --------------------------------------------------------------------------


def test_offer_and_answer_cross_and_each_end_reads_what_was_written() -> None:
    lobby = Lobby()
    guest = lobby.guest()
    offer = guest.store_offer(OFFER)
    answer = lobby.stored_answer()
    for stored, text, name in (
        (offer, OFFER, offer_name(ALICE.public_key)),
        (answer, ANSWER, answer_name(ALICE.public_key)),
    ):
        assert is_sealed(stored)
        assert text not in stored
        for end in (lobby.host, guest):
            form = end.form(name)
            assert form is not None
            assert form.shown(stored) == text
    assert lobby.host.open_offer(ALICE.public_key, offer).id == OFFER_ID
    assert guest.open_answer(answer, OFFER_ID) == Answer(sdp=ANSWER_SDP, offer_id=OFFER_ID)


def test_other_members_see_sealed_bytes() -> None:
    lobby = Lobby()
    mallory = lobby.guest(MALLORY, MALLORY_SEAL)
    for name in (offer_name(ALICE.public_key), answer_name(ALICE.public_key)):
        assert mallory.form(name) is None
    own_offer = mallory.form(offer_name(MALLORY.public_key))
    assert own_offer is not None
    stored = lobby.stored_offer()
    assert own_offer.shown(stored) == stored


def test_an_answer_written_by_hand_is_sealed_and_named_by_its_seal() -> None:
    lobby = Lobby()
    lobby.host.open_offer(ALICE.public_key, lobby.stored_offer())
    stored = lobby.host.store_answer(ALICE.public_key, ANSWER_SDP.encode())
    assert lobby.guest().open_answer(stored, OFFER_ID) == Answer(sdp=ANSWER_SDP, offer_id=OFFER_ID)


def test_refusals_are_sealed_too_and_plain_ones_are_believed() -> None:
    lobby = Lobby()
    refusal = encode_refusal("full", OFFER_ID)
    assert lobby.host.store_answer(ALICE.public_key, refusal) == refusal
    assert lobby.guest().open_answer(refusal, OFFER_ID) == Refusal(reason="full", offer_id=OFFER_ID)
    lobby.host.open_offer(ALICE.public_key, lobby.stored_offer())
    stored = lobby.host.store_answer(ALICE.public_key, refusal)
    assert is_sealed(stored)
    assert lobby.guest().open_answer(stored, OFFER_ID) == Refusal(reason="full", offer_id=OFFER_ID)


def test_a_plain_offer_is_taken_and_answered_plainly_unless_the_host_says_no() -> None:
    lobby = Lobby()
    assert lobby.host.open_offer(ALICE.public_key, OFFER).id == OFFER_ID
    assert lobby.host.store_answer(ALICE.public_key, ANSWER) == ANSWER
    lobby.host.plain_offers = False
    with pytest.raises(InvalidSignal, match="not sealed"):
        lobby.host.open_offer(ALICE.public_key, OFFER)
    assert lobby.host.open_offer(ALICE.public_key, lobby.stored_offer()).id == OFFER_ID


def test_an_answer_to_nobody_s_offer_is_not_stored() -> None:
    with pytest.raises(InvalidSignal, match="no offer"):
        Lobby().host.store_answer(ALICE.public_key, ANSWER)


# --- the beacon --------------------------------------------------------------------------------


def test_an_offer_waits_for_the_beacon() -> None:
    lobby = Lobby()
    lobby.beacon = None
    guest = lobby.guest()
    with pytest.raises(NotYet, match="waits for the host's beacon"):
        guest.store_offer(OFFER)
    lobby.beacon = b"nonsense"
    with pytest.raises(NotYet):
        guest.store_offer(OFFER)
    lobby.begin(BEACON_ID)
    assert is_sealed(guest.store_offer(OFFER))


def without(name: str) -> bytes:
    text = beacon().decode()
    return text.replace(f'"{name}"', '"x"').encode()


@pytest.mark.parametrize(
    "unproven",
    [
        without("proof"),
        without("seal"),
        beacon(lobby=OTHER_LOBBY),
        beacon().replace(HOST.public_key.hex().encode(), MALLORY.public_key.hex().encode()),
        beacon().replace(BEACON_ID.hex().encode(), NEW_BEACON_ID.hex().encode()),
        beacon().replace(
            HOST_SEAL.public_key.hex().encode(), MALLORY_SEAL.public_key.hex().encode()
        ),
        beacon().replace(
            description("beacon", certificate="host").encode().split(b"sha-256 ")[1][:95],
            description("beacon", certificate="else").encode().split(b"sha-256 ")[1][:95],
        ),
    ],
    ids=["no proof", "no seal", "lobby", "host", "id", "seal key", "certificate"],
)
def test_a_beacon_that_its_host_does_not_stand_for_gets_no_offer(unproven: bytes) -> None:
    lobby = Lobby(unproven)
    lobby.beacon = unproven
    guest = lobby.guest()
    with pytest.raises(NotYet, match="no valid proof"):
        guest.store_offer(OFFER)
    with pytest.raises(InvalidSignal):
        guest.open_answer(by_host(), OFFER_ID)
    guest.allow_unproven = True
    assert guest.store_offer(OFFER) == OFFER
    assert guest.open_answer(ANSWER, OFFER_ID) == Answer(sdp=ANSWER_SDP, offer_id=OFFER_ID)


def test_an_offer_for_an_older_beacon_is_known_as_such_and_still_shown() -> None:
    lobby = Lobby()
    guest = lobby.guest()
    stored = guest.store_offer(OFFER)
    assert not guest.is_outdated(stored)
    lobby.begin(NEW_BEACON_ID)
    assert guest.is_outdated(stored)
    assert guest.show(SealedKind.OFFER, stored) == OFFER
    lobby.beacon = None
    assert guest.show(SealedKind.OFFER, stored) == OFFER


# --- what the host does not accept -------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "error"),
    [
        (by_alice(guest=MALLORY.public_key), InvalidSignal),  # foreign: sealed for another name
        (by_alice(lobby=OTHER_LOBBY), InvalidSignal),  # re-addressed from another lobby
        (by_alice(beacon_id=NEW_BEACON_ID), StaleSignal),  # re-addressed from another beacon
        (by_alice(kind=SealedKind.ANSWER), InvalidSignal),  # a box of the other direction
        (by_alice(offer_id=b"?" * 32), InvalidSignal),  # the id is of another text
        (by_alice(text=b"no signal", offer_id=offer_id_of(b"no signal")), InvalidSignal),
        (by_host(), InvalidSignal),  # replayed: the host's own answer
        (by_alice()[:-1], InvalidSignal),  # truncated
        (MAGIC, InvalidSignal),
        (by_alice() + b"\0", InvalidSignal),
        (by_alice().replace(ALICE_SEAL.public_key, MALLORY_SEAL.public_key), InvalidSignal),
        (by_alice().replace(ALICE_SEAL.public_key, HOST_SEAL.public_key), InvalidSignal),
        (by_alice().replace(ALICE_SEAL.public_key, bytes(32)), InvalidSignal),
        (
            seal(sealed(), ours=ALICE_SEAL, theirs=MALLORY_SEAL.public_key, nonce=b"n" * 24),
            InvalidSignal,  # sealed to another key than the host's
        ),
    ],
)
def test_the_host_takes_no_offer_that_is_not_for_it(
    stored: bytes, error: type[InvalidSignal]
) -> None:
    host = Lobby().host
    with pytest.raises(error) as raised:
        host.open_offer(ALICE.public_key, stored)
    assert type(raised.value) is error
    with pytest.raises(InvalidSignal):
        host.store_answer(ALICE.public_key, ANSWER)


def test_a_member_that_puts_up_another_s_sealed_offer_gets_nothing() -> None:
    lobby = Lobby()
    stored = lobby.stored_offer()
    with pytest.raises(InvalidSignal):
        lobby.host.open_offer(MALLORY.public_key, stored)
    form = lobby.host.form(offer_name(MALLORY.public_key))
    assert form is not None
    assert form.shown(stored) == stored


# --- what a guest does not accept --------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "error"),
    [
        (by_host(guest=MALLORY.public_key), InvalidSignal),  # swapped: another guest's answer
        (by_host(lobby=OTHER_LOBBY), InvalidSignal),
        (by_host(beacon_id=NEW_BEACON_ID), StaleSignal),
        (by_host(offer_id=b"?" * 32), StaleSignal),  # replayed: to an earlier offer
        (by_host(kind=SealedKind.OFFER), InvalidSignal),
        (by_alice(), InvalidSignal),  # our own offer, reflected
        (by_host()[:-1], InvalidSignal),
        (by_host(text=b""), InvalidSignal),
        (by_host(text=encode_answer(ANSWER_SDP, b"?" * 32)), InvalidSignal),
        (by_host(text=OFFER), InvalidSignal),
        (
            by_host(text=encode_answer(description("answer", setup="active"), OFFER_ID)),
            InvalidSignal,  # another certificate than the beacon proves
        ),
        (
            seal(
                replace(sealed(text=ANSWER), kind=SealedKind.ANSWER),
                ours=MALLORY_SEAL,
                theirs=ALICE_SEAL.public_key,
                nonce=b"n" * 24,
            ),
            InvalidSignal,  # well made, by somebody else
        ),
        (ANSWER, InvalidSignal),  # not sealed, though the offer was
    ],
)
def test_a_guest_takes_no_answer_that_is_not_the_host_s_to_its_offer(
    stored: bytes, error: type[InvalidSignal]
) -> None:
    with pytest.raises(error) as raised:
        Lobby().guest().open_answer(stored, OFFER_ID)
    assert type(raised.value) is error


def test_a_second_fingerprint_pins_nothing() -> None:
    other = description("other").split("a=fingerprint")[1].split("\r\n")[0]
    text = encode_answer(f"{ANSWER_SDP}a=fingerprint{other}\r\n", OFFER_ID)
    with pytest.raises(InvalidSignal, match="several"):
        Lobby().guest().open_answer(by_host(text=text), OFFER_ID)


def test_an_answer_without_a_beacon_is_nobody_s() -> None:
    lobby = Lobby()
    lobby.beacon = None
    with pytest.raises(StaleSignal):
        lobby.guest().open_answer(by_host(), OFFER_ID)


# --- a random walk -----------------------------------------------------------------------------

WALK_LENGTH = 12_000


class Forger:
    """Makes signals out of all that a member can see, and of its own keys; none is true."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        lobby = Lobby(random=self.random.randbytes)
        self.seen = [lobby.stored_offer(), lobby.stored_answer()]
        self.keys = [MALLORY_SEAL.public_key, ALICE_SEAL.public_key, HOST_SEAL.public_key]

    def forged(self) -> bytes:
        make = self.random.choice(
            (self._cut, self._flipped, self._spliced, self._claimed, self._own, self._noise)
        )
        return make()

    def _any(self) -> bytes:
        return self.random.choice(self.seen)

    def _cut(self) -> bytes:
        stored = self._any()
        return stored[: self.random.randrange(len(stored))]

    def _flipped(self) -> bytes:
        stored = bytearray(self._any())
        for _ in range(self.random.randint(1, 4)):
            stored[self.random.randrange(len(stored))] ^= 1 << self.random.randrange(8)
        return bytes(stored)

    def _spliced(self) -> bytes:
        first, second = self.random.sample(self.seen, 2)
        at = self.random.randrange(40, min(len(first), len(second)))
        return first[:at] + second[at:]

    def _claimed(self) -> bytes:
        stored = self._any()
        return stored[:4] + self.random.choice([self.keys[0], bytes(32)]) + stored[36:]

    def _own(self) -> bytes:
        """Well made with Mallory's key, for Alice's name or the host's eyes."""
        what = sealed(
            kind=self.random.choice(list(SealedKind)),
            text=self.random.choice((OFFER, ANSWER)),
            beacon_id=self.random.choice((BEACON_ID, NEW_BEACON_ID)),
            lobby=self.random.choice((LOBBY, OTHER_LOBBY)),
        )
        theirs = self.random.choice((ALICE_SEAL, HOST_SEAL)).public_key
        nonce = self.random.randbytes(24)
        stored = seal(what, ours=MALLORY_SEAL, theirs=theirs, nonce=nonce)
        return stored[:4] + self.random.choice(self.keys[1:]) + stored[36:]

    def _noise(self) -> bytes:
        return MAGIC + self.random.randbytes(self.random.randrange(300))


@pytest.mark.parametrize("seed", [1, 2])
def test_of_many_forged_signals_none_is_accepted(seed: int) -> None:
    forger = Forger(seed)
    lobby = Lobby()
    guest = lobby.guest()
    accepted = 0
    for _ in range(WALK_LENGTH):
        forged = forger.forged()
        if forged in forger.seen:
            continue  # flipped there and back
        for accept in (
            lambda stored: lobby.host.open_offer(ALICE.public_key, stored),
            lambda stored: lobby.host.open_offer(MALLORY.public_key, stored),
            lambda stored: guest.open_answer(stored, OFFER_ID),
        ):
            try:
                accept(forged)
            except InvalidSignal:
                continue
            accepted += 1
    assert accepted == 0
    assert lobby.host.open_offer(ALICE.public_key, forger.seen[0]).id == OFFER_ID
    assert isinstance(guest.open_answer(forger.seen[1], OFFER_ID), Answer)
