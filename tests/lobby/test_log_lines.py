"""signals.log: lines of entries, lines that make entries, and a file that only grows."""

from __future__ import annotations

import json

import pytest

from datfs.errors import InvalidSignal, NotYours
from datfs.lobby.log_carrier import LogCarrier
from datfs.lobby.log_lines import LineRequest, LogLines, line_of, parse_lines
from datfs.lobby.log_reading import Entry
from datfs.lobby.log_records import Position, Record, RecordKind
from datfs.lobby.names import BEACON_NAME, answer_name, offer_name
from datfs.lobby.seal import MAGIC, is_sealed
from datfs.lobby.writers import WriterRecord
from tests.lobby.memory_log import MemoryLog

HOST, A = b"\x55" * 32, b"A" * 32
LOG_A, LOG_B = b"\x11" * 32, b"\x77" * 32
OFFER = '{"type": "offer", "sdp": "v=0"}'


def shown(record: Record) -> dict[str, object]:
    line = line_of(Entry(Position(HOST, 3), record))
    assert line.count(b"\n") == 1
    fields: dict[str, object] = json.loads(line)
    assert fields.pop("log") == HOST.hex()
    assert fields.pop("seq") == 3
    return fields


def test_entries_as_lines() -> None:
    cause = Position(LOG_A, 1)
    answer = Record(kind=RecordKind.ANSWER, guest=A, cause=cause, signal=OFFER.encode())
    assert shown(answer) == {
        "type": "answer",
        "guest": A.hex(),
        "cause": {"log": LOG_A.hex(), "seq": 1},
        "signal": {"type": "offer", "sdp": "v=0"},
    }
    writer = Record(kind=RecordKind.WRITER, guest=A, signal=WriterRecord(LOG_A).encode())
    assert shown(writer) == {
        "type": "writer",
        "guest": A.hex(),
        "writer": LOG_A.hex(),
        "state": "live",
    }
    for signal, fields in {
        b"v=0\r\n": {"signal": "v=0\r\n"},
        b"[1]": {"signal": "[1]"},
        b"\xff\x00": {"bytes": "/wA="},
    }.items():
        assert shown(Record(kind=RecordKind.HOST, signal=signal)) == {"type": "host", **fields}


def test_a_guest_s_lines() -> None:
    line = json.dumps({"type": "offer", "signal": "v=0 raw"})
    text = f'{OFFER}\n\n{line}\n{{"type": "gone", "guest": "{A.hex()}"}}\n'
    assert parse_lines(text.encode(), guest=A) == [
        LineRequest(offer_name(A), f"{OFFER}\n".encode()),
        LineRequest(offer_name(A), b"v=0 raw"),
        LineRequest(offer_name(A), None),
    ]


def test_a_host_s_lines() -> None:
    guest = A.hex()
    text = "\n".join(
        (
            f'{{"type": "answer", "guest": "{guest}", "seq": 9, "sdp": "v=0"}}',
            f'{{"type": "answer", "guest": "{guest}", "signal": {{"type": "error"}}}}',
            f'{{"type": "gone", "guest": "{guest}"}}',
            '{"type": "host", "sdp": "v=0", "id": "x"}',
            '{"type": "gone"}',
        )
    )
    assert parse_lines(text.encode(), guest=None) == [
        LineRequest(answer_name(A), b'{"type": "answer", "sdp": "v=0"}\n'),
        LineRequest(answer_name(A), b'{"type": "error"}\n'),
        LineRequest(answer_name(A), None),
        LineRequest(BEACON_NAME, b'{"type": "offer", "sdp": "v=0", "id": "x"}\n'),
        LineRequest(BEACON_NAME, None),
    ]


@pytest.mark.parametrize("line", ["x", "[]", "{}", '{"type": "call"}', '{"type": 1}'])
def test_what_is_no_line(line: str) -> None:
    for guest in (None, A):
        with pytest.raises(InvalidSignal):
            parse_lines(line.encode(), guest=guest)


@pytest.mark.parametrize(
    "line",
    [
        '{"type": "answer", "sdp": "v=0"}',
        '{"type": "answer", "guest": "ABC", "sdp": "v=0"}',
        '{"type": "answer", "guest": 5, "sdp": "v=0"}',
        '{"type": "host", "signal": 5}',
    ],
)
def test_a_host_s_mistakes(line: str) -> None:
    with pytest.raises(InvalidSignal):
        parse_lines(line.encode(), guest=None)


def test_entries_of_others_are_theirs_to_write() -> None:
    for kind in ("host", "answer", "writer"):
        with pytest.raises(NotYours):
            parse_lines(f'{{"type": "{kind}"}}'.encode(), guest=A)
    with pytest.raises(NotYours):
        parse_lines(f'{{"type": "offer", "guest": "{HOST.hex()}"}}'.encode(), guest=A)
    for kind in ("offer", "writer"):
        with pytest.raises(NotYours):
            parse_lines(f'{{"type": "{kind}"}}'.encode(), guest=None)


def test_who_has_it_open_sees_it_grow_and_who_opens_it_later_sees_the_order() -> None:
    logs = {key: MemoryLog(key) for key in (HOST, LOG_A, LOG_B)}
    carrier = LogCarrier(logs[HOST], open_log=logs.get)
    file = LogLines(carrier)
    for guest, log in ((A, LOG_A), (b"B" * 32, LOG_B)):
        line = WriterRecord(log).encode()
        logs[HOST].append(Record(kind=RecordKind.WRITER, guest=guest, signal=line))
    logs[LOG_B].append(Record(kind=RecordKind.OFFER, guest=b"B" * 32, signal=b"b"))
    carrier.update()
    follower = file.open()
    first = follower.read(0, 10_000)
    assert len(first) == file.byte_length
    logs[LOG_A].append(Record(kind=RecordKind.OFFER, guest=A, signal=b"a"))
    carrier.update()
    grown = follower.read(0, 10_000)
    assert grown.startswith(first)
    assert len(grown) == file.byte_length
    assert follower.read(len(first), 10_000) == grown[len(first) :]
    later = file.open().read(0, 10_000)
    assert sorted(later.splitlines()) == sorted(grown.splitlines())
    assert [json.loads(line)["log"] for line in later.splitlines()] == [
        key.hex() for key in (LOG_A, HOST, HOST, LOG_B)
    ]


def test_what_is_sealed_becomes_text_once_we_are_one_of_its_ends() -> None:
    log = MemoryLog(HOST)
    log.append(Record(kind=RecordKind.HOST, signal=b"{}"))
    log.append(Record(kind=RecordKind.ANSWER, guest=A, signal=MAGIC + b"\xff"))
    carrier = LogCarrier(log, open_log={HOST: log}.get)
    carrier.update()
    is_end = False

    def text_of(record: Record) -> bytes:
        return OFFER.encode() if is_end and is_sealed(record.signal) else record.signal

    lines = LogLines(carrier, shown=text_of)
    sealed, stranger = lines.byte_length, lines.open()
    assert b'"bytes": ' in stranger.read(0, 1000)
    is_end = True
    lines.look_again()
    text = lines.open().read(0, 1000)
    assert b'"sdp": "v=0"' in text
    assert len(text) == lines.byte_length != sealed
    assert b'"bytes": ' in stranger.read(0, 1000), "what was read stays as it was"
