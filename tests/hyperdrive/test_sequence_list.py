from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from datfs.encoding.varint import decode_varint
from datfs.hyperdrive.sequence_list import CHUNK_LENGTH, EncodedList, SequenceList


def decoded(encoded: EncodedList) -> list[int]:
    numbers: list[int] = []
    offset = 0
    while offset < len(encoded.differences):
        difference, offset = decode_varint(encoded.differences, offset)
        numbers.append(difference + (numbers[-1] if numbers else 0))
    assert encoded.length == len(numbers)
    assert encoded.last == (numbers[-1] if numbers else 0)
    return numbers


def test_an_empty_list() -> None:
    assert SequenceList().encode() == EncodedList(0, b"", 0)
    assert SequenceList().encode().with_last(300) == EncodedList(1, b"\xac\x02", 300)


def test_a_list_of_many_chunks() -> None:
    members = SequenceList()
    numbers = list(range(5, 5 + 3 * 10 * CHUNK_LENGTH, 3))
    for number in numbers:
        members.append(number)
    assert decoded(members.encode()) == numbers
    for gone in (numbers[0], numbers[CHUNK_LENGTH], numbers[2000], numbers[-1]):
        assert decoded(members.encode(without=gone)) == [n for n in numbers if n != gone]
    assert len(members) == len(numbers)


@given(st.lists(st.tuples(st.integers(1, 400), st.none() | st.integers(0, 10**6)), max_size=900))
def test_it_is_a_plain_list_in_other_clothes(steps: list[tuple[int, int | None]]) -> None:
    members = SequenceList()
    model: list[int] = []
    last = 0
    for step, (difference, removed) in enumerate(steps):
        if removed is not None and model:
            gone = model.pop(removed % len(model))
            if step % 7 == 0:
                assert decoded(members.encode(without=gone)) == model
            members.remove(gone)
        last += difference
        members.append(last)
        model.append(last)
        if step % 50 == 0:
            assert decoded(members.encode()) == model
    assert decoded(members.encode()) == model
    for gone in model:
        members.remove(gone)
    assert len(members) == 0
    assert decoded(members.encode()) == []


def test_chunks_that_empty_vanish() -> None:
    members = SequenceList()
    numbers = list(range(1, 3 * CHUNK_LENGTH))
    for number in numbers:
        members.append(number)
    for number in numbers[CHUNK_LENGTH:]:
        members.remove(number)
    assert decoded(members.encode()) == numbers[:CHUNK_LENGTH]
    members.append(10_000)
    assert decoded(members.encode()) == [*numbers[:CHUNK_LENGTH], 10_000]
