"""Proving a password to each other without showing it: SPAKE2 and key confirmation, without I/O.

SPAKE2 is that of python-spake2 (Ed25519, its M and N). Side A begins. A message is its kind, one
byte, and 32 bytes; a refusal is its kind alone:

    A -> B   'A'  A's share of the key, as python-spake2 writes it
    B -> A   'B'  B's share
    A -> B   'a'  A's proof that it has the key
    B -> A   'b'  B's proof; or 'x', the refusal of a wrong one

A proof is HMAC-SHA256, under the key of SPAKE2, of its kind and the transcript: the label, SHA-256
of what names A, SHA-256 of what names B, both shares as sent. A proves first, so that whoever only
guesses at B learns one bit from one guess and nothing to try further guesses on. Both sides are
tables from (state, input) to (next state, outputs). Anything else than the table's next message
breaks the exchange, and what is broken stays so: each exchange is one guess, whatever is sent.

python-spake2 takes some ten milliseconds a side and not the same time for every password; that is
for whoever calls to hide (a thread) and to bound (few exchanges at once).
"""

from __future__ import annotations

import hashlib
import hmac
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from spake2 import SPAKE2_A, SPAKE2_B, SPAKEError  # type: ignore[import-untyped]
from spake2.ed25519_basic import NotOnCurve  # type: ignore[import-untyped]

from datfs.errors import CryptoError

if TYPE_CHECKING:
    from collections.abc import Mapping

ENTROPY_SIZE: Final = 64
"""Random bytes that one side needs for one exchange, never to be used again."""

SHARE_SIZE: Final = 33
PROOF_SIZE: Final = 33
LABEL: Final = b"datfs pake 1"
REFUSAL: Final = b"x"

MESSAGE_LIMIT_BYTES: Final = SHARE_SIZE
"""No message of an exchange is longer."""


class PakeSide(StrEnum):
    """Which of the two sides; the value is the kind of its share."""

    A = "A"
    B = "B"

    @property
    def other(self) -> PakeSide:
        """The other side."""
        return PakeSide.B if self is PakeSide.A else PakeSide.A


class PakeState(StrEnum):
    """Where one side is."""

    READY = "ready"
    SHARED = "share sent"
    PROVEN = "proof sent"  # A only
    CONFIRMED = "confirmed"  # both know the password, and are who they say
    REFUSED = "refused"  # one of the two does not, or is not
    BROKEN = "broken"  # the other side did not keep to the protocol, or is gone


class PakeInput(StrEnum):
    """What happens to one side."""

    BEGIN = "begin"  # said by whoever runs side A
    SHARE = "share"
    RIGHT_PROOF = "right proof"
    WRONG_PROOF = "wrong proof"
    REFUSAL = "refusal"
    OTHER = "another message"
    GONE = "the other side is gone"


class PakeOutput(StrEnum):
    """What it then sends."""

    SHARE = "send share"
    PROOF = "send proof"
    REFUSAL = "send refusal"


PakeStep = tuple[PakeState, tuple[PakeOutput, ...]]


def _tables() -> Mapping[PakeSide, Mapping[PakeState, Mapping[PakeInput, PakeStep]]]:
    s, i, o = PakeState, PakeInput, PakeOutput
    broken: dict[PakeInput, PakeStep] = {i.OTHER: (s.BROKEN, ()), i.GONE: (s.BROKEN, ())}
    return {
        PakeSide.A: {
            s.READY: {i.BEGIN: (s.SHARED, (o.SHARE,)), **broken},
            s.SHARED: {i.SHARE: (s.PROVEN, (o.PROOF,)), **broken},
            s.PROVEN: {
                i.RIGHT_PROOF: (s.CONFIRMED, ()),
                i.WRONG_PROOF: (s.REFUSED, ()),
                i.REFUSAL: (s.REFUSED, ()),
                **broken,
            },
        },
        PakeSide.B: {
            s.READY: {i.SHARE: (s.SHARED, (o.SHARE,)), **broken},
            s.SHARED: {
                i.RIGHT_PROOF: (s.CONFIRMED, (o.PROOF,)),
                i.WRONG_PROOF: (s.REFUSED, (o.REFUSAL,)),
                **broken,
            },
        },
    }


