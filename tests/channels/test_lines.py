from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from datfs.channels.lines import LineDecoder, encode_line


def decoded(*pieces: bytes, limit: int = 64 * 1024) -> list[str]:
    decoder = LineDecoder(limit)
    return [message for piece in pieces for message in decoder.feed(piece)] + decoder.finish()


def test_several_writes_that_arrive_as_one_read_are_several_messages() -> None:
    assert decoded(b"one\ntwo\n\nfour\n") == ["one", "two", "", "four"]


def test_a_last_line_without_newline_waits_until_its_writers_have_gone() -> None:
    decoder = LineDecoder()
    assert decoder.feed(b"done\nnot yet") == ["done"]
    assert decoder.finish() == ["not yet"]
    assert decoder.finish() == []


def test_a_line_of_just_the_limit_stays_whole_and_a_longer_one_is_cut() -> None:
    assert decoded(b"x" * 10 + b"\n", limit=10) == ["x" * 10]
    assert decoded(b"x" * 25 + b"\n", limit=10) == ["x" * 10, "x" * 10, "x" * 5]


def test_a_cut_never_splits_a_character() -> None:
    assert decoded("aé€𝄞".encode() * 50 + b"\n", limit=7) != []
    assert "".join(decoded("aé€𝄞".encode() * 50 + b"\n", limit=7)) == "aé€𝄞" * 50


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert decoded(b"\xff\xfe\n") == ["\ufffd\ufffd"]


@given(
    st.lists(st.text(st.characters(exclude_characters="\n", codec="utf-8"), max_size=40)),
    st.data(),
    st.integers(4, 50),
)
def test_any_slicing_gives_the_same_text(lines: list[str], data: st.DataObject, limit: int) -> None:
    stream = b"".join(encode_line(line) for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    bounds = [0, *cuts, len(stream)]
    sliced = [stream[a:b] for a, b in itertools.pairwise(bounds)]
    messages = decoded(*sliced, limit=limit)
    assert messages == decoded(stream, limit=limit)
    assert all(len(message.encode()) <= limit for message in messages)
    assert "".join(messages) == "".join(lines)
