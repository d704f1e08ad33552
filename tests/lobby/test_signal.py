from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datfs.errors import InvalidSignal
from datfs.lobby.signal import (
    SIGNAL_LIMIT_BYTES,
    Answer,
    Beacon,
    Refusal,
    SdpIdentity,
    encode_answer,
    encode_offer,
    encode_refusal,
    parse_answer,
    parse_beacon,
    parse_offer,
    sdp_identity,
)
from tests.lobby.sdp import description

SDP = description("abcd")
OFFER_ID = bytes(range(32))
BEACON_ID = bytes(range(16))


def test_an_offer_as_browsers_and_simple_peer_write_it() -> None:
    data = json.dumps({"type": "offer", "sdp": SDP}).encode()
    offer = parse_offer(data)
    assert offer.sdp == SDP
    assert offer.id == hashlib.sha256(data).digest()
    assert offer.beacon_id is None


def test_raw_sdp_is_taken_by_the_name_of_its_file() -> None:
    raw = SDP.encode()
    assert parse_offer(raw).sdp == SDP
    assert parse_answer(raw) == Answer(sdp=SDP)
    assert parse_offer(b"\n" + raw.replace(b"\r\n", b"\n")).sdp.startswith("v=0\no=")


def test_what_datfs_writes_is_what_browsers_read() -> None:
    assert json.loads(encode_offer(SDP)) == {"type": "offer", "sdp": SDP}
    answer = json.loads(encode_answer(SDP, OFFER_ID))
    assert (answer["type"], answer["sdp"]) == ("answer", SDP)
    refusal = json.loads(encode_refusal("full", OFFER_ID))
    assert (refusal["type"], refusal["reason"]) == ("error", "full")


def test_signals_name_what_they_are_for() -> None:
    assert parse_offer(encode_offer(SDP, BEACON_ID)).beacon_id == BEACON_ID
    assert parse_answer(encode_answer(SDP, OFFER_ID)) == Answer(sdp=SDP, offer_id=OFFER_ID)
    refusal = Refusal(reason="full", offer_id=OFFER_ID)
    assert parse_answer(encode_refusal("full", OFFER_ID)) == refusal


def test_a_refusal_of_other_software_and_one_with_tricks_in_it() -> None:
    assert parse_answer(b'{"type": "error", "reason": "full"}') == Refusal(reason="full")
    assert parse_answer(b'{"type": "error"}') == Refusal(reason="no reason given")
    tricky = parse_answer(json.dumps({"type": "error", "reason": "\x1b[2J" + "x" * 999}).encode())
    assert isinstance(tricky, Refusal)
    assert tricky.reason.startswith("?[2J")
    assert len(tricky.reason) == 200


def test_a_beacon_of_a_later_version_is_read() -> None:
    beacon = Beacon(sdp=SDP, host=OFFER_ID, id=BEACON_ID)
    later = {**json.loads(beacon.encode()), "also": "00", "later": 11}
    assert parse_beacon(json.dumps(later).encode()) == beacon


def test_a_description_is_known_by_user_fragment_and_certificate() -> None:
    fingerprint = hashlib.sha256(b"abcd").digest()
    assert sdp_identity(SDP) == SdpIdentity(ufrag="abcd", fingerprint=fingerprint)
    assert sdp_identity(SDP.replace("sha-256", "SHA-256").replace("\r", "")) == sdp_identity(SDP)


@pytest.mark.parametrize(
    ("data", "mistake"),
    [
        (b"", "neither JSON nor SDP"),
        (b"hello", "neither JSON nor SDP"),
        (b"[" * 50_000, "neither JSON nor SDP"),
        (b"\xff\xfe", "not text"),
        (b"[1]", "no JSON object"),
        (b"{}", 'type must be "offer", not null'),
        (b'{"type": "answer", "sdp": ""}', 'not "answer"'),
        (b'{"type": "offer"}', "no session description"),
        (b'{"type": "offer", "sdp": 5}', "no session description"),
        (b'{"type": "offer", "sdp": "v=0\\ud800"}', "surrogate"),
        (b"v=0\r\nm=audio 9 RTP/AVP 0\r\n", "m=application"),
        (SDP.replace("a=ice-ufrag", "a=x").encode(), "ice-ufrag"),
        (SDP.replace("sha-256", "sha-1").encode(), "fingerprint"),
        (encode_offer(SDP).replace(b"}", b', "beacon": "xy"}'), "beacon must be 32 hex digits"),
        (SDP.encode() + b" " * SIGNAL_LIMIT_BYTES, "allowed"),
    ],
)
def test_mistakes_in_offers_are_named(data: bytes, mistake: str) -> None:
    with pytest.raises(InvalidSignal, match=f"this is not an offer: .*{mistake}"):
        parse_offer(data)


def test_mistakes_in_answers_and_beacons_are_named() -> None:
    with pytest.raises(InvalidSignal, match=r'this is not an answer: its type must be "answer"'):
        parse_answer(encode_offer(SDP))
    with pytest.raises(InvalidSignal, match="this is not a beacon: it lacks host or id"):
        parse_beacon(encode_offer(SDP))


@given(st.binary())
def test_no_bytes_do_anything_worse_than_be_refused(data: bytes) -> None:
    for parse in (parse_offer, parse_answer, parse_beacon):
        with pytest.raises(InvalidSignal):
            parse(data)
