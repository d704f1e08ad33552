from __future__ import annotations

import pytest

from datfs.errors import EncodingError
from datfs.lobby.writers import WriterRecord, WriterState, parse_record

WRITER = bytes(range(32))
HEX = WRITER.hex().encode()


@pytest.mark.parametrize("state", WriterState)
def test_records_are_read_as_they_were_written(state: WriterState) -> None:
    record = WriterRecord(WRITER, state)
    assert parse_record(record.encode()) == record


def test_a_live_writer_s_record_is_its_key_in_hex() -> None:
    assert WriterRecord(WRITER).encode() == HEX + b"\n"
    assert parse_record(HEX) == WriterRecord(WRITER)


def test_a_writer_with_an_unknown_mark_is_not_heard() -> None:
    assert parse_record(HEX + b" suspended\n").state is WriterState.STRUCK


@pytest.mark.parametrize("data", [b"", b"\n", HEX[:-1], HEX + b"\n\n", HEX.upper() + b"\n"])
def test_anything_else_is_no_record(data: bytes) -> None:
    with pytest.raises(EncodingError):
        parse_record(data)
