"""How far ahead of a reader blocks are fetched."""

from __future__ import annotations

from datfs.swarm.read_ahead import FIRST_BYTE_LENGTH, MAX_BYTE_LENGTH, MAX_STREAMS, ReadAhead

READ = 128 * 1024


def test_a_reader_in_order_is_followed_ever_further() -> None:
    rule = ReadAhead()
    ahead = [rule.after(0, i * READ, READ) for i in range(10)]
    assert ahead[0] == 0
    assert ahead[1] == FIRST_BYTE_LENGTH
    assert ahead == sorted(ahead)
    assert ahead[-1] == MAX_BYTE_LENGTH


def test_random_reads_fetch_nothing_ahead() -> None:
    rule = ReadAhead()
    for offset in (500 << 20, 3 << 20, 900 << 20, 100 << 20):
        assert rule.after(0, offset, READ) == 0


def test_readers_of_two_files_do_not_disturb_each_other() -> None:
    rule = ReadAhead()
    for i in range(3):
        first = rule.after(0, i * READ, READ)
        second = rule.after(10**12, i * READ, READ)
    assert first == second == 2 * FIRST_BYTE_LENGTH


def test_what_is_remembered_is_bounded() -> None:
    rule = ReadAhead()
    for start in range(10 * MAX_STREAMS):
        rule.after(start, 0, READ)
    assert rule.after(0, READ, READ) == 0
