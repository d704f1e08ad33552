from __future__ import annotations

import pytest

from datfs.errors import LocalProtocolError
from datfs.wire.extensions import Extensions, sort_names
from datfs.wire.handshake import HandshakeOptions


def test_names_are_sorted_as_javascript_sorts_strings_and_once_each() -> None:
    # U+1F600 is D83D DE00 in UTF-16, before U+FF5E; by code point it would come after.
    assert sort_names(["~", "b", "\uff5e", "a", "\U0001f600", "b"]) == (
        "a",
        "b",
        "~",
        "\U0001f600",
        "\uff5e",
    )


def test_each_direction_counts_in_the_senders_own_list() -> None:
    extensions = Extensions(("aaa", "session-data"))
    assert extensions.local_index("session-data") == 1
    assert extensions.remote_name(0) is None  # nothing is known before the handshake
    extensions.set_remote(("session-data", "zzz"))
    assert extensions.remote_name(0) == "session-data"
    assert extensions.remote_name(1) is None  # we do not speak it
    assert extensions.remote_name(2) is None
    assert extensions.remote_supports("session-data")
    assert not extensions.remote_supports("aaa")
    assert not extensions.remote_supports("zzz")


def test_an_extension_that_was_not_declared_cannot_be_sent() -> None:
    with pytest.raises(LocalProtocolError, match="session-data"):
        Extensions(("aaa",)).local_index("session-data")


def test_a_handshake_sorts_its_extensions_and_checks_its_id() -> None:
    options = HandshakeOptions(id=bytes(32), extensions=("session-data", "aaa"))
    assert options.message().extensions == ("aaa", "session-data")
    with pytest.raises(ValueError, match="31"):
        HandshakeOptions(id=bytes(31))
