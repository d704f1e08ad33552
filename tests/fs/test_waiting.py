from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from datfs.errors import BlockUnavailable, Timeout, TooBusy
from datfs.fs.waiting import WaitingRoom


async def _sit(room: WaitingRoom, archive: bytes) -> None:
    async with room.seat(archive, 100):
        await trio.sleep_forever()


async def test_deadline_ends_the_wait(autojump_clock: MockClock) -> None:
    room = WaitingRoom()
    with pytest.raises(Timeout, match="within 5 s"):
        async with room.seat(b"a", 5):
            await trio.sleep_forever()
    assert trio.current_time() == pytest.approx(autojump_clock.current_time())
    assert len(room) == 0


async def test_seats_are_counted_per_archive_and_in_all(nursery: trio.Nursery) -> None:
    room = WaitingRoom(total=3, per_archive=2)
    for archive in (b"a", b"a", b"b"):
        nursery.start_soon(_sit, room, archive)
    await wait_all_tasks_blocked()
    for archive in (b"a", b"c"):
        with pytest.raises(TooBusy):
            async with room.seat(archive, 1):
                pass
    nursery.cancel_scope.cancel()


async def test_seat_is_free_again_after_an_error_and_a_cancel() -> None:
    room = WaitingRoom(total=1, per_archive=1)
    with pytest.raises(BlockUnavailable):
        async with room.seat(b"a", 1):
            raise BlockUnavailable("nobody")
    with trio.CancelScope() as scope:
        scope.cancel()
        await _sit(room, b"a")
    async with room.seat(b"a", 1):
        assert len(room) == 1
    assert len(room) == 0
