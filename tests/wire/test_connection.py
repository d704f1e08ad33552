from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datfs.crypto.keys import discovery_key
from datfs.crypto.xsalsa20 import XSalsa20
from datfs.encoding.varint import encode_varint
from datfs.errors import LocalProtocolError, RemoteProtocolError
from datfs.wire.channel import MAX_CHANNELS, MAX_WAITING_BYTE_LENGTH, MAX_WAITING_MESSAGES
from datfs.wire.connection import MAX_UNREADABLE_BYTE_LENGTH, Connection
from datfs.wire.events import (
    Closed,
    Event,
    ExtensionReceived,
    FeedAnnounced,
    FeedClosed,
    HandshakeReceived,
    MessageReceived,
)
from datfs.wire.framing import frame_head, header
from datfs.wire.handshake import HandshakeOptions
from datfs.wire.liveness import KEEP_ALIVE_S, OPENING_TIMEOUT_S, REMOTE_TIMEOUT_S
from datfs.wire.messages import (
    Cancel,
    Data,
    Extension,
    Feed,
    Handshake,
    Have,
    Info,
    ProofNode,
    Request,
    Unhave,
    Unwant,
    Want,
)

KEY = b"k" * 32
FIRST = discovery_key(KEY)
CONTENT_KEY = b"c" * 32
CONTENT = discovery_key(CONTENT_KEY)
WANT = Want(0, 1048576)


def key_number(number: int) -> bytes:
    return number.to_bytes(32, "big")


def connect(
    name: str, key: bytes | None = KEY, now: float = 0, extensions: tuple[str, ...] = ()
) -> Connection:
    return Connection(
        handshake=HandshakeOptions(id=name.encode() * 32, extensions=extensions),
        nonce=name.encode() * 24,
        key=key,
        now=now,
    )


class RawPeer:
    """The far end of a connection, able to send anything."""

    def __init__(self, key: bytes = KEY) -> None:
        self._cipher = XSalsa20(key, b"r" * 24)
        feed = Feed(discovery_key(key), b"r" * 24).encode()
        self.clear = frame_head(header(0, 0), len(feed)) + feed

    def raw(self, data: bytes) -> bytes:
        return self._cipher.process(data)

    def frame(self, channel: int, message_type: int, body: bytes) -> bytes:
        return self.raw(frame_head(header(channel, message_type), len(body)) + body)

    def message(self, channel: int, message: Feed | Have | Want | Data | Handshake) -> bytes:
        return self.frame(channel, message.TYPE, message.encode())


@pytest.fixture
def peer() -> RawPeer:
    return RawPeer()


@pytest.fixture
def connection(peer: RawPeer) -> Connection:
    """A connection whose first feed both sides opened."""
    connection = connect("a", extensions=("aaa", "session-data"))
    connection.data_to_send(0)
    connection.receive(peer.clear, 0)
    return connection


def join(one: Connection, other: Connection, now: float = 0) -> tuple[list[Event], list[Event]]:
    """Carry bytes both ways until nothing moves; returns what each side learned."""
    learned: tuple[list[Event], list[Event]] = [], []
    moved = True
    while moved:
        moved = False
        for sender, receiver, events in (
            (one, other, learned[1]),
            (other, one, learned[0]),
        ):
            if data := sender.data_to_send(now):
                moved = True
                events += receiver.receive(data, now)
    return learned


def error_of(events: list[Event]) -> RemoteProtocolError:
    closed = events[-1]
    assert isinstance(closed, Closed)
    assert closed.error is not None
    return closed.error


# --- opening -----------------------------------------------------------------------------------


def test_a_dialler_speaks_first_and_an_acceptor_answers_once_it_knows_the_key() -> None:
    dialler, acceptor = connect("a"), connect("b", key=None)
    assert acceptor.data_to_send(0) == b""
    hello = dialler.data_to_send(0)
    assert acceptor.receive(hello, 0) == [FeedAnnounced(FIRST, 0, opened=False)]
    assert not acceptor.is_open(FIRST)
    (said,) = acceptor.accept(KEY)
    assert isinstance(said, HandshakeReceived)
    assert said.handshake.id == b"a" * 32
    assert acceptor.both_open(FIRST)
    announced, answered = dialler.receive(acceptor.data_to_send(0), 0)
    assert announced == FeedAnnounced(FIRST, 0, opened=True)
    assert isinstance(answered, HandshakeReceived)
    assert dialler.both_open(FIRST)
    assert dialler.remote_handshake == answered.handshake


