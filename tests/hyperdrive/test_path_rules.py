from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datfs.errors import InvalidPath, NameNotUtf8, NameTooLong
from datfs.hyperdrive.path_rules import check_name, is_visible, split_path


@pytest.mark.parametrize(
    "name", ["a", ".hidden", "..twodots", "...", "with space", "naïve", "e\u0301", "😀" * 63, "~"]
)
def test_names_that_anyone_may_make(name: str) -> None:
    assert check_name(name.encode()) == name
    assert is_visible(name)


@pytest.mark.parametrize(
    "name",
    [b"", b".", b"..", b"a/b", b"/", b"..\\a", b"a\\b", b"a\0", b"a\nb", b"\x1b[2J", b"\x7f"],
)
def test_names_that_nobody_may_make(name: bytes) -> None:
    with pytest.raises(InvalidPath) as caught:
        check_name(name)
    assert type(caught.value) is InvalidPath


@pytest.mark.parametrize("name", [b"\xff", b"a\xed\xa0\x80", b"\xc0\xae\xc0\xae"])
def test_names_that_are_not_utf8(name: bytes) -> None:
    with pytest.raises(NameNotUtf8):
        check_name(name)


def test_the_longest_name() -> None:
    assert check_name(b"x" * 255) == "x" * 255
    with pytest.raises(NameTooLong):
        check_name(b"x" * 256)
    with pytest.raises(NameTooLong):
        check_name("é".encode() * 128)


@pytest.mark.parametrize("component", ["", ".", "..", "a\0b", "\0", "a/b", "x" * 256, "é" * 128])
def test_what_an_archive_cannot_put_into_a_directory(component: str) -> None:
    assert not is_visible(component)


@pytest.mark.parametrize("component", ["back\\slash", "line\nbreak", "\x1b[2J", "C:", "é" * 127])
def test_odd_names_of_others_are_shown(component: str) -> None:
    assert is_visible(component)


@given(st.binary(max_size=300))
def test_what_may_be_made_can_be_shown(name: bytes) -> None:
    try:
        text = check_name(name)
    except InvalidPath:
        return
    assert is_visible(text)
    assert split_path("/" + text) == (text,)


def test_paths_split_into_components() -> None:
    assert split_path("/") == ()
    assert split_path("/a/b.c") == ("a", "b.c")


@pytest.mark.parametrize(
    "path",
    ["", "a", "//", "/a/", "//a", "/a//b", "/.", "/a/..", "/../etc/passwd", "/a/../../b", "/a\0"],
)
def test_every_spelling_of_an_escape_is_refused(path: str) -> None:
    with pytest.raises(InvalidPath):
        split_path(path)


def test_bytes_that_the_kernel_could_not_decode_are_no_crash() -> None:
    assert split_path("/\udcff" + "x" * 200) == ("\udcff" + "x" * 200,)
