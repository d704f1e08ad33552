"""What datfs reads and changes in session descriptions (RFC 8866, 8839 ICE, 8122, 8841 SCTP).

Pure functions over the text; aiortc parses it in earnest. A description that came from a peer
passes `check_description` first, because each of its candidates makes the engine send packets to
an address that the peer chose.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from datfs.errors import InvalidSdp

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_BYTE_LENGTH: Final = 64 * 1024  # a signal file's limit
MAX_CANDIDATES: Final = 64  # browsers give some ten

_UFRAG: Final = re.compile(r"^a=ice-ufrag:([A-Za-z0-9+/]{4,256})\s*$", re.MULTILINE)
_PASSWORD: Final = re.compile(r"^a=ice-pwd:[A-Za-z0-9+/]{22,256}\s*$", re.MULTILINE)
_FINGERPRINT: Final = re.compile(
    r"^a=fingerprint:sha-256 ((?:[0-9a-f]{2}:){31}[0-9a-f]{2})\s*$", re.MULTILINE | re.IGNORECASE
)
_MEDIA: Final = re.compile(r"^m=(\S+) .*$", re.MULTILINE)
_CANDIDATE_PREFIX: Final = "a=candidate:"
_END_OF_CANDIDATES: Final = "a=end-of-candidates"
_MDNS_HOST: Final = re.compile(r"[A-Za-z0-9-]{1,63}\.local")


def check_description(sdp: str) -> None:
    """Make sure that `sdp` offers or answers data channels, and nothing else, within the limits.

    Raises:
        InvalidSdp: It does not; the text says in what.
    """
    if len(sdp.encode("utf-8", "surrogatepass")) > MAX_BYTE_LENGTH:
        raise InvalidSdp(f"a session description has at most {MAX_BYTE_LENGTH} bytes")
    if not sdp.startswith("v=0"):
        raise InvalidSdp("a session description begins with v=0")
    media = _MEDIA.findall(sdp)
    if media != ["application"]:
        kinds = ", ".join(media) or "nothing"
        raise InvalidSdp(f"datfs carries one m=application section; this one describes {kinds}")
    ufrag(sdp)
    if _PASSWORD.search(sdp) is None:
        raise InvalidSdp("the session description has no ice-pwd")
    fingerprint(sdp)
    count = sum(line.startswith(_CANDIDATE_PREFIX) for line in _lines(sdp))
    if count > MAX_CANDIDATES:
        raise InvalidSdp(f"{count} ICE candidates are more than the {MAX_CANDIDATES} allowed")


def ufrag(sdp: str) -> str:
    """Return the ICE username fragment of the first section that has one.

    Raises:
        InvalidSdp: None has.
    """
    found = _UFRAG.search(sdp)
    if found is None:
        raise InvalidSdp("the session description has no ice-ufrag")
    return found[1]


def fingerprint(sdp: str) -> bytes:
    """Return the SHA-256 fingerprint of the DTLS certificate, 32 bytes.

    Raises:
        InvalidSdp: There is none, or several that differ.
    """
    found = {bytes.fromhex(value.replace(":", "")) for value in _FINGERPRINT.findall(sdp)}
    if len(found) != 1:
        raise InvalidSdp("the session description has no single sha-256 fingerprint")
    return found.pop()


def has_candidates(sdp: str) -> bool:
    """Tell whether the description names any address."""
    return any(line.startswith(_CANDIDATE_PREFIX) for line in _lines(sdp))


def without_candidates(sdp: str) -> str:
    """Return the description without its addresses, as a beacon shows it.

    The mark that candidates are complete goes with them: with it, a peer would give up at once.
    """
    return _joined(
        line
        for line in _lines(sdp)
        if not line.startswith(_CANDIDATE_PREFIX) and line != _END_OF_CANDIDATES
    )


def split_mdns_candidates(sdp: str) -> tuple[str, list[str]]:
    """Take out the candidates that are mDNS names, and the mark that candidates are complete.

    Resolving such a name waits up to a second for an answer that may never come; so they are
    handed to ICE beside the others, not before them.

    Returns:
        The description without them, and their values without the leading `a=candidate:`.
    """
    kept: list[str] = []
    names: list[str] = []
    for line in _lines(sdp):
        if line == _END_OF_CANDIDATES:
            continue
        if line.startswith(_CANDIDATE_PREFIX):
            value = line.removeprefix(_CANDIDATE_PREFIX)
            fields = value.split()
            if len(fields) >= 8 and _MDNS_HOST.fullmatch(fields[4]):
                names.append(value)
                continue
        kept.append(line)
    return _joined(kept), names


def _lines(sdp: str) -> list[str]:
    return [line.rstrip() for line in sdp.split("\n") if line.strip()]


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\r\n" for line in lines)