def test_the_acceptor_may_choose_its_handshake_by_the_feed() -> None:
    dialler, acceptor = connect("a", extensions=("x",)), connect("b", key=None)
    acceptor.receive(dialler.data_to_send(0), 0)
    acceptor.accept(KEY, handshake=HandshakeOptions(id=b"z" * 32, extensions=("x",)))
    dialler.receive(acceptor.data_to_send(0), 0)
    assert dialler.remote_handshake is not None
    assert dialler.remote_handshake.id == b"z" * 32
    assert dialler.remote_supports("x")
    assert acceptor.remote_supports("x")


def test_both_may_speak_at_once() -> None:
    one, other = connect("a"), connect("b")
    from_one, from_other = one.data_to_send(0), other.data_to_send(0)
    one.receive(from_other, 0)
    other.receive(from_one, 0)
    assert one.both_open(FIRST)
    assert other.both_open(FIRST)


def test_the_first_feed_of_both_sides_must_be_the_same() -> None:
    connection = connect("a")
    error = error_of(connection.receive(RawPeer(CONTENT_KEY).clear, 0))
    assert "first feed" in str(error)
    assert connection.closed
    assert connection.data_to_send(0) == b""


def test_a_first_feed_without_a_nonce_ends_the_connection() -> None:
    body = Feed(FIRST).encode()
    clear = frame_head(header(0, 0), len(body)) + body
    assert "nonce" in str(error_of(connect("a").receive(clear, 0)))


def test_accept_answers_the_announced_feed_and_no_other() -> None:
    acceptor = connect("b", key=None)
    with pytest.raises(LocalProtocolError, match="no announced feed"):
        acceptor.accept(KEY)
    with pytest.raises(LocalProtocolError, match="first feed"):
        acceptor.open_feed(KEY)
    acceptor.receive(RawPeer().clear, 0)
    with pytest.raises(LocalProtocolError, match="not that of the feed"):
        acceptor.accept(CONTENT_KEY)
    acceptor.accept(KEY)
    with pytest.raises(LocalProtocolError, match="no announced feed"):
        acceptor.accept(KEY)


def test_what_a_peer_sends_ahead_of_accept_is_kept_within_a_limit() -> None:
    peer, acceptor = RawPeer(), connect("b", key=None)
    acceptor.receive(peer.clear, 0)
    ahead = peer.message(0, Have(7)) * 1
    assert acceptor.receive(ahead, 0) == []
    error = error_of(acceptor.receive(bytes(MAX_UNREADABLE_BYTE_LENGTH), 0))
    assert "before the feed was open" in str(error)


def test_a_stranger_cannot_make_us_keep_a_large_clear_frame() -> None:
    acceptor = connect("b", key=None)
    acceptor.receive(encode_varint(8 * 1024 * 1024), 0)
    error_of(acceptor.receive(bytes(MAX_UNREADABLE_BYTE_LENGTH + 1), 0))


# --- handshake ---------------------------------------------------------------------------------


def test_a_handshake_counts_once_and_on_channel_zero_only(
    connection: Connection, peer: RawPeer
) -> None:
    connection.open_feed(CONTENT_KEY)
    events = connection.receive(
        peer.message(1, Feed(CONTENT))
        + peer.message(1, Handshake(id=b"1" * 32))
        + peer.message(0, Handshake(id=b"2" * 32))
        + peer.message(0, Handshake(id=b"3" * 32)),
        0,
    )
    assert events == [
        FeedAnnounced(CONTENT, 1, opened=True),
        HandshakeReceived(Handshake(id=b"2" * 32)),
    ]


