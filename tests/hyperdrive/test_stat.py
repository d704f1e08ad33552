from __future__ import annotations

import contextlib
import stat as posix
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datfs.encoding.protobuf import bytes_field, uint_field
from datfs.errors import EncodingError
from datfs.hyperdrive.stat import MAX_TIME_MS, Stat, decode_stat, encode_stat
from tests import vectors

FIELDS = {
    "mode": "mode",
    "uid": "uid",
    "gid": "gid",
    "size": "size",
    "blocks": "blocks",
    "offset": "offset",
    "byteOffset": "byte_offset",
    "mtime": "mtime_ms",
    "ctime": "ctime_ms",
}
VECTORS = vectors.load("protobufs.json")["stats"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["fields"])[:40])
def test_decodes_what_javascript_wrote(vector: dict[str, Any]) -> None:
    decoded = decode_stat(bytes.fromhex(vector["encoded"]))
    assert decoded == Stat(**{FIELDS[name]: n for name, n in vector["decoded"].items()})


@pytest.mark.parametrize(
    "vector", [v for v in VECTORS if len(v["fields"]) > 1], ids=lambda v: str(v["fields"])[:40]
)
def test_writes_the_bytes_that_hyperdrive_writes(vector: dict[str, Any]) -> None:
    stat = Stat(**{FIELDS[name]: n for name, n in vector["fields"].items()})
    assert encode_stat(stat).hex() == vector["encoded"]


@given(st.builds(Stat, **{name: st.integers(0, 2**53 - 1) for name in FIELDS.values()}))
def test_every_file_survives_the_round_trip(stat: Stat) -> None:
    if not stat.is_directory:
        assert decode_stat(encode_stat(stat)) == stat


@given(st.binary(max_size=64))
def test_any_bytes_decode_or_say_that_they_do_not(encoded: bytes) -> None:
    with contextlib.suppress(EncodingError):
        decode_stat(encoded)


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 2**53 - 1)), max_size=12),
    st.integers(0, 4),
)
def test_fields_in_any_order_mean_the_same_beside_an_unknown_one(
    fields: list[tuple[int, int]], place: int
) -> None:
    encoded = [uint_field(1, 0o100644), *(uint_field(*field) for field in fields)]
    plain = b"".join(encoded)
    encoded.insert(place, uint_field(17, 3))
    assert decode_stat(plain) == decode_stat(b"".join(encoded))


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        uint_field(4, 7),
        bytes_field(1, b"x"),
        b"\x08",
        b"\x08" + b"\xff" * 9 + b"\x01",
    ],
    ids=["empty", "no mode", "mode is a string", "cut", "64 bits"],
)
def test_wrong_stats_are_refused(encoded: bytes) -> None:
    with pytest.raises(EncodingError):
        decode_stat(encoded)


def test_unknown_fields_are_skipped() -> None:
    assert decode_stat(uint_field(1, 0o100600) + uint_field(17, 3)) == Stat(mode=0o100600)


@pytest.mark.parametrize(
    "mode",
    [
        0o644,
        posix.S_IFBLK | 0o644,
        posix.S_IFCHR | 0o644,
        posix.S_IFIFO | 0o644,
        posix.S_IFSOCK | 0o644,
        posix.S_IFLNK | 0o644,
        0o150644,
        2**50 | 0o644,
    ],
)
def test_what_is_no_directory_shows_as_a_regular_file(mode: int) -> None:
    stat = Stat(mode=mode, size=5)
    assert not stat.is_directory
    assert stat.tamed(foreign=False) == Stat(mode=0o100644, size=5)


def test_setuid_and_setgid_of_others_are_dropped_and_ones_own_kept() -> None:
    stat = Stat(mode=0o106755)
    assert stat.tamed(foreign=True).mode == 0o100755
    assert stat.tamed(foreign=False).mode == 0o106755
    assert Stat(mode=0o043777).tamed(foreign=True).mode == 0o041777


def test_absurd_times_and_directory_sizes_are_cut() -> None:
    absurd = Stat(mode=0o040755, size=2**52, mtime_ms=2**53 - 1, ctime_ms=2**53 - 1)
    tame = absurd.tamed(foreign=True)
    assert tame.size == 0
    assert tame.mtime_ms == tame.ctime_ms == MAX_TIME_MS
    assert MAX_TIME_MS * 1_000_000 < 2**63
