"""Recorded conversations of JavaScript peers, replayed byte for byte through `Connection`."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datfs.crypto.keys import discovery_key
from datfs.wire import messages as m
from datfs.wire.connection import Connection
from datfs.wire.events import (
    Event,
    ExtensionReceived,
    FeedAnnounced,
    HandshakeReceived,
    MessageReceived,
)
from datfs.wire.liveness import KEEP_ALIVE_S
from tests.wire import transcripts

if TYPE_CHECKING:
    from tests.wire.transcripts import Transcript

TRANSCRIPTS = [transcripts.load(name) for name in transcripts.NAMES]
DIRECTIONS = [
    pytest.param(transcript, side, id=f"{transcript.name}-{side}")
    for transcript in TRANSCRIPTS
    for side in transcript.sides
]


def listener(transcript: Transcript, side: str) -> Connection:
    """The side's end of the conversation, with all its feeds open."""
    first, *further = transcript.keys
    connection = Connection(
        handshake=transcript.handshake_of(side),
        nonce=transcript.nonce_of(side),
        key=first,
        now=0,
    )
    for key in further:
        connection.open_feed(key)
    return connection


def expected_events(transcript: Transcript, sender: str) -> list[Event]:
    """What the recorded messages of one side mean to the other."""
    feeds: dict[int, bytes] = {}
    events: list[Event] = []
    for chunk in transcript.chunks:
        if chunk.sender != sender:
            continue
        match chunk.message:
            case None:
                pass
            case m.Feed(key):
                feeds[chunk.channel] = key
                events.append(FeedAnnounced(key, chunk.channel, opened=True))
            case m.Handshake() as handshake:
                events.append(HandshakeReceived(handshake))
            case m.Extension(index, payload):
                name = transcript.handshake_of(sender).extensions[index]
                events.append(ExtensionReceived(feeds[chunk.channel], name, payload))
            case message:
                events.append(MessageReceived(feeds[chunk.channel], message))
    return events


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda each: each.name)
def test_saying_the_same_gives_the_recorded_bytes(transcript: Transcript) -> None:
    keys = {discovery_key(key): key for key in transcript.keys}
    connections: dict[str, Connection] = {}
    feeds: dict[tuple[str, int], bytes] = {}
    undelivered = dict.fromkeys(transcript.sides, b"")
    sent = dict.fromkeys(transcript.sides, b"")

    now = 0.0
    for chunk in transcript.chunks:
        side, other = chunk.sender, transcript.other(chunk.sender)
        match chunk.message:
            case None:
                now += KEEP_ALIVE_S
                assert connections[side].on_timeout(now) == []
            case m.Feed(key, nonce):
                feeds[side, chunk.channel] = key
                if nonce is None:
                    connections[side].open_feed(keys[key])
                else:
                    connections[side] = Connection(
                        handshake=transcript.handshake_of(side),
                        nonce=nonce,
                        key=keys[key],
                        now=now,
                    )
            case m.Handshake():
                continue  # went out together with the first Feed
            case m.Extension(index, payload):
                name = transcript.handshake_of(side).extensions[index]
                connections[side].send_extension(feeds[side, chunk.channel], name, payload)
            case message:
                connections[side].send(feeds[side, chunk.channel], message)
        data = bytes(connections[side].data_to_send(now))
        sent[side] += data
        undelivered[other] += data
        for listening in connections.keys() & undelivered.keys():
            if undelivered[listening]:
                connections[listening].receive(undelivered.pop(listening), now)
                undelivered[listening] = b""

    for side in transcript.sides:
        assert sent[side].hex() == transcript.cipher_of(side).hex()


@pytest.mark.parametrize(("transcript", "sender"), DIRECTIONS)
def test_the_recorded_bytes_in_one_piece_give_the_recorded_messages(
    transcript: Transcript, sender: str
) -> None:
    connection = listener(transcript, transcript.other(sender))
    got = connection.receive(transcript.cipher_of(sender), 0)
    assert got == expected_events(transcript, sender)


@pytest.mark.parametrize(("transcript", "sender"), DIRECTIONS)
def test_one_byte_at_a_time_gives_the_same(transcript: Transcript, sender: str) -> None:
    connection = listener(transcript, transcript.other(sender))
    got: list[Event] = []
    for byte in transcript.cipher_of(sender):
        got += connection.receive(bytes((byte,)), 0)
    assert got == expected_events(transcript, sender)


@pytest.mark.parametrize(("transcript", "sender"), DIRECTIONS)
@settings(max_examples=40)
@given(data=st.data())
def test_any_slicing_gives_the_same(
    transcript: Transcript, sender: str, data: st.DataObject
) -> None:
    stream = transcript.cipher_of(sender)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=30))
    connection = listener(transcript, transcript.other(sender))
    got: list[Event] = []
    for start, end in pairwise(sorted({0, len(stream), *cuts})):
        got += connection.receive(memoryview(stream)[start:end], 0)
    assert got == expected_events(transcript, sender)


@pytest.mark.parametrize(("transcript", "sender"), DIRECTIONS)
def test_a_side_without_the_key_reads_everything_once_it_accepts(
    transcript: Transcript, sender: str
) -> None:
    side = transcript.other(sender)
    connection = Connection(
        handshake=transcript.handshake_of(side), nonce=transcript.nonce_of(side), now=0
    )
    first, *further = transcript.keys
    assert connection.receive(transcript.cipher_of(sender)[:62], 0) == [
        FeedAnnounced(discovery_key(first), 0, opened=False)
    ]
    got = connection.accept(first)
    for key in further:
        connection.open_feed(key)
    got += connection.receive(transcript.cipher_of(sender)[62:], 0)
    assert got == expected_events(transcript, sender)[1:]