def test_extensions_are_mapped_by_the_senders_list(connection: Connection, peer: RawPeer) -> None:
    payload = Extension(0, b"early").encode()
    assert connection.receive(peer.frame(0, 15, payload), 0) == []
    connection.receive(peer.message(0, Handshake(id=None, extensions=("other", "session-data"))), 0)
    assert connection.remote_supports("session-data")
    assert not connection.remote_supports("aaa")
    events = connection.receive(
        peer.frame(0, 15, Extension(1, b"here").encode())
        + peer.frame(0, 15, Extension(1, b"").encode())
        + peer.frame(0, 15, Extension(0, b"not ours").encode())
        + peer.frame(0, 15, Extension(9, b"no such").encode())
        + peer.frame(0, 15, b"\xff"),
        0,
    )
    assert events == [
        ExtensionReceived(FIRST, "session-data", b"here"),
        ExtensionReceived(FIRST, "session-data", b""),
    ]


def test_extensions_cross_between_two_of_us() -> None:
    one = connect("a", extensions=("session-data", "aaa"))
    other = connect("b", key=None, extensions=("session-data",))
    other.receive(one.data_to_send(0), 0)
    other.accept(KEY)
    join(one, other)
    one.send_extension(FIRST, "session-data", b"hi")
    other.send_extension(FIRST, "session-data", b"ho")
    from_other, from_one = join(one, other)
    assert from_one == [ExtensionReceived(FIRST, "session-data", b"hi")]
    assert from_other == [ExtensionReceived(FIRST, "session-data", b"ho")]
    with pytest.raises(LocalProtocolError, match="zzz"):
        one.send_extension(FIRST, "zzz", b"")


# --- bad and odd input -------------------------------------------------------------------------


def test_frames_that_mean_nothing_are_ignored(connection: Connection, peer: RawPeer) -> None:
    events = connection.receive(
        peer.raw(b"\x00")
        + peer.raw(b"\x01\x03")  # one byte
        + peer.frame(0, 3, b"\x08")  # an undecodable Have
        + peer.frame(0, 12, b"no such type")
        + peer.frame(0, 1, b"\xff\xff")  # an undecodable Handshake
        + peer.message(0, Have(4)),
        0,
    )
    assert events == [MessageReceived(FIRST, Have(4))]


@pytest.mark.parametrize(
    ("channel", "message_type", "body"),
    [
        (1, 0, b"\x0a\x05short"),  # an undecodable Feed
        (1, 0, b"\xff"),
        (5, 3, Have(1).encode()),  # no Feed on this channel
        (5, 15, b"\x00x"),
        (MAX_CHANNELS, 0, Feed(CONTENT).encode()),
        (MAX_CHANNELS, 3, Have(1).encode()),
    ],
)
def test_what_the_original_ends_a_stream_for_ends_ours(
    connection: Connection, peer: RawPeer, channel: int, message_type: int, body: bytes
) -> None:
    events = connection.receive(
        peer.message(0, Have(4)) + peer.frame(channel, message_type, body), 0
    )
    assert events[0] == MessageReceived(FIRST, Have(4))
    error_of(events)
    assert connection.receive(peer.message(0, Have(5)), 0) == []
    assert connection.next_timeout() == math.inf
    assert connection.on_timeout(100) == []


def test_too_long_frames_and_headers_without_end_end_the_connection(peer: RawPeer) -> None:
    for odd in (encode_varint(8 * 1024 * 1024 + 1), b"\x0b" + b"\xff" * 11):
        fresh, far = connect("a"), RawPeer()
        fresh.receive(far.clear, 0)
        error_of(fresh.receive(far.raw(odd), 0))


def test_the_largest_frame_passes(connection: Connection, peer: RawPeer) -> None:
    largest = Data(0, bytes(8 * 1024 * 1024 - 8))
    assert connection.receive(peer.message(0, largest), 0) == [MessageReceived(FIRST, largest)]
    connection.send(FIRST, largest)
    with pytest.raises(LocalProtocolError, match="cannot be sent"):
        connection.send(FIRST, Data(0, bytes(8 * 1024 * 1024)))


