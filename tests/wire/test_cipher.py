from __future__ import annotations

from datfs.crypto.xsalsa20 import XSalsa20
from datfs.wire.cipher import IncomingStream, OutgoingStream

KEY = b"k" * 32
NONCE = b"n" * 24


def test_the_clear_frame_goes_first_and_the_key_stream_begins_behind_it() -> None:
    outgoing = OutgoingStream()
    outgoing.start(b"\x05clear", key=KEY, nonce=NONCE)
    outgoing.append(b"\x03", b"abc")
    assert outgoing.queued_byte_length == 10
    first = bytes(outgoing.take())
    outgoing.append(b"\x00")
    second = bytes(outgoing.take())

    assert first[:6] == b"\x05clear"
    assert XSalsa20(KEY, NONCE).process(first[6:] + second) == b"\x03abc\x00"
    assert outgoing.queued_byte_length == 0
    assert outgoing.take() == b""


def test_what_came_behind_the_clear_frame_is_decrypted_once_the_key_is_known() -> None:
    encrypted = XSalsa20(KEY, NONCE).process(b"\x03abc\x02de")
    incoming = IncomingStream()
    incoming.append(b"\x05clear" + encrypted[:2])
    clear = incoming.next_frame()
    assert clear is not None
    assert bytes(clear) == b"clear"
    incoming.append(encrypted[2:5])
    incoming.start(key=KEY, nonce=NONCE)
    incoming.append(encrypted[5:])
    frames = [incoming.next_frame(), incoming.next_frame(), incoming.next_frame()]
    assert [frame and bytes(frame) for frame in frames] == [b"abc", b"de", None]
