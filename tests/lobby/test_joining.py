from __future__ import annotations

import math

from datfs.lobby.joining import RETRY_PAUSES_S, Joining
from datfs.lobby.machine import GuestOutput, GuestState
from datfs.lobby.signal import Answer, Beacon, Refusal
from datfs.lobby.writers import WriterRecord, WriterState
from tests.lobby.sdp import description

WRITER = b"w" * 32
HOST = b"h" * 32
FIRST, SECOND = b"1" * 32, b"2" * 32
SDP = description("answer", setup="active")
BEACON = Beacon(sdp=description("host"), host=HOST, id=b"a" * 16)
NEW_BEACON = Beacon(sdp=description("host"), host=HOST, id=b"b" * 16)


def waiting(*, made_here: bool = True) -> Joining:
    joining = Joining(WRITER)
    joining.record_read(WriterRecord(WRITER), 0)
    joining.beacon_read(BEACON, 0)
    assert joining.offer(FIRST, 0, made_here=made_here, by_hand=True) == []
    return joining


def joined() -> Joining:
    joining = waiting()
    assert joining.answer_read(Answer(sdp=SDP, offer_id=FIRST), 1) == [GuestOutput.COMPLETE]
    assert joining.opened(1, 2) == [GuestOutput.ADMIT_PEER, GuestOutput.REMOVE_OFFER]
    return joining


def test_the_words_on_the_way_to_a_channel() -> None:
    joining = Joining(WRITER)
    said = [str(joining.status)]
    joining.beacon_read(BEACON, 0)
    said.append(str(joining.status))
    joining.offer(FIRST, 0, made_here=True, by_hand=True)
    said.append(str(joining.status))
    joining.record_read(WriterRecord(WRITER), 0)
    said.append(str(joining.status))
    joining.answer_read(Answer(sdp=SDP), 0)
    said.append(str(joining.status))
    joining.opened(1, 0)
    said.append(str(joining.status))
    joining.beacon_read(None, 0)
    said.append(str(joining.status))
    joining.closed(1, 0)
    said.append(str(joining.status))
    assert said == [
        "looking: no beacon of the host yet",
        "looking: the host is here; write an offer",
        "waiting for host: asking the host to be let in",
        "waiting for host: the offer is written",
        "waiting for host: answered; opening the channel",
        "joined: the channel is open",
        "joined: the host has ended the session; the channel is still open",
        "ended: the host has ended the session",
    ]


def test_an_answer_to_an_earlier_offer_does_not_count() -> None:
    joining = waiting()
    joining.offer(SECOND, 0, made_here=True, by_hand=True)
    assert joining.answer_read(Answer(sdp=SDP, offer_id=FIRST), 0) == []
    assert joining.answer_read(Refusal(reason="full", offer_id=FIRST), 0) == []
    assert joining.answer_read(None, 0) == []
    assert joining.state is GuestState.WAITING


def test_answers_wait_for_the_beacon() -> None:
    joining = Joining(WRITER)
    joining.offer(FIRST, 0, made_here=True, by_hand=True)
    assert joining.answer_read(Answer(sdp=SDP, offer_id=FIRST), 0) == []
    joining.beacon_read(BEACON, 0)
    assert joining.answer_read(Answer(sdp=SDP, offer_id=FIRST), 0) == [GuestOutput.COMPLETE]


def test_an_answer_to_somebody_else_s_offer_is_left_and_the_offer_goes_with_it() -> None:
    joining = waiting(made_here=False)
    assert joining.answer_read(Answer(sdp=SDP, offer_id=FIRST), 0) == []
    assert str(joining.status) == "waiting for host: answered; whoever made the offer completes it"
    assert joining.answer_read(None, 5) == [GuestOutput.REMOVE_OFFER]
    assert joining.state is GuestState.LOOKING


def test_the_offer_goes_when_the_host_removes_its_answer_before_our_channel_opens() -> None:
    joining = waiting()
    joining.answer_read(Answer(sdp=SDP, offer_id=FIRST), 0)
    assert joining.answer_read(None, 1) == [GuestOutput.REMOVE_OFFER]
    assert joining.opened(1, 2) == [GuestOutput.ADMIT_PEER]


def test_an_offer_that_was_removed_may_be_read_once_more_and_written_again() -> None:
    joining = joined()
    assert not joining.is_new_offer(FIRST)
    assert joining.is_new_offer(SECOND)
    joining.offer_gone(3)
    assert joining.is_new_offer(FIRST)


