"""Signals: beacon, offers, answers and refusals as a lobby's files hold them (design section 9).

A signal is JSON as browsers and simple-peer write it, `{"type": "offer", "sdp": "..."}`, or raw
SDP. What datfs adds are further fields, which browsers skip: an offer may say which beacon it was
made for, an answer or a refusal which offer it is for, so that one left over from an earlier
attempt is known as such. A beacon carries the host's seal key and a proof: the signature of the
host's identity over lobby, beacon id, seal key and DTLS certificate. The object is open: unknown
fields are left alone.

Who may write which signal is said in `names`, what happens upon one in `machine`, how one is hidden
from other members in `seal`.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NoReturn

from datfs.crypto.box import BOX_KEY_SIZE
from datfs.crypto.keys import SIGNATURE_SIZE, sign, verify
from datfs.errors import InvalidSignal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datfs.crypto.keys import KeyPair

SIGNAL_LIMIT_BYTES: Final = 64 * 1024
"""The largest signal file; a complete description with all its candidates has 1 to 6 KiB."""

BEACON_ID_SIZE: Final = 16
OFFER_ID_SIZE: Final = 32
IDENTITY_SIZE: Final = 32

REASON_LIMIT: Final = 200
"""Characters of another's reason that are shown."""

_PROOF_PREFIX: Final = b"datfs lobby host 1"

