"""docs/lobby.md says what the code does: its tables and its example are made here and compared."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from datfs.app.lobbies.lobby_log import CLEAR_AFTER_S
from datfs.crypto.keys import KeyPair
from datfs.lobby.join import make_join
from datfs.lobby.log_carrier import LogCarrier
from datfs.lobby.log_reading import GUEST_LIMITS, HOST_LIMITS
from datfs.lobby.log_records import (
    ENVELOPE_LIMIT_BYTES,
    Position,
    Record,
    RecordKind,
    encode_log_header,
)
from datfs.lobby.machine import GUEST_TABLE, HOST_TABLE
from datfs.lobby.writers import WriterRecord
from tests.lobby.memory_log import MemoryLog

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
    return "\n".join(shown(parts))


def shown(parts: Sequence[tuple[str, bytes]]) -> list[str]:
    lines = ["```"]
    for name, value in parts:
        digits = value.hex()
        lines.append(f"{name}:")
        lines += [f"    {digits[start : start + 64]}" for start in range(0, len(digits), 64)]
    return [*lines, "```"]


def log_example() -> str:
    """The blocks of a short story, and the lines that stand for them."""
    host, guest, identity = LOBBY, WRITER, IDENTITY.public_key
    story = [
        (host, Record(kind=RecordKind.HOST, signal=b"{beacon}")),
        (host, Record(kind=RecordKind.WRITER, guest=identity, signal=WriterRecord(guest).encode())),
        (
            guest,
            Record(
                kind=RecordKind.OFFER, guest=identity, cause=Position(host, 1), signal=b"{offer}"
            ),
        ),
        (
            host,
            Record(
                kind=RecordKind.ANSWER, guest=identity, cause=Position(guest, 1), signal=b"{answer}"
            ),
        ),
        (guest, Record(kind=RecordKind.GONE, guest=identity, cause=Position(guest, 1))),
    ]
    logs = {key: MemoryLog(key) for key in (host, guest)}
    parts = [
        ("host's log (the lobby's key)", host),
        ("guest's log", guest),
        ("guest's identity key", identity),
        ("host, guest 0, the header", encode_log_header()),
    ]
    for key, record in story:
        name = "host" if key == host else "guest"
        parts.append(
            (f"{name} {logs[key].append(record)}, {record.kind.name.lower()}", record.encode())
        )
    carrier = LogCarrier(logs[host], open_log=logs.get)
    carrier.update()
    order = ", ".join(
        f"{'host' if position.log == host else 'guest'} {position.sequence}"
        for position, _ in carrier.entries()
    )
    return "\n".join([*shown(parts)[:-1], f"order: {order}", "```"])


def test_the_host_s_table_is_that_of_the_machine() -> None:
    assert section("host table") == drawn(HOST_TABLE)


def test_the_guest_s_table_is_that_of_the_machine() -> None:
    assert section("guest table") == drawn(GUEST_TABLE)


def test_the_worked_example_of_a_join_is_true() -> None:
    assert section("join example") == example()


def test_the_worked_example_of_two_logs_is_true() -> None:
    assert section("log example") == log_example()


def test_the_limits_of_logs_are_those_of_the_reader() -> None:
    text = DOCUMENT.read_text()
    assert f"{GUEST_LIMITS.byte_length >> 20} MiB and {GUEST_LIMITS.entries:,} entries; it" in text
    assert f"{HOST_LIMITS.byte_length >> 20} MiB and {HOST_LIMITS.entries:,} entries; it" in text
    assert f"a signal file and {ENVELOPE_LIMIT_BYTES} bytes" in text
    assert f"header, {len(encode_log_header())} bytes" in text
    assert f"{CLEAR_AFTER_S:g} s later" in text