def test_full_then_room_after_all() -> None:
    joining = waiting()
    assert joining.answer_read(Refusal(reason="full", offer_id=FIRST), 1) == []
    assert str(joining.status) == "full: no place is free"
    assert joining.answer_read(None, 61) == [GuestOutput.REMOVE_OFFER, GuestOutput.CLOSE_PEER]
    assert joining.status.word == "full"
    joining.offer(SECOND, 70, made_here=True, by_hand=True)
    assert joining.status.word == "waiting for host"


def test_other_refusals_say_why() -> None:
    joining = waiting()
    joining.answer_read(Refusal(reason="failed"), 1)
    assert str(joining.status) == "refused: failed"


def test_a_dropped_connection_comes_back_by_itself() -> None:
    joining = joined()
    assert joining.closed(1, 10) == [GuestOutput.PART_PEER, GuestOutput.CLOSE_PEER]
    assert str(joining.status) == "waiting for host: the connection was lost; trying again"
    assert joining.next_timeout == 10 + RETRY_PAUSES_S[0]
    assert joining.on_timeout(10.5) == []
    assert joining.on_timeout(11) == [GuestOutput.MAKE_OFFER]
    assert joining.offer(SECOND, 11, made_here=True, by_hand=False) == []
    assert joining.answer_read(Answer(sdp=SDP, offer_id=SECOND), 12) == [GuestOutput.COMPLETE]
    assert joining.closed(1, 12) == [], "that was the connection before"
    assert joining.opened(2, 13) == [GuestOutput.ADMIT_PEER, GuestOutput.REMOVE_OFFER]


def test_tries_that_lead_to_nothing_end_some_time() -> None:
    joining = waiting()
    now = 0.0
    for number in range(1, len(RETRY_PAUSES_S) + 2):
        offer_id = bytes([number]) * 32
        if number > 1:
            assert joining.on_timeout(joining.next_timeout) == [GuestOutput.MAKE_OFFER]
            joining.offer(offer_id, now, made_here=True, by_hand=False)
        joining.answer_read(Answer(sdp=SDP), now)
        now = joining.next_timeout
        assert joining.on_timeout(now) == [GuestOutput.REMOVE_OFFER, GuestOutput.CLOSE_PEER]
    assert joining.on_timeout(joining.next_timeout) == []
    assert joining.next_timeout == math.inf
    assert str(joining.status).startswith("looking: no channel opened in several tries")


def test_an_engine_that_fails_is_asked_again_later() -> None:
    joining = joined()
    joining.closed(1, 0)
    joining.on_timeout(1)
    assert joining.offer_failed(1) == []
    assert joining.next_timeout == 1 + RETRY_PAUSES_S[1]


def test_a_host_that_starts_anew_gets_a_new_offer_of_our_engine() -> None:
    joining = waiting()
    assert joining.beacon_read(BEACON, 1) == []
    gone = joining.beacon_read(NEW_BEACON, 2)
    assert gone == [GuestOutput.REMOVE_OFFER, GuestOutput.CLOSE_PEER]
    assert joining.state is GuestState.RETRYING
    elsewhere = waiting(made_here=False)
    assert elsewhere.beacon_read(NEW_BEACON, 2) == []
    assert elsewhere.state is GuestState.WAITING


def test_the_end_of_the_session_takes_the_offer_with_it() -> None:
    joining = waiting()
    gone = joining.beacon_read(None, 1)
    assert gone == [GuestOutput.REMOVE_OFFER, GuestOutput.CLOSE_PEER]
    assert str(joining.status) == "ended: the host has ended the session"
    late = joining.offer(SECOND, 2, made_here=True, by_hand=True)
    assert late == [GuestOutput.REMOVE_OFFER]
    assert not joining.has_offer


def test_a_guest_that_is_struck_off_is_refused() -> None:
    joining = joined()
    record = WriterRecord(WRITER, WriterState.STRUCK)
    assert joining.record_read(record, 3) == [GuestOutput.PART_PEER, GuestOutput.CLOSE_PEER]
    assert str(joining.status) == "refused: the host has struck us off"
    assert not joining.admitted


def test_only_a_live_record_of_our_own_writer_lets_us_in() -> None:
    joining = Joining(WRITER)
    for record, admitted in (
        (None, False),
        (WriterRecord(b"x" * 32), False),
        (WriterRecord(WRITER, WriterState.RETIRED), False),
        (WriterRecord(WRITER), True),
    ):
        joining.record_read(record, 0)
        assert joining.admitted is admitted
