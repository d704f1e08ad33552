from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datfs.identity.friends import friend_links, link_name

A = bytes.fromhex("aa" * 32)
B = bytes.fromhex("bb" * 32)
C = bytes.fromhex("aaaaaaaa" + "cc" * 28)
KEYS = st.binary(min_size=32, max_size=32)


def test_a_friend_is_named_by_profile_and_by_key_until_it_was_seen() -> None:
    assert friend_links([A, B], {A: "Sam"}) == {"Sam": A, B.hex(): B}


def test_equal_names_both_get_their_key_s_beginning() -> None:
    assert friend_links([A, B], {A: "Sam", B: "Sam"}) == {"Sam (aaaaaaaa)": A, "Sam (bbbbbbbb)": B}


def test_equal_names_and_equal_beginnings_fall_back_to_keys() -> None:
    assert friend_links([A, C], {A: "Sam", C: "Sam"}) == {A.hex(): A, C.hex(): C}


def test_nobody_takes_over_a_link_by_choosing_another_s_suffix() -> None:
    links = friend_links([A, B, C], {A: "Sam", B: "Sam", C: "Sam (bbbbbbbb)"})
    assert links == {"Sam (aaaaaaaa)": A, B.hex(): B, C.hex(): C}


@pytest.mark.parametrize(
    ("name", "link"),
    [
        ("../../etc/passwd", "_._.._etc_passwd"),
        (".", "_"),
        ("..", "_."),
        ("a\\b", "a_b"),
        ("a\0b\x1b[31m\n c", "ab[31m c"),
        ("\u202egpj.exe", "gpj.exe"),
        ("Zoe\u0308", "Zoë"),
        ("\u200b \t", None),
        ("aB" * 32, None),
        ("é" * 200, "é" * 122),
    ],
)
def test_names_become_safe_path_components(name: str, link: str | None) -> None:
    assert link_name(name) == link


@given(st.dictionaries(KEYS, st.text()))
def test_every_friend_gets_one_safe_name(names: dict[bytes, str]) -> None:
    links = friend_links(list(names), names)
    assert sorted(links.values()) == sorted(names)
    for link in links:
        assert link not in {"", ".", ".."}
        assert "/" not in link
        assert "\0" not in link
        assert len(link.encode()) <= 255
