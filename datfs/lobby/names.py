"""Names in a lobby and to whom they belong (design section 8).

Who may write what is decided by name alone, so nobody can forge or overwrite another's file and
there is nothing to merge: `host.offer.bin`, `*.answer.bin` and everything else are the host's;
names that begin with `HASH.` or lie under `HASH/` are those of the guest with the identity key HASH
(64 small hex digits). `.writers/` holds the host's record of who writes for whom; the daemon alone
writes there. Paths are relative to the lobby: "host.offer.bin", "HASH/notes/a".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from datfs.errors import NotYours

BEACON_NAME: Final = "host.offer.bin"
WRITERS_FOLDER: Final = ".writers"

DAEMON_NAMES: Final = frozenset({"new-offer", "state", "password", "peers"})
"""What the daemon shows at the top of a lobby; nothing in an archive can shadow these."""

_SIGNAL: Final = re.compile(r"([0-9a-f]{64})\.(offer|answer)\.bin")
_RECORD: Final = re.compile(r"\.writers/([0-9a-f]{64})")
_GUEST: Final = re.compile(r"([0-9a-f]{64})(?:[./].*|)", re.DOTALL)
_HOSTS_ANSWER: Final = re.compile(r"[^/]*\.answer\.bin")


class SignalKind(Enum):
    """What a signal's name says that it is."""

    BEACON = "beacon"
    OFFER = "offer"
    ANSWER = "answer"
    WRITER = "writer"


@dataclass(frozen=True, slots=True)
class SignalName:
    """A name with a meaning for the lobby.

    Attributes:
        kind: what the file is.
        guest: the identity key that it concerns, 32 bytes; empty for the beacon.
    """

    kind: SignalKind
    guest: bytes = b""

    def __str__(self) -> str:
        match self.kind:
            case SignalKind.BEACON:
                return BEACON_NAME
            case SignalKind.WRITER:
                return f"{WRITERS_FOLDER}/{self.guest.hex()}"
            case kind:
                return f"{self.guest.hex()}.{kind.value}.bin"


def parse_signal_name(path: str) -> SignalName | None:
    """Return what a path means for the lobby; None for a file that is just a file."""
    if path == BEACON_NAME:
        return SignalName(SignalKind.BEACON)
    if found := _SIGNAL.fullmatch(path):
        return SignalName(SignalKind(found[2]), bytes.fromhex(found[1]))
    if found := _RECORD.fullmatch(path):
        return SignalName(SignalKind.WRITER, bytes.fromhex(found[1]))
    return None


def offer_name(guest: bytes) -> str:
    """Return the name of a guest's offer."""
    return str(SignalName(SignalKind.OFFER, guest))


def answer_name(guest: bytes) -> str:
    """Return the name of the host's answer to a guest."""
    return str(SignalName(SignalKind.ANSWER, guest))


def writer_name(guest: bytes) -> str:
    """Return the name of the record that says which archive writes for a guest."""
    return str(SignalName(SignalKind.WRITER, guest))


def owner_of(path: str) -> bytes | None:
    """Return the identity key of the guest to whom a path belongs, None if it is the host's.

    The directory HASH itself is that guest's, as what lies under it is.
    """
    if _HOSTS_ANSWER.fullmatch(path):
        return None
    found = _GUEST.fullmatch(path)
    return bytes.fromhex(found[1]) if found else None


def check_writable(path: str, *, writer: bytes | None) -> None:
    """Check that somebody may make, change or remove a path of the lobby through the mount.

    Args:
        path: relative to the lobby.
        writer: the guest's identity key, or None for the host.

    Raises:
        NotYours: it belongs to somebody else, or to the daemon.
    """
    top = path.partition("/")[0]
    if top in DAEMON_NAMES or top == WRITERS_FOLDER:
        raise NotYours(f"{top} is kept by datfs itself")
    owner = owner_of(path)
    if owner != writer:
        whom = "the host" if owner is None else f"the guest {owner.hex()}"
        raise NotYours(f"{path} in a lobby belongs to {whom}")
