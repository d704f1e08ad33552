from __future__ import annotations

import pytest

from datfs.errors import InvalidSdp
from datfs.webrtc import sdp

FINGERPRINT = ":".join(["AB"] * 32)
OFFER = "\r\n".join(
    [
        "v=0",
        "o=- 1 1 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        "a=mid:0",
        "a=candidate:1 1 udp 2130706431 10.0.0.1 5000 typ host",
        "a=candidate:2 1 udp 2130706431 0f0e0d0c-1234.local 5001 typ host",
        "a=end-of-candidates",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:0123456789012345678901",
        f"a=fingerprint:sha-256 {FINGERPRINT}",
        "a=setup:actpass",
        "",
    ]
)


def test_what_names_an_offer_is_read_from_it() -> None:
    sdp.check_description(OFFER)
    assert sdp.ufrag(OFFER) == "abcd"
    assert sdp.fingerprint(OFFER) == b"\xab" * 32


def test_descriptions_with_bare_newlines_and_small_hex_are_read_too() -> None:
    bare = OFFER.replace("\r\n", "\n").replace(FINGERPRINT, FINGERPRINT.lower())
    sdp.check_description(bare)
    assert sdp.fingerprint(bare) == b"\xab" * 32


def test_a_beacon_shows_no_address_and_no_end_of_candidates() -> None:
    beacon = sdp.without_candidates(OFFER)
    assert sdp.has_candidates(OFFER)
    assert not sdp.has_candidates(beacon)
    assert "10.0.0.1" not in beacon
    assert "end-of-candidates" not in beacon
    sdp.check_description(beacon)


def test_mdns_candidates_are_taken_apart() -> None:
    rest, names = sdp.split_mdns_candidates(OFFER)
    assert names == ["2 1 udp 2130706431 0f0e0d0c-1234.local 5001 typ host"]
    assert ".local" not in rest
    assert "10.0.0.1" in rest
    assert "end-of-candidates" not in rest


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("v=0", "hello", "begins with v=0"),
        ("a=ice-ufrag:abcd", "", "no ice-ufrag"),
        ("a=ice-pwd:0123456789012345678901", "a=ice-pwd:short", "no ice-pwd"),
        (FINGERPRINT, "AB:CD", "sha-256 fingerprint"),
        ("a=setup:actpass", f"a=fingerprint:sha-256 {':'.join(['CD'] * 32)}", "sha-256"),
        ("m=application", "m=video", "describes video"),
        ("a=setup:actpass", "m=audio 9 UDP/TLS/RTP/SAVPF 0", "application, audio"),
        ("a=setup:actpass", "a=x:" + "y" * 70_000, "at most 65536"),
        ("a=setup:actpass", "a=candidate:1 1 udp 1 10.0.0.1 1 typ host\r\n" * 65, "more than"),
    ],
)
def test_what_the_engine_cannot_use_is_refused_with_the_reason(
    old: str, new: str, reason: str
) -> None:
    with pytest.raises(InvalidSdp, match=reason):
        sdp.check_description(OFFER.replace(old, new))
