from __future__ import annotations

import math

from datfs.lobby.room import RESERVATION_S, Room, RoomReply

A, B, C, D, E = (bytes([letter]) * 32 for letter in b"abcde")


def test_places_then_turns_then_nothing() -> None:
    room = Room(1)
    replies = [room.request(guest) for guest in (A, B, C, D)]
    assert replies == [RoomReply.PLACED, RoomReply.QUEUED, RoomReply.QUEUED, RoomReply.FULL]
    assert (room.free, room.waiting, room.peers) == (0, 2, 0)


def test_turns_come_in_order_of_arrival_and_nobody_passes_the_queue() -> None:
    room = Room(1)
    for guest in (A, B, C):
        room.request(guest)
    room.leave(A)
    assert room.request(D) is RoomReply.FULL, "a free place is for whoever waits"
    assert room.next_in_queue() == B
    assert room.next_in_queue() is None
    room.leave(B)
    assert room.next_in_queue() == C


def test_asking_again_keeps_place_and_turn() -> None:
    room = Room(1)
    for guest in (A, B, C):
        room.request(guest)
    assert room.request(C) is RoomReply.QUEUED
    assert room.request(B) is RoomReply.QUEUED
    assert room.request(A) is RoomReply.PLACED
    assert room.take(A)
    assert room.peers == 1
    assert room.request(A) is RoomReply.PLACED
    assert room.peers == 0, "who offers anew has lost the channel"
    room.leave(A)
    assert room.next_in_queue() == B


def test_a_reservation_runs_from_the_answer_and_lapses() -> None:
    room = Room(1)
    room.request(A)
    assert room.next_lapse == math.inf
    room.answered(A, 100)
    assert room.next_lapse == 100 + RESERVATION_S
    assert room.lapsed(129.9) == []
    assert room.lapsed(130) == [A]


def test_a_late_channel_takes_a_free_place_but_no_other_s() -> None:
    room = Room(1)
    room.request(A)
    room.leave(A)
    assert room.take(A)
    room.leave(A)
    room.request(B)
    assert not room.take(A)
    room.request(C)
    room.leave(B)
    assert not room.take(A), "the place is for C, who waits"


def test_who_goes_first_finds_the_queue_never_full_and_passes_it() -> None:
    room = Room(1)
    room.request(A)
    for guest in (B, C):
        assert room.request(guest) is RoomReply.QUEUED
    assert room.request(D) is RoomReply.FULL
    assert room.request(D, first=True) is RoomReply.QUEUED
    room.leave(A)
    assert room.next_in_queue() == D
    room.leave(D)
    assert room.next_in_queue() == B