PAKE_TABLES: Final = _tables()


class PasswordExchange:
    """One side of one exchange.

    Attributes:
        state: where it is; once it is confirmed, refused or broken nothing may follow.
    """

    def __init__(
        self, side: PakeSide, password: bytes, *, a: bytes, b: bytes, entropy: bytes
    ) -> None:
        """Be ready for one exchange.

        Args:
            side: ours.
            password: what we believe it to be.
            a: names side A, with all that the exchange is to be bound to.
            b: names side B.
            entropy: `ENTROPY_SIZE` random bytes.

        Raises:
            CryptoError: the entropy is not as long as that.
        """
        if len(entropy) != ENTROPY_SIZE:
            raise CryptoError(f"a password exchange needs {ENTROPY_SIZE} random bytes")
        make = SPAKE2_A if side is PakeSide.A else SPAKE2_B
        self.state = PakeState.READY
        self._side = side
        self._spake2 = make(password, idA=a, idB=b, entropy_f=lambda _size: entropy)
        self._names = hashlib.sha256(a).digest() + hashlib.sha256(b).digest()
        self._shares: dict[PakeSide, bytes] = {}
        self._key: bytes | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing may follow."""
        return self.state not in PAKE_TABLES[self._side]

    def begin(self) -> bytes:
        """Return side A's first message."""
        return self._step(PakeInput.BEGIN)

    def receive(self, message: str | bytes) -> bytes:
        """Take a message of the other side; return what is to be sent to it, or no bytes.

        Raises:
            CryptoError: the exchange is over.
        """
        return self._step(self._meaning(message))

    def gone(self) -> None:
        """Take note that nothing more will come from the other side."""
        self._step(PakeInput.GONE)

    def _step(self, happened: PakeInput) -> bytes:
        step = PAKE_TABLES[self._side].get(self.state, {}).get(happened)
        if step is None:
            raise CryptoError(f"a password exchange that is {self.state} has no use for {happened}")
        self.state, outputs = step
        return b"".join(self._output(output) for output in outputs)

    def _meaning(self, message: str | bytes) -> PakeInput:
        """What a message is to us now; whatever does not follow here is another message."""
        expected = PAKE_TABLES[self._side].get(self.state, {})
        if isinstance(message, bytes):
            if PakeInput.SHARE in expected and self._take_share(message):
                return PakeInput.SHARE
            if PakeInput.RIGHT_PROOF in expected and self._is_proof(message):
                right = hmac.compare_digest(message, self._proof(self._side.other))
                return PakeInput.RIGHT_PROOF if right else PakeInput.WRONG_PROOF
            if PakeInput.REFUSAL in expected and message == REFUSAL:
                return PakeInput.REFUSAL
        return PakeInput.OTHER

    def _take_share(self, message: bytes) -> bool:
        other = self._side.other
        if len(message) != SHARE_SIZE or message[:1] != other.encode():
            return False
        if self._side is PakeSide.B:
            self._start()
        try:
            self._key = self._spake2.finish(message)
        except (SPAKEError, NotOnCurve, ValueError):
            return False  # no element of the group, or our own share sent back
        self._shares[other] = message
        return True

    def _start(self) -> None:
        self._shares[self._side] = self._spake2.start()

    def _output(self, output: PakeOutput) -> bytes:
        match output:
            case PakeOutput.SHARE:
                if self._side is PakeSide.A:
                    self._start()
                return self._shares[self._side]
            case PakeOutput.PROOF:
                return self._proof(self._side)
            case PakeOutput.REFUSAL:
                return REFUSAL

    def _is_proof(self, message: bytes) -> bool:
        return len(message) == PROOF_SIZE and message[:1] == _proof_kind(self._side.other)

    def _proof(self, side: PakeSide) -> bytes:
        assert self._key is not None
        kind = _proof_kind(side)
        shares = self._shares[PakeSide.A] + self._shares[PakeSide.B]
        text = kind + LABEL + self._names + shares
        return kind + hmac.digest(self._key, text, "sha256")


def _proof_kind(side: PakeSide) -> bytes:
    return side.lower().encode()
