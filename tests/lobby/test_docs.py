"""docs/lobby.md says what the code does: its tables and its example are made here and compared."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from datfs.crypto.keys import KeyPair
from datfs.lobby.join import make_join
from datfs.lobby.machine import GUEST_TABLE, HOST_TABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

StateT = TypeVar("StateT", bound=str)
InputT = TypeVar("InputT", bound=str)

DOCUMENT = Path(__file__).parents[2] / "docs" / "lobby.md"

IDENTITY = KeyPair.from_seed(bytes.fromhex("01" * 32))
LOBBY = bytes.fromhex("02" * 32)
WRITER = bytes.fromhex("03" * 32)
RECEIVER = bytes.fromhex("04" * 32)


def section(name: str) -> str:
    """Return what stands between the two marks of that name."""
    text = DOCUMENT.read_text()
    found = re.search(f"<!-- {name} -->\n(.*?)\n<!-- end of {name} -->", text, re.DOTALL)
    assert found is not None, f"docs/lobby.md has no section marked {name}"
    return found[1].strip("\n")


def drawn(table: Mapping[StateT, Mapping[InputT, tuple[StateT, Sequence[str]]]]) -> str:
    lines = ["| state | input | next state | then |", "|---|---|---|---|"]
    for state, row in table.items():
        for happened, (following, outputs) in row.items():
            lines.append(f"| {state} | {happened} | {following} | {', '.join(outputs)} |")
    return "\n".join(lines)


def example() -> str:
    join = make_join(IDENTITY, writer=WRITER, lobby_key=LOBBY, receiver_id=RECEIVER)
    signed = b"datfs lobby join 1" + LOBBY + WRITER + RECEIVER
    parts = [
        ("identity seed", IDENTITY.secret_key[:32]),
        ("identity key", IDENTITY.public_key),
        ("lobby key", LOBBY),
        ("writer key", WRITER),
        ("receiver's handshake id", RECEIVER),
        ("signed text (114 bytes)", signed),
        ("payload (138 bytes)", join.encode()),
    ]
    lines = ["```"]
    for name, value in parts:
        digits = value.hex()
        lines.append(f"{name}:")
        lines += [f"    {digits[start : start + 64]}" for start in range(0, len(digits), 64)]
    return "\n".join([*lines, "```"])


def test_the_host_s_table_is_that_of_the_machine() -> None:
    assert section("host table") == drawn(HOST_TABLE)


def test_the_guest_s_table_is_that_of_the_machine() -> None:
    assert section("guest table") == drawn(GUEST_TABLE)


def test_the_worked_example_of_a_join_is_true() -> None:
    assert section("join example") == example()