def test_the_end_of_the_stream_is_no_error(connection: Connection) -> None:
    assert connection.receive(b"", 0) == [Closed(None)]
    assert connection.receive(b"", 0) == []


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=60), max_size=15), st.data())
def test_any_frames_from_a_peer_raise_nothing_and_mean_the_same_in_any_slicing(
    bodies: list[bytes], data: st.DataObject
) -> None:
    peer = RawPeer()
    stream = peer.clear + peer.raw(b"".join(encode_varint(len(b)) + b for b in bodies))
    whole = connect("a").receive(stream, 0)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=10))
    connection = connect("a")
    got: list[Event] = []
    for start, end in pairwise(sorted({0, len(stream), *cuts})):
        got += connection.receive(stream[start:end], 0)
    assert list(map(repr, got)) == list(map(repr, whole))  # errors are equal to themselves only


# --- channels ----------------------------------------------------------------------------------


def test_each_side_numbers_its_own_channels() -> None:
    one, other = connect("a"), connect("b")
    third_key = b"t" * 32
    third = discovery_key(third_key)
    join(one, other)
    one.open_feed(CONTENT_KEY)
    one.open_feed(third_key)
    other.open_feed(third_key)
    other.open_feed(CONTENT_KEY)
    to_one, _ = join(one, other)
    assert to_one == [
        FeedAnnounced(third, 1, opened=True),
        FeedAnnounced(CONTENT, 2, opened=True),
    ]
    one.send(CONTENT, Have(1))
    other.send(CONTENT, Have(2))
    from_other, from_one = join(one, other)
    assert from_one == [MessageReceived(CONTENT, Have(1))]
    assert from_other == [MessageReceived(CONTENT, Have(2))]


def test_only_want_may_be_said_before_the_peer_opened_the_feed() -> None:
    connection, peer = connect("a", extensions=("x",)), RawPeer()
    connection.send(FIRST, WANT)
    for message in (
        Have(0),
        Unhave(0),
        Request(0),
        Cancel(0),
        Data(0),
        Info(uploading=True, downloading=True),
        Unwant(0, 8192),
    ):
        with pytest.raises(LocalProtocolError, match="before the peer opened"):
            connection.send(FIRST, message)
    with pytest.raises(LocalProtocolError, match="before the peer opened"):
        connection.send_extension(FIRST, "x", b"")
    with pytest.raises(LocalProtocolError, match="not open"):
        connection.send(CONTENT, WANT)
    connection.receive(peer.clear, 0)
    connection.send(FIRST, Have(0))


def test_seventeen_messages_wait_for_a_feed_and_the_next_ends_the_connection(
    connection: Connection, peer: RawPeer
) -> None:
    waiting = [Have(number) for number in range(MAX_WAITING_MESSAGES)]
    assert MAX_WAITING_MESSAGES == 17
    stream = peer.message(1, Feed(CONTENT)) + b"".join(peer.message(1, have) for have in waiting)
    assert connection.receive(stream, 0) == [FeedAnnounced(CONTENT, 1, opened=False)]
    assert "too many messages" in str(error_of(connection.receive(peer.message(1, Have(99)), 0)))


def test_what_waited_is_told_when_the_feed_is_opened(connection: Connection, peer: RawPeer) -> None:
    connection.receive(
        peer.message(1, Feed(CONTENT)) + peer.message(1, WANT) + peer.message(1, Have(3)), 0
    )
    assert connection.open_feed(CONTENT_KEY) == [
        MessageReceived(CONTENT, WANT),
        MessageReceived(CONTENT, Have(3)),
    ]
    assert connection.receive(peer.message(1, Have(4)), 0) == [MessageReceived(CONTENT, Have(4))]
    with pytest.raises(LocalProtocolError, match="already"):
        connection.open_feed(CONTENT_KEY)


