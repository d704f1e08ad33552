"""docs/lobby.md says what the code does: its tables and its example are made here and compared."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from datfs.crypto.box import BoxKeyPair, open_box
from datfs.crypto.keys import KeyPair
from datfs.crypto.pake import ENTROPY_SIZE, PAKE_TABLES, PakeSide, PakeState, PasswordExchange
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
from datfs.lobby.password import side_name
from datfs.lobby.seal import HEAD_SIZE, Sealed, SealedKind, offer_id_of, seal, unseal
from datfs.lobby.signal import make_beacon, sdp_identity
from datfs.lobby.writers import WriterRecord
from datfs.swarm.clearing import CLEAR_AFTER_S
from tests.lobby.memory_log import MemoryLog
from tests.lobby.sdp import description

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

StateT = TypeVar("StateT", bound=str)
InputT = TypeVar("InputT", bound=str)

DOCUMENT = Path(__file__).parents[2] / "docs" / "lobby.md"

IDENTITY = KeyPair.from_seed(bytes.fromhex("01" * 32))
LOBBY = bytes.fromhex("02" * 32)
WRITER = bytes.fromhex("03" * 32)
HOST = KeyPair.from_seed(bytes.fromhex("09" * 32))
RECEIVER = bytes.fromhex("04" * 32)
GUEST_SEAL = BoxKeyPair.from_secret_key(bytes.fromhex("05" * 32))
HOST_SEAL = BoxKeyPair.from_secret_key(bytes.fromhex("06" * 32))
BEACON_ID = bytes.fromhex("07" * 16)
NONCE = bytes.fromhex("08" * 24)
OFFER = b'{"type": "offer", "sdp": "v=0..."}\n'


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
    return listed(parts)


def password_example() -> str:
    guest = side_name(IDENTITY.public_key, LOBBY, bytes.fromhex("05" * 32))
    host = side_name(HOST.public_key, LOBBY, bytes.fromhex("06" * 32))
    a, b = (
        PasswordExchange(side, b"correct horse", a=guest, b=host, entropy=entropy * ENTROPY_SIZE)
        for side, entropy in ((PakeSide.A, b"\7"), (PakeSide.B, b"\10"))
    )
    messages = [a.begin()]
    for receiver in (b, a, b):
        messages.append(receiver.receive(messages[-1]))
    a.receive(messages[-1])
    assert a.state is b.state is PakeState.CONFIRMED
    names = hashlib.sha256(guest).digest() + hashlib.sha256(host).digest()
    return listed(
        [
            ("password", b"correct horse"),
            ("guest's name", guest),
            ("host's name", host),
            ("guest's 64 random bytes", b"\7" * ENTROPY_SIZE),
            ("host's 64 random bytes", b"\10" * ENTROPY_SIZE),
            ("guest's share", messages[0]),
            ("host's share", messages[1]),
            ("transcript (142 bytes)", b"datfs pake 1" + names + messages[0] + messages[1]),
            ("guest's proof", messages[2]),
            ("host's proof", messages[3]),
        ]
    )


def listed(parts: Sequence[tuple[str, bytes]]) -> str:
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


def seal_example() -> str:
    sealed = Sealed(
        kind=SealedKind.OFFER,
        lobby=LOBBY,
        guest=IDENTITY.public_key,
        beacon_id=BEACON_ID,
        offer_id=offer_id_of(OFFER),
        text=OFFER,
    )
    stored = seal(sealed, ours=GUEST_SEAL, theirs=HOST_SEAL.public_key, nonce=NONCE)
    assert unseal(stored, ours=HOST_SEAL, theirs=GUEST_SEAL.public_key) == sealed
    message = open_box(
        stored[HEAD_SIZE:], nonce=NONCE, ours=HOST_SEAL, theirs=GUEST_SEAL.public_key
    )
    sdp = description("host")
    certificate = sdp_identity(sdp).fingerprint
    beacon = make_beacon(
        IDENTITY, sdp=sdp, beacon_id=BEACON_ID, lobby_key=LOBBY, seal=HOST_SEAL.public_key
    )
    assert beacon.proof is not None
    proven = b"datfs lobby host 1" + LOBBY + BEACON_ID + HOST_SEAL.public_key + certificate
    parts = [
        ("host's identity seed", IDENTITY.secret_key[:32]),
        ("lobby key", LOBBY),
        ("beacon's id", BEACON_ID),
        ("host's secret seal key", HOST_SEAL.secret_key),
        ("host's seal key, the beacon's seal", HOST_SEAL.public_key),
        ("SHA-256 of the host's certificate", certificate),
        (f"proven text ({len(proven)} bytes)", proven),
        ("the beacon's proof", beacon.proof),
        ("guest's secret seal key", GUEST_SEAL.secret_key),
        ("guest's seal key", GUEST_SEAL.public_key),
        ("guest, HASH (here the same identity)", IDENTITY.public_key),
        (f"text of the offer ({len(OFFER)} bytes)", OFFER),
        ("offer's id", offer_id_of(OFFER)),
        (f"message ({len(message)} bytes)", message),
        ("nonce", NONCE),
        (f"stored ({len(stored)} bytes)", stored),
    ]
    return listed(parts)


def test_the_host_s_table_is_that_of_the_machine() -> None:
    assert section("host table") == drawn(HOST_TABLE)


def test_the_guest_s_table_is_that_of_the_machine() -> None:
    assert section("guest table") == drawn(GUEST_TABLE)


def test_the_worked_example_of_a_join_is_true() -> None:
    assert section("join example") == example()


def test_the_worked_example_of_a_proof_and_a_sealed_offer_is_true() -> None:
    assert section("seal example") == seal_example()


def test_the_worked_example_of_a_password_is_true() -> None:
    assert section("password example") == password_example()


def test_the_tables_of_the_password_are_those_of_the_exchange() -> None:
    assert section("password table of the guest") == drawn(PAKE_TABLES[PakeSide.A])
    assert section("password table of the host") == drawn(PAKE_TABLES[PakeSide.B])


def test_the_worked_example_of_two_logs_is_true() -> None:
    assert section("log example") == log_example()


def test_the_limits_of_logs_are_those_of_the_reader() -> None:
    text = DOCUMENT.read_text()
    assert f"{GUEST_LIMITS.byte_length >> 20} MiB and {GUEST_LIMITS.entries:,} entries; it" in text
    assert f"{HOST_LIMITS.byte_length >> 20} MiB and {HOST_LIMITS.entries:,} entries; it" in text
    assert f"a signal file, sealed, and {ENVELOPE_LIMIT_BYTES} bytes" in text
    assert f"header, {len(encode_log_header())} bytes" in text
    assert f"{CLEAR_AFTER_S:g} s later" in text
