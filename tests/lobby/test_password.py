from __future__ import annotations

import pytest

from datfs.errors import InvalidPassword
from datfs.lobby.password import PASSWORD_LIMIT_BYTES, parse_password, side_name


@pytest.mark.parametrize(
    ("written", "password"),
    [
        (b"secret\n", b"secret"),
        (b"secret\r\n", b"secret"),
        (b"secret", b"secret"),
        (b" two words \n", b" two words "),
        ("caf\u00e9".encode(), "caf\u00e9".encode()),
        ("cafe\u0301".encode(), "caf\u00e9".encode()),
        (b"x" * PASSWORD_LIMIT_BYTES, b"x" * PASSWORD_LIMIT_BYTES),
    ],
)
def test_a_password_is_the_line_that_was_written(written: bytes, password: bytes) -> None:
    assert parse_password(written) == password
    assert parse_password(password) == password


@pytest.mark.parametrize(
    "written",
    [b"", b"\n", b"\r\n", b"\xff", b"a\nb", b"a\n\n", b"a\0b", b"x" * (PASSWORD_LIMIT_BYTES + 1)],
)
def test_what_cannot_be_a_password(written: bytes) -> None:
    with pytest.raises(InvalidPassword):
        parse_password(written)


def test_a_side_is_named_by_who_where_and_over_which_connection() -> None:
    name = side_name(b"i" * 32, b"l" * 32, b"f" * 32)
    assert name == b"i" * 32 + b"l" * 32 + b"f" * 32