def test_what_waits_on_all_channels_together_is_bounded_in_bytes(
    connection: Connection, peer: RawPeer
) -> None:
    block = Data(0, bytes(MAX_WAITING_BYTE_LENGTH // 4))
    events: list[Event] = []
    for number in range(1, 5):
        events += connection.receive(
            peer.message(number, Feed(discovery_key(key_number(number))))
            + peer.message(number, block),
            0,
        )
    error_of(events)


def test_what_is_said_about_a_feed_that_we_do_not_serve_is_dropped(
    connection: Connection, peer: RawPeer
) -> None:
    connection.receive(peer.message(1, Feed(CONTENT)) + peer.message(1, WANT), 0)
    connection.ignore_feed(CONTENT)
    for number in range(100):
        assert connection.receive(peer.message(1, Have(number)), 0) == []
    assert connection.open_feed(CONTENT_KEY) == []
    assert connection.receive(peer.message(1, Have(7)), 0) == [MessageReceived(CONTENT, Have(7))]
    connection.ignore_feed(discovery_key(key_number(9)))  # never announced: no harm


def test_no_more_than_256_feeds_are_opened(connection: Connection) -> None:
    for number in range(1, MAX_CHANNELS):
        connection.open_feed(key_number(number))
    with pytest.raises(LocalProtocolError, match="256"):
        connection.open_feed(key_number(0))


def test_a_repeated_feed_opens_the_channel_anew(connection: Connection, peer: RawPeer) -> None:
    third_key = b"t" * 32
    third = discovery_key(third_key)
    connection.open_feed(CONTENT_KEY)
    connection.receive(peer.message(1, Feed(CONTENT)), 0)
    events = connection.receive(
        peer.message(1, Have(1)) + peer.message(1, Feed(third)) + peer.message(1, Have(2)), 0
    )
    assert events == [
        MessageReceived(CONTENT, Have(1)),
        FeedClosed(CONTENT),
        FeedAnnounced(third, 1, opened=False),
    ]
    assert not connection.is_open(CONTENT)
    connection.send(CONTENT, Have(5))  # said while the event was not read yet: dropped
    connection.close_feed(CONTENT)
    connection.data_to_send(0)
    assert connection.open_feed(third_key) == [MessageReceived(third, Have(2))]
    assert connection.open_feed(CONTENT_KEY) == []
    connection.send(CONTENT, WANT)


def test_the_same_feed_announced_again_stays_open_and_is_told(
    connection: Connection, peer: RawPeer
) -> None:
    connection.open_feed(CONTENT_KEY)
    again = FeedAnnounced(CONTENT, 1, opened=True)
    assert connection.receive(peer.message(1, Feed(CONTENT)) * 1, 0) == [again]
    assert connection.receive(peer.message(1, Feed(CONTENT)), 0) == [again]
    connection.send(CONTENT, Have(1))


def test_a_closed_feeds_channel_is_used_for_the_next_one_and_so_closes_it_there() -> None:
    one, other = connect("a"), connect("b")
    third_key = b"t" * 32
    third = discovery_key(third_key)
    join(one, other)
    one.open_feed(CONTENT_KEY)
    other.open_feed(CONTENT_KEY)
    join(one, other)

    one.close_feed(CONTENT)
    other.send(CONTENT, Have(1))
    assert join(one, other) == ([], [])
    one.open_feed(third_key)
    _, learned = join(one, other)
    assert learned == [FeedClosed(CONTENT), FeedAnnounced(third, 1, opened=False)]

    other.open_feed(third_key)
    one.open_feed(CONTENT_KEY)
    other.open_feed(CONTENT_KEY)
    join(one, other)
    one.send(third, Have(2))
    other.send(CONTENT, Have(3))
    from_other, from_one = join(one, other)
    assert from_one == [MessageReceived(third, Have(2))]
    assert from_other == [MessageReceived(CONTENT, Have(3))]


def test_a_feed_closed_and_opened_again_works_on_both_sides() -> None:
    one, other = connect("a"), connect("b")
    join(one, other)
    one.open_feed(CONTENT_KEY)
    other.open_feed(CONTENT_KEY)
    join(one, other)
    one.close_feed(CONTENT)
    one.open_feed(CONTENT_KEY)
    learned_by_one, learned = join(one, other)
    assert learned == [FeedAnnounced(CONTENT, 1, opened=True)]
    assert learned_by_one == []
    other.send(CONTENT, Have(1))
    one.send(CONTENT, Have(2))
    assert join(one, other) == (
        [MessageReceived(CONTENT, Have(1))],
        [MessageReceived(CONTENT, Have(2))],
    )


def test_many_feeds_one_after_the_other_use_few_channels(connection: Connection) -> None:
    for number in range(1, 1000):
        connection.open_feed(key_number(number))
        connection.close_feed(discovery_key(key_number(number)))


def test_a_feed_is_closed_only_while_open_and_the_first_one_never(connection: Connection) -> None:
    with pytest.raises(LocalProtocolError, match="not open"):
        connection.close_feed(CONTENT)
    with pytest.raises(LocalProtocolError, match="as long as"):
        connection.close_feed(FIRST)


def test_a_feed_named_on_two_channels_is_heard_on_both(
    connection: Connection, peer: RawPeer
) -> None:
    connection.open_feed(CONTENT_KEY)
    events = connection.receive(
        peer.message(1, Feed(CONTENT))
        + peer.message(2, Feed(CONTENT))
        + peer.message(1, Have(1))
        + peer.message(2, Have(2)),
        0,
    )
    assert events[2:] == [MessageReceived(CONTENT, Have(1)), MessageReceived(CONTENT, Have(2))]
    third = discovery_key(b"t" * 32)
    assert connection.receive(peer.message(1, Feed(third)) + peer.message(2, Have(3)), 0) == [
        FeedClosed(CONTENT),
        FeedAnnounced(third, 1, opened=False),
    ]


def test_a_channel_of_a_feed_that_we_never_opened_changes_hands_without_a_word(
    connection: Connection, peer: RawPeer
) -> None:
    third_key = b"t" * 32
    connection.receive(peer.message(1, Feed(CONTENT)) + peer.message(1, WANT), 0)
    assert connection.receive(peer.message(1, Feed(discovery_key(third_key))), 0) == [
        FeedAnnounced(discovery_key(third_key), 1, opened=False)
    ]
    assert connection.open_feed(CONTENT_KEY) == []
    assert not connection.both_open(CONTENT)
    assert connection.open_feed(third_key) == []
    assert connection.both_open(discovery_key(third_key))


steps = st.lists(
    st.tuples(
        st.sampled_from(["open", "close", "say", "carry", "carry"]),
        st.booleans(),  # which side
        st.integers(1, 3),  # which feed
    ),
    max_size=60,
)


@given(steps)
def test_two_of_us_never_mix_up_feeds_however_opening_and_closing_cross(
    walk: list[tuple[str, bool, int]],
) -> None:
    sides = {False: connect("a"), True: connect("b")}
    join(sides[False], sides[True])
    on_the_way: dict[bool, list[bytes]] = {False: [], True: []}

    def flush(side: bool) -> None:
        if data := sides[side].data_to_send(0):
            on_the_way[not side].append(bytes(data))

    def carry(side: bool) -> None:
        for event in sides[side].receive(b"".join(on_the_way[side]), 0) if on_the_way[side] else []:
            match event:
                case MessageReceived(key, Have(start)):
                    assert key == discovery_key(key_number(start))
                case FeedAnnounced(key, _, opened=False):
                    sides[side].ignore_feed(key)
                case FeedAnnounced() | FeedClosed():
                    pass
                case _:
                    pytest.fail(f"{event}")
        on_the_way[side].clear()

    for step, side, number in walk:
        key = key_number(number)
        feed = discovery_key(key)
        connection = sides[side]
        match step:
            case "open" if not connection.is_open(feed):
                connection.open_feed(key)
            case "close" if connection.is_open(feed):
                connection.close_feed(feed)
            case "say" if connection.both_open(feed):
                connection.send(feed, Have(number))
            case "carry":
                carry(side)
        flush(side)

    # Once all has arrived and both open everything anew, everything can be said.
    for _ in range(3):
        for side, connection in sides.items():
            carry(side)
            for number in (1, 2, 3):
                if not connection.is_open(discovery_key(key_number(number))):
                    connection.open_feed(key_number(number))
            flush(side)
    for side in sides:
        carry(side)
    for connection in sides.values():
        for number in (1, 2, 3):
            assert connection.both_open(discovery_key(key_number(number)))


# --- time --------------------------------------------------------------------------------------


def test_a_keep_alive_goes_out_after_four_seconds_of_silence(connection: Connection) -> None:
    connection.send(FIRST, Have(1))
    connection.data_to_send(1)
    assert connection.next_timeout() == 1 + KEEP_ALIVE_S
    assert connection.on_timeout(1 + KEEP_ALIVE_S - 0.1) == []
    assert connection.data_to_send(1) == b""
    assert connection.on_timeout(1 + KEEP_ALIVE_S) == []
    assert len(connection.data_to_send(1 + KEEP_ALIVE_S)) == 1
    assert connection.next_timeout() == REMOTE_TIMEOUT_S


def test_what_waits_to_be_sent_makes_a_keep_alive_needless(connection: Connection) -> None:
    connection.send(FIRST, Have(1))
    queued = connection.queued_byte_length
    assert queued == 4
    assert connection.on_timeout(KEEP_ALIVE_S) == []
    assert connection.queued_byte_length == queued
    assert connection.next_timeout() > KEEP_ALIVE_S


def test_two_connections_keep_each_other_alive() -> None:
    one, other = connect("a"), connect("b")
    join(one, other)
    now = 0.0
    while now < 60:
        now = min(one.next_timeout(), other.next_timeout())
        assert one.on_timeout(now) == []
        assert other.on_timeout(now) == []
        assert join(one, other, now) == ([], [])
        assert one.received_at >= now - REMOTE_TIMEOUT_S


def test_a_peer_that_is_silent_for_too_long_is_given_up(
    connection: Connection, peer: RawPeer
) -> None:
    connection.receive(peer.raw(b"\x00"), 3)
    assert connection.on_timeout(3 + REMOTE_TIMEOUT_S - 0.1) == []
    assert "silent" in str(error_of(connection.on_timeout(3 + REMOTE_TIMEOUT_S)))


def test_a_peer_that_never_names_a_feed_is_given_up() -> None:
    acceptor = connect("b", key=None)
    for now in (3.0, 6.0, 9.0):
        assert acceptor.receive(b"\x00", now) == []
        assert acceptor.on_timeout(now) == []
    assert acceptor.next_timeout() == OPENING_TIMEOUT_S
    assert "no feed" in str(error_of(acceptor.on_timeout(OPENING_TIMEOUT_S)))


def test_an_acceptor_without_a_key_cannot_send_keep_alives() -> None:
    acceptor = connect("b", key=None)
    assert acceptor.on_timeout(KEEP_ALIVE_S) == []
    assert acceptor.data_to_send(KEEP_ALIVE_S) == b""


# --- ending ------------------------------------------------------------------------------------


def test_after_close_the_queue_may_be_sent_and_everything_else_does_nothing(
    connection: Connection,
) -> None:
    connection.send(FIRST, Have(1))
    connection.close()
    connection.send(FIRST, Have(2))
    connection.send_extension(FIRST, "aaa", b"")
    connection.close_feed(FIRST)
    assert connection.open_feed(CONTENT_KEY) == []
    assert connection.accept(KEY) == []
    assert len(connection.data_to_send(0)) == 4
    assert connection.receive(b"x", 0) == []


def test_blocks_cross_unchanged() -> None:
    one, other = connect("a"), connect("b")
    join(one, other)
    nodes = (ProofNode(2, b"h" * 32, 65536), ProofNode(5, b"i" * 32, 2**40))
    blocks = [Data(number, bytes((number,)) * 65536, nodes, b"s" * 64) for number in range(20)]
    for block in blocks:
        one.send(FIRST, block)
    assert one.queued_byte_length > 20 * 65536
    _, learned = join(one, other)
    assert learned == [MessageReceived(FIRST, block) for block in blocks]
    assert one.queued_byte_length == 0