_UFRAG: Final = re.compile(r"^a=ice-ufrag:(\S+)\s*$", re.MULTILINE)
_FINGERPRINT: Final = re.compile(
    r"^a=fingerprint:sha-256 ((?:[0-9a-f]{2}:){31}[0-9a-f]{2})\s*$", re.MULTILINE | re.IGNORECASE
)
_DATA_SECTION: Final = re.compile(r"^m=application ", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SdpIdentity:
    """By what a description and the connection that made it are known to belong together.

    Attributes:
        ufrag: ICE's user fragment, random for each connection.
        fingerprint: SHA-256 of the DTLS certificate, 32 bytes.
    """

    ufrag: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A guest's offer.

    Attributes:
        sdp: the complete description.
        id: SHA-256 of the file's bytes; a changed file is another offer.
        beacon_id: the beacon it was made for, where it says so.
        pake: the version of the password exchange that whoever made it speaks; None if none.
    """

    sdp: str
    id: bytes
    beacon_id: bytes | None = None
    pake: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The host's answer.

    Attributes:
        sdp: the complete description.
        offer_id: the offer that is answered, where it says so.
    """

    sdp: str
    offer_id: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The host's answer to an offer that it does not take.

    Attributes:
        reason: one word or a few; "full" when all places are taken.
        offer_id: the offer that is refused, where it says so.
    """

    reason: str
    offer_id: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Beacon:
    """The host's presence in the lobby.

    Attributes:
        sdp: a description of the host, without candidates: its addresses go to guests alone.
        host: the host's identity, 32 bytes.
        id: new with each start of the host.
        seal: the host's X25519 key for this lobby, 32 bytes; None: it does not open sealed signals.
        proof: the identity's signature, 64 bytes, not verified yet; see `is_proven`.
        protected: whether guests have to prove a password.
    """

    sdp: str
    host: bytes
    id: bytes
    seal: bytes | None = None
    proof: bytes | None = None
    protected: bool = False

    def encode(self) -> bytes:
        """Return the beacon's bytes."""
        return _encode(
            {
                "type": "offer",
                "sdp": self.sdp,
                "host": self.host,
                "id": self.id,
                "seal": self.seal,
                "proof": self.proof,
                "protected": self.protected or None,
            }
        )

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the DTLS certificate that the host will show."""
        return sdp_identity(self.sdp).fingerprint

    def is_proven(self, lobby_key: bytes) -> bool:
        """Tell whether the host's identity stands for lobby, id, seal key and certificate."""
        if self.seal is None or self.proof is None:
            return False
        text = _proven_text(lobby_key, self.id, self.seal, self.fingerprint)
        return verify(text, self.proof, self.host)


def make_beacon(
    identity: KeyPair,
    *,
    sdp: str,
    beacon_id: bytes,
    lobby_key: bytes,
    seal: bytes,
    protected: bool = False,
) -> Beacon:
    """Make a beacon with its proof.

    Args:
        identity: the host's identity key pair.
        sdp: the host's description, with the session's certificate and without candidates.
        beacon_id: new with each start of the host.
        lobby_key: key of the lobby.
        seal: the host's X25519 key for this lobby.
        protected: whether guests have to prove a password.

    Raises:
        InvalidSignal: the description has no certificate's fingerprint.
    """
    text = _proven_text(lobby_key, beacon_id, seal, sdp_identity(sdp).fingerprint)
    return Beacon(
        sdp=sdp,
        host=identity.public_key,
        id=beacon_id,
        seal=seal,
        proof=sign(text, identity.secret_key),
        protected=protected,
    )


def encode_offer(sdp: str, beacon_id: bytes | None = None, *, pake: int | None = None) -> bytes:
    """Return an offer's bytes.

    Args:
        sdp: the complete description.
        beacon_id: the beacon it is made for, if that is known.
        pake: the version of the password exchange that the offerer speaks, if any.
    """
    return _encode({"type": "offer", "sdp": sdp, "beacon": beacon_id, "pake": pake})


def encode_answer(sdp: str, offer_id: bytes) -> bytes:
    """Return the bytes of an answer to the offer with this id."""
    return _encode({"type": "answer", "sdp": sdp, "offer": offer_id})


def encode_refusal(reason: str, offer_id: bytes | None = None) -> bytes:
    """Return the bytes of an answer that says no to the offer with this id, or to any offer."""
    return _encode({"type": "error", "reason": reason, "offer": offer_id})


def parse_offer(data: bytes) -> Offer:
    """Read an offer, JSON or raw SDP.

    Raises:
        InvalidSignal: it is neither, or of no use; the text says what is wrong.
    """
    fields = _fields(data, "offer")
    _check_type(fields, "offer", "offer")
    pake = fields.get("pake")
    return Offer(
        sdp=_description(fields, "offer"),
        id=hashlib.sha256(data).digest(),
        beacon_id=_hex(fields, "beacon", BEACON_ID_SIZE, "offer"),
        pake=pake if type(pake) is int else None,  # no bool
    )


def parse_answer(data: bytes) -> Answer | Refusal:
    """Read an answer, JSON or raw SDP, or a refusal.

    Raises:
        InvalidSignal: it is neither, or of no use; the text says what is wrong.
    """
    fields = _fields(data, "answer")
    offer_id = _hex(fields, "offer", OFFER_ID_SIZE, "answer")
    if fields.get("type") == "error":
        reason = fields.get("reason")
        shown = _printable(reason) if isinstance(reason, str) else "no reason given"
        return Refusal(reason=shown, offer_id=offer_id)
    _check_type(fields, "answer", "answer")
    return Answer(sdp=_description(fields, "answer"), offer_id=offer_id)


def parse_beacon(data: bytes) -> Beacon:
    """Read the host's beacon.

    Raises:
        InvalidSignal: it is none; the text says what is wrong.
    """
    fields = _fields(data, "beacon")
    _check_type(fields, "offer", "beacon")
    host = _hex(fields, "host", IDENTITY_SIZE, "beacon")
    beacon_id = _hex(fields, "id", BEACON_ID_SIZE, "beacon")
    if host is None or beacon_id is None:
        _refuse("beacon", "it lacks host or id")
    return Beacon(
        sdp=_description(fields, "beacon"),
        host=host,
        id=beacon_id,
        seal=_hex(fields, "seal", BOX_KEY_SIZE, "beacon"),
        proof=_hex(fields, "proof", SIGNATURE_SIZE, "beacon"),
        protected=bool(fields.get("protected")),
    )


def sdp_identity(sdp: str) -> SdpIdentity:
    """Return by what a description is recognised.

    Raises:
        InvalidSignal: it has no ICE user fragment, or not exactly one SHA-256 fingerprint (an
            engine takes any of several, so the first one would pin nothing).
    """
    ufrag = _UFRAG.search(sdp)
    fingerprints = {value.replace(":", "").lower() for value in _FINGERPRINT.findall(sdp)}
    if ufrag is None or not fingerprints:
        raise InvalidSignal("the SDP has no ice-ufrag or no sha-256 fingerprint")
    if len(fingerprints) > 1:
        raise InvalidSignal("the SDP has several sha-256 fingerprints")
    return SdpIdentity(ufrag=ufrag[1], fingerprint=bytes.fromhex(fingerprints.pop()))


def _proven_text(lobby_key: bytes, beacon_id: bytes, seal: bytes, fingerprint: bytes) -> bytes:
    return _PROOF_PREFIX + lobby_key + beacon_id + seal + fingerprint


def _encode(fields: Mapping[str, str | bytes | int | None]) -> bytes:
    plain = {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in fields.items()
        if value is not None
    }
    return f"{json.dumps(plain)}\n".encode()


def _fields(data: bytes, what: str) -> dict[str, object]:
    """Read the signal's JSON object; raw SDP becomes the object that a browser would have made."""
    if len(data) > SIGNAL_LIMIT_BYTES:
        _refuse(what, f"{len(data)} bytes are more than the {SIGNAL_LIMIT_BYTES} allowed")
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        _refuse(what, "it is not text")
    if text.startswith("v="):
        return {"type": "answer" if what == "answer" else "offer", "sdp": f"{text}\r\n"}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        _refuse(what, "it is neither JSON nor SDP")
    if not isinstance(value, dict):
        _refuse(what, 'it is no JSON object with "type" and "sdp"')
    return value


def _check_type(fields: dict[str, object], wanted: Literal["offer", "answer"], what: str) -> None:
    if fields.get("type") != wanted:
        _refuse(what, f'its type must be "{wanted}", not {_shown(fields.get("type"))}')


def _description(fields: dict[str, object], what: str) -> str:
    sdp = fields.get("sdp")
    if not isinstance(sdp, str) or not sdp.startswith("v=0"):
        _refuse(what, "its sdp is no session description (it must begin with v=0)")
    if not _is_encodable(sdp):
        _refuse(what, "its sdp holds half of a surrogate pair")
    if not _DATA_SECTION.search(sdp):
        _refuse(what, "its SDP offers no data channel (there is no m=application section)")
    try:
        sdp_identity(sdp)
    except InvalidSignal as error:
        _refuse(what, str(error))
    return sdp


def _hex(fields: dict[str, object], name: str, size: int, what: str) -> bytes | None:
    """Return an optional field of `size` bytes in hex."""
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not re.fullmatch(f"[0-9a-f]{{{2 * size}}}", value):
        _refuse(what, f"its {name} must be {2 * size} hex digits, not {_shown(value)}")
    return bytes.fromhex(value)


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: object) -> str:
    return json.dumps(value)[:40]


def _printable(reason: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in reason)[:REASON_LIMIT]


def _refuse(what: str, mistake: str) -> NoReturn:
    article = "an" if what[0] in "ao" else "a"
    raise InvalidSignal(f"this is not {article} {what}: {mistake}")
