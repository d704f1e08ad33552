from __future__ import annotations

import contextlib
import errno
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from datfs.app.events import EventLog
from datfs.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMIT_BYTES = 2000


@contextlib.contextmanager
def opened(file: Path, limit_bytes: int = LIMIT_BYTES) -> Iterator[EventLog]:
    log = EventLog(file, limit_bytes, clock_ms=lambda: 1000)
    try:
        yield log
    finally:
        log.close()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    with opened(tmp_path / "events") as made:
        yield made


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_bytes().splitlines()]


async def take(log: EventLog, count: int, after: int | None = None) -> list[dict[str, Any]]:
    taken = []
    with trio.fail_after(5):
        async with contextlib.aclosing(log.follow(after)) as events:
            async for event in events:
                taken.append(event)
                if len(taken) == count:
                    break
    return taken


def test_events_are_numbered_lines_that_anybody_can_read(log: EventLog, tmp_path: Path) -> None:
    log.append("connected", peer="ab", name="J\u00fcrgen\n")
    assert log.append("closed")["n"] == 2
    assert lines(tmp_path / "events") == [
        {"n": 1, "time": 1000, "event": "connected", "peer": "ab", "name": "J\u00fcrgen\n"},
        {"n": 2, "time": 1000, "event": "closed"},
    ]
    assert log.read(0, 1 << 20) == (tmp_path / "events").read_bytes()
    assert log.byte_length == (tmp_path / "events").stat().st_size


def test_numbers_go_on_after_a_restart_and_a_torn_line_goes(tmp_path: Path) -> None:
    file = tmp_path / "events"
    with opened(file) as log:
        log.append("one")
    with file.open("ab") as torn:
        torn.write(b'{"n":2,"ti' + b"x" * 100_000)
    with opened(file) as log:
        log.append("two")
    assert [(line["n"], line["event"]) for line in lines(file)] == [(1, "one"), (2, "two")]


@pytest.mark.expect_log("starts anew")
def test_file_that_holds_something_else_starts_anew(tmp_path: Path) -> None:
    (tmp_path / "events").write_text("hello\n")
    with opened(tmp_path / "events") as log:
        log.append("one")
    assert [line["n"] for line in lines(tmp_path / "events")] == [1]


def test_place_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"{tmp_path}"):
        EventLog(tmp_path, LIMIT_BYTES)


def test_file_stays_within_its_limit_and_says_what_is_gone(log: EventLog, tmp_path: Path) -> None:
    for n in range(200):
        log.append("tick", value=n)
        assert (tmp_path / "events").stat().st_size <= LIMIT_BYTES
    gap, *rest = lines(tmp_path / "events")
    assert gap["event"] == "gap"
    assert (gap["from"], gap["to"]) == (1, rest[0]["n"] - 1)
    assert [line["n"] for line in rest] == list(range(gap["to"] + 1, 201))


async def test_follower_gets_what_was_and_what_comes(log: EventLog) -> None:
    log.append("one")
    log.append("two")
    async with trio.open_nursery() as nursery:

        async def follow() -> None:
            assert [event["event"] for event in await take(log, 3, after=1)] == [
                "two",
                "three",
                "four",
            ]

        nursery.start_soon(follow)
        await trio.testing.wait_all_tasks_blocked()
        log.append("three")
        log.append("four")


async def test_follower_of_new_events_alone_gets_no_old_ones(log: EventLog) -> None:
    log.append("old")
    async with trio.open_nursery() as nursery:

        async def follow() -> None:
            assert [event["event"] for event in await take(log, 1)] == ["new"]

        nursery.start_soon(follow)
        await trio.testing.wait_all_tasks_blocked()
        log.append("new")


async def test_slow_follower_is_told_the_numbers_that_it_missed(log: EventLog) -> None:
    for n in range(3):
        log.append("tick", value=n)
    async with contextlib.aclosing(log.follow(0)) as events:
        assert (await anext(events))["n"] == 1
        for n in range(200):
            log.append("tick", value=n)
        seen = [await anext(events) for _ in range(5)]
    gaps = [event for event in seen if event["event"] == "gap"]
    assert [event["n"] for event in seen[:2]] == [2, 3]  # they were read already
    assert gaps[0]["from"] == 4
    assert seen[seen.index(gaps[0]) + 1]["n"] == gaps[0]["to"] + 1


async def test_events_of_any_length_are_followed(tmp_path: Path) -> None:
    with opened(tmp_path / "events", limit_bytes=1 << 20) as log:
        log.append("long", text="x" * 200_000)
        log.append("short")
        assert [event["event"] for event in await take(log, 2, after=0)] == ["long", "short"]


@pytest.mark.expect_log("not in the log: the disk is full")
def test_full_disk_costs_the_event_and_nothing_else(
    log: EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append("one")
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda file, line: os.pwrite(file, line[:5], 0))
        log.append("lost")
    log.append("three")
    assert [line["event"] for line in lines(tmp_path / "events")] == ["one", "three"]
    assert lines(tmp_path / "events")[-1]["n"] == 3


@pytest.mark.expect_log("not in the log: No space left on device")
def test_disk_without_any_room_costs_the_event_and_nothing_else(
    log: EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(file: int, line: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", no_room)
        log.append("lost")
    assert log.append("two")["n"] == 2
    assert [line["n"] for line in lines(tmp_path / "events")] == [2]
