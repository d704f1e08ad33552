from __future__ import annotations

from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datfs.encoding.protobuf import bytes_field, uint_field
from datfs.encoding.varint import encode_varint
from datfs.errors import EncodingError
from datfs.hyperdrive.append_tree import (
    MAX_NAME_BYTE_LENGTH,
    Node,
    count_lists,
    decode_list,
    decode_node,
    encode_node,
    join_name,
    split_name,
)
from tests import vectors

SCRIPTS = vectors.load("append-tree.json")["scripts"]
STEPS = [(script["name"], step) for script in SCRIPTS for step in script["steps"]]


@pytest.mark.parametrize(("script", "step"), STEPS, ids=lambda value: str(value)[:24])
def test_entries_of_javascript(script: str, step: dict[str, Any]) -> None:
    block = bytes.fromhex(step["entry"])
    node = decode_node(block)
    assert node.name == step["name"], script
    assert (node.value.hex() if node.value else None) == (step["value"] or None)
    assert node.paths.hex() == step["paths"]
    assert encode_node(node) == block
    assert count_lists(node.paths) == len(step["index"])
    for level, members in enumerate([*step["index"], [], []]):
        assert decode_list(node.paths, step["seq"], level) == members


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"garbage",
        bytes_field(2, b"x") + bytes_field(3, b"\x01"),
        bytes_field(1, b"/\xff"),
        uint_field(1, 5),
        bytes_field(1, b"/a")[:-1],
        bytes_field(1, b"/" + b"a" * MAX_NAME_BYTE_LENGTH),
    ],
    ids=["empty", "garbage", "no name", "not UTF-8", "number", "cut", "long"],
)
def test_what_is_no_entry_is_refused(block: bytes) -> None:
    with pytest.raises(EncodingError):
        decode_node(block)


@pytest.mark.parametrize(
    ("name", "components"),
    [
        ("/a/b", ("a", "b")),
        ("a/b/", ("a", "b")),
        ("/", ()),
        ("", ()),
        ("/a//b", ("a", "", "b")),
        ("//a", ("", "a")),
        ("/../a", ("..", "a")),
    ],
)
def test_names_split_as_append_tree_splits_them(name: str, components: tuple[str, ...]) -> None:
    assert split_name(name) == components


def test_names_join() -> None:
    assert join_name(()) == "/"
    assert join_name(("a", "b")) == "/a/b"


@pytest.mark.parametrize(
    "paths",
    [b"", b"\x00\x02\x01", b"\x01\xff\xff\xff\x7f", b"\x00\x02\x01\x00", b"\x00\x01\x0b"],
    ids=["empty", "cut", "a bomb", "does not ascend", "past the entry"],
)
def test_wrong_paths_are_refused(paths: bytes) -> None:
    with pytest.raises(EncodingError):
        decode_list(paths, 10, 0)


def test_counting_refuses_cut_lists_without_reading_them() -> None:
    with pytest.raises(EncodingError):
        count_lists(b"\x00\x03\x01\x01")
    with pytest.raises(EncodingError):
        count_lists(b"\x00\x01\x81")


@given(st.lists(st.lists(st.integers(1, 2**40), max_size=40), max_size=6))
def test_counting_agrees_with_decoding(lists: list[list[int]]) -> None:
    paths = b"\x00" + b"".join(
        encode_varint(len(differences)) + b"".join(map(encode_varint, differences))
        for differences in lists
    )
    assert count_lists(paths) == len(lists)
    for level, differences in enumerate(lists):
        assert decode_list(paths, 2**50, level) == list(accumulate(differences))


@given(st.text(), st.none() | st.binary(), st.binary())
def test_nodes_survive_the_round_trip(name: str, value: bytes | None, paths: bytes) -> None:
    if len(name.encode()) <= MAX_NAME_BYTE_LENGTH:
        node = Node(name=name, value=value, paths=paths)
        assert decode_node(encode_node(node)) == node
