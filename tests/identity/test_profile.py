from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datfs.errors import InvalidDocument
from datfs.identity.profile import Profile, parse_profile, with_friend, without_friend

KEY = bytes(range(32))
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@given(
    NAMES,
    st.integers(0, 2**53 - 1),
    st.lists(st.binary(min_size=32, max_size=32), unique=True),
)
def test_what_is_encoded_is_parsed_again(name: str, created_ms: int, friends: list[bytes]) -> None:
    profile = Profile(name=name, created_ms=created_ms, friends=tuple(friends))
    assert parse_profile(profile.encode()) == profile


def test_the_outline_s_example_with_friends_in_every_spelling() -> None:
    written = {
        "name": "Sam",
        "created": 1509818932375,
        "friends": [f"dat://{KEY.hex()}/", KEY.hex(), f"dat://{'ab' * 32}"],
    }
    profile = parse_profile(json.dumps(written).encode())
    assert profile.friends == (KEY, b"\xab" * 32)


def test_unknown_fields_are_left_alone() -> None:
    assert parse_profile(b'{"name": "Sam", "created": 0, "bio": [1]}').name == "Sam"


def test_the_file_is_readable_and_ends_with_a_newline() -> None:
    text = Profile(name="Zoë", created_ms=5).encode().decode()
    assert text == '{\n  "name": "Zoë",\n  "created": 5\n}\n'


@pytest.mark.parametrize(
    ("text", "where", "mistake"),
    [
        (b"", "line 1, column 1", "no JSON"),
        (b'{\n "name": "Sam"\n "created": 1}', "line 3, column 2", "no JSON"),
        (b'["Sam"]', "line 1", "object"),
        (b'{"name": "\xff"}', "line 1", "UTF-8"),
        (b'{\n"name": 3, "created": 1}', "line 2, field name", "text, not 3"),
        (b'{"name": " ", "created": 1}', "line 1, field name", "must be a text"),
        (b'{"name": "\\ud800", "created": 1}', "line 1, field name", "surrogate"),
        (b'{"name": "Sam"}', "field created", "is missing"),
        (b'{"name": "Sam",\n"created": true}', "line 2, field created", "whole number from 0"),
        (b'{"name": "Sam", "created": 1.5}', "line 1, field created", "not 1.5"),
        (b'{"name": "Sam", "created": -1}', "line 1, field created", "not -1"),
        (b'{"name": "Sam", "created": NaN}', "a number", "NaN"),
        (b'{"name": "Sam", "created": ' + b"1" * 9999 + b"}", "a number", "digits"),
        (b"[" * 100_000, "brackets", "deeply"),
        (b'{"name": "Sam", "created": 1, "friends": {}}', "line 1, field friends", "list"),
        (b'{"name": "Sam", "created": 1, "friends": [1]}', "line 1, field friends", "entry 1"),
        (b'{"name":"S","created":1,\n"friends": ["dat://x"]}', "line 2, field friends", "Dat URL"),
        (b" " * (1024 * 1024 + 1), "size", "1048577"),
    ],
)
def test_mistakes_are_named_with_their_place(text: bytes, where: str, mistake: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        parse_profile(text)
    assert caught.value.where == where
    assert mistake in str(caught.value)
    assert str(caught.value).startswith("profile.json, ")


def test_the_line_is_that_of_the_field_and_not_of_the_same_word_elsewhere() -> None:
    text = b'{"name": "created",\n "x": {"created":\n 1}, "y": ["created"],\n\n "created": "now"}'
    with pytest.raises(InvalidDocument) as caught:
        parse_profile(text)
    assert caught.value.where == "line 5, field created"


def test_friends_come_and_go_and_the_rest_stays_as_it_was_written() -> None:
    text = b'{"motto": "x", "name": "S", "created": 1}'
    more = with_friend(text, KEY)
    assert json.loads(more) == json.loads(text) | {"friends": [f"dat://{KEY.hex()}"]}
    assert with_friend(more, KEY) == more
    assert json.loads(without_friend(more, KEY)) == json.loads(text) | {"friends": []}
    assert without_friend(text, KEY) == text
    with pytest.raises(InvalidDocument):
        with_friend(b'{"name": "S"}', KEY)
