from __future__ import annotations

import pytest

from datfs.errors import NotYours
from datfs.lobby.names import (
    BEACON_NAME,
    SignalKind,
    SignalName,
    answer_name,
    check_writable,
    offer_name,
    owner_of,
    parse_signal_name,
    writer_name,
)

ME = bytes(range(32))
HASH = ME.hex()


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("host.offer.bin", SignalName(SignalKind.BEACON)),
        (f"{HASH}.offer.bin", SignalName(SignalKind.OFFER, ME)),
        (f"{HASH}.answer.bin", SignalName(SignalKind.ANSWER, ME)),
        (f".writers/{HASH}", SignalName(SignalKind.WRITER, ME)),
        (f"{HASH.upper()}.offer.bin", None),
        (f"{HASH}.offer.bin~", None),
        (f"{HASH}.offer.bin/x", None),
        (f"x/{HASH}.offer.bin", None),
        (f"{HASH[1:]}.offer.bin", None),
        (f".writers/{HASH}\n", None),
        ("readme.txt", None),
    ],
)
def test_what_a_name_means(name: str, meaning: SignalName | None) -> None:
    assert parse_signal_name(name) == meaning
    if meaning is not None:
        assert str(meaning) == name


def test_names_are_made_as_they_are_read() -> None:
    for name in (offer_name(ME), answer_name(ME), writer_name(ME), BEACON_NAME):
        assert str(parse_signal_name(name)) == name


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("host.offer.bin", None),
        (f"{HASH}.answer.bin", None),
        ("x.answer.bin", None),
        (f"{HASH}.x.answer.bin", None),
        ("readme", None),
        (f"docs/{HASH}.offer.bin", None),
        (f"{HASH.upper()}.offer.bin", None),
        (f"{HASH}x", None),
        (f"x{HASH}.offer.bin", None),
        (f".writers/{HASH}", None),
        (f"{HASH}.offer.bin", ME),
        (f"{HASH}.\n", ME),
        (f"{HASH}.notes/a", ME),
        (f"{HASH}/a/b", ME),
        (f"{HASH}/x.answer.bin", ME),
        (HASH, ME),
    ],
)
def test_who_owns_a_path(path: str, owner: bytes | None) -> None:
    assert owner_of(path) == owner


def test_each_writes_what_is_theirs_and_nothing_else() -> None:
    check_writable(f"{HASH}.offer.bin", writer=ME)
    check_writable(f"{HASH}/photo.jpg", writer=ME)
    check_writable("readme", writer=None)
    with pytest.raises(NotYours, match="belongs to the host"):
        check_writable(f"{HASH}.answer.bin", writer=ME)
    with pytest.raises(NotYours, match=f"belongs to the guest {HASH}"):
        check_writable(f"{HASH}.offer.bin", writer=b"\x00" * 32)
    with pytest.raises(NotYours, match=f"belongs to the guest {HASH}"):
        check_writable(f"{HASH}/a", writer=None)


@pytest.mark.parametrize("path", ["new-offer", "state", "peers/x", ".writers", ".writers/x"])
def test_nobody_writes_what_the_daemon_keeps(path: str) -> None:
    for writer in (None, ME):
        with pytest.raises(NotYours, match="kept by datfs"):
            check_writable(path, writer=writer)
