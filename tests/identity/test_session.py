from __future__ import annotations

import json

import pytest

from datfs.errors import InvalidDocument
from datfs.identity.session import (
    DEFAULT_MAX_PEERS,
    MAX_PEERS_LIMIT,
    Carrier,
    SessionRequest,
    parse_request,
    parse_session,
)

LOBBY = bytes(range(32))


def test_a_request_is_completed_to_exactly_the_six_fields_in_order() -> None:
    request = parse_request(b'{"name": "Foobar", "max_peers": 8}')
    data = request.complete(lobby_key=LOBBY, last_update_ms=1509667197878, peers=2).encode()
    assert data.endswith(b"}\n")
    assert list(json.loads(data).items()) == [
        ("name", "Foobar"),
        ("url", f"dat://{LOBBY.hex()}"),
        ("last_update", 1509667197878),
        ("peers", 2),
        ("max_peers", 8),
        ("protected", False),
    ]


def test_what_was_completed_is_both_a_session_and_a_request() -> None:
    session = SessionRequest(name="a").complete(lobby_key=LOBBY, last_update_ms=5, peers=0)
    assert parse_session(session.encode()) == session
    assert parse_request(session.encode()) == SessionRequest(name="a", max_peers=DEFAULT_MAX_PEERS)


def test_own_fields_win_over_what_was_written() -> None:
    request = parse_request(
        b'{"name": "a", "url": "dat://elsewhere", "last_update": 1, "peers": 9}'
    )
    session = request.complete(lobby_key=LOBBY, last_update_ms=7, peers=0)
    assert (session.url.key, session.last_update_ms, session.peers) == (LOBBY, 7, 0)


def test_the_carrier_is_asked_for_and_not_told() -> None:
    request = parse_request(b'{"name": "a", "carrier": "log"}')
    assert request.carrier is Carrier.LOG
    assert request.ignored == ()
    assert parse_request(b'{"name": "a"}').carrier is Carrier.ARCHIVE
    data = request.complete(lobby_key=LOBBY, last_update_ms=7, peers=0).encode()
    assert "carrier" not in json.loads(data)


def test_fields_that_completing_drops_are_told() -> None:
    assert parse_request(b'{"name": "a", "max_peer": 3}').ignored == ("max_peer",)


@pytest.mark.parametrize(
    ("text", "place", "mistake"),
    [
        ("{}", "field name", "is missing"),
        ('{"name": null}', "line 1, field name", "not null"),
        ('{"name": "a",\n "max_peers": "8"}', "line 2, field max_peers", f"1 to {MAX_PEERS_LIMIT}"),
        ('{"name": "a", "max_peers": 0}', "line 1, field max_peers", "not 0"),
        ('{"name": "a", "max_peers": 257}', "line 1, field max_peers", "not 257"),
        ('{"name": "a", "max_peers": true}', "line 1, field max_peers", "not true"),
        (
            '{"name": "a", "carrier": "tape"}',
            "line 1, field carrier",
            'neither "archive" nor "log"',
        ),
        ('{"name": "a", "url": 1}', "line 1, field url", "text"),
        ('{"name": "a", "peers": "x"}', "line 1, field peers", "whole number"),
        ('{"name": "a", "last_update": []}', "line 1, field last_update", "not []"),
        ('{"name": "a", "protected": 1}', "line 1, field protected", "true or false"),
        ("8", "line 1", "object"),
    ],
)
def test_mistakes_in_a_request(text: str, place: str, mistake: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        parse_request(text.encode())
    assert caught.value.where == place
    assert mistake in caught.value.mistake


def test_that_a_session_is_protected_is_kept() -> None:
    request = parse_request(b'{"name": "a", "protected": true}')
    session = request.complete(lobby_key=LOBBY, last_update_ms=7, peers=0)
    assert session.protected
    assert parse_request(session.encode()).protected


def test_a_protected_session_of_somebody_else_can_be_read() -> None:
    fields = {
        "name": "a",
        "url": LOBBY.hex(),
        "last_update": 1,
        "peers": 0,
        "max_peers": 1000,
        "protected": True,
    }
    assert parse_session(json.dumps(fields).encode()).protected


def test_a_session_without_a_usable_url_is_refused() -> None:
    with pytest.raises(InvalidDocument, match="line 1, field url: 'http://x' is not a Dat URL"):
        parse_session(b'{"name": "a", "url": "http://x"}')
